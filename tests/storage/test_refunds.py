"""Money that goes back to a card: what is owed, what the processor says, what fails late."""

import itertools
from decimal import Decimal

import pytest
from sqlalchemy import Connection

from domain.dunning import CollectionState
from domain.instructions import InstructionKind
from storage.collection import load_case
from storage.refunds import refunds_due
from tests.storage.collecting import (
    FIRST,
    TOTAL,
    charge,
    credit,
    event,
    everything,
    instruct,
    intent,
    outcomes,
    receive,
    refund,
    rows,
    standing,
    tell,
    told,
    wrongs,
)

NOTHING = Decimal(0)


@pytest.fixture
def paid(by_card: Connection) -> Connection:
    """The invoice is paid by card, as `pi_1`."""
    charge(by_card, "pi_1")
    return by_card


def owe(connection: Connection, amount: str = "100.00") -> str:
    """A credit note whose money is to go back to the card; its number."""
    asked = instruct(connection, InstructionKind.CREDIT_NOTE, amount=amount, refund_to="card")
    assert asked.outcome == "done"
    return asked.answer


def dashboard(
    connection: Connection, status: str, *, id_: str = "re_1", units: int = 10_000, n: int = 0
) -> None:
    type_ = {"failed": "refund.failed", "pending": "refund.created"}.get(status, "refund.updated")
    tell(connection, event(type_, refund(id_, "pi_1", units, status), f"{id_}_{status}_{n}"))


def kept(connection: Connection) -> list[tuple[object, ...]]:
    return rows(connection, "SELECT status, amount, provider_id FROM refunds ORDER BY id")


# --- ours


def test_a_credit_note_owes_the_card_until_the_processor_is_asked(paid: Connection) -> None:
    note = owe(paid)
    (due,) = refunds_due(paid, note)
    assert (due.payment_id, due.amount, due.currency) == ("pi_1", Decimal("100.00"), "USD")
    assert due.key.startswith(f"{note}/refund/")
    assert standing(paid) == ("paid", TOTAL - 100, Decimal("100.00"))
    tell(paid, event("refund.created", refund("re_1", "pi_1", 10_000, credit_note=note), "e1"))
    assert refunds_due(paid, note) == []
    assert kept(paid) == [("succeeded", Decimal("100.00"), "re_1")]
    assert told(paid)[-1][0] == "refunded"
    assert wrongs(paid) == []


def test_a_refund_of_ours_counts_once_whoever_tells_of_it(paid: Connection) -> None:
    note = owe(paid)
    ours = refund("re_1", "pi_1", 10_000, credit_note=note)
    tell(paid, event("refund.created", ours, "e1"))
    before = everything(paid)[:4]
    tell(paid, event("refund.updated", ours, "e2"))
    assert everything(paid)[:4] == before
    assert credit(paid) == 0


@pytest.mark.parametrize("order", itertools.permutations(["pending", "succeeded", "failed"]))
def test_a_refund_of_ours_that_fails_becomes_credit_in_whatever_order_it_is_told(
    paid: Connection, order: tuple[str, ...]
) -> None:
    note = owe(paid)
    for n, status in enumerate(order):
        ours = refund("re_1", "pi_1", 10_000, status, credit_note=note)
        tell(paid, event("refund.updated", ours, f"e{n}"))
    assert kept(paid) == [("failed", Decimal("100.00"), "re_1")]
    assert credit(paid) == Decimal("100.00")
    assert standing(paid) == ("paid", TOTAL - 100, Decimal("100.00"))
    assert wrongs(paid) == []


def test_two_credit_notes_each_have_their_own_refund(paid: Connection) -> None:
    first, second = owe(paid, "100.00"), owe(paid, "50.00")
    later = refund("re_2", "pi_1", 5_000, credit_note=second)
    tell(paid, event("refund.created", later, "e1"))
    assert refunds_due(paid, second) == []
    assert [due.amount for due in refunds_due(paid, first)] == [Decimal("100.00")]


def test_a_refund_of_ours_is_not_asked_for_again_once_it_failed(paid: Connection) -> None:
    note = owe(paid)
    failed = refund("re_1", "pi_1", 10_000, "failed", credit_note=note)
    tell(paid, event("refund.failed", failed, "e1"))
    assert refunds_due(paid, note) == []


def test_what_was_paid_by_wire_goes_back_to_no_card(by_wire: Connection) -> None:
    receive(by_wire, TOTAL, "wire/1")
    before = everything(by_wire)[:6]
    asked = instruct(by_wire, InstructionKind.CREDIT_NOTE, amount="10.00", refund_to="card")
    assert (asked.outcome, everything(by_wire)[:6]) == ("refused", before)
    assert "Only 0 of the 10.00 USD" in asked.answer


# --- the dashboard's


def test_a_refund_of_the_dashboards_is_a_case_for_a_person(paid: Connection) -> None:
    dashboard(paid, "pending")
    dashboard(paid, "succeeded")
    assert standing(paid) == ("manual_review", TOTAL - 100, NOTHING)
    assert [name for name, *_ in told(paid)].count("money_returned") == 1
    assert kept(paid) == [("succeeded", Decimal("100.00"), "re_1")]
    assert wrongs(paid) == []


@pytest.mark.parametrize("order", itertools.permutations(["pending", "succeeded", "failed"]))
def test_a_refund_of_the_dashboards_that_failed_leaves_the_invoice_paid(
    paid: Connection, order: tuple[str, ...]
) -> None:
    for status in order:
        dashboard(paid, status)
    assert standing(paid) == ("paid", TOTAL, NOTHING)
    assert kept(paid) == [("failed", Decimal("100.00"), "re_1")]
    assert credit(paid) == 0
    assert wrongs(paid) == []


def test_the_same_amount_may_be_refunded_again_after_it_failed(by_card: Connection) -> None:
    tell(by_card, event("payment_intent.succeeded", intent("pi_1", 41_291, number=FIRST), "e1"))
    for n in range(3):
        dashboard(by_card, "pending", id_=f"re_{n}")
        assert credit(by_card) == 0
        dashboard(by_card, "failed", id_=f"re_{n}")
        assert credit(by_card) == Decimal("100.00")
    assert standing(by_card) == ("paid", TOTAL, NOTHING)
    assert wrongs(by_card) == []


def test_a_refund_that_failed_of_an_invoice_that_was_voided_meanwhile_becomes_credit(
    paid: Connection,
) -> None:
    dashboard(paid, "pending", units=31_291)
    instruct(paid, InstructionKind.VOID)
    dashboard(paid, "failed", units=31_291)
    assert standing(paid) == ("void", NOTHING, TOTAL)
    assert credit(paid) == TOTAL
    assert wrongs(paid) == []


def test_a_refund_beyond_what_is_left_takes_what_is_left(paid: Connection) -> None:
    """A credit note owes the card as well, and the processor was quicker in the dashboard."""
    owe(paid, "300.00")
    dashboard(paid, "succeeded", units=31_291)
    assert kept(paid)[1] == ("succeeded", Decimal("12.91"), "re_1")
    assert wrongs(paid) == []
    dashboard(paid, "failed", units=31_291)
    assert load_case(paid, FIRST).state is CollectionState.PAID
    assert wrongs(paid) == []


def test_a_refund_of_what_is_all_given_back_is_noted_and_takes_nothing(paid: Connection) -> None:
    dashboard(paid, "succeeded", units=31_291)
    before = everything(paid)[:5]
    dashboard(paid, "succeeded", id_="re_2")
    assert everything(paid)[:5] == before
    assert told(paid)[-1] == ("money_returned", None, None)


def test_a_refund_in_another_currency_waits_for_a_person(paid: Connection) -> None:
    euros = {**refund("re_1", "pi_1", 100), "currency": "eur"}
    tell(paid, event("refund.created", euros, "e1"))
    assert outcomes(paid) == {"e1": "ignored"}
    assert told(paid)[-1][0] == "card_event_ignored"
    assert standing(paid) == ("paid", TOTAL, NOTHING)
