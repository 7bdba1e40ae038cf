"""What is corrected of usage: the original stays, the difference counts, and who did it is told."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from domain.errors import BillwrightError, Conflict, InvalidField, NotFound
from domain.periods import BillingPeriod
from storage.audit import AuditFilter, list_entries
from storage.engine import transaction
from storage.recurring import missing_days, work_out
from storage.usage.corrections import (
    CorrectionFilter,
    CorrectionOrder,
    EventNotCounted,
    NothingToCorrect,
    correct_event,
    list_corrections,
)
from storage.usage.kept_events import EventState, KeptEvent, load_event
from storage.usage.set_aside import Chosen, assign_set_aside, dismiss_set_aside
from tests.builders import FEBRUARY, Subscriber, open_february, plan_all, seed_billing
from tests.storage.late_months import MARCH, bill_month, late_lines, plan_month
from tests.storage.sending import SENDER, scalar, send, sums

TODAY = date(2026, 3, 2)
PERSON = "Ada <ada@billwright.example>"
EVENT = ("evt-1", "1001", "2026-02-03T23:30:00Z", "500")


def seed_usage(engine: Engine, files: Path) -> None:
    """Two customers, and an event of the first."""
    seed_billing(engine, files, [Subscriber("1001", 0), Subscriber("1002", 0)])
    with transaction(engine) as connection:
        send(connection, EVENT)


@pytest.fixture(scope="module")
def seeded(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    seed_usage(module_engine, tmp_path_factory.mktemp("usage") / "files")
    return module_engine


@pytest.fixture
def usage(seeded: Engine) -> Iterator[Connection]:
    """A transaction on what `seed_usage` makes, rolled back after the test."""
    with seeded.connect() as connection:
        yield connection


def amend(
    connection: Connection, quantity: str, event_id: str = "evt-1", **changes: str
) -> KeptEvent:
    order = CorrectionOrder(event_id, Decimal(quantity), "the meter counted twice")
    return correct(connection, replace(order, **changes))


def cancel(connection: Connection, event_id: str = "evt-1", **changes: str) -> KeptEvent:
    return correct(connection, replace(CorrectionOrder(event_id, None, "a test"), **changes))


def correct(connection: Connection, order: CorrectionOrder) -> KeptEvent:
    return correct_event(connection, order, by=PERSON, business_date=TODAY, time_zone="UTC")


def test_an_amended_event_counts_its_difference_and_stays_as_it_was_received(
    usage: Connection,
) -> None:
    amended = amend(usage, "120.5")
    assert (amended.received_quantity, amended.quantity) == (500, Decimal("120.5"))
    assert amended.state is EventState.AMENDED
    assert sums(usage) == {("1001", "2026-02-03"): "120.5"}
    assert scalar(usage, "SELECT quantity FROM billing_events WHERE correction_id IS NULL") == 500
    assert scalar(
        usage, "SELECT quantity FROM billing_events WHERE correction_id IS NOT NULL"
    ) == Decimal("-379.5")


def test_a_cancelled_event_counts_nothing_and_may_be_amended_again(usage: Connection) -> None:
    assert cancel(usage).state is EventState.CANCELLED
    assert sums(usage) == {("1001", "2026-02-03"): "0"}
    assert amend(usage, "7").state is EventState.AMENDED
    assert sums(usage) == {("1001", "2026-02-03"): "7"}
    history = amend(usage, "8").corrections
    assert [(one.kind, one.old_quantity, one.new_quantity) for one in history] == [
        ("cancel", 500, 0),
        ("amend", 0, 7),
        ("amend", 7, 8),
    ]


def test_a_correction_tells_who_and_why_and_the_audit_log_has_it(usage: Connection) -> None:
    (made,) = amend(usage, "120").corrections
    assert (made.person, made.reason, made.business_date) == (
        PERSON,
        "the meter counted twice",
        TODAY,
    )
    (entry,) = list_entries(usage, AuditFilter(subject_kind="usage_event"), limit=9)
    assert (entry.actor, entry.subject, entry.event, entry.reason) == (
        PERSON,
        "evt-1",
        "amended",
        "the meter counted twice",
    )
    assert entry.details["quantity"] == {"from": "500", "to": "120"}
    assert entry.details["account_number"] == "1001"


def test_a_correction_counts_on_the_sellers_day_of_its_event(usage: Connection) -> None:
    order = CorrectionOrder("evt-1", Decimal(1), "the meter counted twice")
    correct_event(usage, order, by=PERSON, business_date=TODAY, time_zone="Europe/Berlin")
    found = "SELECT quantity FROM usage_daily WHERE day = '2026-02-04'"
    assert scalar(usage, found) == -499  # 23:30 in UTC is the next day in Berlin


def test_each_correction_tells_later_readers_that_the_month_changed(usage: Connection) -> None:
    changes = "SELECT changes FROM usage_monthly"
    assert scalar(usage, changes) == 1
    amend(usage, "2")
    cancel(usage)
    assert scalar(usage, changes) == 3


def test_a_correction_overtakes_the_days_of_recurring_revenue_from_its_own_on(
    usage: Connection,
) -> None:
    days = [date(2026, 2, 2), date(2026, 2, 3), date(2026, 2, 28)]
    work_out(usage, days)
    assert missing_days(usage, days) == []
    cancel(usage)
    assert missing_days(usage, days) == days[1:]


def test_the_event_that_comes_again_after_its_correction_is_known(usage: Connection) -> None:
    cancel(usage)
    assert send(usage, EVENT).doubled == [1]
    assert sums(usage) == {("1001", "2026-02-03"): "0"}


# --- once


def test_asked_again_under_its_key_a_correction_is_made_once(usage: Connection) -> None:
    first = amend(usage, "120", idempotency_key="k1")
    amend(usage, "130", idempotency_key="k2")
    again = amend(usage, "120", idempotency_key="k1")
    assert (first.quantity, again.quantity) == (120, 130)
    assert len(again.corrections) == 2
    assert sums(usage) == {("1001", "2026-02-03"): "130"}


def test_another_request_under_a_used_key_is_refused(usage: Connection) -> None:
    amend(usage, "0", idempotency_key="k1")
    for other in (
        lambda: amend(usage, "1", idempotency_key="k1"),
        lambda: amend(usage, "0", idempotency_key="k1", reason="another"),
        lambda: cancel(usage, idempotency_key="k1", reason="the meter counted twice"),
    ):
        with pytest.raises(Conflict, match="'k1' was used for another correction of evt-1"):
            other()


def test_two_who_correct_an_event_at_once_do_it_one_after_the_other(
    engine: Engine, tmp_path: Path
) -> None:
    seed_usage(engine, tmp_path / "files")

    def correct_it(quantity: int) -> None:
        with transaction(engine) as connection:
            amend(connection, str(quantity))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(correct_it, range(8)))
    with transaction(engine) as connection:
        event = load_event(connection, "evt-1")
        assert len(event.corrections) == 8
        assert sums(connection) == {("1001", "2026-02-03"): f"{event.quantity:f}"}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=st.lists(
        st.none() | st.decimals(0, 10**15 - 1, places=6, allow_nan=False), min_size=1, max_size=6
    )
)
def test_whatever_is_corrected_in_whatever_order_the_last_word_counts(
    usage: Connection, wanted: list[Decimal | None]
) -> None:
    before = load_event(usage, "evt-1").quantity
    for quantity in wanted:
        try:
            event = correct(usage, CorrectionOrder("evt-1", quantity, "drawn"))
        except NothingToCorrect:
            assert before == (quantity or 0)
            continue
        before = event.quantity
        assert before == (quantity or 0)
    counted = scalar(usage, "SELECT sum(quantity) FROM billing_events")
    assert counted == before
    sums(usage)


# --- and the bill


def test_before_its_month_is_billed_a_correction_changes_the_bill(
    engine: Engine, tmp_path: Path
) -> None:
    cycle = open_february(engine, tmp_path / "files", [Subscriber("1001", 30_000, events=1)])
    with transaction(engine) as connection:
        cancel(connection, "evt-1001-2026-02-0")
    assert plan_all(engine, cycle).skipped == 1
    with transaction(engine) as connection:
        amend(connection, "20000", "evt-1001-2026-02-0")
    assert plan_all(engine, cycle, failed_again=True).drafted == 1
    with transaction(engine) as connection:
        # 10,000 calls at 0.001, and 19 %
        assert scalar(connection, "SELECT total FROM invoices") == Decimal("11.90")


def test_behind_the_bill_a_correction_and_an_assignment_come_with_the_next_one(
    engine: Engine, tmp_path: Path
) -> None:
    customers = [Subscriber("1001", 30_000, ("premium-support",), events=1)]
    seed_billing(engine, tmp_path / "files", customers)
    bill_month(engine, FEBRUARY)
    with transaction(engine) as connection:
        amend(connection, "25000", "evt-1001-2026-02-0")
        send(connection, ("stray", "9999", "2026-02-27T00:00:00Z", "1000"))
        stray = Chosen(event_id="stray")
        assign_set_aside(
            connection, stray, "1001", note="", by=PERSON, business_date=TODAY, time_zone="UTC"
        )
    plan_month(engine, MARCH)
    assert late_lines(engine, "1001", MARCH) == [
        ("2026-02", "Usage for 2026-02, corrected: API calls", "-4.00")
    ]


# --- refused


def test_an_event_that_nobody_sent_cannot_be_corrected(usage: Connection) -> None:
    with pytest.raises(NotFound, match="no usage event evt-9"):
        amend(usage, "1", "evt-9")
    with pytest.raises(NotFound, match="no usage event evt-9"):
        load_event(usage, "evt-9")


def test_what_changes_nothing_is_refused(usage: Connection) -> None:
    with pytest.raises(NothingToCorrect, match="evt-1 counts 500 api_calls already"):
        amend(usage, "500.000")
    cancel(usage)
    with pytest.raises(NothingToCorrect, match="evt-1 counts 0 api_calls already"):
        cancel(usage)
    assert len(load_event(usage, "evt-1").corrections) == 1


def test_a_correction_without_a_reason_is_refused(usage: Connection) -> None:
    with pytest.raises(InvalidField, match="reason: is empty"):
        cancel(usage, reason="  ")


def test_an_event_that_counts_for_nobody_is_refused_with_the_remedy(usage: Connection) -> None:
    send(usage, ("evt-2", "9999", "2026-02-04T00:00:00Z", "5"))
    assert load_event(usage, "evt-2").state is EventState.SET_ASIDE
    with pytest.raises(EventNotCounted, match=r"nobody had the account 9999.*assign it"):
        amend(usage, "1", "evt-2")
    dismiss_set_aside(
        usage, Chosen(event_id="evt-2"), note="a test", by=SENDER, business_date=TODAY
    )
    assert load_event(usage, "evt-2").state is EventState.DISMISSED
    with pytest.raises(EventNotCounted, match="evt-2 was dismissed"):
        cancel(usage, "evt-2")


def test_a_refusal_leaves_nothing_behind(usage: Connection) -> None:
    with pytest.raises(BillwrightError):
        amend(usage, "500")
    assert scalar(usage, "SELECT count(*) FROM usage_corrections") == 0
    assert scalar(usage, "SELECT count(*) FROM billing_events") == 1


# --- the list


def test_corrections_are_listed_by_customer_and_month_the_last_one_first(usage: Connection) -> None:
    send(
        usage,
        ("evt-2", "1002", "2026-02-10T00:00:00Z", "5"),
        ("evt-3", "1001", "2026-01-31T23:00:00Z", "5"),
    )
    amend(usage, "1")
    cancel(usage, "evt-2")
    cancel(usage, "evt-3")

    def listed(
        account: str | None = None,
        month: BillingPeriod | None = None,
        zone: str = "UTC",
        before: int | None = None,
        limit: int = 9,
    ) -> list[str]:
        wanted = CorrectionFilter(account, month)
        found = list_corrections(usage, wanted, time_zone=zone, before=before, limit=limit)
        return [one.event_id for one in found]

    assert listed() == ["evt-3", "evt-2", "evt-1"]
    assert listed("1001") == ["evt-3", "evt-1"]
    assert listed(month=FEBRUARY) == ["evt-2", "evt-1"]
    assert listed("1001", FEBRUARY) == ["evt-1"]
    assert listed("1001", FEBRUARY, "Europe/Berlin") == ["evt-3", "evt-1"]
    assert listed("nobody") == []
    assert listed(limit=1) == ["evt-3"]
    last = load_event(usage, "evt-2").corrections[0].id
    assert listed(before=last) == ["evt-1"]
