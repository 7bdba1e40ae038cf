"""What moves an invoice: issue, payment, overdue, void. Each with its audit entry."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from domain.errors import Conflict, NotFound
from domain.invoice import InvoiceStatus, nothing_to_pay, open_amount, overdue_from
from storage import audit
from storage.tables import billing_cycle_items, invoices, payments


@dataclass(frozen=True)
class Standing:
    """Where an invoice stands: its status and what is still open, in its currency."""

    status: str
    open_amount: Decimal

    @property
    def settled(self) -> bool:
        return InvoiceStatus(self.status).is_settled


@dataclass(frozen=True)
class Posted:
    """An issued invoice's dates; `nothing_to_pay` where its total is 0.00 or less."""

    issued_on: date
    due_on: date
    nothing_to_pay: bool


def issue_invoice(connection: Connection, number: str, pdf_sha256: str, *, actor: str) -> Posted:
    """Posts the draft unchanged, with its document; one of 0.00 or less is settled at once.

    An invoice that was posted before is left as it is. Raises Conflict for a void one.
    """
    row = _locked(connection, number)
    if row.status == "void":
        raise Conflict(f"{number} is void and cannot be issued.")
    paid = nothing_to_pay(row.total)
    posted = Posted(row.issued_on, row.due_on, paid)
    if row.status != "draft":
        return posted
    status = "paid" if paid else "issued"
    connection.execute(
        update(invoices)
        .where(invoices.c.id == row.id)
        .values(
            status=status,
            collection_state=status,
            pdf_sha256=pdf_sha256,
            issued_at=func.now(),
            settled_on=row.issued_on if paid else None,
        )
    )
    connection.execute(
        update(billing_cycle_items)
        .where(billing_cycle_items.c.invoice_id == row.id)
        .values(outcome="issued", reason_code="", reason="")
    )
    entries = [_entry(row, row.issued_on, actor, "issued", "draft", "issued")]
    if paid:
        entries.append(
            _entry(row, row.issued_on, actor, "paid", "issued", "paid", "nothing to pay")
        )
    audit.record(connection, *entries)
    return posted


def settle_if_paid(
    connection: Connection, number: str, *, business_date: date, actor: str
) -> Standing:
    """Counts the payments that succeeded and settles the invoice once they cover it.

    Payments beyond the balance are refused by the table; who books them allocates them.
    """
    row = _locked(connection, number)
    if row.status == "draft" or InvoiceStatus(row.status).is_settled:
        return _standing(row)
    paid = connection.execute(
        select(func.coalesce(func.sum(payments.c.amount), 0)).where(
            payments.c.invoice_id == row.id, payments.c.status == "succeeded"
        )
    ).scalar_one()
    still_open = row.total - row.amount_credited - paid
    values: dict[str, Any] = {"amount_paid": paid}
    if still_open <= 0:
        values |= {"status": "paid", "collection_state": "paid", "settled_on": business_date}
        audit.record(connection, _entry(row, business_date, actor, "paid", row.status, "paid"))
    connection.execute(update(invoices).where(invoices.c.id == row.id).values(values))
    return Standing(values.get("status", row.status), still_open)


def posted_invoice(connection: Connection, number: str) -> Posted | None:
    """What was posted as `number`; None for a draft and a void one. Raises NotFound."""
    row = _locked(connection, number)
    if row.status in ("draft", "void"):
        return None
    return Posted(row.issued_on, row.due_on, nothing_to_pay(row.total))


def mark_overdue(
    connection: Connection, number: str, *, business_date: date, actor: str
) -> Standing:
    """Sets `overdue` on an issued invoice whose due date (inclusive) has passed."""
    row = _locked(connection, number)
    if row.status != "issued":
        return _standing(row)
    if business_date < overdue_from(row.due_on):
        raise Conflict(f"{number} is due on {row.due_on} and not overdue on {business_date}.")
    connection.execute(update(invoices).where(invoices.c.id == row.id).values(status="overdue"))
    audit.record(
        connection,
        _entry(row, business_date, actor, "overdue", "issued", "overdue", f"due on {row.due_on}"),
    )
    return Standing("overdue", _standing(row).open_amount)


def _locked(connection: Connection, number: str) -> Row[Any]:
    row = connection.execute(
        select(invoices).where(invoices.c.number == number).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no invoice {number}.")
    return row


def _standing(row: Row[Any]) -> Standing:
    amount = open_amount(
        InvoiceStatus(row.status), row.total, paid=row.amount_paid, credited=row.amount_credited
    )
    return Standing(row.status, amount)


def _entry(
    row: Row[Any],
    business_date: date,
    actor: str,
    event: str,
    from_state: str | None,
    to_state: str,
    reason: str = "",
) -> audit.AuditEntry:
    return audit.AuditEntry(
        business_date, actor, "invoice", row.number, event, from_state, to_state, reason
    )
