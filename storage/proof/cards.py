"""What our books say of the card payments in a month's time, to be held against the processor's."""

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy import Connection, text

from domain.card_amounts import from_stripe
from domain.card_movements import BookedMovement, CardMovement, Key, MovementKind, Stranger
from storage.proof.sides import Span


def card_books(connection: Connection, span: Span) -> tuple[BookedMovement, ...]:
    """Charges, refunds and disputes that began in the month's time."""
    movements = [
        BookedMovement(
            MovementKind(row.kind),
            row.id,
            row.amount,
            row.currency,
            row.account_number,
            row.number,
            row.settled,
        )
        for row in connection.execute(_BOOKED, span.parameters)
    ]
    return (*movements, *_disputes(connection, span))


def _disputes(connection: Connection, span: Span) -> list[BookedMovement]:
    """Each by the last that was told of it; an inquiry takes no money."""
    found = []
    for row in connection.execute(_DISPUTES, span.parameters):
        taken = not (row.status == "won" or row.status.startswith("warning_"))
        amount = -from_stripe(row.units, row.currency) if taken else Decimal(0)
        booked = row.outcome == "applied" or row.status != "lost"
        found.append(
            BookedMovement(
                MovementKind.DISPUTE,
                row.id,
                amount if booked else Decimal(0),
                row.currency,
                row.account_number,
                row.number,
                settled=row.outcome is not None,
            )
        )
    return found


def strangers(connection: Connection, movements: Sequence[CardMovement]) -> dict[Key, Stranger]:
    """What is known here of movements that are not among a month's."""
    if not movements:
        return {}
    asked = {
        "kinds": [movement.kind.value for movement in movements],
        "ids": [movement.id for movement in movements],
        "payments": [movement.payment_id for movement in movements],
        "numbers": [movement.invoice_number for movement in movements],
        "customers": [movement.customer_id for movement in movements],
    }
    return {
        (MovementKind(row.kind), row.id): Stranger(row.elsewhere, row.account_number, row.number)
        for row in connection.execute(_STRANGERS, asked)
    }


_INSIDE = """
    created_at >= :since AND (CAST(:until AS timestamptz) IS NULL OR created_at < :until)
"""
_BOOKED = text(f"""
    SELECT 'charge' AS kind, payment.provider_id AS id, payment.amount, payment.currency,
           customer.account_number, invoice.number, payment.status <> 'pending' AS settled
    FROM (SELECT * FROM payments WHERE {_INSIDE}) payment
    JOIN invoices invoice ON invoice.id = payment.invoice_id
    JOIN customers customer ON customer.id = invoice.customer_id
    WHERE payment.method = 'card' AND payment.provider_id IS NOT NULL
      AND payment.status IN ('succeeded', 'reversed', 'pending')
    UNION ALL
    SELECT 'refund', refund.provider_id, CASE WHEN refund.status = 'failed' THEN 0
                                              ELSE -refund.amount END,
           payment.currency, customer.account_number, invoice.number, true
    FROM (SELECT * FROM refunds WHERE {_INSIDE}) refund
    JOIN payments payment ON payment.id = refund.payment_id
    JOIN invoices invoice ON invoice.id = payment.invoice_id
    JOIN customers customer ON customer.id = invoice.customer_id
    WHERE refund.provider_id IS NOT NULL
""")  # noqa: S608 - of constants
_DISPUTES = text("""
    SELECT DISTINCT ON (told.id) told.id, told.status, told.units, told.currency, told.outcome,
           customer.account_number, invoice.number
    FROM (
        SELECT payload #>> '{data,object,id}' AS id,
               payload #>> '{data,object,status}' AS status,
               (payload #>> '{data,object,amount}')::bigint AS units,
               upper(payload #>> '{data,object,currency}') AS currency,
               to_timestamp((payload #>> '{data,object,created}')::numeric) AS created_at,
               type, outcome, invoice_id
        FROM webhook_events
        WHERE type IN ('charge.dispute.created', 'charge.dispute.closed')
          AND invoice_id IS NOT NULL
    ) told
    JOIN invoices invoice ON invoice.id = told.invoice_id
    JOIN customers customer ON customer.id = invoice.customer_id
    WHERE told.created_at >= :since
      AND (CAST(:until AS timestamptz) IS NULL OR told.created_at < :until)
    ORDER BY told.id, told.type = 'charge.dispute.closed' DESC
""")
_STRANGERS = text("""
    SELECT asked.kind, asked.id, coalesce(about.number, '') AS number,
           coalesce(about.account_number, (
               SELECT min(account_number) FROM customers
               WHERE stripe_customer_id = asked.customer), '') AS account_number,
           CASE asked.kind
               WHEN 'charge' THEN EXISTS (
                   SELECT FROM payments WHERE provider_id = asked.id AND status <> 'failed')
               WHEN 'refund' THEN EXISTS (SELECT FROM refunds WHERE provider_id = asked.id)
               ELSE EXISTS (
                   SELECT FROM webhook_events
                   WHERE type IN ('charge.dispute.created', 'charge.dispute.closed')
                     AND payload #>> '{data,object,id}' = asked.id AND invoice_id IS NOT NULL)
           END AS elsewhere
    FROM unnest(CAST(:kinds AS text[]), CAST(:ids AS text[]), CAST(:payments AS text[]),
                CAST(:numbers AS text[]), CAST(:customers AS text[]))
         AS asked (kind, id, payment, number, customer)
    LEFT JOIN LATERAL (
        SELECT invoice.number, customer.account_number
        FROM invoices invoice JOIN customers customer ON customer.id = invoice.customer_id
        WHERE invoice.number = asked.number
           OR invoice.id = (SELECT invoice_id FROM payments WHERE provider_id = asked.payment)
        ORDER BY invoice.number = asked.number LIMIT 1
    ) about ON true
""")
