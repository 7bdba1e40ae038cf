"""From a line of a statement to the invoice: what is matched is booked, what is reversed undone."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from storage.arrivals import take_in
from storage.collection import LockedInvoice
from storage.engine import transaction
from storage.invoices import Invoice, load_invoice
from tests.storage.banked import UPLOADED_ON, matches, row, seed_invoices, upload, wires

NUMBER = "INV-2026-01-0047"


@pytest.fixture(autouse=True)
def _invoices(engine: Engine, tmp_path: Path) -> None:
    seed_invoices(engine, tmp_path / "files")


def book(engine: Engine) -> Invoice:
    with transaction(engine) as connection:
        take_in(LockedInvoice(connection, NUMBER, business_date=UPLOADED_ON, actor="test"))
        return load_invoice(connection, NUMBER)


def test_a_wire_that_was_matched_settles_its_invoice_once(engine: Engine) -> None:
    upload(engine, row())
    paid = book(engine)
    assert (paid.status, str(paid.amount_paid)) == ("paid", "312.91")
    assert book(engine) == paid
    assert matches(engine) == {}
    assert wires(engine)["W-1"].allocations[0].booked


def test_a_wire_that_was_taken_back_leaves_its_invoice_open(engine: Engine) -> None:
    upload(engine, row())
    book(engine)
    upload(engine, row("R-1", amount="-312.91", reverses="W-1"))
    invoice = book(engine)
    assert (invoice.amount_paid, str(invoice.open_amount)) == (0, "312.91")
    upload(engine, row("W-2"))
    assert book(engine).status == "paid"


def test_a_wire_and_its_reversal_may_come_before_either_is_booked(engine: Engine) -> None:
    upload(engine, row(), row("R-1", amount="-312.91", reverses="W-1"))
    invoice = book(engine)
    assert (invoice.amount_paid, str(invoice.open_amount)) == (0, "312.91")
