"""How much waits, and for how long: the figures by which an operator sees that something stands."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from domain.dunning import CollectionState


@dataclass(frozen=True)
class Waiting:
    """Things of one kind that wait; the oldest of them since `oldest_seconds`, 0 for none."""

    what: str
    count: int
    oldest_seconds: float


@dataclass(frozen=True)
class Standing:
    """The state of the collection now.

    Attributes:
        open_invoices: by collection state, those with none included; settled ones are not open.
        on_hold, disputed: how many open invoices are.
        waiting: one of each kind, whether anything waits or not.
    """

    open_invoices: dict[str, int]
    on_hold: int
    disputed: int
    waiting: tuple[Waiting, ...]


def standing(connection: Connection) -> Standing:
    """The counts as PostgreSQL has them now."""
    states = connection.execute(_OPEN).all()
    counted = {row.collection_state: row.invoices for row in states}
    return Standing(
        open_invoices={
            state.value: counted.get(state.value, 0)
            for state in CollectionState
            if not state.is_end
        },
        on_hold=sum(row.on_hold for row in states),
        disputed=sum(row.disputed for row in states),
        waiting=tuple(Waiting(*row) for row in connection.execute(_WAITING)),
    )


_OPEN = text("""
    SELECT collection_state, count(*) AS invoices, count(*) FILTER (WHERE on_hold) AS on_hold,
           count(*) FILTER (WHERE disputed) AS disputed
    FROM invoices WHERE status IN ('issued', 'overdue')
    GROUP BY collection_state
""")

# an e-mail that the mail server refused for good, or that was given up, waits for nobody
_WAITING = text("""
    WITH waiting (what, since) AS (
        SELECT 'webhook_events', received_at FROM webhook_events WHERE applied_at IS NULL
        UNION ALL
        SELECT 'instructions', asked_at FROM instructions WHERE decided_at IS NULL
        UNION ALL
        SELECT 'unmatched_wires', received_at FROM bank_transactions WHERE status = 'unmatched'
        UNION ALL
        SELECT 'unbooked_wires', coalesce(wire.decided_at, wire.received_at)
        FROM bank_matches JOIN bank_transactions wire ON wire.id = bank_transaction_id
        WHERE booked_at IS NULL
        UNION ALL
        SELECT 'charges', created_at FROM payments WHERE status = 'pending'
        UNION ALL
        SELECT 'refunds', created_at FROM refunds WHERE status = 'pending'
        UNION ALL
        SELECT 'emails', email.created_at
        FROM emails email JOIN invoices invoice ON invoice.id = email.invoice_id
        WHERE email.sent_at IS NULL AND NOT EXISTS (
            SELECT FROM audit_log
            WHERE subject_kind = 'invoice' AND subject = invoice.number
              AND event = email.kind || '_email_refused'
              AND details ->> 'message_id' = email.message_id)
    )
    SELECT kind.what, count(since),
           greatest(extract(epoch FROM now() - min(since)), 0)::float
    FROM unnest(ARRAY['webhook_events', 'instructions', 'unmatched_wires', 'unbooked_wires',
                      'charges', 'refunds', 'emails']) WITH ORDINALITY AS kind (what, place)
    LEFT JOIN waiting USING (what)
    GROUP BY kind.what, kind.place
    ORDER BY kind.place
""")
