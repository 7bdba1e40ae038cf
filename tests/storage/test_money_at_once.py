"""A wire, a charge, a payment page and a refund reach one invoice at the same moment."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from domain.dunning import Event
from storage.allocation import take_back
from storage.charges import record_success
from storage.crediting import void_invoice
from storage.engine import transaction
from storage.planning import Cycle
from storage.webhooks import store_event
from tests.builders import plan_all
from tests.storage.collecting import (
    BY_CARD,
    FIRST,
    TOTAL,
    add_draft,
    begin,
    event,
    intent,
    issue,
    lock,
    read,
    receive,
    refund,
    rows,
    standing,
    take_in,
    wire,
    wrongs,
)

OpenCycle = Callable[..., Cycle]
Work = Callable[[Connection], object]
Party = Callable[[Engine], None]
PARTIES = ("wire", "charge", "page", "refund")
ORDERS = list(itertools.permutations(PARTIES))
REFUNDED = Decimal("100.00")
RACES, REPEATS = 8, 5


@pytest.fixture
def many(engine: Engine, february: OpenCycle) -> Engine:
    """A customer with a card and an issued invoice of 312.91 USD for each order."""
    customers = [replace(BY_CARD, account_number=str(1001 + place)) for place in range(len(ORDERS))]
    plan_all(engine, february(*customers))
    with transaction(engine) as connection:
        for (number,) in rows(connection, "SELECT number FROM invoices ORDER BY 1"):
            issue(connection, number)
    return engine


def prepare(engine: Engine, place: int) -> tuple[str, dict[str, Party]]:
    """An invoice for which all four are under way; the refund is of what was paid on the page."""
    number = f"INV-2026-02-{place:04d}"
    page = event("payment_intent.succeeded", intent(f"page_{place}", number=number), f"p{place}")
    back = event("refund.created", refund(f"re_{place}", f"page_{place}", 10_000), f"r{place}")
    with transaction(engine) as connection:
        attempt = begin(connection, f"pi_{place}", number=number)
        wire(connection, f"R{place}", {number: TOTAL})

    def book(connection: Connection) -> None:
        take_in(connection, number)

    def count_the_charge(connection: Connection) -> None:
        record_success(lock(connection, number), attempt.id)

    def hear_of(told: Mapping[str, Any]) -> Party:
        """Stored by the API, and then booked by the invoice's workflow."""

        def party(engine: Engine) -> None:
            in_transaction(engine, lambda connection: store_event(connection, told))
            in_transaction(engine, book)

        return party

    return number, {
        "wire": lambda engine: in_transaction(engine, book),
        "charge": lambda engine: in_transaction(engine, count_the_charge),
        "page": hear_of(page),
        "refund": hear_of(back),
    }


def in_transaction(engine: Engine, work: Work) -> None:
    """As an activity does it: once more where PostgreSQL gave it up for another."""
    for _ in range(10):
        try:
            with transaction(engine) as connection:
                work(connection)
        except OperationalError as conflict:
            if getattr(conflict.orig, "sqlstate", "") != "40P01":
                raise
        else:
            return
    raise AssertionError("ten deadlocks in a row")


def check(engine: Engine, number: str) -> None:
    """Three payments and one refund, each booked once; the invoice is paid, the rest is credit."""
    with transaction(engine) as connection:
        take_in(connection, number)
    with transaction(engine) as connection:
        assert standing(connection, number) == ("paid", TOTAL, Decimal(0))
        booked = rows(connection, _BOOKED, n=number)
    assert booked == [(3, TOTAL * 3, REFUNDED, TOTAL * 2 - REFUNDED)]


def all_is_well(engine: Engine) -> bool:
    with transaction(engine) as connection:
        return wrongs(connection) == []


_BOOKED = """
    SELECT count(*), sum(payments.amount), sum(returned),
           (SELECT balance FROM credit_balances balances
            WHERE balances.customer_id = invoices.customer_id)
    FROM payments JOIN invoices ON invoices.id = invoice_id
    WHERE number = :n AND method <> 'credit' AND payments.status = 'succeeded'
    GROUP BY invoices.customer_id
"""


def until_waiting(engine: Engine, many: int, started: Sequence[Future[None]]) -> None:
    """Returns once `many` transactions of this database wait for a lock."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for work in started:
            if work.done():
                work.result()
        ((waiting,),) = read(
            engine,
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        if waiting >= many:
            return
        time.sleep(0.005)
    raise AssertionError(f"{many} transactions should wait for the invoice")


def test_in_every_order_each_is_booked_once_and_the_rest_is_credit(many: Engine) -> None:
    """All four queue for the invoice in that order, and are let in at once."""
    with ThreadPoolExecutor(len(PARTIES)) as threads:
        for place, order in enumerate(ORDERS, start=1):
            number, parties = prepare(many, place)
            started: list[Future[None]] = []
            with transaction(many) as connection:
                lock(connection, number)
                for count, who in enumerate(order, start=1):
                    started.append(threads.submit(parties[who], many))
                    until_waiting(many, count, started)
            for work in started:
                work.result(timeout=30)
            check(many, number)
    assert all_is_well(many)
    print(f"{len(ORDERS)} orders of {len(PARTIES)} transactions that queued for one invoice")


def test_without_any_order_each_is_booked_once_too(many: Engine) -> None:
    with ThreadPoolExecutor(len(PARTIES)) as threads:
        for place in range(1, RACES + 1):
            number, parties = prepare(many, place)
            together = Barrier(len(parties))

            def run(party: Party, together: Barrier = together) -> None:
                together.wait()
                party(many)

            for work in [threads.submit(run, party) for party in parties.values()]:
                work.result(timeout=30)
            check(many, number)
    assert all_is_well(many)
    print(f"{RACES} races of {len(PARTIES)} transactions for one invoice")


def test_two_invoices_that_need_each_other_end_right(own_by_card: Engine) -> None:
    """A payment goes back while the invoice that its excess paid is voided: each needs both."""
    pairs = []
    with transaction(own_by_card) as connection:
        for place in range(REPEATS):
            payer, paid = f"INV-2031-{place + 1:02d}-0001", f"INV-2032-{place + 1:02d}-0001"
            issue(connection, add_draft(connection, payer, date(2031, place + 1, 1)))
            payment = receive(connection, TOTAL * 2, f"wire/{place}", number=payer)
            issue(connection, add_draft(connection, paid, date(2032, place + 1, 1)))
            assert payment is not None
            assert standing(connection, paid)[0] == "paid"
            pairs.append((payer, paid, payment))
    with ThreadPoolExecutor(2) as threads:
        for payer, paid, payment in pairs:
            together = Barrier(2)

            def go_back(connection: Connection, payer: str = payer, payment: int = payment) -> None:
                take_back(
                    lock(connection, payer),
                    payment,
                    TOTAL,
                    event=Event.WIRE_REVERSED,
                    reason="",
                    key=f"back/{payment}",
                )

            def void(connection: Connection, paid: str = paid) -> None:
                void_invoice(lock(connection, paid), reason="Wrong customer.")

            def run(work: Work, together: Barrier = together) -> None:
                together.wait()
                in_transaction(own_by_card, work)

            for done in [threads.submit(run, work) for work in (go_back, void)]:
                done.result(timeout=30)
    with transaction(own_by_card) as connection:
        for payer, paid, _ in pairs:
            assert standing(connection, payer) == ("paid", TOTAL, Decimal(0))
            assert standing(connection, paid) == ("void", Decimal(0), TOTAL)
        assert wrongs(connection) == []
        assert standing(connection, FIRST)[0] == "issued"
    print(f"{REPEATS} races of a reversal and a void")
