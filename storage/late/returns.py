"""What a plan gives back to prepaid credit, once its issue begins."""

from datetime import date

from sqlalchemy import Connection, func, select, update

from storage.late.credits import MAY_BE_GIVEN_BACK
from storage.master_data.prepaid import tell_returned
from storage.tables import billing_cycles, invoices, planned_credits, prepaid_returns


def return_prepaid(connection: Connection, cycle_id: int, *, on: date, person: str) -> int:
    """Has what the cycle gives back to prepaid credit count as undrawn, each once, with an audit
    entry of the credit `on` that day; how many there were.

    The caller holds the cycle's row. Where the cycle is to be approved, those that are not stay.
    """
    back, planned = prepaid_returns.c, planned_credits.c
    waiting = connection.execute(
        select(
            back.planned_credit_id, back.grant_id, back.amount, planned.reason, invoices.c.number
        )
        .join(planned_credits, planned.id == back.planned_credit_id)
        .join(invoices, invoices.c.id == back.invoice_id)
        .join(billing_cycles, billing_cycles.c.id == planned.cycle_id)
        .where(
            MAY_BE_GIVEN_BACK,
            planned.cycle_id == cycle_id,
            back.returned_at.is_(None),
        )
        .order_by(back.planned_credit_id, back.grant_id)
    ).all()
    for row in waiting:
        connection.execute(
            update(prepaid_returns)
            .where(back.planned_credit_id == row.planned_credit_id, back.grant_id == row.grant_id)
            .values(returned_at=func.now())
        )
        details = {"amount": f"{row.amount:f}", "invoice": row.number, "reason": row.reason}
        tell_returned(connection, row.grant_id, details, business_date=on, by=person)
    return len(waiting)
