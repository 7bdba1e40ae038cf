"""The same events of the card processor in every order, and at the same moment."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, Engine

from domain.dunning import CollectionState
from storage.collection import load_case
from storage.engine import transaction
from storage.webhooks import store_event
from tests.storage.collecting import (
    FIRST,
    TOTAL,
    begin,
    credit,
    declined,
    dispute,
    event,
    everything,
    intent,
    outcomes,
    refund,
    rows,
    standing,
    take_in,
    tell,
    wrongs,
)

T = TypeVar("T")
Event = Mapping[str, Any]
NOTHING = Decimal(0)
SUCCEEDED = event("payment_intent.succeeded", intent("pi_1"), "evt_succeeded", created=2)
FAILED = event("payment_intent.payment_failed", declined("pi_1"), "evt_failed", created=1)
CREATED = event("payment_intent.created", intent("pi_1", 0), "evt_created", created=0)
PAGE = event("payment_intent.succeeded", intent("pi_1", number=FIRST), "evt_page", created=2)
COMPLETED = event(
    "checkout.session.completed",
    {
        **{"object": "checkout.session", "id": "cs_1", "mode": "payment", "currency": "usd"},
        **{"payment_intent": "pi_1", "payment_status": "paid", "amount_total": 31_291},
        "metadata": {"invoice_number": FIRST},
    },
    "evt_completed",
    created=3,
)


def refunds(*statuses: str, units: int = 10_000) -> list[Event]:
    """What is told of one refund of the dashboard's, a status after the other."""
    types = {"failed": "refund.failed"}
    return [
        event(
            "refund.created" if n == 0 else types.get(status, "refund.updated"),
            refund("re_1", "pi_1", units, status),
            f"evt_refund_{n}",
            created=3 + n,
        )
        for n, status in enumerate(statuses)
    ]


def disputes(status: str, units: int = 31_291) -> list[Event]:
    opened, closed = dispute("du_1", "pi_1", units), dispute("du_1", "pi_1", units, status)
    return [
        event("charge.dispute.created", opened, "evt_dispute", created=7),
        event("charge.dispute.closed", closed, "evt_end", created=8),
    ]


def end_of(connection: Connection, events: Sequence[Event], *, at_once: bool) -> list[Any]:
    """What is there after `events`, told one by one or all before the workflow looks."""
    if at_once:
        for told_of in events:
            store_event(connection, told_of)
        take_in(connection)
    else:
        tell(connection, *events)
    before = everything(connection)
    tell(connection, *events)
    take_in(connection)
    assert everything(connection) == before, "told again, nothing changes"
    assert wrongs(connection) == []
    case = load_case(connection, FIRST)
    return [
        *standing(connection),
        credit(connection),
        case.disputed,
        *rows(connection, "SELECT status, allocated, returned FROM payments ORDER BY id"),
        *rows(connection, "SELECT provider_id, amount, status FROM refunds ORDER BY 1"),
        *rows(connection, "SELECT reason, amount FROM credit_entries ORDER BY 1, 2"),
    ]


STORIES: dict[str, tuple[list[Event], CollectionState, Decimal]] = {
    "failed, then paid": ([CREATED, FAILED, SUCCEEDED], CollectionState.PAID, TOTAL),
    "paid, part refunded": (
        [SUCCEEDED, *refunds("pending", "succeeded")],
        CollectionState.MANUAL_REVIEW,
        TOTAL - 100,
    ),
    "failed, paid, refund failed": (
        [FAILED, SUCCEEDED, *refunds("pending", "failed")],
        CollectionState.PAID,
        TOTAL,
    ),
    "refund said to succeed and then failed": (
        [SUCCEEDED, *refunds("pending", "succeeded", "failed")],
        CollectionState.PAID,
        TOTAL,
    ),
    "dispute lost": ([SUCCEEDED, *disputes("lost")], CollectionState.MANUAL_REVIEW, NOTHING),
    "dispute won": ([SUCCEEDED, *disputes("won")], CollectionState.PAID, TOTAL),
    "part refunded, then disputed and lost": (
        [SUCCEEDED, *refunds("succeeded"), *disputes("lost", 21_291)],
        CollectionState.MANUAL_REVIEW,
        NOTHING,
    ),
}


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize(
    ("story", "on_a_page"),
    [
        pytest.param(story, page, id=f"{story}, {'on a page' if page else 'card on file'}")
        for story, (events, *_) in STORIES.items()
        for page in ([False] if FAILED in events else [False, True])
    ],
)
def test_in_every_order_the_end_is_the_same(
    issued_by_card: Engine, story: str, on_a_page: bool, at_once: bool
) -> None:
    events, state, paid = STORIES[story]
    if on_a_page:
        events = [PAGE if told_of is SUCCEEDED else told_of for told_of in events]
        events += [COMPLETED] * (len(events) < 4)  # five have too many orders
    ends: list[list[Any]] = []
    for order in itertools.permutations(events):
        with issued_by_card.connect() as connection:
            if not on_a_page:
                begin(connection, "pi_1")
            end = end_of(connection, order, at_once=at_once)
        if end not in ends:
            ends.append(end)
    (end,) = ends
    assert end[:2] == [state, paid]


def test_a_refund_heard_of_before_its_payment_is_booked_with_it(by_card: Connection) -> None:
    (refunded,) = refunds("succeeded")
    assert store_event(by_card, refunded) is None
    tell(by_card, PAGE)
    assert standing(by_card) == ("manual_review", TOTAL - 100, NOTHING)
    assert outcomes(by_card) == {"evt_page": "applied", "evt_refund_0": "applied"}


def test_an_event_is_taken_up_by_the_invoice_of_its_payment_alone(by_card: Connection) -> None:
    other = event("refund.created", refund("re_9", "pi_9", 100), "evt_other")
    store_event(by_card, other)
    tell(by_card, PAGE)
    assert outcomes(by_card)["evt_other"] == "ignored"
    assert standing(by_card) == ("paid", TOTAL, NOTHING)


BACK = event("refund.created", refund("re_1", "pi_1", 10_000), "evt_back", created=3)


def test_a_refund_stored_while_its_payment_is_being_booked_is_not_lost(
    own_by_card: Engine,
) -> None:
    with transaction(own_by_card) as connection:
        store_event(connection, PAGE)
    with ThreadPoolExecutor(1) as other:
        with transaction(own_by_card) as connection:
            take_in(connection)
            stored = other.submit(in_transaction, own_by_card, lambda c: store_event(c, BACK))
            until_it_waits(own_by_card, stored)
        assert stored.result(timeout=10) == FIRST, "it waited for the payment and found it"


def test_a_payment_booked_while_its_refund_is_being_stored_takes_the_refund_up(
    own_by_card: Engine,
) -> None:
    with transaction(own_by_card) as connection:
        store_event(connection, PAGE)
    with ThreadPoolExecutor(1) as other:
        with transaction(own_by_card) as connection:
            assert store_event(connection, BACK) is None
            booked = other.submit(in_transaction, own_by_card, take_in)
            until_it_waits(own_by_card, booked)
        booked.result(timeout=10)
    with transaction(own_by_card) as connection:
        assert outcomes(connection) == {"evt_page": "applied", "evt_back": "applied"}
        assert standing(connection) == ("manual_review", TOTAL - 100, NOTHING)


def in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    with transaction(engine) as connection:
        return work(connection)


def until_it_waits(engine: Engine, work: Future[Any]) -> None:
    """Returns once a transaction waits for a lock, or `work` has ended without waiting."""
    deadline = time.monotonic() + 10
    while not work.done() and time.monotonic() < deadline:
        with transaction(engine) as connection:
            waiting = rows(
                connection,
                "SELECT pid FROM pg_locks WHERE NOT granted AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())",
            )
        if waiting:
            return
        time.sleep(0.01)
