"""What is owed on a day: against a record that was kept day by day, and against other formulas."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, Engine, text

from domain.instructions import InstructionKind
from domain.reporting import MissingExchangeRate
from storage.collection import begin_review
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.reports.outstanding import Outstanding, outstanding
from tests.builders import (
    DUE_ON,
    ISSUED_ON,
    NOW,
    Subscriber,
    exchange_rate_row,
    invoice_row,
    write_billing_files,
    write_csv,
)
from tests.storage.collecting import FIRST, TOTAL, instruct, lock, receive, take_in, wire

NOTHING = Decimal(0)


def owed(
    connection: Connection, as_of: date, *, currency: str = "USD", limit: int | None = None
) -> Outstanding:
    return outstanding(connection, as_of=as_of, currency=currency, limit=limit)


# --- one invoice, whatever happens to it


class Days(RuleBasedStateMachine):
    """What happens to an invoice from day to day. `open_on`: what was open at each day's end, as
    the invoice itself said then.
    """

    connection: ClassVar[Connection]

    @initialize()
    def begin(self) -> None:
        self.savepoint = self.connection.begin_nested()
        self.today = ISSUED_ON
        self.open_on: dict[date, Decimal] = {}
        self.keys = 0
        self.wires: list[tuple[int, Decimal]] = []

    def teardown(self) -> None:
        if hasattr(self, "savepoint"):
            self.end_the_day(1)
            for day, amount in self.open_on.items():
                assert owed(self.connection, day).total == amount, day
            self.savepoint.rollback()

    @rule(days=st.integers(1, 20))
    def end_the_day(self, days: int) -> None:
        """What is open in the evening is open until something happens."""
        row = self.connection.execute(text("SELECT * FROM invoices")).one()
        is_open = row.status in ("issued", "overdue")
        left = row.total - row.amount_paid - row.amount_credited if is_open else NOTHING
        for passed in range(days):
            self.open_on[self.today + timedelta(passed)] = left
        self.today += timedelta(days)

    @rule(units=st.integers(1, 40_000))
    def receive_money(self, units: int) -> None:
        amount = Decimal(units) / 100
        id_ = wire(self.connection, self.fresh(), {FIRST: amount}, on=self.today)
        take_in(self.connection, on=self.today)
        self.wires.append((id_, amount))

    @precondition(lambda self: self.wires)
    @rule()
    def reverse_the_last_wire(self) -> None:
        id_, amount = self.wires.pop()
        wire(self.connection, self.fresh(), {FIRST: -amount}, reversal_of=id_, on=self.today)
        take_in(self.connection, on=self.today)

    @rule(units=st.integers(1, 20_000))
    def credit_some(self, units: int) -> None:
        """Refused where that much is not left; nothing changes then."""
        kind = InstructionKind.CREDIT_NOTE
        instruct(self.connection, kind, on=self.today, amount=f"{Decimal(units) / 100:f}")

    @rule(
        how=st.sampled_from(
            [InstructionKind.WRITE_OFF, InstructionKind.PAID_ELSEWHERE, InstructionKind.VOID]
        )
    )
    def end_it(self, how: InstructionKind) -> None:
        begin_review(lock(self.connection, on=self.today), place=3)
        instruct(self.connection, how, on=self.today)

    def fresh(self) -> str:
        self.keys += 1
        return f"wire-{self.keys}"


def test_a_day_that_is_over_is_answered_as_it_was(by_wire: Connection) -> None:
    Days.connection = by_wire
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Days, settings=settings(max_examples=30, stateful_step_count=14)
    )


# --- ages


def test_an_invoice_ages_by_the_days_past_its_due_date(by_wire: Connection) -> None:
    def bucket(days_late: int) -> str:
        (found,) = [
            aged.bucket
            for aged in owed(by_wire, DUE_ON + timedelta(days_late)).buckets
            if aged.amount
        ]
        return found

    ages = {days: bucket(days) for days in (-30, -1, 0, 1, 30, 31, 60, 61, 4_000)}
    assert ages == {
        **dict.fromkeys((-30, -1, 0), "current"),
        **dict.fromkeys((1, 30), "1-30"),
        **dict.fromkeys((31, 60), "31-60"),
        **dict.fromkeys((61, 4_000), "60+"),
    }


def test_nothing_is_owed_before_the_day_of_issue(by_wire: Connection) -> None:
    assert owed(by_wire, ISSUED_ON - timedelta(1)).total == NOTHING
    assert owed(by_wire, ISSUED_ON).total == TOTAL


def test_a_partial_payment_and_a_credit_note_leave_the_rest(by_wire: Connection) -> None:
    receive(by_wire, "100.00", "k1", on=ISSUED_ON + timedelta(3))
    day_5 = ISSUED_ON + timedelta(5)
    instruct(by_wire, InstructionKind.CREDIT_NOTE, on=day_5, amount="12.91")
    amounts = [owed(by_wire, ISSUED_ON + timedelta(days)).total for days in (2, 3, 4, 5, 6)]
    assert amounts == [TOTAL, *[Decimal("212.91")] * 2, *[Decimal("200.00")] * 2]


def test_an_empty_database_owes_nothing(engine: Engine) -> None:
    with transaction(engine) as connection:
        found = owed(connection, ISSUED_ON)
    assert (found.total, found.invoices, found.customers, found.debtors) == (NOTHING, 0, 0, ())
    assert [(b.bucket, b.amount, b.share) for b in found.buckets] == [
        (name, NOTHING, None) for name in ("current", "1-30", "31-60", "60+")
    ]


# --- several customers, against plain Python

HISTORY = [
    ("1001", "2025-11", "2025-12-31", "100.00", "0.00"),
    ("1001", "2025-12", "2026-01-31", "50.00", "20.00"),
    ("1002", "2025-12", "2026-01-31", "70.00", "70.00"),
    ("1002", "2026-01", "2026-03-03", "30.50", "0.50"),
    ("1003", "2025-10", "2025-12-30", "10.00", "0.00"),
    ("1004", "2026-01", "2026-03-03", "0.00", "0.00"),
]
EURO = ("1003",)
AS_OF = date(2026, 3, 1)


@pytest.fixture
def with_history(engine: Engine, tmp_path: Path) -> Engine:
    customers = [
        Subscriber(account, columns={"currency": "EUR"} if account in EURO else {})
        for account in sorted({row[0] for row in HISTORY})
    ]
    write_billing_files(tmp_path, customers)
    write_csv(tmp_path / "exchange_rates.csv", [exchange_rate_row()])
    write_csv(tmp_path / "invoices.csv", [_old(*row) for row in HISTORY])
    import_directory(engine, tmp_path, now=NOW)
    return engine


def _old(account: str, period: str, due_on: str, total: str, paid: str) -> dict[str, str]:
    return invoice_row(
        f"INV-{period}-{account}",
        account_number=account,
        period=period,
        issued_on=str(date.fromisoformat(due_on) - timedelta(30)),
        due_on=due_on,
        currency="EUR" if account in EURO else "USD",
        usage=total,
        subscriptions="0.00",
        proration="0.00",
        tax="0.00",
        total=total,
        amount_paid=paid,
        status="paid" if paid == total else "issued",
    )


def _expected(rate: str) -> dict[str, dict[str, Decimal]]:
    """account: bucket: amount, by a loop over the rows."""
    found: dict[str, dict[str, Decimal]] = {}
    for account, _, due_on, total, paid in HISTORY:
        late = (AS_OF - date.fromisoformat(due_on)).days
        left = (Decimal(total) - Decimal(paid)) * (Decimal(rate) if account in EURO else 1)
        if left:
            bucket = (
                "current" if late < 1 else "1-30" if late < 31 else "31-60" if late < 61 else "60+"
            )
            mine = found.setdefault(account, {})
            mine[bucket] = mine.get(bucket, NOTHING) + left
    return found


def test_the_figures_are_those_of_a_loop_over_the_rows(with_history: Engine) -> None:
    with transaction(with_history) as connection:
        found = owed(connection, AS_OF)
    expected = _expected("1.1")
    names = [bucket.bucket for bucket in found.buckets]
    assert {
        debtor.account_number: {
            name: amount for name, amount in zip(names, debtor.by_bucket, strict=True) if amount
        }
        for debtor in found.debtors
    } == expected
    assert found.total == sum((sum(mine.values()) for mine in expected.values()), NOTHING)
    assert {bucket.bucket: bucket.amount for bucket in found.buckets if bucket.amount} == {
        name: amount
        for name in names
        if (amount := sum((mine.get(name, NOTHING) for mine in expected.values()), NOTHING))
    }
    assert (found.invoices, found.customers) == (4, 3)
    assert [debtor.account_number for debtor in found.debtors] == ["1001", "1002", "1003"]
    assert found.debtors[0].oldest_due_on == date(2025, 12, 31)
    assert [(rate.base, rate.rate, rate.valid_from) for rate in found.rates] == [
        ("EUR", Decimal("1.1"), date(2026, 1, 1))
    ]


def test_the_shares_are_of_all_that_is_open(with_history: Engine) -> None:
    with transaction(with_history) as connection:
        found = owed(connection, AS_OF)
    assert found.total == Decimal("171.00")
    assert [bucket.share for bucket in found.buckets] == [
        Decimal("17.5"),  # 30.00
        Decimal("17.5"),  # 30.00
        Decimal("58.5"),  # 100.00
        Decimal("6.4"),  # 11.00
    ]


def test_the_debtors_may_be_cut_off_and_the_totals_are_of_all(with_history: Engine) -> None:
    with transaction(with_history) as connection:
        whole, cut = owed(connection, AS_OF), owed(connection, AS_OF, limit=1)
    assert cut.debtors == whole.debtors[:1]
    assert (cut.total, cut.customers, cut.buckets) == (whole.total, 3, whole.buckets)


@pytest.mark.parametrize(
    ("currency", "as_of"), [("EUR", AS_OF), ("JPY", AS_OF), ("USD", date(2025, 12, 20))]
)
def test_a_rate_that_is_missing_is_named(with_history: Engine, currency: str, as_of: date) -> None:
    with (
        transaction(with_history) as connection,
        pytest.raises(MissingExchangeRate, match=rf"to {currency} on {as_of}; import it in"),
    ):
        owed(connection, as_of, currency=currency)


def test_an_invoice_in_a_currency_that_no_customer_has_any_more_is_not_passed_over(
    with_history: Engine,
) -> None:
    with transaction(with_history) as connection:
        connection.execute(text("UPDATE customers SET currency = 'USD'"))
        assert owed(connection, AS_OF).total == Decimal("171.00")
        connection.execute(text("DELETE FROM exchange_rates"))
        with pytest.raises(MissingExchangeRate, match="from EUR"):
            owed(connection, AS_OF)


def test_the_latest_rate_of_the_day_counts(with_history: Engine, tmp_path: Path) -> None:
    later: list[dict[str, Any]] = [
        exchange_rate_row(valid_from="2026-03-01", rate="1.25"),
        exchange_rate_row(valid_from="2026-03-02", rate="2"),
    ]
    write_csv(tmp_path / "exchange_rates.csv", later)
    import_directory(with_history, tmp_path, now=NOW)
    with transaction(with_history) as connection:
        found = owed(connection, AS_OF)
    assert found.buckets[-1].amount == Decimal("12.50")
