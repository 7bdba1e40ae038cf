"""Billed months that the next cycle rates anew, beside those whose usage changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, insert, select, text

from domain.periods import BillingPeriod
from storage.billed_usage import forget_credited
from storage.tables import billing_cycles, customers, planned_credits, reopened_months

CONTRACT, VOID, DISCARD, REFUSAL = "contract", "void", "discard", "refusal"


@dataclass(frozen=True)
class Reopening:
    """A customer's months from `first` to `last`, both inclusive."""

    customer_id: int
    first: date
    last: date


def reopen(
    connection: Connection, reopenings: Sequence[Reopening], *, reason: str, person: str
) -> None:
    """Has the next cycle rate the months anew.

    Whoever reopens months of the same customer at once waits: their order is that of the ids, by
    which a rating tells what it knew.
    """
    if not reopenings:
        return
    ids = sorted({reopening.customer_id for reopening in reopenings})
    connection.execute(
        select(customers.c.id)
        .where(customers.c.id.in_(ids))
        .order_by(customers.c.id)
        .with_for_update(key_share=True)
    )
    connection.execute(
        insert(reopened_months),
        [
            {
                "customer_id": reopening.customer_id,
                "from_month": reopening.first.replace(day=1),
                "to_month": reopening.last.replace(day=1),
                "reason": reason,
                "person": person,
            }
            for reopening in reopenings
        ],
    )


def contract_changed(
    connection: Connection, changes: Iterable[tuple[int, date, date | None]], *, person: str
) -> None:
    """Contracts of customers changed on the days `[first, after)`, `after` None: without an end.

    Months without a cycle are rated by what holds then. One that only is planned may be issued as
    it was planned, so that it is reopened as well.
    """
    planned = (
        connection.execute(
            select(billing_cycles.c.period_start).order_by(billing_cycles.c.period_start)
        )
        .scalars()
        .all()
    )
    reopenings = []
    for customer_id, first, after in changes:
        months = [
            month
            for month in planned
            if BillingPeriod.of(month).end > first and (after is None or month < after)
        ]
        if months:
            reopenings.append(Reopening(customer_id, months[0], months[-1]))
    reopen(connection, reopenings, reason=CONTRACT, person=person)


def reopen_months_of_invoice(connection: Connection, invoice_id: int, *, person: str) -> None:
    """An invoice is void: what it charged of months before its own is charged by nobody now, and
    what others charge of its own month was counted beside it.
    """
    rows = connection.execute(_RATED_BY, {"invoice": invoice_id})
    months = [Reopening(row.customer_id, row.month, row.month) for row in rows]
    reopen(connection, months, reason=VOID, person=person)


def reopen_months_of_cycle(connection: Connection, cycle_id: int, *, person: str) -> None:
    """A plan is discarded: later plans counted beside what it was about to charge."""
    rows = connection.execute(_RATED_SINCE, {"cycle": cycle_id})
    months = [Reopening(row.customer_id, row.month, row.month) for row in rows]
    reopen(connection, months, reason=DISCARD, person=person)


def reopen_month_of_credit(connection: Connection, instruction_id: int, *, person: str) -> None:
    """An invoice refused what was to be given back of a month: it was not, and what is left to give
    back is for the next cycle to find. Of an instruction that no plan asked for, nothing is.
    """
    planned = planned_credits.c
    row = connection.execute(
        select(planned.cycle_id, planned.customer_id, planned.month).where(
            planned.instruction_id == instruction_id
        )
    ).one_or_none()
    if row is None:
        return
    month = BillingPeriod.of(row.month)
    forget_credited(connection, row.cycle_id, row.customer_id, month)
    reopen(
        connection,
        [Reopening(row.customer_id, month.start, month.start)],
        reason=REFUSAL,
        person=person,
    )


_RATED_BY = text("""
    SELECT customer_id, month FROM rated_months WHERE invoice_id = :invoice ORDER BY month
""")
_RATED_SINCE = text("""
    SELECT DISTINCT here.customer_id, here.month
    FROM rated_months here
    JOIN rated_months later ON later.customer_id = here.customer_id
        AND later.month = here.month AND later.id > here.id
    WHERE here.cycle_id = :cycle
    ORDER BY 1, 2
""")
