"""Money goes to its invoice, what exceeds it to the customer, and back the same way."""

from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from domain.dunning import Event
from domain.errors import Conflict
from domain.instructions import InstructionKind
from storage.allocation import add_credit, apply_credit, credit_of, release_payment, take_back
from storage.collection import begin_review, load_case
from tests.storage.collecting import (
    FIRST,
    ON,
    TOTAL,
    add_draft,
    charge,
    credit,
    everything,
    instruct,
    issue,
    lock,
    receive,
    rows,
    standing,
    take_in,
    told,
    wire,
    wrongs,
)

MARCH, APRIL = "INV-2026-03-0001", "INV-2026-04-0001"
HUNDRED = Decimal("100.00")
NOTHING = Decimal(0)


def issue_another(connection: Connection, number: str) -> str:
    month = date.fromisoformat(f"{number[4:11]}-01")
    issue(connection, add_draft(connection, number, month))
    return number


def give_back(
    connection: Connection,
    payment: int,
    amount: Decimal,
    key: str = "back/1",
    event: Event = Event.WIRE_REVERSED,
) -> Decimal:
    return take_back(lock(connection), payment, amount, event=event, reason="", key=key)


def payment_of(connection: Connection, key: str) -> tuple[str, Decimal, Decimal]:
    """Status, allocated, returned."""
    (found,) = rows(
        connection,
        "SELECT status, allocated, returned FROM payments WHERE idempotency_key = :key",
        key=key,
    )
    return found


# --- receipts


def test_a_part_payment_leaves_the_rest_open(by_wire: Connection) -> None:
    receive(by_wire, "100.00", "wire/1")
    assert load_case(by_wire, FIRST).open_amount == Decimal("212.91")
    assert told(by_wire)[1:] == [("part_paid", "issued", "issued")]


def test_the_payment_that_covers_the_rest_settles(by_wire: Connection) -> None:
    receive(by_wire, "100.00", "wire/1")
    receive(by_wire, "212.91", "wire/2")
    assert standing(by_wire) == ("paid", TOTAL, NOTHING)
    assert told(by_wire)[-1] == ("settled", "issued", "paid")
    assert wrongs(by_wire) == []


def test_what_exceeds_the_balance_becomes_credit(by_wire: Connection) -> None:
    receive(by_wire, "400.00", "wire/1")
    assert standing(by_wire) == ("paid", TOTAL, NOTHING)
    assert credit(by_wire) == Decimal("87.09")
    assert wrongs(by_wire) == []


def test_all_that_comes_for_a_settled_invoice_becomes_credit(by_wire: Connection) -> None:
    receive(by_wire, TOTAL, "wire/1")
    receive(by_wire, "50.00", "wire/2")
    assert credit(by_wire) == Decimal("50.00")
    assert told(by_wire)[-1] == ("part_paid", "paid", "paid")


def test_money_for_a_void_invoice_becomes_credit(by_wire: Connection) -> None:
    instruct(by_wire, InstructionKind.VOID)
    receive(by_wire, TOTAL, "wire/1")
    assert standing(by_wire) == ("void", NOTHING, TOTAL)
    assert credit(by_wire) == TOTAL
    assert wrongs(by_wire) == []


def test_money_for_a_written_off_invoice_pays_it_after_all(by_wire: Connection) -> None:
    begin_review(lock(by_wire), place=3)
    instruct(by_wire, InstructionKind.WRITE_OFF)
    receive(by_wire, "100.00", "wire/1")
    assert standing(by_wire) == ("uncollectible", HUNDRED, NOTHING)
    receive(by_wire, "212.91", "wire/2")
    assert standing(by_wire) == ("paid", TOTAL, NOTHING)
    assert wrongs(by_wire) == []


def test_the_same_money_is_booked_once(by_wire: Connection) -> None:
    assert receive(by_wire, "100.00", "wire/1") is not None
    before = everything(by_wire)
    assert receive(by_wire, "100.00", "wire/1") is None
    assert everything(by_wire) == before


def test_the_same_payment_of_the_processor_is_booked_once_whatever_its_key(
    by_card: Connection,
) -> None:
    receive(by_card, "100.00", "page", method="card", provider_id="pi_1")
    before = everything(by_card)
    assert receive(by_card, "100.00", "webhook", method="card", provider_id="pi_1") is None
    assert everything(by_card) == before


@pytest.mark.parametrize("amount", ["0", "-1.00"])
def test_nothing_and_less_is_no_receipt(by_wire: Connection, amount: str) -> None:
    with pytest.raises(IntegrityError, match="payments_amount_check"):
        receive(by_wire, amount, "wire/1")


# --- money that goes back


def test_a_payment_given_back_opens_its_invoice_again(by_wire: Connection) -> None:
    payment = receive(by_wire, TOTAL, "wire/1")
    assert payment is not None
    assert give_back(by_wire, payment, TOTAL) == TOTAL
    assert standing(by_wire) == ("issued", NOTHING, NOTHING)
    assert payment_of(by_wire, "wire/1") == ("reversed", NOTHING, TOTAL)
    assert told(by_wire)[-1] == ("wire_reversed", "paid", "issued")
    assert wrongs(by_wire) == []


def test_never_more_goes_back_than_came(by_wire: Connection) -> None:
    payment = receive(by_wire, TOTAL, "wire/1")
    assert payment is not None
    assert give_back(by_wire, payment, TOTAL + 1) == TOTAL
    before = everything(by_wire)[:-1]
    assert give_back(by_wire, payment, TOTAL, "back/2") == 0
    assert everything(by_wire)[:-1] == before


def test_what_had_become_credit_goes_back_first(by_wire: Connection) -> None:
    payment = receive(by_wire, "400.00", "wire/1")
    assert payment is not None
    give_back(by_wire, payment, Decimal("50.00"))
    assert standing(by_wire) == ("paid", TOTAL, NOTHING)
    assert credit(by_wire) == Decimal("37.09")
    give_back(by_wire, payment, Decimal("50.00"), "back/2")
    assert standing(by_wire) == ("issued", Decimal("300.00"), NOTHING)
    assert credit(by_wire) == 0
    assert wrongs(by_wire) == []


def test_credit_that_another_invoice_used_opens_that_one_again(by_wire: Connection) -> None:
    payment = receive(by_wire, TOTAL * 2, "wire/1")
    assert payment is not None
    issue_another(by_wire, MARCH)
    assert standing(by_wire, MARCH) == ("paid", TOTAL, NOTHING)
    give_back(by_wire, payment, HUNDRED)
    assert standing(by_wire) == ("paid", TOTAL, NOTHING)
    assert standing(by_wire, MARCH) == ("issued", TOTAL - 100, NOTHING)
    march = load_case(by_wire, MARCH)
    assert (march.round, march.dunning_from) == (1, march.due_on)
    assert load_case(by_wire, FIRST).to_wake == (MARCH,)
    assert credit(by_wire) == 0
    assert wrongs(by_wire) == []


def test_credit_that_is_left_goes_before_credit_that_was_used(by_wire: Connection) -> None:
    payment = receive(by_wire, TOTAL * 2 + 50, "wire/1")
    assert payment is not None
    issue_another(by_wire, MARCH)
    give_back(by_wire, payment, Decimal("50.00"))
    assert standing(by_wire, MARCH) == ("paid", TOTAL, NOTHING)
    assert credit(by_wire) == 0


def test_of_several_invoices_that_used_the_credit_the_latest_gives_it_back_first(
    by_wire: Connection,
) -> None:
    payment = receive(by_wire, TOTAL * 3, "wire/1")
    assert payment is not None
    for number in (MARCH, APRIL):
        issue_another(by_wire, number)
    give_back(by_wire, payment, TOTAL + 100)
    assert standing(by_wire, APRIL) == ("issued", NOTHING, NOTHING)
    assert standing(by_wire, MARCH) == ("issued", TOTAL - 100, NOTHING)
    assert standing(by_wire) == ("paid", TOTAL, NOTHING)
    give_back(by_wire, payment, TOTAL * 3, "back/2")
    assert standing(by_wire, MARCH) == ("issued", NOTHING, NOTHING)
    assert standing(by_wire) == ("issued", NOTHING, NOTHING)
    assert wrongs(by_wire) == []


def test_an_open_invoice_that_loses_credit_is_not_dunned_from_the_start(
    by_wire: Connection,
) -> None:
    payment = receive(by_wire, TOTAL + 100, "wire/1")
    assert payment is not None
    march = issue_another(by_wire, MARCH)
    lock(by_wire, march).move(Event.REMINDER_SENT)
    lock(by_wire, march).change(steps_taken=1)
    give_back(by_wire, payment, TOTAL + 100)
    case = load_case(by_wire, march)
    assert (case.state, case.round, case.steps_taken) == ("reminder_sent", 0, 1)
    assert case.open_amount == TOTAL


def test_a_written_off_invoice_that_loses_its_credit_stays_written_off(
    by_wire: Connection,
) -> None:
    payment = receive(by_wire, TOTAL + 100, "wire/1")
    assert payment is not None
    march = issue_another(by_wire, MARCH)
    begin_review(lock(by_wire, march), place=3)
    instruct(by_wire, InstructionKind.WRITE_OFF, number=march)
    give_back(by_wire, payment, TOTAL + 100)
    assert standing(by_wire, march) == ("uncollectible", NOTHING, NOTHING)
    assert wrongs(by_wire) == []


def test_a_payment_of_a_void_invoice_goes_back_out_of_the_credit(by_wire: Connection) -> None:
    payment = receive(by_wire, TOTAL, "wire/1")
    assert payment is not None
    instruct(by_wire, InstructionKind.VOID)
    assert credit(by_wire) == TOTAL
    give_back(by_wire, payment, TOTAL)
    assert standing(by_wire) == ("void", NOTHING, TOTAL)
    assert credit(by_wire) == 0
    assert told(by_wire)[-1] == ("money_returned", None, None)
    assert wrongs(by_wire) == []


def test_the_credit_of_a_payment_goes_back_once_under_one_key(by_wire: Connection) -> None:
    payment = receive(by_wire, TOTAL + 100, "wire/1")
    assert payment is not None
    give_back(by_wire, payment, Decimal("10.00"))
    with pytest.raises(IntegrityError, match="credit_entries_key_key"):
        give_back(by_wire, payment, Decimal("10.00"))


# --- a wire for several invoices, and its reversal


def test_a_wire_for_two_invoices_pays_both_and_its_reversal_opens_both(
    by_wire: Connection,
) -> None:
    march = issue_another(by_wire, MARCH)
    paid = wire(by_wire, "R1", {FIRST: TOTAL, march: TOTAL})
    take_in(by_wire, FIRST, march)
    assert standing(by_wire)[0] == standing(by_wire, march)[0] == "paid"
    wire(by_wire, "R2", {FIRST: -TOTAL, march: -TOTAL}, reversal_of=paid)
    take_in(by_wire, march, FIRST)
    assert standing(by_wire)[0] == standing(by_wire, march)[0] == "issued"
    assert wrongs(by_wire) == []


@pytest.mark.parametrize("first", [FIRST, MARCH])
def test_a_reversed_wire_whose_excess_paid_the_other_invoice_opens_both(
    by_wire: Connection, first: str
) -> None:
    """Whichever of the two workflows books its part first."""
    paid = wire(by_wire, "R1", {FIRST: TOTAL + 100})
    take_in(by_wire)
    march = issue_another(by_wire, MARCH)
    wire(by_wire, "R2", {FIRST: -TOTAL - 100}, reversal_of=paid)
    take_in(by_wire, *([FIRST, march] if first == FIRST else [march, FIRST]))
    assert standing(by_wire) == ("issued", NOTHING, NOTHING)
    assert standing(by_wire, march) == ("issued", NOTHING, NOTHING)
    assert wrongs(by_wire) == []


# --- credit


def test_credit_is_never_below_nothing(by_wire: Connection) -> None:
    with pytest.raises(IntegrityError, match="credit_balances_balance_check"):
        add_credit(lock(by_wire), Decimal("-0.01"), reason="applied", key="k")


def test_credit_is_added_once_under_one_key(by_wire: Connection) -> None:
    add_credit(lock(by_wire), HUNDRED, reason="overpayment", key="k")
    with pytest.raises(IntegrityError, match="credit_entries_key_key"):
        add_credit(lock(by_wire), HUNDRED, reason="overpayment", key="k")


def test_each_currency_has_its_own_credit(by_wire: Connection) -> None:
    receive(by_wire, TOTAL + 5, "wire/1")
    customer = lock(by_wire).row.customer_id
    by_wire.execute(text("INSERT INTO credit_balances VALUES (:id, 'EUR', 70)"), {"id": customer})
    assert credit_of(by_wire, customer, "USD") == 5
    assert credit_of(by_wire, customer, "EUR") == 70
    assert credit_of(by_wire, customer, "JPY") == 0


def test_applying_credit_where_nothing_is_open_or_there_is_none_changes_nothing(
    by_wire: Connection,
) -> None:
    before = everything(by_wire)
    apply_credit(lock(by_wire))
    assert everything(by_wire) == before
    receive(by_wire, TOTAL + 5, "wire/1")
    before = everything(by_wire)
    apply_credit(lock(by_wire))
    assert everything(by_wire) == before


# --- what a credit note frees


def test_a_credit_note_takes_the_latest_payment_first_and_card_payments_for_a_card(
    by_card: Connection,
) -> None:
    charge(by_card, "pi_1")
    by_card.execute(
        text("UPDATE payments SET amount = 200, allocated = 200 WHERE provider_id = 'pi_1'")
    )
    lock(by_card).change(amount_paid=Decimal(200))
    receive(by_card, "112.91", "wire/1")
    parts = release_payment(lock(by_card), Decimal("50.00"), of_card_first=True)
    assert [(row.method, part) for row, part in parts] == [("card", Decimal("50.00"))]
    parts = release_payment(lock(by_card), Decimal("120.00"), of_card_first=False)
    assert [(row.method, part) for row, part in parts] == [
        ("bank_transfer", Decimal("112.91")),
        ("card", Decimal("7.09")),
    ]


def test_money_freed_that_no_payment_holds_is_refused(by_wire: Connection) -> None:
    receive(by_wire, "10.00", "wire/1")
    lock(by_wire).change(amount_paid=Decimal("20.00"))
    with pytest.raises(Conflict, match=r"hold only 10\.00 of the 15\.00 USD"):
        release_payment(lock(by_wire), Decimal("15.00"), of_card_first=False)


def test_the_dates_of_a_payment_are_its_own(by_wire: Connection) -> None:
    wire(by_wire, "R1", {FIRST: TOTAL}, on=date(2026, 3, 3))
    take_in(by_wire, on=ON)
    assert rows(by_wire, "SELECT business_date FROM payments") == [(date(2026, 3, 3),)]
    assert rows(by_wire, "SELECT settled_on FROM invoices") == [(ON,)]


def test_an_invoice_that_loses_money_is_paid_from_credit_that_is_left(by_wire: Connection) -> None:
    payment = receive(by_wire, TOTAL, "wire/1")
    assert payment is not None
    receive(by_wire, "350.00", "wire/2")
    give_back(by_wire, payment, TOTAL)
    assert standing(by_wire) == ("paid", TOTAL, NOTHING)
    assert credit(by_wire) == Decimal("37.09")
    assert told(by_wire)[-2:] == [
        ("wire_reversed", "paid", "issued"),
        ("settled", "issued", "paid"),
    ]
    assert wrongs(by_wire) == []


def test_a_written_off_invoice_takes_no_credit_when_it_loses_money(by_wire: Connection) -> None:
    payment = receive(by_wire, "100.00", "wire/1")
    assert payment is not None
    begin_review(lock(by_wire), place=3)
    instruct(by_wire, InstructionKind.WRITE_OFF)
    add_credit(lock(by_wire), HUNDRED, reason="overpayment", key="k")
    give_back(by_wire, payment, HUNDRED)
    assert standing(by_wire) == ("uncollectible", NOTHING, NOTHING)
    assert credit(by_wire) == HUNDRED
