"""A credit note reduces what is open; what was paid goes to the card or becomes credit."""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from domain.crediting import CreditExceedsInvoice, NothingLeftToCredit, RefundTo
from domain.dunning import CollectionState, Event
from domain.errors import Conflict, InvalidValue
from storage.collection import begin_review, load_case
from storage.credit_notes import load_credit_note
from storage.crediting import CreditRequest, credit_invoice, void_invoice
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.planning import Cycle
from tests.builders import (
    KNOWN_ANSWER,
    NOW,
    Subscriber,
    invoice_row,
    plan_all,
    seed_billing,
    write_csv,
)
from tests.storage.collecting import (
    FIRST,
    TOTAL,
    add_draft,
    charge,
    credit,
    issue,
    lock,
    receive,
    rows,
    standing,
    told,
    wrongs,
)

OpenCycle = Callable[..., Cycle]
NOTHING = Decimal(0)
HUNDRED = Decimal("100.00")


def credited(
    connection: Connection,
    amount: str | None = None,
    *,
    to: RefundTo = RefundTo.CREDIT,
    lines: Mapping[int, Decimal | None] | None = None,
    number: str = FIRST,
) -> str:
    given = None if amount is None else Decimal(amount)
    request = CreditRequest("Support was not delivered.", to, given, lines or {})
    return credit_invoice(lock(connection, number), request)


def owed(connection: Connection) -> list[tuple[object, ...]]:
    return rows(connection, "SELECT amount, status FROM refunds ORDER BY id")


def test_a_credit_note_reduces_what_is_open(by_wire: Connection) -> None:
    number = credited(by_wire, "100.00")
    assert load_case(by_wire, FIRST).open_amount == TOTAL - 100
    note = load_credit_note(by_wire, number)
    assert (note.returned_amount, note.refund_to, note.voids) == (0, RefundTo.NOWHERE, False)
    assert told(by_wire)[-1] == ("credited", "issued", "issued")
    assert wrongs(by_wire) == []


def test_a_credit_note_over_all_that_is_open_settles(by_wire: Connection) -> None:
    receive(by_wire, "212.91", "wire/1")
    credited(by_wire, "100.00")
    assert standing(by_wire) == ("paid", Decimal("212.91"), HUNDRED)
    assert [name for name, *_ in told(by_wire)][-2:] == ["credited", "settled"]
    assert credit(by_wire) == 0
    assert wrongs(by_wire) == []


def test_lines_are_credited_with_their_tax(by_wire: Connection) -> None:
    note = load_credit_note(by_wire, credited(by_wire, lines={4: None}))
    assert (note.draft.subtotal, note.draft.tax) == (Decimal("99.00"), Decimal("18.81"))


def test_what_was_paid_becomes_credit(by_wire: Connection) -> None:
    receive(by_wire, TOTAL, "wire/1")
    number = credited(by_wire, "100.00")
    assert standing(by_wire) == ("paid", TOTAL - 100, HUNDRED)
    assert credit(by_wire) == HUNDRED
    assert load_credit_note(by_wire, number).refund_to is RefundTo.CREDIT
    assert wrongs(by_wire) == []


def test_of_a_part_payment_only_what_exceeds_the_rest_is_returned(by_wire: Connection) -> None:
    receive(by_wire, "300.00", "wire/1")
    credited(by_wire, "100.00")
    assert standing(by_wire) == ("paid", Decimal("212.91"), HUNDRED)
    assert credit(by_wire) == Decimal("87.09")
    assert wrongs(by_wire) == []


def test_what_was_paid_by_card_is_owed_to_the_card(by_card: Connection) -> None:
    charge(by_card, "pi_1")
    credited(by_card, "100.00", to=RefundTo.CARD)
    assert owed(by_card) == [(HUNDRED, "pending")]
    assert credit(by_card) == 0
    assert wrongs(by_card) == []


def test_a_card_gets_back_no_more_than_it_paid(by_card: Connection) -> None:
    receive(by_card, "300.00", "wire/1")
    charge(by_card, "pi_1")
    with pytest.raises(Conflict, match=r"Only 12\.91 of the 13\.00 USD"):
        credited(by_card, "13.00", to=RefundTo.CARD)
    by_card.rollback()


def test_card_money_goes_back_first_where_the_card_is_to_have_it(by_card: Connection) -> None:
    receive(by_card, "300.00", "wire/1")
    charge(by_card, "pi_1")
    credited(by_card, "12.91", to=RefundTo.CARD)
    assert owed(by_card) == [(Decimal("12.91"), "pending")]
    assert wrongs(by_card) == []


def test_credit_notes_take_back_the_invoice_and_not_a_cent_more(by_wire: Connection) -> None:
    receive(by_wire, TOTAL, "wire/1")
    for _ in range(3):
        credited(by_wire, "100.00")
    with pytest.raises(CreditExceedsInvoice, match=r"12\.91 USD left"):
        credited(by_wire, "12.92")
    credited(by_wire, "12.91")
    assert standing(by_wire) == ("paid", NOTHING, TOTAL)
    assert credit(by_wire) == TOTAL
    with pytest.raises(NothingLeftToCredit):
        credited(by_wire)
    assert wrongs(by_wire) == []


def test_a_credit_note_over_a_written_off_invoice_leaves_it_written_off(
    by_wire: Connection,
) -> None:
    begin_review(lock(by_wire), place=3)
    lock(by_wire).move(Event.WRITTEN_OFF)
    credited(by_wire)
    assert standing(by_wire) == ("uncollectible", NOTHING, TOTAL)
    assert wrongs(by_wire) == []


def test_a_credit_note_in_review_that_covers_the_rest_ends_the_case(by_wire: Connection) -> None:
    begin_review(lock(by_wire), place=3)
    credited(by_wire)
    assert load_case(by_wire, FIRST).state is CollectionState.PAID


@pytest.mark.parametrize("amount", ["0", "-1.00", "0.001"])
def test_a_credit_is_above_nothing_and_in_whole_cents(by_wire: Connection, amount: str) -> None:
    with pytest.raises(InvalidValue):
        credited(by_wire, amount)
    assert standing(by_wire) == ("issued", NOTHING, NOTHING)


def test_a_credit_note_has_its_reason_and_one_measure(by_wire: Connection) -> None:
    with pytest.raises(InvalidValue, match="needs its reason"):
        credit_invoice(lock(by_wire), CreditRequest(" ", RefundTo.CREDIT))
    with pytest.raises(InvalidValue, match="an amount or lines"):
        credited(by_wire, "1.00", lines={1: None})


# --- void


def test_a_void_takes_the_whole_invoice_back(by_wire: Connection) -> None:
    receive(by_wire, "400.00", "wire/1")
    number = void_invoice(lock(by_wire), reason="Wrong customer.")
    note = load_credit_note(by_wire, number)
    assert (note.voids, note.draft.total, note.returned_amount) == (True, TOTAL, TOTAL)
    assert standing(by_wire) == ("void", NOTHING, TOTAL)
    assert credit(by_wire) == Decimal("400.00")
    assert wrongs(by_wire) == []


def test_a_void_credits_what_earlier_notes_left(by_wire: Connection) -> None:
    credited(by_wire, "100.00")
    number = void_invoice(lock(by_wire), reason="Wrong customer.")
    assert load_credit_note(by_wire, number).draft.total == TOTAL - 100
    assert wrongs(by_wire) == []


def test_a_void_with_nothing_left_to_credit_has_no_note(by_wire: Connection) -> None:
    credited(by_wire)
    assert void_invoice(lock(by_wire), reason="Wrong customer.") == ""
    assert standing(by_wire) == ("void", NOTHING, TOTAL)


def test_the_credit_of_a_void_pays_the_invoice_that_is_issued_anew(by_wire: Connection) -> None:
    receive(by_wire, TOTAL, "wire/1")
    void_invoice(lock(by_wire), reason="Wrong address.")
    anew = add_draft(by_wire, "INV-2026-02-0002", date(2026, 2, 1))
    issue(by_wire, anew)
    assert standing(by_wire, anew) == ("paid", TOTAL, NOTHING)
    assert credit(by_wire) == 0
    assert wrongs(by_wire) == []


def test_a_void_needs_its_reason_and_happens_once(by_wire: Connection) -> None:
    with pytest.raises(InvalidValue, match="needs its reason"):
        void_invoice(lock(by_wire), reason="")
    void_invoice(lock(by_wire), reason="Wrong customer.")
    with pytest.raises(Conflict, match="voided is refused, it is void"):
        void_invoice(lock(by_wire), reason="Wrong customer.")


def test_a_void_ends_the_hold(by_wire: Connection) -> None:
    lock(by_wire).change(on_hold=True)
    void_invoice(lock(by_wire), reason="Wrong customer.")
    assert not load_case(by_wire, FIRST).on_hold


def test_an_invoice_of_nothing_is_voided_without_a_note(
    engine: Engine, february: OpenCycle
) -> None:
    plan_all(engine, february(Subscriber("1001", calls=500)))
    with transaction(engine) as connection:
        issue(connection)
        assert void_invoice(lock(connection), reason="Wrong customer.") == ""
        assert standing(connection)[0] == "void"
        assert wrongs(connection) == []


# --- invoices of an older system


def test_an_imported_invoice_is_credited_as_one_line_at_its_own_rate(
    engine: Engine, tmp_path: Path
) -> None:
    seed_billing(engine, tmp_path / "billing", [KNOWN_ANSWER])
    old = tmp_path / "old"
    old.mkdir()
    write_csv(old / "invoices.csv", [invoice_row()])
    import_directory(engine, old, now=NOW)
    with transaction(engine) as connection:
        number = credited(connection, "119.00", number="INV-2026-01-0001")
        draft = load_credit_note(connection, number).draft
        assert (draft.subtotal, draft.tax) == (HUNDRED, Decimal("19.00"))
        assert credit(connection) == Decimal("119.00")
        assert wrongs(connection) == []


def test_what_pays_an_imported_invoice_is_allocated_to_it(engine: Engine, tmp_path: Path) -> None:
    seed_billing(engine, tmp_path / "billing", [KNOWN_ANSWER])
    old = tmp_path / "old"
    old.mkdir()
    write_csv(
        old / "invoices.csv",
        [
            invoice_row(),
            invoice_row(
                "INV-2025-12-0001",
                period="2025-12",
                status="issued",
                issued_on="2026-01-01",
                due_on="2026-01-31",
                amount_paid="14.20",
            ),
        ],
    )
    import_directory(engine, old, now=NOW)
    with transaction(engine) as connection:
        assert wrongs(connection) == []
        held = connection.execute(text("SELECT number FROM invoices WHERE on_hold")).scalars()
        assert list(held) == ["INV-2025-12-0001"]
        assert load_case(connection, "INV-2025-12-0001").open_amount == Decimal("200.00")
