"""What was stored for an invoice is booked once; what was forgotten is found."""

from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import Connection, text

from domain.instructions import InstructionKind
from storage.arrivals import find_waiting, resumptions
from storage.emails import EmailKey, prepare_email
from storage.instructions import ask
from storage.webhooks import store_event
from tests.builders import DUE_ON, ISSUED_ON
from tests.storage.collecting import (
    FIRST,
    ON,
    TOTAL,
    add_draft,
    begin,
    charge,
    event,
    everything,
    intent,
    issue,
    lock,
    rows,
    standing,
    take_in,
    told,
    wire,
    wrongs,
)

NOTHING = Decimal(0)
MARCH = "INV-2026-03-0001"
AT_ONCE = -1  # the tests' transactions began when everything in them did


@pytest.fixture
def told_of(by_card: Connection) -> Connection:
    """The customer had the invoice's e-mail, so that nothing of it waits."""
    key = EmailKey(FIRST, "invoice", 0)
    prepare_email(by_card, key, recipients=["a@b.example"], subject="s", business_date=ON)
    return by_card


def waiting(
    connection: Connection, *, older_than: int = AT_ONCE, after: str = "", limit: int = 10
) -> list[str]:
    found = find_waiting(connection, older_than_seconds=older_than, after=after, limit=limit)
    return [invoice.number for invoice in found]


# --- wires


def test_a_wire_is_booked_once(by_wire: Connection) -> None:
    wire(by_wire, "R1", {FIRST: TOTAL})
    take_in(by_wire)
    before = everything(by_wire)
    take_in(by_wire)
    assert everything(by_wire) == before
    assert standing(by_wire) == ("paid", TOTAL, NOTHING)
    (booked,) = rows(
        by_wire,
        "SELECT idempotency_key, method, note, bank_matches.booked_at IS NOT NULL "
        "FROM bank_matches JOIN payments ON payments.id = payment_id",
    )
    assert booked == (f"wire/R1/{FIRST}", "bank_transfer", "wire of Brandt", True)


def test_a_wire_and_its_reversal_that_wait_together_leave_the_invoice_open(
    by_wire: Connection,
) -> None:
    paid = wire(by_wire, "R1", {FIRST: TOTAL})
    wire(by_wire, "R2", {FIRST: -TOTAL}, reversal_of=paid)
    take_in(by_wire)
    assert standing(by_wire) == ("issued", NOTHING, NOTHING)
    assert [name for name, *_ in told(by_wire)] == ["issued", "settled", "wire_reversed"]
    assert wrongs(by_wire) == []


def test_a_reversal_of_a_wire_that_paid_this_invoice_nothing_is_noted(
    by_wire: Connection,
) -> None:
    march = add_draft(by_wire, MARCH, date(2026, 3, 1))
    issue(by_wire, march)
    paid = wire(by_wire, "R1", {FIRST: TOTAL})
    take_in(by_wire)
    wire(by_wire, "R2", {march: -TOTAL}, reversal_of=paid)
    take_in(by_wire, march)
    assert standing(by_wire) == ("paid", TOTAL, NOTHING)
    assert standing(by_wire, march) == ("issued", NOTHING, NOTHING)
    assert told(by_wire, march)[-1] == ("wire_reversed", None, None)


def test_a_wire_that_is_reversed_and_sent_again_pays(by_wire: Connection) -> None:
    paid = wire(by_wire, "R1", {FIRST: TOTAL})
    take_in(by_wire)
    wire(by_wire, "R2", {FIRST: -TOTAL}, reversal_of=paid)
    take_in(by_wire)
    wire(by_wire, "R3", {FIRST: TOTAL})
    take_in(by_wire)
    assert standing(by_wire) == ("paid", TOTAL, NOTHING)
    assert wrongs(by_wire) == []


def test_taking_in_wakes_the_invoice_no_more(by_wire: Connection) -> None:
    lock(by_wire).change(to_wake=True)
    assert waiting(by_wire) == [FIRST]
    take_in(by_wire)
    assert rows(by_wire, "SELECT to_wake FROM invoices") == [(False,)]


# --- what waits


def test_nothing_waits_where_all_was_taken_up(told_of: Connection) -> None:
    charge(told_of, "pi_1")
    wire(told_of, "R1", {FIRST: "5.00"})
    take_in(told_of)
    assert waiting(told_of) == []


def test_what_is_stored_and_not_applied_waits(told_of: Connection) -> None:
    stored = event("payment_intent.succeeded", intent("pi_1", number=FIRST), "e1")
    store_event(told_of, stored)
    assert waiting(told_of) == [FIRST]
    assert waiting(told_of, older_than=60) == []
    take_in(told_of)
    assert waiting(told_of) == []


def test_a_wire_an_instruction_and_a_charge_without_outcome_wait(told_of: Connection) -> None:
    savepoint = told_of.begin_nested()
    wire(told_of, "R1", {FIRST: "5.00"})
    assert waiting(told_of) == [FIRST]
    savepoint.rollback()
    savepoint = told_of.begin_nested()
    ask(told_of, FIRST, InstructionKind.HOLD, note="", person="Ada")
    assert waiting(told_of) == [FIRST]
    savepoint.rollback()
    begin(told_of, "pi_1")
    assert waiting(told_of) == [FIRST]
    assert waiting(told_of, older_than=60) == []


def closed(connection: Connection, minutes: int) -> None:
    connection.execute(
        text("UPDATE billing_cycles SET closed_at = now() - make_interval(mins => :minutes)"),
        {"minutes": minutes},
    )


def test_an_invoice_of_which_no_email_was_ever_prepared_waits_behind_its_cycle(
    by_wire: Connection,
) -> None:
    assert waiting(by_wire) == []
    closed(by_wire, minutes=9)
    assert waiting(by_wire) == []
    closed(by_wire, minutes=11)
    assert find_waiting(by_wire, older_than_seconds=60, limit=10) == [(FIRST, False)]
    lock(by_wire).change(to_wake=True)
    assert find_waiting(by_wire, older_than_seconds=60, limit=10) == [(FIRST, True)]
    by_wire.execute(
        text("UPDATE invoices SET collection_state = 'paid', status = 'paid', to_wake = false")
    )
    assert waiting(by_wire) == []


def test_the_invoices_of_an_older_system_and_drafts_do_not_wait(told_of: Connection) -> None:
    add_draft(told_of, MARCH, date(2026, 3, 1))
    add_draft(told_of, "INV-2026-04-0001", date(2026, 4, 1))
    told_of.execute(text("UPDATE invoices SET cycle_id = NULL WHERE number = :n"), {"n": MARCH})
    issue(told_of, MARCH)
    closed(told_of, minutes=60)
    assert waiting(told_of) == []


def test_an_ignored_event_waits_for_nobody(told_of: Connection) -> None:
    store_event(told_of, event("payment_intent.succeeded", intent("pi_other"), "e1"))
    assert waiting(told_of) == []


def test_what_waits_is_named_once_page_by_page(by_wire: Connection) -> None:
    march = add_draft(by_wire, MARCH, date(2026, 3, 1))
    issue(by_wire, march)
    closed(by_wire, minutes=60)
    wire(by_wire, "R1", {march: "5.00", FIRST: "5.00"})
    lock(by_wire).change(to_wake=True)
    assert waiting(by_wire) == [FIRST, march]
    assert waiting(by_wire, limit=1) == [FIRST]
    assert waiting(by_wire, limit=1, after=FIRST) == [march]
    assert waiting(by_wire, after=march) == []


# --- resumptions


def test_an_invoice_is_taken_up_with_the_day_of_what_happened_last(by_wire: Connection) -> None:
    lock(by_wire, on=date(2026, 3, 20)).note("looked_at")
    (found,) = resumptions(by_wire, [FIRST, "INV-2026-02-9999"])
    assert (found.number, found.account_number, found.period) == (FIRST, "1047", "2026-02")
    assert (found.issued_on, found.due_on) == (ISSUED_ON, DUE_ON)
    assert found.resumed_on == date(2026, 3, 20)


def test_a_draft_is_not_taken_up(by_wire: Connection) -> None:
    assert resumptions(by_wire, [add_draft(by_wire, MARCH, date(2026, 3, 1))]) == []
