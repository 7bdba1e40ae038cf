"""What the card processor tells us: stored by event id, applied once, in any order."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from domain.card_amounts import NotChargeable, from_stripe
from domain.declines import classify_decline
from domain.dunning import Event
from domain.errors import InvalidValue
from storage import charges
from storage.allocation import Receipt, book_receipt, take_back
from storage.checkouts import record_page
from storage.collection import LockedInvoice
from storage.refunds import record_refund
from storage.tables import customers, invoices, payments, webhook_events

_PAYMENT_LOCK = 0x5041594D  # "PAYM": beside it the payment, where an event waits for it

_thing = webhook_events.c.payload["data"]["object"]


def store_event(connection: Connection, event: Mapping[str, Any]) -> str | None:
    """Keeps an event of Stripe's; the number of the invoice whose workflow is to be told.

    None for an event that was kept before and applied, that is of no concern to us, or that is
    about nothing we know: those are kept as ignored. One about a payment that becomes known later
    is taken up then.
    """
    found = _invoice_of(connection, event)
    intent = _intent_of(event)
    if found is None and intent is not None and event["type"] in _APPLY:
        lock = func.pg_advisory_xact_lock(_PAYMENT_LOCK, func.hashtext(intent))
        connection.execute(select(lock))
        found = _invoice_of(connection, event)
    concerns_us = found is not None and event["type"] in _APPLY
    connection.execute(
        insert(webhook_events)
        .values(
            event_id=event["id"],
            type=event["type"],
            payload=dict(event),
            invoice_id=found[0] if found else None,
            applied_at=None if concerns_us else func.now(),
            outcome=None if concerns_us else "ignored",
            note="" if concerns_us else "of no concern here",
        )
        .on_conflict_do_nothing()
    )
    waiting = connection.execute(
        select(webhook_events.c.applied_at.is_(None)).where(
            webhook_events.c.event_id == event["id"]
        )
    ).scalar_one()
    return found[1] if found and waiting else None


def apply_events(locked: LockedInvoice) -> None:
    """Applies what is stored for the invoice, each event once, in the order of its making.

    An event whose amount cannot be read is ignored and noted in the audit log for a person.
    """
    while rows := _waiting(locked):
        for row in rows:
            try:
                note = _APPLY[row.type](locked, row.payload["data"]["object"])
            except (InvalidValue, NotChargeable) as refusal:
                note = refusal.message
                locked.note("card_event_ignored", note, type=row.type, card_event=row.event_id)
            locked.connection.execute(
                update(webhook_events)
                .where(webhook_events.c.event_id == row.event_id)
                .values(
                    applied_at=func.now(), outcome="ignored" if note else "applied", note=note or ""
                )
            )


def _waiting(locked: LockedInvoice) -> list[Row[Any]]:
    """What waits for the invoice, with what came before its payment was known."""
    connection, invoice = locked.connection, {"invoice": locked.row.id}
    # so that who is just storing such an event sees the payment, or is seen
    if connection.execute(_LOCK_PAYMENTS, {**invoice, "lock": _PAYMENT_LOCK}).all():
        connection.execute(_TAKE_UP, {**invoice, "types": list(_APPLY)})
    return list(
        connection.execute(
            select(webhook_events)
            .where(
                webhook_events.c.invoice_id == locked.row.id, webhook_events.c.applied_at.is_(None)
            )
            .order_by(webhook_events.c.payload["created"].as_float(), webhook_events.c.event_id)
            .with_for_update()
        )
    )


_LOCK_PAYMENTS = text("""
    SELECT pg_advisory_xact_lock(:lock, hashtext(provider_id)) FROM payments
    WHERE invoice_id = :invoice AND provider_id IS NOT NULL
""")
_TAKE_UP = text("""
    UPDATE webhook_events
    SET invoice_id = :invoice, applied_at = NULL, outcome = NULL, note = ''
    WHERE invoice_id IS NULL AND type = ANY(:types)
      AND payload #>> '{data,object,payment_intent}' = ANY(ARRAY(
          SELECT provider_id FROM payments WHERE invoice_id = :invoice))
""")


def _invoice_of(connection: Connection, event: Mapping[str, Any]) -> tuple[int, str] | None:
    """(id, number) of the invoice that an event is about, by the payment or by our own mark.

    The payment comes first: what we mark an object with is copied by people and programs.
    """
    thing, intent = event["data"]["object"], _intent_of(event)
    if intent is not None:
        by_payment = connection.execute(
            select(invoices.c.id, invoices.c.number)
            .join(payments, payments.c.invoice_id == invoices.c.id)
            .where(payments.c.provider_id == intent)
        ).one_or_none()
        if by_payment is not None:
            return by_payment.id, by_payment.number
    number = (thing.get("metadata") or {}).get("invoice_number")
    if not isinstance(number, str):
        return None
    marked = connection.execute(
        select(invoices.c.id, invoices.c.number).where(
            invoices.c.number == number, invoices.c.collection_state.is_not(None)
        )
    ).one_or_none()
    return None if marked is None else (marked.id, marked.number)


def _intent_of(event: Mapping[str, Any]) -> str | None:
    """The id of the payment that an event is about."""
    thing = event["data"]["object"]
    intent = thing["id"] if thing.get("object") == "payment_intent" else thing.get("payment_intent")
    return intent if isinstance(intent, str) else None


def _payment_of(locked: LockedInvoice, intent: Any) -> Row[Any] | None:
    if not isinstance(intent, str):
        return None
    return locked.connection.execute(
        select(payments).where(
            payments.c.provider_id == intent, payments.c.invoice_id == locked.row.id
        )
    ).one_or_none()


def _received_payment(locked: LockedInvoice, intent: Any) -> Row[Any] | None:
    """The payment of which money goes back: it was received, whether we have heard so or not."""
    payment = _payment_of(locked, intent)
    if payment is not None:
        charges.record_success(locked, payment.id)
    return payment


def _amount(locked: LockedInvoice, units: int, currency: str) -> Decimal:
    """Raises InvalidValue for another currency than the invoice's, or what it cannot express."""
    if currency.upper() != locked.currency:
        raise InvalidValue(
            f"{units} {currency.upper()} came for {locked.number}, which is in {locked.currency}; "
            "see to it at the card processor."
        )
    return from_stripe(units, locked.currency)


def _paid(locked: LockedInvoice, intent: Mapping[str, Any]) -> str | None:
    _book(locked, intent["id"], intent["amount_received"], intent["currency"])
    return None


def _book(locked: LockedInvoice, intent: str, units: int, currency: str) -> None:
    """The payment `intent` of so many units succeeded; told twice, it counts once."""
    known = _payment_of(locked, intent)
    if known is not None:
        charges.record_success(locked, known.id)
        return
    amount = _amount(locked, units, currency)
    book_receipt(locked, Receipt("card", amount, intent, provider_id=intent))


def _failed(locked: LockedInvoice, intent: Mapping[str, Any]) -> str | None:
    known = _payment_of(locked, intent["id"])
    if known is None:
        return "the payer saw it on the payment page"
    error = intent.get("last_payment_error") or {}
    charges.record_decline(
        locked,
        known.id,
        classify_decline(error.get("code") or "", error.get("decline_code") or ""),
        error.get("message") or "",
    )
    return None


def _refunded(locked: LockedInvoice, refund: Mapping[str, Any]) -> str | None:
    """A refund of ours is in its own row; any other was made in the processor's dashboard."""
    amount = _amount(locked, refund["amount"], refund["currency"])
    payment = _received_payment(locked, refund.get("payment_intent"))
    if payment is None:
        return "its payment is not known here"
    record_refund(
        locked,
        payment,
        refund["id"],
        amount,
        refund["status"],
        credit_note=(refund.get("metadata") or {}).get("credit_note") or "",
    )
    return None


def _disputed(locked: LockedInvoice, dispute: Mapping[str, Any]) -> str | None:
    opened, closed = _disputes(locked)
    if dispute["id"] in opened | closed:
        return "the dispute was known"
    _received_payment(locked, dispute.get("payment_intent"))
    locked.change(disputed=True)
    locked.move(Event.DISPUTE_OPENED, dispute.get("reason") or "", dispute=dispute["id"])
    return None


def _disputes(locked: LockedInvoice) -> tuple[set[str], set[str]]:
    """The disputes that were told of so far: the opened ones, the closed ones."""
    rows = locked.connection.execute(
        select(webhook_events.c.type, _thing["id"].as_string().label("dispute")).where(
            webhook_events.c.type.in_(("charge.dispute.created", "charge.dispute.closed")),
            webhook_events.c.invoice_id == locked.row.id,
            webhook_events.c.applied_at.is_not(None),
        )
    ).all()
    closed = {row.dispute for row in rows if row.type == "charge.dispute.closed"}
    return {row.dispute for row in rows} - closed, closed


def _dispute_closed(locked: LockedInvoice, dispute: Mapping[str, Any]) -> str | None:
    """The end may come before its beginning; another dispute of the invoice may go on."""
    opened, closed = _disputes(locked)
    if dispute["id"] in closed:
        return "the end of the dispute was known"
    lost = dispute["status"] == "lost"
    amount = _amount(locked, dispute["amount"], dispute["currency"]) if lost else Decimal(0)
    payment = _received_payment(locked, dispute.get("payment_intent"))
    locked.change(disputed=bool(opened - {dispute["id"]}))
    if not lost:
        locked.move(Event.DISPUTE_WON, dispute["status"], dispute=dispute["id"])
        if not locked.state.is_end:
            locked.restart_steps(resumed_on=locked.business_date, new_round=False)
        return None
    if payment is None:
        return "its payment is not known here"
    take_back(
        locked,
        payment.id,
        amount,
        event=Event.MONEY_RETURNED,
        reason="the dispute was lost",
        key=f"dispute/{dispute['id']}",
    )
    return None


def _card_set(locked: LockedInvoice, setup: Mapping[str, Any]) -> str | None:
    """A new card is on file; the customer's other open invoices are to be charged with it too."""
    if setup.get("customer") != locked.row.stripe_customer_id or not setup.get("payment_method"):
        return "it is no card of this customer"
    connection = locked.connection
    newer = connection.execute(
        select(
            exists().where(
                webhook_events.c.type == "setup_intent.succeeded",
                webhook_events.c.outcome == "applied",
                _thing["customer"].as_string() == setup["customer"],
                _thing["created"].as_float() > setup["created"],
            )
        )
    ).scalar_one()
    if newer:
        return "the customer has left a later card since"
    connection.execute(
        update(customers)
        .where(customers.c.id == locked.row.customer_id)
        .values(stripe_payment_method_id=setup["payment_method"])
    )
    connection.execute(
        update(invoices)
        .where(
            invoices.c.customer_id == locked.row.customer_id,
            invoices.c.id != locked.row.id,
            invoices.c.status.in_(("issued", "overdue")),
            invoices.c.cycle_id.is_not(None),
        )
        .values(to_wake=True)
    )
    locked.note("payment_method_updated", "by the payer")
    return None


def _page_completed(locked: LockedInvoice, session: Mapping[str, Any]) -> str | None:
    """A page is over together with its money, whose own event may come later: in between, the
    card on file would be charged for what is paid.
    """
    if session["mode"] == "payment":
        if session["payment_status"] != "paid":
            return "its payment is not through yet"
        _book(locked, session["payment_intent"], session["amount_total"], session["currency"])
    record_page(locked.connection, session["id"], "complete")
    return None


def _page_expired(locked: LockedInvoice, session: Mapping[str, Any]) -> str | None:
    record_page(locked.connection, session["id"], "expired")
    return None


_APPLY: Mapping[str, Callable[[LockedInvoice, Mapping[str, Any]], str | None]] = {
    "payment_intent.succeeded": _paid,
    "payment_intent.payment_failed": _failed,
    "refund.created": _refunded,
    "refund.updated": _refunded,
    "refund.failed": _refunded,
    "charge.dispute.created": _disputed,
    "charge.dispute.closed": _dispute_closed,
    "setup_intent.succeeded": _card_set,
    "checkout.session.completed": _page_completed,
    "checkout.session.expired": _page_expired,
}
"""What each event does; an answer says why it did nothing. Types that are not here are ignored."""
