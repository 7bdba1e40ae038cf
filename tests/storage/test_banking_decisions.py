"""What waits is decided by a person, once, and every cent of it is given out."""

from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine

from domain.errors import BillwrightError, InvalidValue, NotFound
from storage.banking import assign_transaction, ignore_transaction, list_transactions
from storage.banking.decisions import (
    AllocationsDoNotFit,
    NotPayable,
    OriginalUnclear,
    TransactionDecided,
)
from storage.engine import transaction
from tests.storage.banked import (
    UPLOADED_ON,
    audited,
    matches,
    row,
    seed_invoices,
    upload,
    wires,
)

PERSON = "Ada"
UNCLEAR = {"remittance": "no idea"}


@pytest.fixture(autouse=True)
def _invoices(engine: Engine, tmp_path: Path) -> None:
    seed_invoices(engine, tmp_path / "files")


def assign(engine: Engine, reference: str, *parts: tuple[str, str], note: str = "") -> None:
    id = wires(engine)[reference].id
    with transaction(engine) as connection:
        assign_transaction(
            connection,
            id,
            [(number, Decimal(amount)) for number, amount in parts],
            by=PERSON,
            note=note,
            business_date=UPLOADED_ON,
        )


def ignore(engine: Engine, reference: str, note: str = "a refund of the landlord's") -> None:
    id = wires(engine)[reference].id
    with transaction(engine) as connection:
        ignore_transaction(connection, id, by=PERSON, note=note, business_date=UPLOADED_ON)


def test_a_person_says_which_invoices_a_wire_is_for(engine: Engine) -> None:
    upload(engine, row(**UNCLEAR))
    assign(
        engine,
        "W-1",
        ("INV-2026-01-0047", "300.00"),
        ("INV-2026-01-0048", "12.91"),
        note="by telephone",
    )
    assert matches(engine) == {
        ("W-1", "INV-2026-01-0047"): "300.00",
        ("W-1", "INV-2026-01-0048"): "12.91",
    }
    wire = wires(engine)["W-1"]
    assert (wire.status, wire.match_kind, wire.decided_by) == ("matched", "person", PERSON)
    assert wire.decided_at is not None
    assert wire.note == "by telephone"
    assert audited(engine, "W-1")[-1] == (PERSON, "assigned", "matched", "by telephone")


def test_a_paid_invoice_may_be_named_so_that_its_customer_gets_credit(engine: Engine) -> None:
    upload(engine, row(**UNCLEAR))
    assign(engine, "W-1", ("INV-2026-01-0050", "312.91"))
    assert matches(engine) == {("W-1", "INV-2026-01-0050"): "312.91"}


@pytest.mark.parametrize(
    ("parts", "refusal", "place"),
    [
        ([], AllocationsDoNotFit, "is empty"),
        ([("INV-2026-01-0047", "312.90")], AllocationsDoNotFit, "come to 312.90"),
        ([("INV-2026-01-0047", "400.00")], AllocationsDoNotFit, "cannot get more than"),
        ([("INV-2026-01-0047", "NaN")], AllocationsDoNotFit, "cannot get more than"),
        ([("INV-2026-01-0047", "1E+9999")], AllocationsDoNotFit, "cannot get more than"),
        ([("INV-2026-01-0047", "0")], AllocationsDoNotFit, "above zero"),
        ([("INV-2026-01-0047", "-1")], AllocationsDoNotFit, "above zero"),
        ([("INV-2026-01-0047", "312.905")], AllocationsDoNotFit, "minor unit"),
        (
            [("INV-2026-01-0047", "300"), ("INV-2026-01-0047", "12.91")],
            AllocationsDoNotFit,
            "twice",
        ),
        ([("INV-2026-01-0049", "312.91")], NotPayable, "in USD"),
        ([("INV-2026-01-0051", "312.91")], NotPayable, "is void"),
        ([("INV-2026-01-0999", "312.91")], NotFound, "INV-2026-01-0999"),
    ],
)
def test_allocations_that_do_not_fit_are_refused_and_change_nothing(
    engine: Engine, parts: list[tuple[str, str]], refusal: type[BillwrightError], place: str
) -> None:
    upload(engine, row(**UNCLEAR))
    with pytest.raises(refusal, match=place):
        assign(engine, "W-1", *parts)
    assert matches(engine) == {}
    assert wires(engine)["W-1"].status == "unmatched"


def test_what_is_matched_is_not_assigned_again(engine: Engine) -> None:
    upload(engine, row())
    with pytest.raises(TransactionDecided, match="is matched already"):
        assign(engine, "W-1", ("INV-2026-01-0048", "312.91"))
    with pytest.raises(TransactionDecided, match="is matched already"):
        ignore(engine, "W-1")


def test_what_does_not_exist_is_not_found(engine: Engine) -> None:
    with transaction(engine) as connection, pytest.raises(NotFound):
        ignore_transaction(connection, 1, by=PERSON, note="x", business_date=UPLOADED_ON)


def test_what_is_for_no_invoice_is_ignored_with_a_note(engine: Engine) -> None:
    upload(engine, row(**UNCLEAR))
    with pytest.raises(InvalidValue, match="say why"):
        ignore(engine, "W-1", note=" ")
    ignore(engine, "W-1")
    wire = wires(engine)["W-1"]
    assert (wire.status, wire.note) == ("ignored", "a refund of the landlord's")
    assert audited(engine, "W-1")[-1][:3] == (PERSON, "ignored", "ignored")
    with pytest.raises(TransactionDecided):
        ignore(engine, "W-1")


def test_what_was_ignored_may_still_be_assigned(engine: Engine) -> None:
    upload(engine, row(**UNCLEAR))
    ignore(engine, "W-1")
    assign(engine, "W-1", ("INV-2026-01-0047", "312.91"))
    assert wires(engine)["W-1"].status == "matched"


# --- reversals


def test_a_person_says_what_a_reversal_takes_back(engine: Engine) -> None:
    upload(engine, row())
    upload(engine, row("R-1", amount="-312.91", payer_iban="", payer_name="", reverses="?"))
    assign(engine, "R-1", ("INV-2026-01-0047", "-312.91"))
    found = wires(engine)
    assert found["R-1"].reversal_of == found["W-1"].id
    assert found["W-1"].status == "reversed"
    assert matches(engine)["R-1", "INV-2026-01-0047"] == "-312.91"


def test_a_part_may_be_taken_back_of_a_wire_that_stays_matched(engine: Engine) -> None:
    upload(engine, row())
    upload(engine, row("R-1", amount="-12.91", reverses="W-1"))
    assert wires(engine)["R-1"].status == "unmatched"
    assign(engine, "R-1", ("INV-2026-01-0047", "-12.91"))
    assert wires(engine)["W-1"].status == "matched"


@pytest.mark.parametrize(
    ("number", "amount"), [("INV-2026-01-0048", "-312.91"), ("INV-2026-01-0047", "-312.91")]
)
def test_a_reversal_of_no_wire_or_of_several_is_refused(
    engine: Engine, number: str, amount: str
) -> None:
    if number == "INV-2026-01-0047":
        upload(engine, row(), row("W-2", **UNCLEAR))
        assign(engine, "W-2", (number, "312.91"))
    upload(engine, row("R-1", amount=amount, payer_iban="", payer_name="", reverses="?"))
    with pytest.raises(OriginalUnclear):
        assign(engine, "R-1", (number, amount))


def test_a_reversal_takes_negative_amounts(engine: Engine) -> None:
    upload(engine, row("R-1", amount="-312.91", reverses="?"))
    with pytest.raises(AllocationsDoNotFit, match="below zero"):
        assign(engine, "R-1", ("INV-2026-01-0047", "312.91"))


# --- the list


def test_the_list_comes_in_pages_the_last_stored_first(engine: Engine) -> None:
    upload(engine, *(row(f"W-{n}", amount=f"{n}.00", **UNCLEAR) for n in range(1, 6)))
    with transaction(engine) as connection:
        first = list_transactions(connection, None, None, 2)
        second = list_transactions(connection, "unmatched", first[-1].id, 10)
        assert list_transactions(connection, "matched") == []
    assert [w.bank_reference for w in first] == ["W-5", "W-4"]
    assert [w.bank_reference for w in second] == ["W-3", "W-2", "W-1"]


def test_what_became_certain_since_is_the_first_proposal(engine: Engine) -> None:
    upload(engine, row(), row("W-2"))
    upload(engine, row("R-1", amount="-312.91", reverses="W-1"))
    candidate = wires(engine)["W-2"].candidates[0]
    assert (candidate.number, candidate.score) == ("INV-2026-01-0047", 100)
