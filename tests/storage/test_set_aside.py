"""Usage of accounts that nobody has: kept, assigned by a person once, or dismissed with a note."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, update

from domain.errors import InvalidField, NotFound
from storage.audit import AuditFilter, list_entries
from storage.engine import transaction
from storage.recurring import missing_days, work_out
from storage.tables import customers
from storage.usage.corrections import CorrectionOrder, correct_event
from storage.usage.kept_events import EventState, load_event
from storage.usage.set_aside import (
    AsideState,
    Chosen,
    Decided,
    EventDecided,
    SetAsideEvent,
    assign_set_aside,
    count_waiting,
    dismiss_set_aside,
    list_accounts,
    list_set_aside,
)
from tests.builders import Subscriber, seed_billing
from tests.storage.sending import SENDER, scalar, send, sums

TODAY = date(2026, 3, 2)
PERSON = "Ada <ada@billwright.example>"
STRAYS = (
    ("evt-1", "9998", "2026-02-03T10:00:00Z", "500"),
    ("evt-2", "9999", "2026-01-31T10:00:00Z", "20"),
    ("evt-3", "9999", "2026-02-05T10:00:00Z", "3"),
)
ALL_OF_9999 = Chosen(account_number="9999")


def seed_strays(engine: Engine, files: Path) -> None:
    """Two customers, and three events of accounts that nobody has."""
    seed_billing(engine, files, [Subscriber("1001", 0), Subscriber("1002", 0)])
    with transaction(engine) as connection:
        send(connection, *STRAYS)


@pytest.fixture(scope="module")
def seeded(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    seed_strays(module_engine, tmp_path_factory.mktemp("strays") / "files")
    return module_engine


@pytest.fixture
def strays(seeded: Engine) -> Iterator[Connection]:
    """A transaction on what `seed_strays` makes, rolled back after the test."""
    with seeded.connect() as connection:
        yield connection


def assign(connection: Connection, chosen: Chosen, to: str = "1001", note: str = "") -> Decided:
    return assign_set_aside(
        connection, chosen, to, note=note, by=PERSON, business_date=TODAY, time_zone="UTC"
    )


def dismiss(connection: Connection, chosen: Chosen, note: str = "a test of theirs") -> Decided:
    return dismiss_set_aside(connection, chosen, note=note, by=PERSON, business_date=TODAY)


def listed(connection: Connection, state: AsideState, **wanted: Any) -> list[SetAsideEvent]:
    return list_set_aside(connection, state, **{"limit": 9, **wanted})


def ids(connection: Connection, state: AsideState, **wanted: Any) -> list[str]:
    return [event.event_id for event in listed(connection, state, **wanted)]


def somebody_gets(connection: Connection, account: str) -> None:
    """By now there is a customer with the number `account`."""
    connection.execute(
        update(customers).where(customers.c.account_number == "1002").values(account_number=account)
    )


def test_what_nobody_has_waits_and_counts_for_nobody(strays: Connection) -> None:
    assert sums(strays) == {}
    assert ids(strays, AsideState.WAITING) == ["evt-1", "evt-2", "evt-3"]
    assert ids(strays, AsideState.WAITING, account_number="9999") == ["evt-2", "evt-3"]
    assert ids(strays, AsideState.WAITING, after=("9998", "evt-1"), limit=1) == ["evt-2"]
    assert count_waiting(strays) == 3
    (first, *_) = listed(strays, AsideState.WAITING)
    assert (first.quantity, first.received_by, first.assigned_to) == (500, SENDER, None)
    assert ids(strays, AsideState.ASSIGNED) == ids(strays, AsideState.DISMISSED) == []


def test_all_of_an_account_are_assigned_and_count_on_their_own_days(strays: Connection) -> None:
    assert assign(strays, ALL_OF_9999) == Decided("9999", 2, {"api_calls": Decimal(23)})
    assert sums(strays) == {("1001", "2026-01-31"): "20", ("1001", "2026-02-05"): "3"}
    assert ids(strays, AsideState.WAITING) == ["evt-1"]
    assert [(one.event_id, one.assigned_to) for one in listed(strays, AsideState.ASSIGNED)] == [
        ("evt-2", "1001"),
        ("evt-3", "1001"),
    ]


def test_one_event_is_assigned_and_can_be_corrected_then(strays: Connection) -> None:
    assign(strays, Chosen(event_id="evt-3"))
    assert sums(strays) == {("1001", "2026-02-05"): "3"}
    order = CorrectionOrder("evt-3", Decimal(2), "the meter was wrong")
    event = correct_event(strays, order, by=PERSON, business_date=TODAY, time_zone="UTC")
    assert (event.account_number, event.state) == ("1001", EventState.AMENDED)
    assert sums(strays) == {("1001", "2026-02-05"): "2"}


def test_an_assigned_event_keeps_the_instant_at_which_it_was_received(strays: Connection) -> None:
    received = scalar(strays, "SELECT received_at FROM set_aside_events WHERE event_id = 'evt-1'")
    assign(strays, Chosen(event_id="evt-1"))
    assert scalar(strays, "SELECT received_at FROM billing_events") == received


def test_what_is_assigned_overtakes_the_days_of_recurring_revenue(strays: Connection) -> None:
    days = [date(2026, 1, 30), date(2026, 1, 31), date(2026, 2, 28)]
    work_out(strays, days)
    assign(strays, ALL_OF_9999)
    assert missing_days(strays, days) == days[1:]


def test_an_event_that_comes_again_is_known_wherever_it_went(strays: Connection) -> None:
    assign(strays, ALL_OF_9999)
    dismiss(strays, Chosen(event_id="evt-1"))
    assert send(strays, *STRAYS).doubled == [1, 2, 3]
    assert ids(strays, AsideState.WAITING) == []


def test_dismissed_events_count_for_nobody_and_can_still_be_assigned_one_by_one(
    strays: Connection,
) -> None:
    dismiss(strays, ALL_OF_9999)
    assert [event.note for event in listed(strays, AsideState.DISMISSED)] == [
        "a test of theirs",
        "a test of theirs",
    ]
    assert sums(strays) == {}
    with pytest.raises(NotFound, match="nothing of 9999 waits"):
        assign(strays, ALL_OF_9999)
    assign(strays, Chosen(event_id="evt-2"))
    assert ids(strays, AsideState.DISMISSED) == ["evt-3"]
    assert load_event(strays, "evt-2").state is EventState.COUNTED
    assert sums(strays) == {("1001", "2026-01-31"): "20"}


def test_accounts_are_listed_with_what_waits_and_whether_somebody_has_them_by_now(
    strays: Connection,
) -> None:
    somebody_gets(strays, "9999")
    found = list_accounts(strays, limit=9)
    behind = list_accounts(strays, after="9998", limit=9)
    assert [(one.account_number, one.events, one.is_customer) for one in found] == [
        ("9998", 1, False),
        ("9999", 2, True),
    ]
    assert behind == found[1:]
    assert (found[1].first_at.isoformat(), found[1].last_at.isoformat()) == (
        "2026-01-31T10:00:00+00:00",
        "2026-02-05T10:00:00+00:00",
    )


def test_a_customer_who_comes_later_does_not_get_them_by_that_alone(strays: Connection) -> None:
    somebody_gets(strays, "9999")
    assert send(strays, *STRAYS).doubled == [1, 2, 3]
    assert sums(strays) == {}
    assign(strays, ALL_OF_9999, to="9999")
    assert sums(strays) == {("9999", "2026-01-31"): "20", ("9999", "2026-02-05"): "3"}


def test_the_audit_log_tells_who_decided_what(strays: Connection) -> None:
    assign(strays, ALL_OF_9999, note="they moved")
    dismiss(strays, Chosen(event_id="evt-1"), "a test of theirs")
    told = list_entries(strays, AuditFilter(subject_kind="set_aside_usage"), limit=9)
    assert [(one.actor, one.subject, one.event, one.reason, one.details) for one in told] == [
        (
            *(PERSON, "9999", "assigned", "they moved"),
            {"to": "1001", "events": 2, "quantities": {"api_calls": "23"}},
        ),
        (
            *(PERSON, "9998", "dismissed", "a test of theirs"),
            {"event_id": "evt-1", "events": 1, "quantities": {"api_calls": "500"}},
        ),
    ]


def test_two_who_assign_at_once_count_the_events_once(engine: Engine, tmp_path: Path) -> None:
    seed_strays(engine, tmp_path / "files")

    def try_it(_: int) -> int:
        try:
            with transaction(engine) as connection:
                return assign(connection, ALL_OF_9999).events
        except NotFound:
            return 0

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(try_it, range(6))) == [0, 0, 0, 0, 0, 2]
    with transaction(engine) as connection:
        assert sums(connection) == {("1001", "2026-01-31"): "20", ("1001", "2026-02-05"): "3"}


def test_who_assigns_what_another_dismisses_at_once_has_the_last_word(
    engine: Engine, tmp_path: Path
) -> None:
    seed_strays(engine, tmp_path / "files")

    def decide(what: Callable[[Connection, Chosen], Decided]) -> bool:
        try:
            with transaction(engine) as connection:
                return what(connection, Chosen(event_id="evt-1")).events == 1
        except EventDecided:
            return False

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(decide, (dismiss, assign)))[1]
    with transaction(engine) as connection:
        assert ids(connection, AsideState.ASSIGNED) == ["evt-1"]
        assert sums(connection) == {("1001", "2026-02-03"): "500"}


# --- refused


def test_what_cannot_be_decided_is_refused_with_the_remedy(strays: Connection) -> None:
    with pytest.raises(InvalidField, match="assign_to: 7777 is no customer; add it first"):
        assign(strays, ALL_OF_9999, to="7777")
    with pytest.raises(NotFound, match="nothing of 7777 waits"):
        assign(strays, Chosen(account_number="7777"))
    with pytest.raises(NotFound, match="no event evt-9 is set aside"):
        assign(strays, Chosen(event_id="evt-9"))
    with pytest.raises(NotFound, match="no event evt-9 is set aside"):
        dismiss(strays, Chosen(event_id="evt-9"))
    with pytest.raises(InvalidField, match="note: is empty"):
        dismiss(strays, ALL_OF_9999, note=" ")
    assert len(ids(strays, AsideState.WAITING)) == 3


def test_what_was_decided_is_not_decided_again(strays: Connection) -> None:
    assign(strays, Chosen(event_id="evt-1"))
    for again in (assign, dismiss):
        with pytest.raises(EventDecided, match="assigned to 1001; amend or cancel it"):
            again(strays, Chosen(event_id="evt-1"))
    dismiss(strays, Chosen(event_id="evt-2"))
    with pytest.raises(EventDecided, match="evt-2 is dismissed already"):
        dismiss(strays, Chosen(event_id="evt-2"))
    assert sums(strays) == {("1001", "2026-02-03"): "500"}
