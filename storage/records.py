"""What is kept beside an invoice, as people read it: money in and back, e-mails, instructions."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection, select

from domain.errors import NotFound
from storage.instructions import Asked, find_instruction
from storage.tables import credit_notes, emails, instructions, payments, refunds


@dataclass(frozen=True)
class RefundRecord:
    """Money on its way back to a card. `status`: pending, succeeded, failed.

    `credit_note` is empty for a refund made in the card processor's dashboard.
    """

    amount: Decimal
    status: str
    credit_note: str
    provider_id: str | None
    business_date: date


@dataclass(frozen=True)
class PaymentRecord:
    """Money received for an invoice, or a charge that was tried; amounts in `currency`.

    Attributes:
        status: pending, succeeded, failed, reversed.
        allocated: what of it pays the invoice now.
        returned: what went back to the payer, or is on its way.
        kept_as_credit: what it gave to the customer's credit.
        attempt: which charge of the card on file it was; None for any other payment.
        failure_code: why a charge failed, a `DeclineClass`; empty otherwise.
    """

    method: str
    status: str
    amount: Decimal
    currency: str
    allocated: Decimal
    returned: Decimal
    kept_as_credit: Decimal
    attempt: int | None
    failure_code: str
    note: str
    provider_id: str | None
    business_date: date
    created_at: datetime
    refunds: tuple[RefundRecord, ...]


@dataclass(frozen=True)
class EmailRecord:
    """An e-mail; `sent_at` is None while the mail server has not taken it."""

    kind: str
    step: int
    recipients: tuple[str, ...]
    subject: str
    message_id: str
    business_date: date
    created_at: datetime
    sent_at: datetime | None


def payments_of(connection: Connection, invoice_id: int) -> list[PaymentRecord]:
    """The invoice's payments and charges in the order of their making, with their refunds."""
    returned: dict[int, list[RefundRecord]] = defaultdict(list)
    for row in connection.execute(
        select(refunds, credit_notes.c.number)
        .join(payments, payments.c.id == refunds.c.payment_id)
        .outerjoin(credit_notes, credit_notes.c.id == refunds.c.credit_note_id)
        .where(payments.c.invoice_id == invoice_id)
        .order_by(refunds.c.id)
    ):
        returned[row.payment_id].append(
            RefundRecord(
                row.amount, row.status, row.number or "", row.provider_id, row.business_date
            )
        )
    rows = connection.execute(
        select(payments).where(payments.c.invoice_id == invoice_id).order_by(payments.c.id)
    )
    return [
        PaymentRecord(
            method=row.method,
            status=row.status,
            amount=row.amount,
            currency=row.currency,
            allocated=row.allocated,
            returned=row.returned,
            kept_as_credit=row.amount - row.allocated - row.returned
            if row.status in ("succeeded", "reversed")
            else row.amount * 0,
            attempt=row.attempt,
            failure_code=row.failure_code,
            note=row.note,
            provider_id=row.provider_id,
            business_date=row.business_date,
            created_at=row.created_at,
            refunds=tuple(returned[row.id]),
        )
        for row in rows
    ]


def emails_of(connection: Connection, invoice_id: int) -> list[EmailRecord]:
    """The invoice's e-mails in the order in which they were prepared."""
    rows = connection.execute(
        select(emails).where(emails.c.invoice_id == invoice_id).order_by(emails.c.id)
    )
    return [
        EmailRecord(
            kind=row.kind,
            step=row.step,
            recipients=tuple(row.recipients),
            subject=row.subject,
            message_id=row.message_id,
            business_date=row.business_date,
            created_at=row.created_at,
            sent_at=row.sent_at,
        )
        for row in rows
    ]


def instructions_of(connection: Connection, invoice_id: int) -> list[Asked]:
    """What people asked of the invoice, in the order in which they asked."""
    rows = connection.execute(
        select(instructions.c.id)
        .where(instructions.c.invoice_id == invoice_id)
        .order_by(instructions.c.id)
    )
    return [find_instruction(connection, id) for id in rows.scalars().all()]


def instruction_of(connection: Connection, number: str, instruction: int) -> Asked:
    """One instruction of invoice `number`. Raises NotFound."""
    asked = find_instruction(connection, instruction)
    if asked.number != number:
        raise NotFound(f"{number} has no instruction {instruction}.")
    return asked
