"""A plan held against the months before it, as somebody would who has nothing but the files."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.errors import Conflict, NotFound
from domain.standing_out import Thresholds
from storage.cycles import move_cycle, open_cycle
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.planning import Cycle
from storage.preview import Preview, load_preview, load_whole
from tests.builders import (
    ACTOR,
    FEBRUARY,
    FRENCH,
    NOW,
    Subscriber,
    exchange_rate_row,
    invoice_row,
    open_february,
    plan_all,
    plan_entry,
    subscribers,
    write_billing_files,
    write_csv,
    write_json,
)
from tests.storage.late_months import (
    JANUARY,
    MARCH,
    bill_month,
    change_customer,
    issue_month,
    plan_month,
    use,
)

OpenCycle = Callable[..., Cycle]
MONTHS = ("2025-11", "2025-12", "2026-01")
CENT = Decimal("0.01")


def read(engine: Engine, period: Any = FEBRUARY) -> Preview:
    with transaction(engine) as connection:
        return load_preview(connection, period, Thresholds(), currency="USD")


def planned(engine: Engine, cycle: Cycle) -> Preview:
    plan_all(engine, cycle)
    with transaction(engine) as connection:
        move_cycle(connection, FEBRUARY, "planned", actor=ACTOR)
    return read(engine)


def told(preview: Preview) -> list[tuple[str, str, str, str]]:
    return [
        (it.kind.value, it.account_number, _text(it.before), _text(it.now))
        for it in preview.findings
    ]


def _text(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:f}"


# --- many customers with a history that was brought along


def price_of(calls: int) -> Decimal:
    """The tiers of `api-calls`, written out."""
    first = min(max(calls - 10_000, 0), 90_000) * Decimal("0.001")
    then = max(calls - 100_000, 0) * Decimal("0.0005")
    return sum((amount.quantize(CENT, ROUND_HALF_UP) for amount in (first, then)), Decimal(0))


class Files:
    """Sixty customers: some had no invoice of some months, some have no usage, or left."""

    def __init__(self) -> None:
        draw = Random(6)
        self.calls: dict[str, int | None] = {}
        self.history: dict[str, list[tuple[Decimal, Decimal] | None]] = {}
        for account in (str(1001 + n) for n in range(60)):
            calls = draw.choice([None, 0, 5_000, 60_000, 150_000, 400_000, 2_000_000])
            self.calls[account] = calls
            usual = price_of(calls or draw.choice([20_000, 60_000, 400_000]))
            kind = draw.random()
            self.history[account] = [
                None
                if kind < 0.15 or draw.random() < 0.2
                else (
                    Decimal(0) if kind < 0.3 else draw.choice([usual, usual, usual / 4, usual * 3]),
                    Decimal(99),
                )
                for _ in MONTHS
            ]

    def subscribers(self) -> list[Subscriber]:
        """Those without calls are subscribed all the same, but for who left."""
        return [
            Subscriber(account, calls or 0, plans=() if calls is None else ("api-calls",))
            for account, calls in self.calls.items()
        ]

    def invoices(self) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = []
        for account, history in self.history.items():
            for month, bill in zip(MONTHS, history, strict=True):
                if bill is not None:
                    rows.append(self._invoice(len(rows) + 1, account, month, *bill))
        return rows

    @staticmethod
    def _invoice(n: int, account: str, month: str, usage: Decimal, flat: Decimal) -> dict[str, str]:
        usage = usage.quantize(CENT)
        tax = ((usage + flat) * 19 / 100).quantize(CENT, ROUND_HALF_UP)
        total = f"{usage + flat + tax:f}"
        return invoice_row(
            f"INV-{month}-{n:04d}",
            account_number=account,
            period=month,
            usage=f"{usage:f}",
            subscriptions=f"{flat:f}",
            proration="0.00",
            tax=f"{tax:f}",
            total=total,
            amount_paid=total,
        )

    def expected(self) -> set[tuple[str, str, str, str]]:
        return {
            (kind, account, _text(before), _text(now))
            for account in self.calls
            for kind, before, now in self._of_customer(account)
        }

    def _of_customer(self, account: str) -> Iterator[tuple[str, Decimal | None, Decimal | None]]:
        calls = self.calls[account]
        bills = [
            (usage.quantize(CENT), usage.quantize(CENT) + flat)
            for usage, flat in (bill for bill in reversed(self.history[account]) if bill)
        ]
        if not calls:
            if self.history[account][-1] is None:
                return
            usage = self._middle([usage for usage, _ in bills])
            if calls == 0 and usage >= 50:
                yield "zero_usage", usage, Decimal("0.00")
            else:
                yield "gone", bills[0][1], None
            return
        now = price_of(calls).quantize(CENT)
        if not bills:
            yield "new", None, now
            return
        usual = self._middle([net for _, net in bills])
        if now >= 50 and all(usage == 0 for usage, _ in bills):
            yield "first_usage", Decimal("0.00"), now
        elif abs(now - usual) >= 50 and abs(now - usual) >= usual / 2:
            yield ("jump" if now > usual else "drop"), usual, now

    @staticmethod
    def _middle(amounts: list[Decimal]) -> Decimal:
        return sorted(amounts)[1] if len(amounts) == 3 else amounts[0]


@pytest.fixture(scope="module")
def sixty(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Files, Preview]]:
    files = Files()
    folder = tmp_path_factory.mktemp("sixty") / "files"
    with fresh_engine() as engine:
        write_billing_files(folder, files.subscribers())
        write_csv(folder / "invoices.csv", files.invoices())
        import_directory(engine, folder, now=NOW)
        with transaction(engine) as connection:
            cycle = open_cycle(
                connection,
                FEBRUARY,
                issued_on=FEBRUARY.end,
                terms_days=30,
                hold_reminders=False,
                actor=ACTOR,
            )
        yield files, planned(engine, cycle)


def test_findings_are_those_that_a_reader_of_the_files_comes_to(
    sixty: tuple[Files, Preview],
) -> None:
    files, preview = sixty
    expected = files.expected()
    assert {kind for kind, *_ in expected} == {
        *("new", "gone", "zero_usage", "first_usage", "jump", "drop")
    }
    assert set(told(preview)) == expected
    assert len(preview.findings) == len(expected)
    assert sum(preview.counts.values()) == len(expected)


def test_the_most_money_comes_first(sixty: tuple[Files, Preview]) -> None:
    _, preview = sixty
    money = [abs((it.now or Decimal(0)) - (it.before or Decimal(0))) for it in preview.findings]
    assert money == sorted(money, reverse=True)


def test_sums_stand_beside_those_of_the_last_month(sixty: tuple[Files, Preview]) -> None:
    files, preview = sixty
    assert str(preview.compared_with) == "2026-01"
    (usd,) = preview.totals
    assert usd.now is not None
    assert usd.before is not None
    last = [row for row in files.invoices() if row["period"] == "2026-01"]
    assert (usd.before.invoices, usd.before.total) == (
        len(last),
        sum(Decimal(row["total"]) for row in last),
    )
    billed = [calls for calls in files.calls.values() if calls]
    assert (usd.now.invoices, usd.now.usage) == (len(billed), sum(map(price_of, billed)))
    assert (preview.customers, preview.customers_before) == (len(billed), len(last))


# --- single things


def test_a_first_plan_has_nothing_to_be_held_against(engine: Engine, february: OpenCycle) -> None:
    preview = planned(engine, february(*subscribers(3)))
    assert (preview.compared_with, preview.findings, preview.whole) == (None, [], [])
    assert [(it.currency, it.before) for it in preview.totals] == [("USD", None)]


def test_usage_of_nothing_for_everybody_is_the_first_thing_told(
    engine: Engine, tmp_path: Path
) -> None:
    months = [Subscriber(f"100{n}", 60_000, month=JANUARY) for n in range(5)]
    cycle = open_february(engine, tmp_path / "files", months)
    bill_month(engine, JANUARY)
    preview = planned(engine, cycle)
    assert [(it.kind.value, it.unit, it.percent) for it in preview.whole][:2] == [
        ("no_usage", "units", Decimal("-100.0")),
        ("usage_fell", "api_calls", Decimal("-100.0")),
    ]
    assert preview.counts == {"zero_usage": 5}
    with transaction(engine) as connection:
        assert load_whole(connection, FEBRUARY, Thresholds()) == preview.whole


def test_what_cannot_be_billed_stands_first_with_what_it_came_to_before(
    engine: Engine, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    write_billing_files(files, [Subscriber("1001", 2_000_000), FRENCH])
    write_csv(files / "invoices.csv", [invoice_row(account_number=FRENCH.account_number)])
    import_directory(engine, files, now=NOW)
    cycle = open_february(engine, tmp_path / "again", [Subscriber("1001", 2_000_000), FRENCH])
    preview = planned(engine, cycle)
    assert told(preview) == [
        ("failed", FRENCH.account_number, "180.00", ""),
        ("new", "1001", "", "1040.00"),
    ]
    assert "FR" in preview.findings[0].explanation


def test_another_tax_price_and_currency_and_what_is_late_stand_out(
    engine: Engine, tmp_path: Path
) -> None:
    """January is billed here; then 1001 moves to another tax, a plan gets dearer for 1002, 1003
    pays in euros, and usage of January comes late for 1004.
    """
    files = tmp_path / "files"
    customers = [Subscriber(f"100{n}", 60_000, month=JANUARY) for n in (1, 3, 4)]
    customers.append(Subscriber("1002", 60_000, ("premium-support",), month=JANUARY))
    cycle = open_february(engine, files, customers)
    bill_month(engine, JANUARY)
    for account in ("1001", "1002", "1003", "1004"):
        use(engine, account, FEBRUARY, 60_000)
    use(engine, "1004", JANUARY, 5_000)
    change_customer(engine, "1001", tax_exempt=True)
    change_customer(engine, "1003", currency="EUR")
    more = tmp_path / "more"
    more.mkdir()
    dearer = plan_entry(unit_price="109.00", valid_from="2026-02-01")
    in_euros = plan_entry(
        "api-calls", name="API calls", kind="usage", metric="api_calls", currency="EUR",
        unit_price=None, tiers=[{"name": "All", "up_to": None, "unit_price": "0.002"}],
    )  # fmt: skip
    write_json(more / "plans.json", [dearer, in_euros])
    import_directory(engine, more, now=NOW)

    preview = planned(engine, cycle)

    assert set(told(preview)) == {
        ("tax_changed", "1001", "9.50", "0.00"),
        ("price_changed", "1002", "149.00", "159.00"),
        ("currency_changed", "1003", "50.00", "120.00"),
        ("late", "1004", "", "5.00"),
    }
    late = next(it for it in preview.findings if it.kind == "late")
    assert late.explanation == "Usage for 2026-01, arrived late: API calls"
    assert [it.kind.value for it in preview.whole] == ["usage_fell"]  # of the dollars


def test_amounts_in_several_currencies_are_ranked_by_what_they_are_worth(
    engine: Engine, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    customers = [Subscriber("1001", 150_000), Subscriber("1002", 150_000)]
    customers.append(Subscriber("1003", 0, columns={"currency": "JPY"}, plans=()))
    write_billing_files(files, customers)
    write_csv(files / "exchange_rates.csv", [exchange_rate_row(base="JPY", rate="0.0065")])
    old = [
        invoice_row(f"INV-2026-01-000{n}", account_number=f"100{n}", **more)
        for n, more in (
            (1, {}),
            (3, {"currency": "JPY", "usage": "10000", "subscriptions": "0", "proration": "0",
                 "tax": "1900", "total": "11900", "amount_paid": "11900"}),
        )
    ]  # fmt: skip
    write_csv(files / "invoices.csv", old)
    import_directory(engine, files, now=NOW)
    cycle = open_february(engine, tmp_path / "again", customers)
    assert told(planned(engine, cycle)) == [
        ("new", "1002", "", "115.00"),
        ("gone", "1003", "10000", ""),  # worth 65 dollars
    ]


def test_a_plan_in_the_making_is_not_previewed(engine: Engine, february: OpenCycle) -> None:
    with pytest.raises(NotFound):
        read(engine)
    plan_all(engine, february(*subscribers(1)))
    with pytest.raises(Conflict, match="still being made"):
        read(engine)


def test_what_is_issued_and_voided_since_was_in_the_plan(engine: Engine, tmp_path: Path) -> None:
    open_february(engine, tmp_path / "files", [Subscriber("1001", 60_000)])
    plan_month(engine, FEBRUARY)
    before = read(engine)
    issue_month(engine, FEBRUARY)
    after = read(engine)
    assert (after.status, after.totals) == ("closed", before.totals)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE invoices SET status = 'void'"))
    plan_month(engine, MARCH)
    assert read(engine, MARCH).compared_with is None  # a void invoice is nobody's bill
