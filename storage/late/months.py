"""The months that a cycle has to rate anew: billed before, and changed since."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date

from sqlalchemy import Connection, and_, or_, select, text

from domain.periods import BillingPeriod
from storage.tables import billing_cycle_items, billing_cycles, invoices


def months_to_rate(
    connection: Connection,
    period: BillingPeriod,
    customer_ids: Sequence[int],
    held: Sequence[int],
) -> dict[int, list[BillingPeriod]]:
    """By customer id, the months before `period` to rate anew, the oldest first.

    `held`: drafts that are about to be written anew, so that what they account for is open.
    """
    rows = connection.execute(
        MONTHS_TO_RATE,
        {"period": period.start, "customers": list(customer_ids), "held": list(held)},
    )
    found: dict[int, list[BillingPeriod]] = defaultdict(list)
    for row in rows:
        found[row.customer_id].append(BillingPeriod.of(row.month))
    return found


def months_that_count_late(
    connection: Connection, customer_id: int, first: date, after: date | None
) -> list[BillingPeriod]:
    """The months with a day in `[first, after)`, `after` None: without an end, that are billed for
    the customer, or being issued, so that the next cycle rates them anew.
    """
    cycle, item = billing_cycles.c, billing_cycle_items.c
    rows = connection.execute(
        select(cycle.period_start)
        .outerjoin(
            billing_cycle_items,
            and_(item.cycle_id == cycle.id, item.customer_id == customer_id, item.part == ""),
        )
        .outerjoin(invoices, invoices.c.id == item.invoice_id)
        .where(
            cycle.issue_began_at.is_not(None),
            or_(
                item.outcome.is_(None),
                item.outcome == "skipped",
                and_(item.outcome != "failed", invoices.c.status != "void"),
            ),
        )
        .order_by(cycle.period_start)
    )
    months = [BillingPeriod.of(month) for month in rows.scalars()]
    return [month for month in months if month.days_covered(first, after)]


MONTHS_TO_RATE = text("""
    WITH past AS (
        SELECT id, period_start AS month FROM billing_cycles
        WHERE issue_began_at IS NOT NULL AND period_start < :period
    ), changed AS (
        SELECT used.customer_id, past.id AS cycle_id, past.month
        FROM past JOIN usage_monthly used ON used.month = past.month
        WHERE used.customer_id = ANY(:customers)
          AND used.changes IS DISTINCT FROM (
              SELECT max(billed.changes) FROM billed_usage billed
              WHERE billed.customer_id = used.customer_id AND billed.month = used.month
                AND billed.metric = used.metric
                AND (billed.invoice_id IS NULL OR billed.invoice_id <> ALL(:held)))
        UNION
        SELECT reopened.customer_id, past.id, past.month
        FROM reopened_months reopened
        JOIN past ON past.month BETWEEN reopened.from_month AND reopened.to_month
        WHERE reopened.customer_id = ANY(:customers)
          AND reopened.id > (
              SELECT coalesce(max(rated.reopened), 0) FROM rated_months rated
              WHERE rated.customer_id = reopened.customer_id AND rated.month = past.month
                AND (rated.invoice_id IS NULL OR rated.invoice_id <> ALL(:held)))
    )
    -- looked up one by one, since changes are few among the many months that are looked at
    SELECT changed.customer_id, changed.month
    FROM changed
    WHERE coalesce((
              SELECT item.outcome = 'skipped' OR (item.outcome = 'issued' AND own.status <> 'void')
              FROM billing_cycle_items item LEFT JOIN invoices own ON own.id = item.invoice_id
              WHERE item.cycle_id = changed.cycle_id
                AND item.customer_id = changed.customer_id AND item.part = ''), true)
      AND (SELECT count(*) FROM invoices elsewhere
           WHERE elsewhere.customer_id = changed.customer_id
             AND elsewhere.period_start = changed.month AND elsewhere.kind = 'regular'
             AND elsewhere.status <> 'void'
             AND elsewhere.cycle_id IS DISTINCT FROM changed.cycle_id) = 0
    ORDER BY 1, 2
""")
"""Months whose issue has begun, of which a counter was touched since they were last rated, or that
were reopened. Who failed there, or has a draft, is billed there; a void that nobody issued anew was
decided, and what an older system billed is its own.
"""
