"""Money that arrives and money that goes back: to the invoice what it needs, the rest is credit.

Everything happens under the invoice's row lock. An invoice is never paid beyond its total: what
exceeds it becomes the customer's credit in that currency, which the next invoice uses.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from domain.dunning import CollectionState, Event
from domain.errors import Conflict
from storage.collection import LockedInvoice
from storage.tables import credit_balances, credit_entries, invoices, payments


@dataclass(frozen=True)
class Receipt:
    """Money received for an invoice.

    Attributes:
        method: card, bank_transfer, credit or other.
        key: a business fact, under which the same money is booked once.
        provider_id: the card processor's id of the payment.
        received_on: business date of the payment; None: the transaction's own.
    """

    method: str
    amount: Decimal
    key: str
    provider_id: str | None = None
    received_on: date | None = None
    note: str = ""


def book_receipt(locked: LockedInvoice, receipt: Receipt) -> int | None:
    """Books money that was not known before and allocates it; its payment's id.

    None where it was booked under this key or provider id before: nothing changes.
    """
    payment_id = locked.connection.execute(
        insert(payments)
        .values(
            invoice_id=locked.row.id,
            method=receipt.method,
            status="succeeded",
            amount=receipt.amount,
            currency=locked.currency,
            idempotency_key=receipt.key,
            provider_id=receipt.provider_id,
            business_date=receipt.received_on or locked.business_date,
            note=receipt.note,
        )
        .on_conflict_do_nothing()
        .returning(payments.c.id)
    ).scalar_one_or_none()
    if payment_id is not None:
        allocate(locked, payment_id, receipt.amount, method=receipt.method, note=receipt.note)
    return payment_id


def allocate(
    locked: LockedInvoice,
    payment_id: int,
    amount: Decimal,
    *,
    method: str,
    note: str = "",
    key: str = "",
) -> None:
    """Gives money of a payment that succeeded to its invoice, what exceeds it to the customer.

    `key`: under which the excess is booked; left out, the payment's own.
    """
    taken = min(amount, locked.uncovered)
    locked.connection.execute(
        update(payments)
        .where(payments.c.id == payment_id)
        .values(allocated=payments.c.allocated + taken)
    )
    locked.change(amount_paid=locked.amount_paid + taken)
    excess = amount - taken
    if excess > 0:
        add_credit(locked, excess, reason="overpayment", key=key or f"payment/{payment_id}/excess")
    locked.move(
        Event.PART_PAID if locked.uncovered > 0 or taken == 0 else Event.SETTLED,
        note or _words(method, excess, locked.currency),
        amount=f"{taken:f}",
        kept_as_credit=f"{excess:f}",
        method=method,
    )
    if not locked.state.is_end:
        locked.count_from_due_date()


def take_back(
    locked: LockedInvoice,
    payment_id: int,
    amount: Decimal,
    *,
    event: Event,
    reason: str,
    key: str,
) -> Decimal:
    """Money of a payment that succeeded went back to the payer: `amount`, or what is left of it.

    What had become credit goes first. Where that credit was used already, the invoices that it
    paid are open again, the latest first; only then the payment's own invoice gives it back.
    `event` tells the invoice, if it is touched at all; one that was paid is dunned anew, unless
    other credit of the customer's pays it.
    `key`: a business fact, under which the credit is taken once. Returns what went back.
    """
    payment = locked.connection.execute(
        select(payments).where(payments.c.id == payment_id).with_for_update()
    ).one()
    going: Decimal = min(amount, payment.amount - payment.returned)
    if going <= 0:
        locked.note("money_returned", reason, amount="0", left="nothing of this payment")
        return going
    kept = payment.amount - payment.allocated - payment.returned
    from_credit = min(going, kept)
    from_invoice = going - from_credit
    returned = payment.returned + going
    locked.connection.execute(
        update(payments)
        .where(payments.c.id == payment_id)
        .values(
            allocated=payment.allocated - from_invoice,
            returned=returned,
            status="reversed" if returned == payment.amount else payment.status,
        )
    )
    if from_credit > 0:
        _make_credit_available(locked, from_credit)
        add_credit(locked, -from_credit, reason="returned", key=key)
    if from_invoice > 0:
        locked.change(amount_paid=locked.amount_paid - from_invoice)
        _reopen(locked, event, reason, amount=from_invoice, out_of_credit=from_credit)
        if not locked.state.is_end:
            apply_credit(locked)
    else:
        locked.note("money_returned", reason, amount=f"{going:f}", out_of="credit")
    return going


def release_payment(
    locked: LockedInvoice, amount: Decimal, *, of_card_first: bool
) -> list[tuple[Row[Any], Decimal]]:
    """Takes `amount` off what pays the invoice, the latest payment first: (payment, part) each.

    The money stays with the seller; the caller says whether it becomes credit or goes back.
    Raises Conflict where the payments do not hold that much.
    """
    rows = locked.connection.execute(
        select(payments)
        .where(payments.c.invoice_id == locked.row.id, payments.c.allocated > 0)
        .order_by(payments.c.id.desc())
        .with_for_update()
    ).all()
    if of_card_first:
        rows = sorted(rows, key=lambda row: row.method != "card")
    parts = []
    left = amount
    for row in rows:
        part = min(left, row.allocated)
        if part > 0:
            locked.connection.execute(
                update(payments)
                .where(payments.c.id == row.id)
                .values(allocated=row.allocated - part)
            )
            parts.append((row, part))
            left -= part
    if left > 0:
        raise Conflict(
            f"The payments of {locked.number} hold only {amount - left:f} of the {amount:f} "
            f"{locked.currency} to be freed; correct its payments first."
        )
    locked.change(amount_paid=locked.amount_paid - amount)
    return parts


def add_credit(locked: LockedInvoice, amount: Decimal, *, reason: str, key: str) -> None:
    """Adds to the customer's credit in the invoice's currency; negative takes from it.

    Raises IntegrityError if more is taken than there is, or for a `key` that was used before.
    """
    balance = credit_balances
    locked.connection.execute(
        insert(balance)
        .values(customer_id=locked.row.customer_id, currency=locked.currency, balance=0)
        .on_conflict_do_nothing()
    )
    locked.connection.execute(
        update(balance)
        .where(
            balance.c.customer_id == locked.row.customer_id,
            balance.c.currency == locked.currency,
        )
        .values(balance=balance.c.balance + amount)
    )
    locked.connection.execute(
        insert(credit_entries).values(
            customer_id=locked.row.customer_id,
            currency=locked.currency,
            amount=amount,
            reason=reason,
            key=key,
            invoice_id=locked.row.id,
            business_date=locked.business_date,
        )
    )


def credit_of(
    connection: Connection, customer_id: int, currency: str, *, for_update: bool = False
) -> Decimal:
    """What the customer has to their credit in `currency`."""
    query = select(credit_balances.c.balance).where(
        credit_balances.c.customer_id == customer_id, credit_balances.c.currency == currency
    )
    found = connection.execute(query.with_for_update() if for_update else query)
    return found.scalar_one_or_none() or Decimal(0)


def apply_credit(locked: LockedInvoice) -> None:
    """Pays the invoice from the customer's credit, as far as it goes."""
    credit = credit_of(locked.connection, locked.row.customer_id, locked.currency, for_update=True)
    used = min(credit, locked.uncovered)
    if used <= 0:
        return
    applied = locked.connection.execute(
        select(func.count()).where(
            payments.c.invoice_id == locked.row.id, payments.c.method == "credit"
        )
    ).scalar_one()
    key = f"{locked.number}/credit/{applied + 1}"
    add_credit(locked, -used, reason="applied", key=key)
    book_receipt(locked, Receipt("credit", used, key))


def _make_credit_available(locked: LockedInvoice, amount: Decimal) -> None:
    """Takes used credit back from the invoices that it paid, the latest first, until `amount` is
    there; their workflows are to be woken.
    """
    connection = locked.connection
    missing = amount - credit_of(
        connection, locked.row.customer_id, locked.currency, for_update=True
    )
    if missing <= 0:
        return
    paid_by_credit = connection.execute(
        select(payments.c.id, payments.c.allocated, invoices.c.number)
        .join(invoices, invoices.c.id == payments.c.invoice_id)
        .where(
            invoices.c.customer_id == locked.row.customer_id,
            payments.c.currency == locked.currency,
            payments.c.method == "credit",
            payments.c.allocated > 0,
        )
        .order_by(payments.c.id.desc())
    ).all()
    for payment in paid_by_credit:
        if missing <= 0:
            return
        part = min(missing, payment.allocated)
        other = locked
        if payment.number != locked.number:
            other = LockedInvoice(
                connection,
                payment.number,
                business_date=locked.business_date,
                actor=locked.actor,
            )
            other.change(to_wake=True)
        connection.execute(
            update(payments)
            .where(payments.c.id == payment.id)
            .values(
                allocated=payments.c.allocated - part,
                status="reversed" if part == payment.allocated else "succeeded",
            )
        )
        other.change(amount_paid=other.amount_paid - part)
        add_credit(
            other, part, reason="taken_back", key=f"payment/{payment.id}/back/{payment.allocated:f}"
        )
        reason = f"its credit came from {locked.number}, and went back"
        _reopen(other, Event.WIRE_REVERSED, reason, amount=part)
        missing -= part


def _reopen(locked: LockedInvoice, event: Event, reason: str, **amounts: Decimal) -> None:
    """Tells an invoice that it lost money; the steps begin anew where it had been paid."""
    was_paid = locked.state is CollectionState.PAID
    locked.move(event, reason, **{name: f"{amount:f}" for name, amount in amounts.items()})
    if was_paid and locked.state is CollectionState.ISSUED:
        locked.restart_steps(resumed_on=locked.business_date, new_round=True)


def _words(method: str, excess: Decimal, currency: str) -> str:
    by = {"card": "by card", "bank_transfer": "by wire", "credit": "from credit"}.get(method, "")
    kept = f"{excess:f} {currency} kept as credit" if excess > 0 else ""
    return "; ".join(part for part in (by, kept) if part)
