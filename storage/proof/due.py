"""Which months are to be proved anew by themselves."""

from sqlalchemy import Connection, text

from domain.periods import BillingPeriod


def due_proofs(connection: Connection) -> list[BillingPeriod]:
    """Closed months of which something may have changed since the last proof, the oldest first.

    The newest; those that were never proved, or are not balanced; those with invoices that were
    open then; those whose time for payments ended since; and those of which a later cycle billed
    more, or was given back, since.
    """
    rows = connection.execute(_DUE)
    return [BillingPeriod.of(row.period_start) for row in rows]


# a proof is kept at most an hour behind the instant that it is of: PROVE in workflows/policies.py
_DUE = text("""
    SELECT cycle.period_start
    FROM billing_cycles cycle
    LEFT JOIN LATERAL (
        SELECT status, made_at, as_of FROM reconciliations
        WHERE cycle_id = cycle.id ORDER BY id DESC LIMIT 1
    ) last ON true
    WHERE cycle.status = 'closed' AND (
        last.status IS DISTINCT FROM 'balanced'
        OR NOT EXISTS (SELECT FROM billing_cycles later
                       WHERE later.issue_began_at > cycle.issue_began_at
                         AND later.issue_began_at < last.made_at)
        OR EXISTS (SELECT FROM invoices
                   WHERE period_start = cycle.period_start AND cycle_id = cycle.id
                     AND (status IN ('issued', 'overdue') OR settled_on >= last.as_of))
        OR EXISTS (SELECT FROM billing_cycles later
                   JOIN rated_months rated ON rated.cycle_id = later.id
                   WHERE later.id <> cycle.id AND rated.month = cycle.period_start
                     AND later.closed_at > last.made_at - interval '1 hour')
        OR EXISTS (SELECT FROM credit_notes note JOIN invoices ON invoices.id = note.invoice_id
                   WHERE period_start = cycle.period_start AND cycle_id = cycle.id
                     AND note.created_at > last.made_at - interval '1 hour'))
    ORDER BY cycle.period_start
""")
