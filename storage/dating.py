"""Drafts whose plan waited are dated by the day on which their issue begins."""

from datetime import date

from sqlalchemy import Connection, update

from storage import audit
from storage.drafts import Cycle
from storage.tables import billing_cycles, invoices


def date_by_issue(connection: Connection, cycle: Cycle, today: date, *, actor: str) -> None:
    """Moves the drafts of a cycle that is dated by its issue to `today`, each with its whole term.

    None goes back. A later pass dates what it issues, and the cycle keeps the date of its first
    one. The caller holds the cycle's row.
    """
    if not cycle.dated_by_issue:
        return
    moved = connection.execute(
        update(invoices)
        .where(
            invoices.c.cycle_id == cycle.id,
            invoices.c.status == "draft",
            invoices.c.issued_on < today,
        )
        .values(issued_on=today, due_on=today + (invoices.c.due_on - invoices.c.issued_on))
    ).rowcount
    if cycle.issued_on < today and not cycle.issue_began:
        connection.execute(
            update(billing_cycles).where(billing_cycles.c.id == cycle.id).values(issued_on=today)
        )
    if moved:
        audit.record(
            connection,
            audit.AuditEntry(
                today,
                actor,
                "cycle",
                str(cycle.period),
                "dated",
                reason="its issue begins later than it was planned for",
                details={"planned_for": cycle.issued_on.isoformat(), "drafts": moved},
            ),
        )
