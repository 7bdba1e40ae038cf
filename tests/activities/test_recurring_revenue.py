"""The days of the present report are there before somebody asks for it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from activities.failures import is_outage
from activities.recurring_revenue import RecurringRevenueActivities
from domain.periods import BusinessCalendar
from storage import recurring
from storage.audit import AuditEntry, record
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.recurring import forget_from, lock_writers
from storage.reports.mrr import Mrr, mrr, report_days
from tests.builders import ACTOR, NOW, Subscriber, write_billing_files
from workflows.contracts.recurring_revenue import DayOrder, RecurringRevenueOrder

TODAY = date(2026, 2, 28)
IN_THE_MORNING = datetime(2026, 2, 28, 9, tzinfo=UTC)
BERLIN = BusinessCalendar("Europe/Berlin")
DEMONSTRATION = BusinessCalendar("Europe/Berlin", day_seconds=1)

Import = Callable[..., None]


@pytest.fixture
def customers(engine: Engine, tmp_path: Path) -> Import:
    """Imports the customers given, with their usage of February."""

    def customers(*customers: Subscriber) -> None:
        write_billing_files(tmp_path, customers)
        import_directory(engine, tmp_path, now=NOW)

    return customers


def look(
    engine: Engine, *, now: datetime = IN_THE_MORNING, calendar: BusinessCalendar = BERLIN
) -> tuple[date, ...]:
    office = RecurringRevenueActivities(engine, now=lambda: now)
    return office.find_missing_days(RecurringRevenueOrder(calendar)).days


def run(engine: Engine) -> tuple[date, ...]:
    """What the workflow does in a run; the days that were missing."""
    days = look(engine)
    for day in days:
        RecurringRevenueActivities(engine, now=lambda: IN_THE_MORNING).work_out_day(DayOrder(day))
    return days


def kept(engine: Engine) -> list[tuple[Any, ...]]:
    """What is kept, with the transaction that wrote it."""
    query = """
        SELECT day, unrated, customer_id, usage, subscriptions, listed.xmin::text, rated.xmin::text
        FROM recurring_days listed LEFT JOIN recurring_revenue rated USING (day)
        ORDER BY day, customer_id
    """
    with transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def listed(engine: Engine) -> list[date]:
    with transaction(engine) as connection:
        rows = connection.execute(text("SELECT day FROM recurring_days ORDER BY day"))
        return list(rows.scalars())


def report(engine: Engine) -> Mrr:
    with transaction(engine) as connection:
        return mrr(connection, as_of=TODAY, currency="USD", limit=10)


def test_the_days_are_those_that_the_report_works_out(engine: Engine, customers: Import) -> None:
    customers(Subscriber())
    missing = look(engine)
    report(engine)
    assert list(missing) == listed(engine) == report_days(TODAY)
    assert look(engine) == ()


def test_the_report_finds_everything_and_writes_nothing(engine: Engine, customers: Import) -> None:
    customers(Subscriber("1001"), Subscriber("1002", plans=("premium-support",)))
    run(engine)
    before = kept(engine)
    found = report(engine)
    assert found.customers == 2
    assert kept(engine) == before


def test_a_second_run_writes_nothing(engine: Engine, customers: Import) -> None:
    customers(Subscriber())
    assert len(run(engine)) == len(report_days(TODAY))
    before = kept(engine)
    assert before
    assert run(engine) == ()
    for day in report_days(TODAY):  # as an attempt that was given up, and ran on
        RecurringRevenueActivities(engine, now=lambda: IN_THE_MORNING).work_out_day(DayOrder(day))
    assert kept(engine) == before


def test_what_was_forgotten_is_worked_out_again_and_no_more(
    engine: Engine, customers: Import
) -> None:
    customers(Subscriber())
    run(engine)
    first = TODAY - timedelta(10)
    with transaction(engine) as connection:
        forget_from(connection, first)
    assert run(engine) == (TODAY - timedelta(7), TODAY)
    assert listed(engine) == report_days(TODAY)


def test_a_customer_without_a_price_keeps_nobody_from_being_rated(
    engine: Engine, customers: Import
) -> None:
    customers(Subscriber("1001"), Subscriber("1002", columns={"currency": "EUR"}))
    run(engine)
    found = report(engine)
    assert (found.customers, found.unrated) == (1, 1)


def test_an_import_that_lasts_is_no_defect_and_keeps_no_worker(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring, "_PATIENCE", "50ms")
    office = RecurringRevenueActivities(engine, now=lambda: IN_THE_MORNING)
    with transaction(engine) as importing:
        lock_writers(importing)
        with pytest.raises(OperationalError) as refused:
            office.work_out_day(DayOrder(TODAY))
    assert is_outage(refused.value)
    office.work_out_day(DayOrder(TODAY))
    assert listed(engine) == [TODAY]


# --- which day it is


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2026, 2, 27, 22, 59, tzinfo=UTC), date(2026, 2, 27)),
        (datetime(2026, 2, 27, 23, 0, tzinfo=UTC), date(2026, 2, 28)),
    ],
)
def test_a_day_begins_at_midnight_of_the_seller(engine: Engine, now: datetime, day: date) -> None:
    assert list(look(engine, now=now)) == report_days(day)


def test_in_a_demonstration_the_day_is_that_of_what_was_billed_last(engine: Engine) -> None:
    assert list(look(engine, calendar=DEMONSTRATION)) == report_days(TODAY)
    later = date(2026, 3, 15)
    with transaction(engine) as connection:
        record(connection, AuditEntry(later, ACTOR, "invoice", "INV-2026-02-0001", "moved"))
    assert list(look(engine, calendar=DEMONSTRATION)) == report_days(later)
    assert list(look(engine)) == report_days(TODAY)
