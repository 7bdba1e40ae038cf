"""What a plan gives back, asked of the invoices that billed it once its issue begins."""

from sqlalchemy import Connection, not_, or_, select, update

from domain.crediting import RefundTo
from domain.instructions import InstructionKind
from storage.instructions import ask
from storage.tables import billing_cycles, invoices, planned_credits

MAY_BE_GIVEN_BACK = or_(
    not_(billing_cycles.c.approval_required), planned_credits.c.approval_id.is_not(None)
)
"""A planned credit of a cycle that need not be approved, or that is."""


def ask_for_credits(connection: Connection, cycle_id: int, *, person: str) -> int:
    """Has each planned credit of the cycle carried out by its invoice's workflow, as a credit note;
    how many were asked for.

    The caller holds the cycle's row. Each is asked for once, under a key of its own, and the sweep
    wakes the invoice's workflow. Where the cycle is to be approved, those that are not are left.
    """
    planned = planned_credits
    waiting = connection.execute(
        select(planned, invoices.c.number)
        .join(invoices, invoices.c.id == planned.c.invoice_id)
        .join(billing_cycles, billing_cycles.c.id == planned.c.cycle_id)
        .where(
            MAY_BE_GIVEN_BACK,
            planned.c.cycle_id == cycle_id,
            planned.c.instruction_id.is_(None),
            planned.c.net > 0,
        )
        .order_by(planned.c.id)
    ).all()
    for row in waiting:
        instruction = ask(
            connection,
            row.number,
            InstructionKind.CREDIT_NOTE,
            note=row.reason,
            person=person,
            details={"lines": row.credit, "refund_to": RefundTo.CREDIT.value},
            idempotency_key=f"planned-credit/{row.id}",
        )
        connection.execute(
            update(planned).where(planned.c.id == row.id).values(instruction_id=instruction)
        )
    return len(waiting)
