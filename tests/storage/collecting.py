"""Issued invoices, what arrives for them, and what must be true of their money at any time."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, text

from domain.instructions import InstructionKind
from storage import arrivals
from storage.allocation import Receipt, book_receipt
from storage.charges import Attempt, begin_attempt, record_success
from storage.collection import LockedInvoice
from storage.documents import store_document
from storage.engine import transaction
from storage.instructions import Asked, ask, carry_out
from storage.posting import issue_invoice
from storage.tables import bank_matches, bank_transactions, invoices
from storage.webhooks import store_event
from tests.builders import ACTOR, KNOWN_ANSWER, Subscriber

FIRST = "INV-2026-02-0001"
TOTAL = Decimal("312.91")
ON = date(2026, 3, 5)
"""The business date of whatever happens, unless a test cares."""

BY_CARD = Subscriber(
    "1047",
    247_891,
    ("premium-support",),
    columns={
        "payment_method": "card",
        "stripe_customer_id": "cus_1047",
        "stripe_payment_method_id": "pm_1",
    },
)
"""The known answer of 312.91 USD, with a card on file."""
BY_WIRE = KNOWN_ANSWER


def lock(connection: Connection, number: str = FIRST, *, on: date = ON) -> LockedInvoice:
    return LockedInvoice(connection, number, business_date=on, actor=ACTOR)


def issue(connection: Connection, number: str = FIRST, *, on_hold: bool = False) -> None:
    document = store_document(connection, b"pdf")
    issue_invoice(connection, number, document, actor=ACTOR, on_hold=on_hold)


def add_draft(connection: Connection, number: str, month: date, *, like: str = FIRST) -> str:
    """A draft of another month, with the customer, the lines and the amounts of `like`."""
    connection.execute(_COPY_INVOICE, {"number": number, "month": month, "like": like})
    connection.execute(_COPY_LINES, {"number": number, "like": like})
    return number


def receive(
    connection: Connection,
    amount: str | Decimal,
    key: str,
    *,
    number: str = FIRST,
    method: str = "bank_transfer",
    provider_id: str | None = None,
    on: date = ON,
) -> int | None:
    receipt = Receipt(method, Decimal(amount), key, provider_id=provider_id)
    return book_receipt(lock(connection, number, on=on), receipt)


def charge(connection: Connection, provider_id: str, *, number: str = FIRST) -> Attempt:
    """The card on file, charged with what is open."""
    attempt = begin(connection, provider_id, number=number)
    record_success(lock(connection, number), attempt.id)
    return attempt


def begin(
    connection: Connection, provider_id: str, *, number: str = FIRST, attempt: int = 1
) -> Attempt:
    """A charge whose payment is made at the processor, and not confirmed."""
    begun = begin_attempt(lock(connection, number), attempt)
    assert begun is not None, "something is open"
    connection.execute(
        text("UPDATE payments SET provider_id = :provider WHERE id = :id"),
        {"provider": provider_id, "id": begun.id},
    )
    return begun


def wire(
    connection: Connection,
    reference: str,
    parts: Mapping[str, str | Decimal],
    *,
    reversal_of: int | None = None,
    on: date = ON,
) -> int:
    """A matched bank transaction over the sum of `parts` by invoice, not booked; its id."""
    amounts = {number: Decimal(amount) for number, amount in parts.items()}
    id_: int = connection.execute(
        insert(bank_transactions)
        .values(
            bank_reference=reference,
            booked_on=on,
            amount=sum(amounts.values()),
            currency="USD",
            payer_name="Brandt",
            payer_iban="",
            remittance=" ".join(amounts),
            status="matched",
            reversal_of=reversal_of,
        )
        .returning(bank_transactions.c.id)
    ).scalar_one()
    for number, amount in amounts.items():
        connection.execute(
            insert(bank_matches).values(
                bank_transaction_id=id_,
                invoice_id=select(invoices.c.id)
                .where(invoices.c.number == number)
                .scalar_subquery(),
                amount=amount,
            )
        )
    return id_


def take_in(connection: Connection, *numbers: str, on: date = ON) -> None:
    for number in numbers or (FIRST,):
        arrivals.take_in(lock(connection, number, on=on))


# --- what the card processor tells


def event(type_: str, thing: Mapping[str, Any], id_: str, *, created: int = 0) -> dict[str, Any]:
    return {"id": id_, "type": type_, "created": created, "data": {"object": dict(thing)}}


def intent(
    id_: str, units: int = 31_291, *, number: str | None = None, **more: Any
) -> dict[str, Any]:
    """A payment; `number`: our mark on it, as the payments of a payer's page have it."""
    metadata = {"invoice_number": number} if number else {}
    return {
        "object": "payment_intent",
        "id": id_,
        "currency": "usd",
        "amount_received": units,
        "metadata": metadata,
        **more,
    }


def declined(id_: str, decline_code: str = "insufficient_funds") -> dict[str, Any]:
    error = {"code": "card_declined", "decline_code": decline_code, "message": "Declined."}
    return intent(id_, 0, last_payment_error=error)


def refund(
    id_: str, of: str, units: int, status: str = "succeeded", *, credit_note: str = ""
) -> dict[str, Any]:
    return {
        "object": "refund",
        "id": id_,
        "payment_intent": of,
        "amount": units,
        "currency": "usd",
        "status": status,
        "metadata": {"credit_note": credit_note} if credit_note else {},
    }


def dispute(
    id_: str, of: str, units: int = 31_291, status: str = "needs_response"
) -> dict[str, Any]:
    return {
        "object": "dispute",
        "id": id_,
        "payment_intent": of,
        "amount": units,
        "currency": "usd",
        "status": status,
        "reason": "product_not_received",
        "metadata": {},
    }


def tell(
    connection: Connection, *events: Mapping[str, Any], number: str = FIRST, on: date = ON
) -> None:
    """Each event stored and then taken in, one after the other."""
    for told in events:
        if store_event(connection, told) is not None:
            take_in(connection, number, on=on)


# --- what people ask


def instruct(
    connection: Connection,
    kind: InstructionKind,
    *,
    number: str = FIRST,
    on: date = ON,
    note: str = "agreed by phone",
    **details: Any,
) -> Asked:
    id_ = ask(connection, number, kind, note=note, person="Ada", details=details)
    return carry_out(connection, number, id_, business_date=on)


# --- what is there


def rows(connection: Connection, query: str, **values: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(text(query), values)]


def read(engine: Engine, query: str, **values: Any) -> list[tuple[Any, ...]]:
    with transaction(engine) as connection:
        return rows(connection, query, **values)


def standing(connection: Connection, number: str = FIRST) -> tuple[Any, ...]:
    """State, paid and credited."""
    (found,) = rows(
        connection,
        "SELECT collection_state, amount_paid, amount_credited FROM invoices WHERE number = :n",
        n=number,
    )
    return found


def credit(connection: Connection) -> Decimal:
    """All customers' credit."""
    ((balance,),) = rows(connection, "SELECT coalesce(sum(balance), 0) FROM credit_balances")
    return Decimal(balance)


def told(connection: Connection, number: str = FIRST) -> list[tuple[str, str | None, str | None]]:
    """Event, state before and state after, of everything in the audit log."""
    return [
        (event, before, after)
        for event, before, after in rows(
            connection,
            "SELECT event, from_state, to_state FROM audit_log "
            "WHERE subject_kind = 'invoice' AND subject = :n ORDER BY id",
            n=number,
        )
    ]


def outcomes(connection: Connection) -> dict[str, str | None]:
    """What became of each event of the card processor; None: it waits."""
    found = rows(connection, "SELECT event_id, outcome FROM webhook_events")
    return {str(id_): outcome for id_, outcome in found}


def everything(connection: Connection) -> list[list[tuple[Any, ...]]]:
    """All that collection writes, to see whether something changed."""
    return [rows(connection, query) for query in _EVERYTHING]


def wrongs(connection: Connection) -> Sequence[str]:
    """What is untrue of the money, in words; nothing where all is well."""
    return [
        f"{what}: {found}" for what, query in _WRONGS.items() if (found := rows(connection, query))
    ]


_COPY_INVOICE = text("""
    INSERT INTO invoices (number, customer_id, cycle_id, period_start, kind, status, currency,
        usage_amount, subscription_amount, proration_amount, subtotal, tax, total, tax_lines,
        segment, customer, seller_version, issued_on, due_on)
    SELECT :number, customer_id, cycle_id, :month, kind, 'draft', currency, usage_amount,
        subscription_amount, proration_amount, subtotal, tax, total, tax_lines, segment, customer,
        seller_version, issued_on, due_on
    FROM invoices WHERE number = :like
""")
_COPY_LINES = text("""
    INSERT INTO invoice_line_items (invoice_id, position, kind, description, quantity, unit_price,
        amount, plan_code, plan_version, service_month)
    SELECT draft.id, position, line.kind, description, quantity, unit_price, amount, plan_code,
        plan_version, draft.period_start
    FROM invoice_line_items line JOIN invoices ON invoices.id = line.invoice_id, invoices draft
    WHERE invoices.number = :like AND draft.number = :number
""")
_EVERYTHING = (
    """SELECT number, status, collection_state, amount_paid, amount_credited, settled_on,
              dunning_from, dunning_round, steps_taken, first_failed_on, on_hold, disputed
       FROM invoices ORDER BY number""",
    "SELECT id, status, amount, allocated, returned, failure_code FROM payments ORDER BY id",
    "SELECT customer_id, currency, balance FROM credit_balances ORDER BY 1, 2",
    "SELECT key, amount, reason FROM credit_entries ORDER BY id",
    "SELECT id, status, amount, provider_id FROM refunds ORDER BY id",
    "SELECT number, total, returned_amount FROM credit_notes ORDER BY id",
    "SELECT id, outcome, answer FROM instructions ORDER BY id",
    "SELECT event_id, outcome FROM webhook_events ORDER BY 1",
    "SELECT bank_transaction_id, invoice_id, payment_id FROM bank_matches ORDER BY 1, 2",
    "SELECT count(*) FROM audit_log",
)
_WRONGS = {
    "the receivable is not what is open": """
        SELECT number, status, total - amount_paid - amount_credited, receivable
        FROM (SELECT invoices.*, (SELECT coalesce(sum(amount), 0) FROM receivable_entries
                                  WHERE invoice_id = invoices.id) AS receivable
              FROM invoices) AS invoices
        WHERE receivable <> CASE WHEN status IN ('issued', 'overdue')
                                 THEN greatest(total, 0) - amount_paid - amount_credited
                                 ELSE 0 END""",
    "paid is not what is allocated": """
        SELECT number, amount_paid, sum(coalesce(allocated, 0))
        FROM invoices LEFT JOIN payments ON payments.invoice_id = invoices.id
        GROUP BY invoices.id HAVING amount_paid <> sum(coalesce(allocated, 0))""",
    "paid and credited exceed the total": """
        SELECT number FROM invoices WHERE amount_paid + amount_credited > greatest(total, 0)""",
    "credited is not what the credit notes say": """
        SELECT invoices.number, amount_credited, sum(coalesce(note.total, 0))
        FROM invoices LEFT JOIN credit_notes note ON note.invoice_id = invoices.id
        GROUP BY invoices.id HAVING amount_credited <> sum(coalesce(note.total, 0))""",
    "more is spent than was received": """
        SELECT id FROM payments WHERE allocated + returned > amount""",
    "the balance is not what its entries sum to": """
        SELECT customer_id, balance FROM credit_balances b
        WHERE balance <> (SELECT coalesce(sum(amount), 0) FROM credit_entries e
                          WHERE (e.customer_id, e.currency) = (b.customer_id, b.currency))""",
    "the balance is not what payments leave over": """
        SELECT customer_id, currency, sum(left_over), max(balance)
        FROM (SELECT customer_id, payments.currency,
                     CASE WHEN method = 'credit' THEN -allocated
                          WHEN payments.status IN ('succeeded', 'reversed')
                          THEN amount - allocated - returned ELSE 0 END AS left_over
              FROM payments JOIN invoices ON invoices.id = payments.invoice_id) AS parts
        LEFT JOIN credit_balances USING (customer_id, currency)
        GROUP BY customer_id, currency HAVING sum(left_over) <> coalesce(max(balance), 0)""",
    "an end does not fit the money": """
        SELECT number, collection_state FROM invoices
        WHERE collection_state = 'paid' AND amount_paid + amount_credited <> greatest(total, 0)
           OR collection_state = 'void' AND (amount_paid, amount_credited) <> (0, total)
           OR collection_state NOT IN ('paid', 'void', 'uncollectible')
              AND amount_paid + amount_credited = total""",
    "the status does not fit the state": """
        SELECT number, status, collection_state, settled_on FROM invoices
        WHERE status <> 'draft' AND
              ((collection_state IN ('paid', 'void', 'uncollectible')) <> (settled_on IS NOT NULL)
               OR (collection_state IN ('paid', 'void', 'uncollectible')
                   OR status IN ('paid', 'void', 'uncollectible')) AND status <> collection_state
               OR collection_state NOT IN ('paid', 'void', 'uncollectible')
                  AND status NOT IN ('issued', 'overdue'))""",
    "the audit log does not tell one state after the other": """
        SELECT subject, before, from_state FROM (
            SELECT subject, from_state,
                   lag(to_state) OVER (PARTITION BY subject ORDER BY id) AS before
            FROM audit_log WHERE subject_kind = 'invoice' AND to_state IS NOT NULL) AS told
        WHERE before <> from_state""",
    "the audit log does not end where the invoice is": """
        SELECT number, collection_state, last.to_state FROM invoices JOIN LATERAL (
            SELECT to_state FROM audit_log WHERE subject_kind = 'invoice' AND subject = number
              AND to_state IS NOT NULL ORDER BY id DESC LIMIT 1) last ON true
        WHERE status <> 'draft' AND collection_state <> last.to_state""",
}
