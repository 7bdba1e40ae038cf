"""A plan thrown away before anything of it was issued, so that the month can be started anew."""

from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, select

from domain.errors import Conflict, NotFound
from domain.periods import BillingPeriod
from storage import audit
from storage.late.reopening import reopen_months_of_cycle
from storage.tables import (
    audit_log,
    billed_usage,
    billing_cycle_items,
    billing_cycles,
    invoices,
    planned_credits,
    rated_months,
)


def plan_to_discard(connection: Connection, period: BillingPeriod) -> int:
    """The id of the period's cycle, whose plan may be discarded as it stands.

    Raises NotFound if there is none, and Conflict with the reason once the issue has begun.
    """
    row = connection.execute(_cycle_of(period)).one_or_none()
    if row is None:
        raise NotFound(f"There is no billing cycle for {period}; start it first.")
    _require_nothing_issued(connection, period, row)
    return int(row.id)


def discard_plan(
    connection: Connection, period: BillingPeriod, cycle_id: int, *, actor: str
) -> int:
    """Deletes the cycle, its outcomes and the credits that it planned, and its drafts with their
    lines; how many drafts there were.

    Pages are planned, and the issue is begun, under the same lock of the cycle's row. What was
    discarded before answers what it answered then; it is known by `cycle_id`, so that an attempt
    that comes late leaves the cycle alone that was started since.
    Raises Conflict once the issue has begun and where there is another cycle, and NotFound.
    """
    row = connection.execute(_cycle_of(period).with_for_update()).one_or_none()
    if row is None:
        return _drafts_discarded(connection, period, cycle_id)
    if row.id != cycle_id:
        raise Conflict(f"{period} was started anew meanwhile; read its plan before you discard it.")
    _require_nothing_issued(connection, period, row)
    reopen_months_of_cycle(connection, cycle_id, person=actor)
    for table in (billing_cycle_items, planned_credits, rated_months, billed_usage):
        connection.execute(delete(table).where(table.c.cycle_id == cycle_id))
    drafts = connection.execute(delete(invoices).where(invoices.c.cycle_id == cycle_id)).rowcount
    connection.execute(delete(billing_cycles).where(billing_cycles.c.id == cycle_id))
    audit.record(
        connection,
        audit.AuditEntry(
            row.issued_on,
            actor,
            "cycle",
            str(period),
            "discarded",
            row.status,
            details={"cycle": cycle_id, "drafts": drafts},
        ),
    )
    return drafts


def _cycle_of(period: BillingPeriod) -> Select[Any]:
    return select(billing_cycles).where(billing_cycles.c.period_start == period.start)


def _require_nothing_issued(connection: Connection, period: BillingPeriod, row: Row[Any]) -> None:
    """Once the issue has begun, a draft's document may be on its way, however little was issued;
    it would be posted with whichever draft has that number then.
    """
    if row.issue_began_at is None:
        return
    issued = connection.execute(
        select(func.count()).where(invoices.c.cycle_id == row.id, invoices.c.status != "draft")
    ).scalar_one()
    if issued == 0:
        raise Conflict(f"The issue of {period} has begun; pause it, and retry what fails.")
    counted = "1 invoice" if issued == 1 else f"{issued:,} invoices"
    verb = "is" if issued == 1 else "are"
    raise Conflict(f"{counted} of {period} {verb} issued; credit or void what is wrong.")


def _drafts_discarded(connection: Connection, period: BillingPeriod, cycle_id: int) -> int:
    told = connection.execute(
        select(audit_log.c.details["drafts"].as_integer()).where(
            audit_log.c.subject_kind == "cycle",
            audit_log.c.subject == str(period),
            audit_log.c.event == "discarded",
            audit_log.c.details["cycle"].as_integer() == cycle_id,
        )
    ).scalar_one_or_none()
    if told is None:
        raise NotFound(f"There is no billing cycle for {period}; start it first.")
    return int(told)
