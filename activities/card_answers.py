"""Stripe's objects, as the gateway answers them."""

from datetime import UTC, datetime
from typing import Any

from activities.card_objects import CardRefund, CheckoutSession
from domain.card_amounts import from_stripe
from domain.card_movements import CardMovement, MovementKind

_KINDS = {
    "charge": MovementKind.CHARGE,
    "refund": MovementKind.REFUND,
    "dispute": MovementKind.DISPUTE,
}


def session_of(session: Any) -> CheckoutSession:
    return CheckoutSession(
        id=session.id,
        url=session.url if session.status == "open" else None,
        status=session.status or "open",
        expires_at=datetime.fromtimestamp(session.expires_at, UTC),
        payment_id=_id(session.payment_intent),
        setup_id=_id(session.setup_intent),
    )


def refund_of(refund: Any) -> CardRefund:
    amount = from_stripe(refund.amount, refund.currency.upper())
    return CardRefund(refund.id, refund.status or "pending", amount)


def movement_of(transaction: Any) -> CardMovement | None:
    """What a balance transaction with its source moved; None where that is no payment.

    The amount is the source's where the account is kept in another currency than was paid in.
    """
    source = transaction.source
    kind = _KINDS.get(getattr(source, "object", ""))
    if kind is None:
        return None
    units = transaction.amount
    if transaction.currency != source.currency:
        units = source.amount if units > 0 else -source.amount
    currency = source.currency.upper()
    payment = _id(getattr(source, "payment_intent", None)) or ""
    return CardMovement(
        kind,
        (payment or source.id) if kind is MovementKind.CHARGE else source.id,
        from_stripe(units, currency),
        currency,
        datetime.fromtimestamp(transaction.created, UTC),
        payment_id=payment,
        invoice_number=getattr(source.metadata, "invoice_number", None) or "",
        customer_id=_id(getattr(source, "customer", None)) or "",
    )


def _id(reference: Any) -> str | None:
    """The id of what Stripe refers to, whether it wrote the id alone or the whole object."""
    return reference if reference is None or isinstance(reference, str) else reference.id
