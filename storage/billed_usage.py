"""What each rating of a month accounts for, so that a later one knows what is new since.

Written in the transaction that writes what is charged. What was read of the month, usage with the
count of its changes in one statement and the contract's mark before, says what it knew: whatever
commits later is found by the next cycle, and nothing is counted twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sqlalchemy import Connection, delete, exists, func, insert, select, text

from domain.periods import BillingPeriod
from storage.customers import UsedInMonth
from storage.tables import billed_usage, planned_credits, rated_months, reopened_months


@dataclass(frozen=True)
class Rating:
    """One rating of a customer's month.

    Attributes:
        invoice_id: where it is charged; None where nothing is, since all of it was free, or was
            taken back by a credit note.
        reopened: the last reopening of the customer's months that it knew; 0 for none.
        used: by metric, the quantity that it accounts for beside those before, and how often the
            month's counter was touched by then.
    """

    customer_id: int
    month: BillingPeriod
    invoice_id: int | None
    reopened: int
    used: Mapping[str, tuple[Decimal, int]] = field(default_factory=dict)


def whole_month(used: UsedInMonth) -> dict[str, tuple[Decimal, int]]:
    """What the first rating of a month accounts for."""
    return {metric: (used.quantity(metric), changes) for metric, changes in used.changes.items()}


def record_ratings(connection: Connection, cycle_id: int, ratings: Sequence[Rating]) -> None:
    """Writes them down, beside what their invoices charge.

    A cycle may give back of a month what it could not know when it did so before: both count.
    """
    months = [
        {
            "cycle_id": cycle_id,
            "customer_id": rating.customer_id,
            "month": rating.month.start,
            "invoice_id": rating.invoice_id,
            "reopened": rating.reopened,
        }
        for rating in ratings
    ]
    usage = [
        {
            "cycle_id": cycle_id,
            "customer_id": rating.customer_id,
            "month": rating.month.start,
            "invoice_id": rating.invoice_id,
            "metric": metric,
            "quantity": quantity,
            "changes": changes,
        }
        for rating in ratings
        for metric, (quantity, changes) in rating.used.items()
    ]
    for statement, rows in (
        (_FORGET_UNCHARGED, [row for row in months if row["invoice_id"] is None]),
        (insert(rated_months), months),
        (insert(billed_usage), [row for row in usage if row["invoice_id"] is not None]),
        (_COUNT_MORE, [row for row in usage if row["invoice_id"] is None]),
    ):
        if rows:
            connection.execute(statement, rows)


def forget_unasked(connection: Connection, cycle_id: int, customer_ids: Sequence[int]) -> None:
    """Takes back what a cycle that plans customers anew had found to be free, or to be credited,
    unless the credit was approved, asked for, or came back, by now.
    """
    connection.execute(_FORGET_CREDITS, {"cycle": cycle_id, "customers": list(customer_ids)})
    for table in (billed_usage, rated_months):
        credit = planned_credits.c
        asked = exists().where(
            credit.cycle_id == table.c.cycle_id,
            credit.customer_id == table.c.customer_id,
            credit.month == table.c.month,
        )
        connection.execute(
            delete(table).where(
                table.c.cycle_id == cycle_id,
                table.c.customer_id.in_(customer_ids),
                table.c.invoice_id.is_(None),
                ~asked,
            )
        )


def forget_uncharged(
    connection: Connection, customer_ids: Sequence[int], month: BillingPeriod
) -> None:
    """Takes back what other cycles counted of a month without charging it: the month's own cycle
    rates it as a whole.
    """
    for table in (billed_usage, rated_months):
        connection.execute(
            delete(table).where(
                table.c.customer_id.in_(customer_ids),
                table.c.month == month.start,
                table.c.invoice_id.is_(None),
            )
        )


def forget_credited(
    connection: Connection, cycle_id: int, customer_id: int, month: BillingPeriod
) -> None:
    """Takes back the units that a cycle counted of a month of which it was to give something back,
    since it could not.
    """
    connection.execute(
        delete(billed_usage).where(
            billed_usage.c.cycle_id == cycle_id,
            billed_usage.c.customer_id == customer_id,
            billed_usage.c.month == month.start,
            billed_usage.c.invoice_id.is_(None),
        )
    )


def last_reopenings(connection: Connection, customer_ids: Sequence[int]) -> dict[int, int]:
    """By customer id, the last reopening of their months; without one, they are not in it.

    Read it before what the months are rated by.
    """
    reopened = reopened_months.c
    rows = connection.execute(
        select(reopened.customer_id, func.max(reopened.id))
        .where(reopened.customer_id.in_(customer_ids))
        .group_by(reopened.customer_id)
    )
    return {customer_id: last for customer_id, last in rows}


_FORGET_UNCHARGED = text("""
    DELETE FROM rated_months
    WHERE cycle_id = :cycle_id AND customer_id = :customer_id AND month = :month
      AND invoice_id IS NULL
""")
_COUNT_MORE = text("""
    INSERT INTO billed_usage AS counted
        (cycle_id, customer_id, month, invoice_id, metric, quantity, changes)
    VALUES (:cycle_id, :customer_id, :month, :invoice_id, :metric, :quantity, :changes)
    ON CONFLICT (cycle_id, customer_id, month, metric, invoice_id)
    DO UPDATE SET quantity = counted.quantity + excluded.quantity, changes = excluded.changes
""")
_FORGET_CREDITS = text("""
    DELETE FROM planned_credits planned
    WHERE cycle_id = :cycle AND customer_id = ANY(:customers) AND NOT EXISTS (
        SELECT FROM planned_credits asked
        WHERE asked.cycle_id = planned.cycle_id AND asked.customer_id = planned.customer_id
          AND asked.month = planned.month
          AND (asked.instruction_id IS NOT NULL OR asked.approval_id IS NOT NULL OR EXISTS (
              SELECT FROM prepaid_returns
              WHERE planned_credit_id = asked.id AND returned_at IS NOT NULL)))
""")
