"""Charges of the card on file: written down before they are made, recorded once they are known."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, insert, select, update

from domain.card_amounts import chargeable
from domain.declines import DeclineClass
from domain.dunning import Event
from domain.errors import Conflict
from storage.allocation import allocate
from storage.collection import LockedInvoice
from storage.tables import payments


@dataclass(frozen=True)
class Attempt:
    """A charge that was begun.

    Attributes:
        key: what the card processor knows the request by.
        provider_id: the processor's id of the payment, None until it is made there.
        has_outcome: whether it is known how it ended.
        given_up: it ended without a charge, since less was open by then.
    """

    id: int
    number: str
    attempt: int
    key: str
    amount: Decimal
    currency: str
    customer_id: str
    payment_method_id: str
    provider_id: str | None
    has_outcome: bool
    given_up: bool = False


def begin_attempt(locked: LockedInvoice, attempt: int) -> Attempt | None:
    """Writes a charge of all that is open down as pending; one that was begun is answered as it is.

    None where there is nothing to charge: the invoice is settled, or what is open is no amount
    for a card. Where no card is on file the attempt has failed before it began.
    """
    key = f"{locked.number}/charge/{attempt}"
    found = locked.connection.execute(
        select(payments).where(payments.c.idempotency_key == key)
    ).one_or_none()
    if found is not None:
        return _attempt(locked, found)
    if locked.state.is_end or not chargeable(locked.uncovered, locked.currency):
        return None
    card, customer = locked.row.stripe_payment_method_id, locked.row.stripe_customer_id
    begun = locked.connection.execute(
        insert(payments)
        .values(
            invoice_id=locked.row.id,
            method="card",
            status="pending",
            amount=locked.uncovered,
            currency=locked.currency,
            idempotency_key=key,
            attempt=attempt,
            payment_method_id=card or "",
            business_date=locked.business_date,
        )
        .returning(payments)
    ).one()
    locked.move(
        Event.CHARGE_BEGUN, f"attempt {attempt}", attempt=attempt, amount=f"{begun.amount:f}"
    )
    if not (card and customer):
        record_decline(locked, begun.id, DeclineClass.NO_CARD, "no card is on file")
        begun = locked.connection.execute(select(payments).where(payments.c.id == begun.id)).one()
    return _attempt(locked, begun)


def record_provider_id(locked: LockedInvoice, attempt: Attempt, provider_id: str) -> None:
    """Keeps the processor's id of the payment; from here on it is found by that alone.

    Raises Conflict if another one is kept already.
    """
    kept = locked.connection.execute(
        update(payments)
        .where(
            payments.c.id == attempt.id,
            payments.c.provider_id.is_(None) | (payments.c.provider_id == provider_id),
        )
        .values(provider_id=provider_id)
        .returning(payments.c.id)
    ).one_or_none()
    if kept is None:
        raise Conflict(f"{attempt.key} has another payment than {provider_id} at the processor.")


def record_success(locked: LockedInvoice, payment_id: int) -> None:
    """The charge went through; told twice, it counts once."""
    paid = locked.connection.execute(
        update(payments)
        .where(payments.c.id == payment_id, payments.c.status.in_(("pending", "failed")))
        .values(status="succeeded", failure_code="", note="", business_date=locked.business_date)
        .returning(payments.c.amount)
    ).scalar_one_or_none()
    if paid is not None:
        allocate(locked, payment_id, paid, method="card")


def record_decline(
    locked: LockedInvoice, payment_id: int, decline: DeclineClass, words: str
) -> None:
    """The charge was declined. Success is never taken back by it, whatever arrives late."""
    failed = locked.connection.execute(
        update(payments)
        .where(payments.c.id == payment_id, payments.c.status == "pending")
        .values(
            status="failed",
            failure_code=decline.value,
            note=words,
            business_date=locked.business_date,
        )
        .returning(payments.c.attempt)
    ).one_or_none()
    if failed is None:
        return
    locked.move(
        Event.CHARGE_DECLINED if decline.may_be_retried else Event.CHARGE_REFUSED,
        decline.value.replace("_", " "),
        attempt=failed.attempt,
        words=words,
    )
    if locked.first_failed_on is None:
        locked.begin_steps()


def record_superseded(locked: LockedInvoice, payment_id: int) -> None:
    """The charge was given up before it was made: less is open than it was begun for."""
    given_up = locked.connection.execute(
        update(payments)
        .where(payments.c.id == payment_id, payments.c.status == "pending")
        .values(status="failed", note="not charged: less was open by then")
        .returning(payments.c.attempt)
    ).one_or_none()
    if given_up is not None:
        locked.note("charge_given_up", "less was open by then", attempt=given_up.attempt)


def _attempt(locked: LockedInvoice, row: Row[Any]) -> Attempt:
    return Attempt(
        id=row.id,
        number=locked.number,
        attempt=row.attempt,
        key=row.idempotency_key,
        amount=row.amount,
        currency=row.currency,
        customer_id=locked.row.stripe_customer_id or "",
        payment_method_id=row.payment_method_id,
        provider_id=row.provider_id,
        has_outcome=row.status != "pending",
        given_up=row.status == "failed" and not row.failure_code,
    )
