"""What moves an invoice in collection, and what never happens."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.dunning import (
    TRANSITIONS,
    CollectionState,
    Event,
    Moved,
    Recorded,
    Refused,
    after,
    status_of,
)
from domain.invoice import InvoiceStatus
from tests.builders import DUE_ON

LETTERS = {
    "I": CollectionState.ISSUED,
    "A": CollectionState.PAYMENT_ATTEMPTED,
    "R": CollectionState.RETRY_SCHEDULED,
    "M": CollectionState.REMINDER_SENT,
    "U": CollectionState.URGENT_NOTICE,
    "V": CollectionState.MANUAL_REVIEW,
    "P": CollectionState.PAID,
    "O": CollectionState.VOID,
    "W": CollectionState.UNCOLLECTIBLE,
}
EXPECTED = """
                      I A R M U V P O W
    charge_begun      A . . . . . x x x
    charge_declined   R R . . . . . . .
    charge_refused    A . . . . . . . .
    part_paid         . . . . . . . . .
    settled           P P P P P P . . P
    overdue           . . . . . . x x x
    reminder_sent     M M M . . . . . .
    urgent_notice_sent U U U U . . . . .
    review_due        V V V V V . x x x
    wire_reversed     . . . . . . I . .
    money_returned    V V V V V . V . .
    dispute_opened    . . . . . . . . .
    dispute_won       . . . . . . . . .
    held              . . . . . . x x x
    released          . . . . . . . . .
    paid_elsewhere    x x x x x P x x x
    charge_again      x x x x x . x x x
    extended          x x x x x I x x x
    written_off       x x x x x W x x x
    voided            O O O O O O O x O
    credited          . . . . . . . x .
"""
"""A row an event, a column a state: the state it moves to, `.` recorded, `x` refused."""

_HEADER, *_ROWS = [line.split() for line in EXPECTED.strip().splitlines()]
PAIRS = [
    (LETTERS[letter], Event(row[0]), cell)
    for row in _ROWS
    for letter, cell in zip(_HEADER, row[1:], strict=True)
]
ENDS = (CollectionState.PAID, CollectionState.VOID, CollectionState.UNCOLLECTIBLE)
OPEN = tuple(state for state in CollectionState if state not in ENDS)
PAST_DUE = DUE_ON + timedelta(days=1)


def test_the_table_here_names_every_state_and_every_event_once() -> None:
    assert [LETTERS[letter] for letter in _HEADER] == list(CollectionState)
    assert [row[0] for row in _ROWS] == [event.value for event in Event]


@pytest.mark.parametrize(("state", "event", "cell"), PAIRS)
def test_what_each_event_does_in_each_state(
    state: CollectionState, event: Event, cell: str
) -> None:
    verdict = after(state, event)
    match cell:
        case ".":
            assert verdict == Recorded()
        case "x":
            assert isinstance(verdict, Refused)
        case _:
            assert verdict == Moved(LETTERS[cell])


def test_every_state_and_event_has_an_entry_and_nothing_else_has() -> None:
    assert set(TRANSITIONS) == set(Event)
    assert all(set(by_state) == set(CollectionState) for by_state in TRANSITIONS.values())


@pytest.mark.parametrize(
    ("state", "event", "reason"),
    [
        (CollectionState.PAID, Event.HELD, "it is paid"),
        (CollectionState.VOID, Event.VOIDED, "it is void"),
        (CollectionState.UNCOLLECTIBLE, Event.REVIEW_DUE, "it is written off"),
        (CollectionState.ISSUED, Event.WRITTEN_OFF, "it is not in manual review"),
        (CollectionState.PAID, Event.WRITTEN_OFF, "it is paid"),
    ],
)
def test_a_refusal_says_why(state: CollectionState, event: Event, reason: str) -> None:
    assert after(state, event) == Refused(reason)


def test_no_refusal_is_without_a_reason() -> None:
    verdicts = [after(state, event) for state in CollectionState for event in Event]
    assert all(verdict.reason for verdict in verdicts if isinstance(verdict, Refused))


def test_void_is_final() -> None:
    assert not any(isinstance(after(CollectionState.VOID, event), Moved) for event in Event)


def test_only_money_that_goes_back_opens_an_end_again() -> None:
    reopened = {
        (state, event)
        for state in ENDS
        for event in Event
        if isinstance(verdict := after(state, event), Moved) and not verdict.to.is_end
    }
    assert reopened == {
        (CollectionState.PAID, Event.WIRE_REVERSED),
        (CollectionState.PAID, Event.MONEY_RETURNED),
    }


@pytest.mark.parametrize("state", CollectionState)
def test_nothing_that_arrives_late_is_refused(state: CollectionState) -> None:
    """Banks, card processors and mail servers cannot be told to be on time."""
    for event in (
        Event.CHARGE_DECLINED,
        Event.CHARGE_REFUSED,
        Event.PART_PAID,
        Event.SETTLED,
        Event.REMINDER_SENT,
        Event.URGENT_NOTICE_SENT,
        Event.WIRE_REVERSED,
        Event.MONEY_RETURNED,
        Event.DISPUTE_OPENED,
        Event.DISPUTE_WON,
    ):
        assert not isinstance(after(state, event), Refused)


# --- properties


def moved(state: CollectionState, event: Event) -> CollectionState:
    verdict = after(state, event)
    return verdict.to if isinstance(verdict, Moved) else state


EVENTS = st.lists(st.sampled_from(Event), max_size=30)


@given(EVENTS)
def test_whatever_happens_the_status_fits_the_state(events: list[Event]) -> None:
    state = CollectionState.ISSUED
    for event in events:
        state = moved(state, event)
        status = status_of(state, due_on=DUE_ON, business_date=PAST_DUE)
        assert status.is_settled == state.is_end == (state in ENDS)
        assert state.is_end or status is InvoiceStatus.OVERDUE


@given(EVENTS, st.sampled_from(Event))
def test_an_event_told_twice_moves_once(events: list[Event], event: Event) -> None:
    state = CollectionState.ISSUED
    for earlier in events:
        state = moved(state, earlier)
    once = moved(state, event)
    assert moved(once, event) == once


NOTICES = (Event.REMINDER_SENT, Event.URGENT_NOTICE_SENT, Event.REVIEW_DUE)


@given(st.lists(st.sampled_from(NOTICES), max_size=10))
def test_notices_out_of_order_never_lead_back(events: list[Event]) -> None:
    order = list(CollectionState)
    states = [CollectionState.ISSUED]
    for event in events:
        states.append(moved(states[-1], event))
    assert all(order.index(before) <= order.index(then) for before, then in pairwise(states))


@given(EVENTS)
def test_an_end_is_left_only_by_money_or_a_void(events: list[Event]) -> None:
    leaving = {Event.SETTLED, Event.WIRE_REVERSED, Event.MONEY_RETURNED, Event.VOIDED}
    state = CollectionState.ISSUED
    for event in events:
        then = moved(state, event)
        assert then == state or not state.is_end or event in leaving
        state = then
