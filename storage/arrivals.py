"""What was stored for an invoice and is not booked yet: webhook events and matched wires."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, func, select, text, update

from domain.dunning import Event
from domain.periods import BillingPeriod
from storage.allocation import Receipt, book_receipt, take_back
from storage.collection import LockedInvoice
from storage.tables import bank_matches, bank_transactions
from storage.webhooks import apply_events


def take_in(locked: LockedInvoice) -> None:
    """Books everything that waits for the invoice, each thing once."""
    if locked.row.to_wake:
        locked.change(to_wake=False)
    apply_events(locked)
    _book_wires(locked)


def _book_wires(locked: LockedInvoice) -> None:
    """Books the matches of bank transactions; a negative one takes its original's money back."""
    rows = locked.connection.execute(
        select(
            bank_matches,
            bank_transactions.c.bank_reference,
            bank_transactions.c.booked_on,
            bank_transactions.c.reversal_of,
            bank_transactions.c.payer_name,
        )
        .join(bank_transactions, bank_transactions.c.id == bank_matches.c.bank_transaction_id)
        .where(bank_matches.c.invoice_id == locked.row.id, bank_matches.c.booked_at.is_(None))
        .order_by(bank_transactions.c.booked_on, bank_transactions.c.id)
        .with_for_update(of=bank_matches)
    ).all()
    for row in rows:
        if row.amount > 0:
            payment_id = book_receipt(
                locked,
                Receipt(
                    "bank_transfer",
                    row.amount,
                    f"wire/{row.bank_reference}/{locked.number}",
                    received_on=row.booked_on,
                    note=f"wire of {row.payer_name}" if row.payer_name else "",
                ),
            )
        else:
            payment_id = _reverse(locked, row.reversal_of, row.bank_reference, -row.amount)
        locked.connection.execute(
            update(bank_matches)
            .where(
                bank_matches.c.bank_transaction_id == row.bank_transaction_id,
                bank_matches.c.invoice_id == locked.row.id,
            )
            .values(booked_at=func.now(), payment_id=payment_id)
        )


def _reverse(locked: LockedInvoice, original: int, reference: str, amount: Decimal) -> int | None:
    """Takes a reversed wire back; its payment's id."""
    payment_id: int | None = locked.connection.execute(
        select(bank_matches.c.payment_id).where(
            bank_matches.c.bank_transaction_id == original,
            bank_matches.c.invoice_id == locked.row.id,
        )
    ).scalar_one_or_none()
    if payment_id is None:
        locked.note("wire_reversed", "the wire had not been booked", reference=reference)
        return None
    take_back(
        locked,
        payment_id,
        amount,
        event=Event.WIRE_REVERSED,
        reason=reference,
        key=f"wire/{reference}/{locked.number}",
    )
    return payment_id


@dataclass(frozen=True)
class Resumption:
    """What the workflow of an invoice is started with when it is taken up from PostgreSQL.

    `resumed_on`: business date of the last thing that happened to the invoice.
    """

    number: str
    account_number: str
    period: str
    issued_on: date
    due_on: date
    resumed_on: date


def resumptions(connection: Connection, numbers: Sequence[str]) -> list[Resumption]:
    """Of the issued invoices among `numbers`, the oldest first."""
    rows = connection.execute(_RESUMPTIONS, {"numbers": list(numbers)})
    return [
        Resumption(
            number=row.number,
            account_number=row.account_number,
            period=str(BillingPeriod.of(row.period_start)),
            issued_on=row.issued_on,
            due_on=row.due_on,
            resumed_on=row.resumed_on or row.issued_on,
        )
        for row in rows
    ]


class WaitingInvoice(NamedTuple):
    """`is_told`: there is something to tell its workflow; else it may have none, and is told
    nothing if it has.
    """

    number: str
    is_told: bool


def find_waiting(
    connection: Connection, *, older_than_seconds: int, after: str = "", limit: int
) -> list[WaitingInvoice]:
    """The next `limit` behind number `after` of invoices for which something has waited too long: a
    lost signal loses nothing.

    Webhook events, matched wires and instructions that were not taken up, charges without an
    outcome, and changes made by another invoice's transaction. Beside them open invoices of which
    no e-mail was ever prepared, ten minutes after their cycle closed: most wait for the mail
    server's pace, and of some the workflow never started. Until it closes they are the cycle's own.
    """
    rows = connection.execute(
        _WAITING, {"seconds": older_than_seconds, "after": after, "limit": limit}
    )
    return [WaitingInvoice(row.number, row.is_told) for row in rows]


_RESUMPTIONS = text("""
    SELECT invoices.number, customers.account_number, invoices.period_start, invoices.issued_on,
           invoices.due_on,
           (SELECT max(business_date) FROM audit_log
            WHERE subject_kind = 'invoice' AND subject = invoices.number) AS resumed_on
    FROM invoices JOIN customers ON customers.id = invoices.customer_id
    WHERE invoices.number = ANY(:numbers) AND invoices.collection_state IS NOT NULL
    ORDER BY invoices.issued_on, invoices.id
""")

_WAITING = text("""
    WITH told AS (
        SELECT invoice_id FROM webhook_events
        WHERE applied_at IS NULL AND received_at < now() - make_interval(secs => :seconds)
        UNION
        SELECT invoice_id FROM bank_matches JOIN bank_transactions wire
               ON wire.id = bank_matches.bank_transaction_id
        WHERE booked_at IS NULL
          AND coalesce(wire.decided_at, wire.received_at) < now() - make_interval(secs => :seconds)
        UNION
        SELECT invoice_id FROM instructions
        WHERE decided_at IS NULL AND asked_at < now() - make_interval(secs => :seconds)
        UNION
        SELECT invoice_id FROM payments
        WHERE status = 'pending' AND created_at < now() - make_interval(secs => :seconds)
        UNION
        SELECT id FROM invoices WHERE to_wake
    ), waiting AS (
        SELECT invoice_id, true AS is_told FROM told
        UNION ALL
        SELECT invoice.id, false
        FROM invoices invoice JOIN billing_cycles cycle ON cycle.id = invoice.cycle_id
        WHERE invoice.status IN ('issued', 'overdue')
          AND cycle.closed_at < now() - interval '10 minutes'
          AND NOT EXISTS (SELECT FROM emails WHERE invoice_id = invoice.id)
    )
    SELECT invoices.number, bool_or(is_told) AS is_told
    FROM waiting JOIN invoices ON invoices.id = waiting.invoice_id
    WHERE invoices.number > :after
    GROUP BY invoices.number
    ORDER BY invoices.number
    LIMIT :limit
""")
