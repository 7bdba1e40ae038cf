"""Money that goes back to a card: ours, by a credit note, or made in the processor's dashboard."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from domain.dunning import Event
from storage.allocation import add_credit, allocate, take_back
from storage.collection import LockedInvoice
from storage.tables import credit_notes, payments, refunds

_STATUS = {"succeeded": "succeeded", "failed": "failed", "canceled": "failed"}
"""Ours, by the processor's; whatever else it says may still become either."""


@dataclass(frozen=True)
class RefundDue:
    """A refund that a credit note owes: `payment_id` is the processor's, `key` what it knows
    the request by.
    """

    id: int
    payment_id: str
    amount: Decimal
    currency: str
    key: str


def owe_refund(
    locked: LockedInvoice, payment: Row[Any], amount: Decimal, *, credit_note: str
) -> None:
    """Writes a refund down that is still to be made, of money that was taken off the invoice."""
    note_id = select(credit_notes.c.id).where(credit_notes.c.number == credit_note)
    locked.connection.execute(
        insert(refunds).values(
            payment_id=payment.id,
            credit_note_id=note_id.scalar_subquery(),
            amount=amount,
            status="pending",
            idempotency_key=f"{credit_note}/refund/{payment.id}",
            business_date=locked.business_date,
        )
    )
    locked.connection.execute(
        update(payments)
        .where(payments.c.id == payment.id)
        .values(returned=payments.c.returned + amount)
    )


def refunds_due(connection: Connection, credit_note: str) -> list[RefundDue]:
    """The credit note's refunds that the processor has not been asked for yet."""
    rows = connection.execute(
        select(
            refunds.c.id,
            payments.c.provider_id,
            refunds.c.amount,
            payments.c.currency,
            refunds.c.idempotency_key,
        )
        .join(payments, payments.c.id == refunds.c.payment_id)
        .join(credit_notes, credit_notes.c.id == refunds.c.credit_note_id)
        .where(
            credit_notes.c.number == credit_note,
            refunds.c.provider_id.is_(None),
            refunds.c.status == "pending",
        )
        .order_by(refunds.c.id)
    )
    return [RefundDue(*row) for row in rows]


def record_refund(
    locked: LockedInvoice,
    payment: Row[Any],
    provider_id: str,
    amount: Decimal,
    said: str,
    *,
    credit_note: str = "",
) -> None:
    """Keeps what the processor says of a refund, `said` in its own words.

    One of ours is known by its id, or by the credit note that it carries; any other was made in
    the dashboard, takes the money off the invoice, and is a case for a person. One that failed
    leaves the money with us: as credit where it was ours, on the invoice again where it was not.
    In whatever order it is said, failed is the last word and pending the first.
    """
    status = _STATUS.get(said, "pending")
    known = _known(locked, payment, provider_id, credit_note)
    if known is None:
        _record_foreign(locked, payment, provider_id, amount, status)
        return
    if known.status == "failed" or (known.provider_id and known.status == status):
        return
    if status == "pending" and known.status == "succeeded":
        return
    locked.connection.execute(
        update(refunds)
        .where(refunds.c.id == known.id)
        .values(provider_id=provider_id, status=status)
    )
    if status == "failed":
        _keep(locked, payment, known)
    elif known.provider_id is None:
        locked.note("refunded", "to the card", amount=f"{known.amount:f}", credit_note=credit_note)


def _record_foreign(
    locked: LockedInvoice, payment: Row[Any], provider_id: str, amount: Decimal, status: str
) -> None:
    """A refund that nobody here ordered. One that failed before we heard of it is kept, so that
    what is said of it later takes nothing; of one beyond what is left, what is left.
    """
    taken = amount
    if status != "failed":
        taken = take_back(
            locked,
            payment.id,
            amount,
            event=Event.MONEY_RETURNED,
            reason="refunded in the card processor's dashboard",
            key=f"refund/{provider_id}",
        )
    if taken > 0:
        locked.connection.execute(
            insert(refunds).values(
                payment_id=payment.id,
                amount=taken,
                status=status,
                idempotency_key=f"dashboard/{provider_id}",
                provider_id=provider_id,
                business_date=locked.business_date,
            )
        )


def _keep(locked: LockedInvoice, payment: Row[Any], refund: Row[Any]) -> None:
    """The refund failed, and its money is still here: as credit if a credit note had freed it,
    on the invoice if nobody had.
    """
    locked.connection.execute(
        update(payments)
        .where(payments.c.id == payment.id)
        .values(returned=payments.c.returned - refund.amount, status="succeeded")
    )
    locked.note("refund_failed", "the money is kept", amount=f"{refund.amount:f}")
    key = f"refund/{refund.id}/failed"
    if refund.credit_note_id is None:
        note = "the refund failed"
        allocate(locked, payment.id, refund.amount, method="card", note=note, key=key)
    else:
        add_credit(locked, refund.amount, reason="credit_note", key=key)


def _known(
    locked: LockedInvoice, payment: Row[Any], provider_id: str, credit_note: str
) -> Row[Any] | None:
    by_id = locked.connection.execute(
        select(refunds).where(refunds.c.provider_id == provider_id)
    ).one_or_none()
    if by_id is not None or not credit_note:
        return by_id
    return locked.connection.execute(
        select(refunds)
        .join(credit_notes, credit_notes.c.id == refunds.c.credit_note_id)
        .where(
            credit_notes.c.number == credit_note,
            refunds.c.payment_id == payment.id,
            refunds.c.provider_id.is_(None),
        )
    ).one_or_none()
