"""Usage by day and month against the events: they are the same, or somebody is told where not.

Bills and reports read the sums, which are written in the statement that writes the events. What
else touches either, such as a copy restored in part or a row mended by hand, shows here.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from sqlalchemy import Connection, text

from domain.periods import BillingPeriod
from storage import audit
from storage.recurring import forget_from, lock_writers
from storage.usage.batches import Batch, begin_batch, record_batch

SUBJECT = "usage"


@dataclass(frozen=True)
class Difference:
    """A sum that is not that of its events, in units of the metric.

    Attributes:
        span: whether `first_day`, of the seller's zone, stands for itself or for its month.
        events: what the events come to; 0 where there are none.
        summed: what bills and reports read; 0 where they find nothing.
    """

    account_number: str
    metric: str
    span: Literal["day", "month"]
    first_day: date
    events: Decimal
    summed: Decimal

    def __str__(self) -> str:
        when = str(self.first_day) if self.span == "day" else f"{self.first_day:%Y-%m}"
        return (
            f"{self.account_number}: {self.metric} of {when} is {self.summed:f}, "
            f"and its events come to {self.events:f}"
        )


@dataclass(frozen=True)
class Differences:
    """How many there are, and the first of them, by account, metric, day and month."""

    count: int
    first: tuple[Difference, ...]


def check_rollups(
    connection: Connection, *, time_zone: str, period: BillingPeriod | None = None, limit: int = 50
) -> Differences:
    """Where the sums differ from the events; `period`: look at that month alone.

    Reads every event in question, and waits for no writer.
    `time_zone`: the seller's, in which days and months begin.
    """
    _find(connection, time_zone, period)
    return _found(connection, limit)


def rebuild_rollups(
    connection: Connection,
    *,
    time_zone: str,
    by: str,
    business_date: date,
    period: BillingPeriod | None = None,
    limit: int = 50,
) -> Differences:
    """Sets every sum that differs to that of its events, with one audit entry; what differed.

    Whoever writes usage, prices or contracts waits until the transaction ends. A month that was
    rated by a wrong sum counts as changed, so the next cycle looks at it again.
    """
    lock_writers(connection)  # an import holds days of recurring revenue as it waits for the sums
    begin_batch(connection)
    connection.execute(text("LOCK TABLE usage_daily, usage_monthly IN SHARE ROW EXCLUSIVE MODE"))
    _find(connection, time_zone, period)
    found = _found(connection, limit)
    if found.count:
        connection.execute(_MEND_DAYS)
        connection.execute(_MEND_MONTHS)
        first_day = connection.execute(text("SELECT min(day) FROM usage_differences")).scalar_one()
        record_batch(connection, Batch(by, first_day, accepted=0))
        forget_from(connection, first_day)
        _tell(connection, found, by, business_date, period)
    return found


def _find(connection: Connection, time_zone: str, period: BillingPeriod | None) -> None:
    """Leaves the differences in a table of the connection, which ends with the transaction."""
    start, end = period.bounds(time_zone) if period is not None else (None, None)
    values = {
        "zone": time_zone,
        "start": start,
        "end": end,
        "first": period.start if period is not None else None,
        "after": period.end if period is not None else None,
    }
    connection.execute(text("DROP TABLE IF EXISTS pg_temp.usage_differences"))
    connection.execute(_CREATE)
    connection.execute(_FIND, values)


def _found(connection: Connection, limit: int) -> Differences:
    rows = connection.execute(_READ, {"limit": limit}).all()
    return Differences(
        count=rows[0].differences if rows else 0,
        first=tuple(
            Difference(row.account_number, row.metric, row.span, row.day, row.by_events, row.by_sum)
            for row in rows
        ),
    )


def _tell(
    connection: Connection,
    found: Differences,
    by: str,
    business_date: date,
    period: BillingPeriod | None,
) -> None:
    subject = str(period) if period is not None else "all"
    details = {"differences": found.count, "first": [str(difference) for difference in found.first]}
    entry = audit.AuditEntry(business_date, by, SUBJECT, subject, "sums_rebuilt", details=details)
    audit.record(connection, entry)


_CREATE = text("""
    CREATE TEMP TABLE usage_differences (
        span text, customer_id bigint, metric text, day date, by_events numeric, by_sum numeric
    ) ON COMMIT DROP
""")

_FIND = text("""
    WITH by_events AS MATERIALIZED (
        SELECT customer_id, metric, (occurred_at AT TIME ZONE :zone)::date AS day,
               sum(quantity) AS quantity
        FROM billing_events
        WHERE (CAST(:start AS timestamptz) IS NULL OR occurred_at >= :start)
          AND (CAST(:end AS timestamptz) IS NULL OR occurred_at < :end)
        GROUP BY 1, 2, 3
    ), days AS (
        SELECT customer_id, metric, day, quantity FROM usage_daily
        WHERE (CAST(:first AS date) IS NULL OR day >= :first)
          AND (CAST(:after AS date) IS NULL OR day < :after)
    ), months AS (
        SELECT customer_id, metric, month AS day, quantity FROM usage_monthly
        WHERE CAST(:first AS date) IS NULL OR month = :first
    ), by_events_of_month AS (
        SELECT customer_id, metric, date_trunc('month', day)::date AS day, sum(quantity) AS quantity
        FROM by_events GROUP BY 1, 2, 3
    )
    INSERT INTO usage_differences
    SELECT 'day', customer_id, metric, day,
           coalesce(event.quantity, 0), coalesce(summed.quantity, 0)
    FROM by_events event FULL JOIN days summed USING (customer_id, metric, day)
    WHERE coalesce(event.quantity, 0) <> coalesce(summed.quantity, 0)
    UNION ALL
    SELECT 'month', customer_id, metric, day,
           coalesce(event.quantity, 0), coalesce(summed.quantity, 0)
    FROM by_events_of_month event FULL JOIN months summed USING (customer_id, metric, day)
    WHERE coalesce(event.quantity, 0) <> coalesce(summed.quantity, 0)
""")

_READ = text("""
    SELECT difference.*, coalesce(account_number, 'customer ' || customer_id) AS account_number,
           count(*) OVER () AS differences
    FROM usage_differences difference LEFT JOIN customers ON customers.id = customer_id
    ORDER BY account_number, metric, day, span
    LIMIT :limit
""")

_MEND_DAYS = text("""
    INSERT INTO usage_daily (customer_id, metric, day, quantity)
    SELECT customer_id, metric, day, by_events FROM usage_differences WHERE span = 'day'
    ON CONFLICT (customer_id, metric, day) DO UPDATE SET quantity = excluded.quantity
""")

_MEND_MONTHS = text("""
    INSERT INTO usage_monthly (month, customer_id, metric, quantity, changes)
    SELECT wrong.month, wrong.customer_id, wrong.metric,
           coalesce((SELECT sum(days.quantity) FROM usage_daily days
                     WHERE days.customer_id = wrong.customer_id AND days.metric = wrong.metric
                       AND days.day >= wrong.month
                       AND days.day < wrong.month + interval '1 month'), 0),
           1 + greatest(counted.changes,
                        (SELECT max(rated.changes) FROM billed_usage rated
                         WHERE rated.customer_id = wrong.customer_id
                           AND rated.month = wrong.month AND rated.metric = wrong.metric), 0)
    FROM (SELECT DISTINCT customer_id, metric, date_trunc('month', day)::date AS month
          FROM usage_differences) wrong
    LEFT JOIN usage_monthly counted USING (customer_id, metric, month)
    ON CONFLICT (month, customer_id, metric)
    DO UPDATE SET quantity = excluded.quantity, changes = excluded.changes
""")
"""By the days, which are mended: also those months whose own sum was right and a day's was not,
since a month is rated by its days. A counter that was restored from before a rating goes on behind
what was rated, or the month would pass for one that was rated as it is.
"""
