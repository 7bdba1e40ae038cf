"""Which months are to be proved anew by themselves."""

from sqlalchemy import Connection, text

from domain.periods import BillingPeriod


def due_proofs(connection: Connection) -> list[BillingPeriod]:
    """Closed months of which something may have changed since the last proof, the oldest first.

    The newest; those that were never proved, or are not balanced; those with invoices that were
    open then; and those whose time for payments ended since.
    """
    rows = connection.execute(_DUE)
    return [BillingPeriod.of(row.period_start) for row in rows]


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
                     AND (status IN ('issued', 'overdue') OR settled_on >= last.as_of)))
    ORDER BY cycle.period_start
""")
