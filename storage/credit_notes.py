"""Credit notes as they are kept: numbered in their own series, and never changed but for the PDF.

What they do to their invoice is booked by who writes them, in the same transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, update

from domain.crediting import (
    CreditedSoFar,
    CreditLine,
    CreditNoteDraft,
    RefundTo,
    credit_note_number,
    parse_credit_note_number,
)
from domain.errors import Conflict, NotFound
from domain.periods import BillingPeriod
from storage.snapshots import tax_lines_from_json, tax_lines_to_json
from storage.tables import credit_notes, invoices

_SERIES_LOCK = 0x4352_4544  # "CRED": beside the month, the lock of a month's numbers


@dataclass(frozen=True)
class CreditNote:
    """A credit note as it was issued.

    `returned_amount`, in the invoice's currency, is what of it was paid and goes to `refund_to`;
    the rest reduced what was open. `pdf_sha256` is None until its document is made.
    """

    number: str
    invoice_number: str
    draft: CreditNoteDraft
    reason: str
    refund_to: RefundTo
    returned_amount: Decimal
    voids: bool
    business_date: date
    created_by: str
    pdf_sha256: str | None


def write_credit_note(
    connection: Connection,
    invoice_id: int,
    draft: CreditNoteDraft,
    *,
    reason: str,
    refund_to: RefundTo,
    returned_amount: Decimal,
    voids: bool,
    business_date: date,
    by: str,
) -> CreditNote:
    """Issues `draft` under the next number of the month of `business_date`.

    The caller holds the invoice's row lock since before `credited_so_far`. Until its transaction
    ends, others wait for a number of the same month: one that is rolled back gives its number to
    the next, so the series has no gaps.
    """
    number = _next_number(connection, business_date)
    connection.execute(
        insert(credit_notes).values(
            number=number,
            invoice_id=invoice_id,
            currency=draft.currency,
            subtotal=draft.subtotal,
            tax=draft.tax,
            total=draft.total,
            lines=_lines_to_json(draft.lines),
            tax_lines=tax_lines_to_json(draft.tax_lines),
            reason=reason,
            refund_to=refund_to.value,
            returned_amount=returned_amount,
            voids=voids,
            business_date=business_date,
            created_by=by,
        )
    )
    return load_credit_note(connection, number)


def load_credit_note(connection: Connection, number: str) -> CreditNote:
    """Raises NotFound."""
    notes = _credit_notes(connection, credit_notes.c.number == number)
    if not notes:
        raise NotFound(f"There is no credit note {number}.")
    return notes[0]


def credit_notes_of(connection: Connection, invoice_id: int) -> list[CreditNote]:
    """The credit notes of one invoice, in the order in which they were issued."""
    return _credit_notes(connection, credit_notes.c.invoice_id == invoice_id)


def credited_so_far(connection: Connection, invoice_id: int) -> CreditedSoFar:
    """What the invoice's credit notes took back by now."""
    return CreditedSoFar.by(note.draft for note in credit_notes_of(connection, invoice_id))


def set_credit_note_pdf(connection: Connection, number: str, sha256: str) -> None:
    """Keeps the stored document `sha256` as the credit note's; the same one again changes nothing.

    Raises NotFound, and Conflict where it has another document.
    """
    this = credit_notes.c.number == number
    connection.execute(
        update(credit_notes)
        .where(this, credit_notes.c.pdf_sha256.is_(None))
        .values(pdf_sha256=sha256)
    )
    kept = load_credit_note(connection, number).pdf_sha256
    if kept != sha256:
        raise Conflict(f"{number} has the document {kept}, and a credit note keeps its document.")


def _next_number(connection: Connection, business_date: date) -> str:
    month = BillingPeriod.of(business_date)
    place_of_month = month.year * 100 + month.month
    connection.execute(select(func.pg_advisory_xact_lock(_SERIES_LOCK, place_of_month)))
    number = credit_notes.c.number
    last = connection.execute(
        select(number)
        .where(number.startswith(f"CN-{month}-"))
        .order_by(func.length(number).desc(), number.desc())
        .limit(1)
    ).scalar_one_or_none()
    sequence = 0 if last is None else parse_credit_note_number(last)[1]
    return credit_note_number(business_date, sequence + 1)


def _credit_notes(connection: Connection, condition: ColumnElement[bool]) -> list[CreditNote]:
    rows = connection.execute(
        select(credit_notes, invoices.c.number.label("invoice_number"))
        .join(invoices, invoices.c.id == credit_notes.c.invoice_id)
        .where(condition)
        .order_by(credit_notes.c.id)
    )
    return [_credit_note(row) for row in rows]


def _credit_note(row: Row[Any]) -> CreditNote:
    return CreditNote(
        number=row.number,
        invoice_number=row.invoice_number,
        draft=CreditNoteDraft(
            row.currency, _lines_from_json(row.lines), tax_lines_from_json(row.tax_lines)
        ),
        reason=row.reason,
        refund_to=RefundTo(row.refund_to),
        returned_amount=row.returned_amount,
        voids=row.voids,
        business_date=row.business_date,
        created_by=row.created_by,
        pdf_sha256=row.pdf_sha256,
    )


def _lines_to_json(lines: Iterable[CreditLine]) -> list[dict[str, Any]]:
    return [{**vars(line), "amount": f"{line.amount:f}"} for line in lines]


def _lines_from_json(data: Iterable[dict[str, Any]]) -> tuple[CreditLine, ...]:
    return tuple(
        CreditLine(line["position"], line["description"], Decimal(line["amount"])) for line in data
    )
