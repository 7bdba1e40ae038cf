"""Recurring revenue and the risk of losing it, against plain Python over the rows."""

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from domain.recurring import Movement
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.reports.churn import ChurnRisk, churn_risk
from storage.reports.mrr import WEEKS, Mrr, mrr
from tests.builders import (
    NOW,
    PLANS,
    Subscriber,
    exchange_rate_row,
    plan_entry,
    subscription_row,
    usage_plan_entry,
    usage_row,
    write_billing_files,
    write_csv,
    write_json,
)

NOTHING = Decimal(0)
AS_OF = date(2026, 2, 28)
ACCOUNTS = [str(1001 + place) for place in range(8)]
EURO = {"1007"}
FLAT = {"premium-support": Decimal("99.00"), "dedicated-ip": Decimal("49.00")}


@dataclass
class World:
    """What is imported, as plain rows: (account, plan, starts, ends) and (account, day, calls)."""

    subscribed: list[tuple[str, str, date, date | None]] = field(default_factory=list)
    used: list[tuple[str, date, int]] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        euro = {"currency": "EUR"}
        customers = [
            Subscriber(a, 0, plans=(), columns=euro if a in EURO else {}) for a in ACCOUNTS
        ]
        write_billing_files(folder, customers)
        in_euro = [
            usage_plan_entry(**euro),
            *(plan_entry(c, **euro, unit_price=f"{p}") for c, p in FLAT.items()),
        ]
        write_json(folder / "plans.json", [*PLANS, *in_euro])
        write_csv(folder / "exchange_rates.csv", [exchange_rate_row()])
        rows = [
            subscription_row(account, plan, starts_on=str(starts), ends_on=str(ends or ""))
            for account, plan, starts, ends in self.subscribed
        ]
        write_csv(folder / "subscriptions.csv", rows)
        self.write_usage(folder, self.used)

    def write_usage(self, folder: Path, used: list[tuple[str, date, int]]) -> None:
        rows = [
            usage_row(
                f"e-{account}-{day}-{calls}-{place}",
                account_number=account,
                occurred_at=f"{day}T12:00:00Z",
                quantity=str(calls),
            )
            for place, (account, day, calls) in enumerate(used)
        ]
        write_csv(folder / "usage.csv", rows)

    def revenue(self, account: str, on: date) -> tuple[Decimal, Decimal]:
        """(usage, flat) on a day, in dollars: by a loop and another formula."""
        usage, flat = NOTHING, NOTHING
        for mine, plan, starts, ends in self.subscribed:
            if mine != account or starts > on or (ends is not None and ends <= on):
                continue
            if plan in FLAT:
                flat += FLAT[plan]
            else:
                first = max(starts, on - timedelta(27))
                usage += _priced(
                    sum(q for who, day, q in self.used if who == account and first <= day <= on)
                )
        rate = Decimal("1.1") if account in EURO else Decimal(1)
        return _cents(usage * rate), _cents(flat * rate)

    def total(self, on: date) -> Decimal:
        return sum((sum(self.revenue(account, on)) for account in ACCOUNTS), NOTHING)


def _priced(calls: int) -> Decimal:
    above_free = max(min(calls, 100_000) - 10_000, 0)
    return _cents(above_free * Decimal("0.001")) + _cents(
        max(calls - 100_000, 0) * Decimal("0.0005")
    )


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def a_world(seed: int) -> World:
    """Contracts that begin, end and change from October to March, and use of any size."""
    dice = random.Random(seed)
    world = World()
    for account in ACCOUNTS:
        for plan in ("api-calls", *FLAT):
            day = date(2025, 10, 1) + timedelta(dice.randrange(40))
            while dice.random() < 0.8 and day < AS_OF:
                ends = day + timedelta(dice.randrange(5, 150))
                world.subscribed.append((account, plan, day, None if ends > AS_OF else ends))
                if ends > AS_OF:
                    break
                day = ends + timedelta(dice.randrange(30))
        for _ in range(60):
            day = date(2025, 11, 1) + timedelta(dice.randrange(120))
            world.used.append((account, day, dice.choice([7, 900, 25_000, 90_000])))
    return world


def report(engine: Engine, as_of: date = AS_OF, *, limit: int = 100) -> Mrr:
    with transaction(engine) as connection:
        return mrr(connection, as_of=as_of, currency="USD", limit=limit)


@pytest.mark.parametrize("seed", range(4))
def test_the_figures_are_those_of_a_loop_over_the_rows(
    engine: Engine, tmp_path: Path, seed: int
) -> None:
    world = a_world(seed)
    world.write(tmp_path)
    import_directory(engine, tmp_path, now=NOW)
    found = report(engine)
    usage = sum((world.revenue(account, AS_OF)[0] for account in ACCOUNTS), NOTHING)
    flat = sum((world.revenue(account, AS_OF)[1] for account in ACCOUNTS), NOTHING)
    assert (found.usage, found.subscriptions) == (usage, flat)
    assert found.mrr == usage + flat > 0
    assert found.unrated == 0
    days = [AS_OF - timedelta(7 * weeks) for weeks in reversed(range(WEEKS))]
    assert [(point.day, point.mrr) for point in found.trend] == [
        (day, world.total(day)) for day in days
    ]


@pytest.mark.parametrize("seed", range(4))
def test_the_changes_explain_what_the_revenue_grew_by(
    engine: Engine, tmp_path: Path, seed: int
) -> None:
    world = a_world(seed)
    world.write(tmp_path)
    import_directory(engine, tmp_path, now=NOW)
    found = report(engine)
    assert found.since == AS_OF - timedelta(28)
    before = {a: sum(world.revenue(a, found.since), NOTHING) for a in ACCOUNTS}
    now = {a: sum(world.revenue(a, AS_OF), NOTHING) for a in ACCOUNTS}
    assert {mover.account_number: (mover.before, mover.now) for mover in found.movers} == {
        account: (before[account], now[account])
        for account in ACCOUNTS
        if before[account] != now[account]
    }
    assert sum(change.amount for change in found.changes) == found.mrr - world.total(found.since)
    kinds = {change.kind: change for change in found.changes}
    assert kinds[Movement.NEW].amount == sum((now[a] for a in ACCOUNTS if not before[a]), NOTHING)
    assert kinds[Movement.CHURNED].amount == -sum(
        (before[a] for a in ACCOUNTS if not now[a]), NOTHING
    )
    assert kinds[Movement.CONTRACTION].amount <= 0 <= kinds[Movement.EXPANSION].amount
    changes = [abs(mover.change) for mover in found.movers]
    assert changes == sorted(changes, reverse=True)


def test_what_comes_in_later_for_a_day_is_counted_on_it_and_not_before(
    engine: Engine, tmp_path: Path
) -> None:
    world = a_world(1)
    world.write(tmp_path / "first")
    import_directory(engine, tmp_path / "first", now=NOW)
    assert report(engine).mrr == world.total(AS_OF)
    account = next(a for a, plan, _, ends in world.subscribed if plan == "api-calls" and not ends)
    late = [(account, date(2026, 2, 20), 1_000_000)]
    (tmp_path / "late").mkdir()
    world.write_usage(tmp_path / "late", late)
    import_directory(engine, tmp_path / "late", now=NOW)
    earlier = world.total(date(2026, 2, 14))
    world.used += late
    found = report(engine)
    assert found.mrr == world.total(AS_OF)
    assert found.trend[-3].mrr == earlier  # 14 February
    begun = [(account, "dedicated-ip", date(2026, 2, 28), None)]
    world.subscribed = [*(row for row in world.subscribed if row[:2] != begun[0][:2]), *begun]
    with transaction(engine) as connection:
        connection.execute(_END_SUBSCRIPTIONS, {"account": account, "plan": "dedicated-ip"})
    (tmp_path / "new").mkdir()
    rows = [subscription_row(account, plan, starts_on=str(on)) for account, plan, on, _ in begun]
    write_csv(tmp_path / "new" / "subscriptions.csv", rows)
    import_directory(engine, tmp_path / "new", now=NOW)
    assert report(engine).mrr == world.total(AS_OF)


_END_SUBSCRIPTIONS = text("""
    DELETE FROM subscriptions USING customers, pricing_plans
    WHERE customers.id = customer_id AND pricing_plans.id = plan_id
      AND account_number = :account AND code = :plan
""")


def test_usage_by_day_and_month_is_what_the_events_sum_to(engine: Engine, tmp_path: Path) -> None:
    a_world(2).write(tmp_path)
    for _ in range(2):  # the second time, nothing is new
        import_directory(engine, tmp_path, now=NOW)
    by_day = "SELECT customer_id, metric, day, quantity FROM usage_daily"
    by_month = "SELECT customer_id, metric, month, quantity FROM usage_monthly"
    events = (
        "SELECT customer_id, metric, date_trunc('{unit}', occurred_at AT TIME ZONE 'UTC')::date, "
        "sum(quantity) FROM billing_events GROUP BY 1, 2, 3"
    )
    with transaction(engine) as connection:
        for table, unit in ((by_day, "day"), (by_month, "month")):
            kept = {tuple(row) for row in connection.execute(text(table))}
            assert kept == {
                tuple(row) for row in connection.execute(text(events.format(unit=unit)))
            }


def test_a_customer_without_a_price_is_left_out_and_counted(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(
        tmp_path, [Subscriber("1001"), Subscriber("1002", columns={"currency": "EUR"})]
    )
    import_directory(engine, tmp_path, now=NOW)
    found = report(engine)
    assert (found.customers, found.unrated) == (1, 1)


def test_an_empty_database_has_no_recurring_revenue(engine: Engine) -> None:
    found = report(engine)
    assert (found.mrr, found.customers, found.growth, found.movers) == (NOTHING, 0, None, ())
    assert found.billed.period is None
    assert {point.mrr for point in found.trend} == {NOTHING}


# --- churn


def risk(engine: Engine, as_of: date = AS_OF, threshold: str = "0.10") -> ChurnRisk:
    with transaction(engine) as connection:
        return churn_risk(
            connection, as_of=as_of, currency="USD", threshold=Decimal(threshold), limit=None
        )


def _using(*months: tuple[str, tuple[int, int, int]]) -> World:
    """By account: calls in December, January and February, all on the tenth."""
    world = World([(account, "api-calls", date(2025, 1, 1), None) for account, _ in months])
    for account, calls in months:
        days = (date(2025, 12, 10), date(2026, 1, 10), date(2026, 2, 10))
        world.used += [
            (account, day, count) for day, count in zip(days, calls, strict=True) if count
        ]
    return world


def test_who_uses_less_and_less_is_flagged_by_revenue_at_risk(
    engine: Engine, tmp_path: Path
) -> None:
    world = _using(
        ("1001", (100_000, 50_000, 20_000)),
        ("1002", (100_000, 50_000, 60_000)),
        ("1003", (900_000, 700_000, 500_000)),
        ("1004", (40_000, 20_000, 0)),
        ("1005", (0, 90_000, 20_000)),
    )
    world.write(tmp_path)
    import_directory(engine, tmp_path, now=NOW)
    found = risk(engine)
    assert [customer.account_number for customer in found.customers] == ["1003", "1001", "1004"]
    assert [customer.revenue for customer in found.customers] == [
        sum(world.revenue(account, AS_OF), NOTHING) for account in ("1003", "1001", "1004")
    ]
    assert found.revenue == sum((c.revenue for c in found.customers), NOTHING)
    (decline,) = found.customers[1].declines
    assert [round(units) for units in decline.per_day] == [3226, 1613, 714]
    assert [str(month) for month in found.months] == ["2025-12", "2026-01", "2026-02"]
    assert found.flagged == 3


def test_the_months_compared_are_those_that_are_over(engine: Engine, tmp_path: Path) -> None:
    _using(("1001", (100_000, 50_000, 20_000))).write(tmp_path)
    import_directory(engine, tmp_path, now=NOW)
    assert risk(engine, date(2026, 2, 27)).flagged == 0
    assert risk(engine, date(2026, 2, 28)).flagged == 1
    assert risk(engine, date(2026, 3, 30)).flagged == 1
    (customer,) = risk(engine, date(2026, 3, 31)).customers  # January to March
    assert [round(units) for units in customer.declines[0].per_day] == [1613, 714, 0]


def test_the_threshold_decides(engine: Engine, tmp_path: Path) -> None:
    _using(("1001", (310_000, 279_000, 226_800))).write(tmp_path)
    import_directory(engine, tmp_path, now=NOW)
    assert [risk(engine, threshold=t).flagged for t in ("0.09", "0.10", "0.11")] == [1, 1, 0]
