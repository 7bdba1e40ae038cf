"""A draft becomes an invoice."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from domain.dunning import Case, Event
from domain.errors import Conflict, NotFound
from domain.invoice import nothing_to_pay
from storage import audit, receivables
from storage.allocation import add_credit, apply_credit
from storage.approval import require_as_approved
from storage.collection import LockedInvoice, begin_collection, load_case
from storage.tables import billing_cycle_items, invoices


@dataclass(frozen=True)
class Posted:
    """An issued invoice's dates, and the case that its own workflow takes up."""

    issued_on: date
    due_on: date
    case: Case


def issue_invoice(
    connection: Connection,
    number: str,
    pdf_sha256: str,
    *,
    actor: str,
    on_hold: bool = False,
    dated: date | None = None,
) -> Posted:
    """Posts the draft unchanged, with its document, and pays it from the customer's credit.

    One of 0.00 or less, or that the credit covers, is settled at once; what one is below zero, as
    where a paid year ended early, becomes the customer's credit. `on_hold`: no reminder
    goes out until it is released. `dated`: the date of issue that the document bears, where that is
    known. An invoice that was posted before is left as it is.
    Raises Conflict for a void one, and for one that was given another date since its document was
    made; NotApproved or NotAsApproved where its cycle is to be approved and it is not what was
    approved.
    """
    row = _locked(connection, number)
    if row.status == "void":
        raise Conflict(f"{number} is void and cannot be issued.")
    if row.status == "draft":
        if dated is not None and row.issued_on != dated:
            raise Conflict(
                f"{number} is dated {row.issued_on} by now, and its document {dated}; retry, which "
                "makes the document anew."
            )
        require_as_approved(connection, row)
        connection.execute(
            update(invoices)
            .where(invoices.c.id == row.id)
            .values(
                status="issued",
                collection_state="issued",
                pdf_sha256=pdf_sha256,
                issued_at=func.now(),
            )
        )
        connection.execute(
            update(billing_cycle_items)
            .where(billing_cycle_items.c.invoice_id == row.id)
            .values(outcome="issued", reason_code="", reason="")
        )
        audit.record(
            connection,
            audit.AuditEntry(row.issued_on, actor, "invoice", number, "issued", "draft", "issued"),
        )
        receivables.enter(connection, row.id, on=row.issued_on, amount=max(row.total, Decimal(0)))
        locked = LockedInvoice(connection, number, business_date=row.issued_on, actor=actor)
        if nothing_to_pay(row.total):
            if row.total < 0:
                add_credit(locked, -row.total, reason="below_zero", key=f"{number}/below-zero")
            locked.move(Event.SETTLED, "nothing to pay")
        else:
            apply_credit(locked)
            begin_collection(locked, on_hold=on_hold)
    return _posted(connection, row)


def posted_invoice(connection: Connection, number: str) -> Posted | None:
    """What was posted as `number`; None for a draft and a void one. Raises NotFound."""
    row = _locked(connection, number)
    return None if row.status in ("draft", "void") else _posted(connection, row)


def _posted(connection: Connection, row: Row[Any]) -> Posted:
    return Posted(row.issued_on, row.due_on, load_case(connection, row.number))


def _locked(connection: Connection, number: str) -> Row[Any]:
    row = connection.execute(
        select(invoices).where(invoices.c.number == number).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no invoice {number}.")
    return row
