"""Usage by day and month is what its events come to, or the check says where not."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import OperationalError

from domain.periods import BillingPeriod
from storage.customers import usage_of
from storage.engine import transaction
from storage.recurring import lock_writers
from storage.tables import audit_log, customers, recurring_days
from storage.usage.rollups import Difference, Differences, check_rollups, rebuild_rollups
from tests.builders import FEBRUARY, ISSUED_ON, Subscriber, seed_billing
from tests.storage.conftest import OpenCycle
from tests.storage.late_months import MARCH, bill_month, late_lines, plan_month, use

CALLS = Decimal(1_000)


@pytest.fixture
def counted(engine: Engine, february: OpenCycle) -> Engine:
    """Accounts 1001 and 1002 with a thousand calls each in February, in ten events."""
    february(Subscriber("1001", calls=1_000, events=10), Subscriber("1002", calls=1_000, events=10))
    return engine


def run(engine: Engine, statement: str) -> None:
    with transaction(engine) as connection:
        connection.execute(text(statement))


def check(engine: Engine, period: BillingPeriod | None = None, limit: int = 50) -> Differences:
    with transaction(engine) as connection:
        return check_rollups(connection, time_zone="UTC", period=period, limit=limit)


def rebuild(
    engine: Engine, period: BillingPeriod | None = None, time_zone: str = "UTC"
) -> Differences:
    with transaction(engine) as connection:
        return rebuild_rollups(
            connection, time_zone=time_zone, by="Ada", business_date=ISSUED_ON, period=period
        )


def used(engine: Engine, account: str = "1001") -> tuple[Decimal, int]:
    """What a bill of February reads: the units, and how often they were written."""
    with transaction(engine) as connection:
        id = connection.execute(
            select(customers.c.id).where(customers.c.account_number == account)
        ).scalar_one()
        month = usage_of(connection, [id], FEBRUARY)[id]
    return sum((entry.quantity for entry in month.days), Decimal(0)), month.changes["api_calls"]


def test_sums_that_were_written_with_their_events_do_not_differ(counted: Engine) -> None:
    assert check(counted) == Differences(0, ())
    assert used(counted) == (CALLS, 1)


def test_a_lost_month_is_named_with_both_figures(counted: Engine) -> None:
    run(counted, "DELETE FROM usage_monthly WHERE customer_id = 1")
    lost = Difference("1001", "api_calls", "month", FEBRUARY.start, CALLS, Decimal(0))
    assert check(counted) == Differences(1, (lost,))
    assert str(lost) == "1001: api_calls of 2026-02 is 0, and its events come to 1000"


def test_a_day_without_events_is_named(counted: Engine) -> None:
    run(counted, "INSERT INTO usage_daily VALUES (2, 'api_calls', '2026-02-27', 7)")
    (difference,) = check(counted).first
    assert difference.account_number == "1002"
    assert (difference.events, difference.summed - difference.events) == (
        difference.events,
        Decimal(7),
    )


def test_a_sum_of_nothing_is_no_difference(counted: Engine) -> None:
    run(counted, "INSERT INTO usage_daily VALUES (1, 'api_calls', '2026-05-05', 0)")
    assert check(counted).count == 0


def test_a_month_is_checked_by_itself(counted: Engine) -> None:
    run(counted, "INSERT INTO usage_daily VALUES (1, 'api_calls', '2026-05-05', 7)")
    assert check(counted, FEBRUARY).count == 0
    assert check(counted, BillingPeriod(2026, 5)).count == 1


def test_more_differences_than_are_shown_are_counted(counted: Engine) -> None:
    run(counted, "TRUNCATE usage_monthly")
    found = check(counted, limit=1)
    assert (found.count, len(found.first)) == (2, 1)


@pytest.mark.parametrize(
    "damage",
    [
        "TRUNCATE usage_daily, usage_monthly",
        "UPDATE usage_daily SET quantity = quantity + 1",
        "UPDATE usage_monthly SET quantity = 0",
        "DELETE FROM usage_daily WHERE customer_id = 1",
        "INSERT INTO usage_monthly VALUES ('2026-05-01', 1, 'api_calls', 7)",
        "UPDATE billing_events SET quantity = 50 WHERE customer_id = 2",
        "DELETE FROM billing_events WHERE customer_id = 2",
    ],
)
def test_a_rebuild_leaves_no_difference(counted: Engine, damage: str) -> None:
    run(counted, damage)
    before = check(counted)
    assert before.count
    assert rebuild(counted) == before
    assert check(counted).count == 0


def test_a_mended_month_counts_as_changed(counted: Engine) -> None:
    run(counted, "UPDATE usage_daily SET quantity = quantity + 1 WHERE customer_id = 1")
    rebuild(counted)
    assert used(counted) == (CALLS, 2)
    assert used(counted, "1002") == (CALLS, 1)


def test_what_a_restored_sum_had_forgotten_is_billed_after_a_rebuild(
    engine: Engine, tmp_path: Path
) -> None:
    seed_billing(engine, tmp_path / "files", [Subscriber("1001", 30_000, events=1)])
    use(engine, "1001", FEBRUARY, 1_000)
    bill_month(engine, FEBRUARY)
    use(engine, "1001", FEBRUARY, 10_000)
    run(engine, "UPDATE usage_monthly SET quantity = 30000, changes = 1")  # as it was imported
    rebuild(engine)
    plan_month(engine, MARCH)
    assert late_lines(engine, "1001", MARCH) == [
        ("2026-02", "Usage for 2026-02, arrived late: API calls", "10.00")
    ]


def test_a_rebuild_of_one_month_leaves_the_others(counted: Engine) -> None:
    run(counted, "INSERT INTO usage_daily VALUES (1, 'api_calls', '2026-05-05', 7)")
    assert rebuild(counted, FEBRUARY).count == 0
    assert check(counted).count == 1


def test_usage_counts_in_another_zone_after_a_rebuild(counted: Engine) -> None:
    run(
        counted,
        "UPDATE billing_events SET occurred_at = '2026-02-28 23:30+00' WHERE customer_id = 1",
    )
    rebuild(counted, time_zone="Europe/Berlin")
    with transaction(counted) as connection:
        (march,) = usage_of(connection, [1], BillingPeriod(2026, 3))[1].days
    assert march == replace(march, day=date(2026, 3, 1), quantity=CALLS)


def test_a_rebuild_is_in_the_audit_log_and_makes_later_days_be_worked_out_anew(
    counted: Engine,
) -> None:
    run(counted, "INSERT INTO recurring_days VALUES ('2026-01-31', 0), ('2026-02-28', 0)")
    run(counted, "UPDATE usage_monthly SET quantity = 0 WHERE customer_id = 1")
    rebuild(counted)
    with transaction(counted) as connection:
        days = connection.execute(select(recurring_days.c.day)).scalars().all()
        told = connection.execute(select(audit_log).where(audit_log.c.subject_kind == "usage"))
        entry = told.one()
    assert days == [date(2026, 1, 31)]
    assert (entry.actor, entry.event, entry.details["differences"]) == ("Ada", "sums_rebuilt", 1)


def test_a_rebuild_begins_once_an_import_has_ended(counted: Engine) -> None:
    """Each would wait for what the other holds: the sums, and the days of recurring revenue."""
    run(counted, "UPDATE usage_monthly SET quantity = 0")
    with transaction(counted) as importing:
        lock_writers(importing)
        with transaction(counted) as connection:
            connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
            with pytest.raises(OperationalError):
                rebuild_rollups(connection, time_zone="UTC", by="Ada", business_date=ISSUED_ON)
    assert rebuild(counted).count == 2


def test_a_rebuild_without_differences_is_not_told(counted: Engine) -> None:
    rebuild(counted)
    with transaction(counted) as connection:
        told = connection.execute(select(audit_log).where(audit_log.c.subject_kind == "usage"))
        assert told.all() == []
