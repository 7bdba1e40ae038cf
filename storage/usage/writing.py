"""The one way in: what lies in the table `incoming_usage` becomes events, each id once for good.

Keys, events and their sums are written by one statement, in the order of the event ids, customers
and days, so that two that write at the same time wait for each other and never in a circle.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import Cursor
from sqlalchemy import Connection, text

from domain.periods import BillingPeriod
from storage.usage.counting import COUNTED


@dataclass(frozen=True)
class Written:
    """What became of the incoming events.

    Attributes:
        new: how many became usage of a customer, by period.
        first_day: the earliest day of those; None where there were none.
        set_aside: lines of those whose account nobody has.
        doubled: lines of those whose id was known, or stands in an earlier line.
    """

    new: dict[BillingPeriod, int]
    first_day: date | None
    set_aside: list[int]
    doubled: list[int]


def lay_out(connection: Connection, chunks: Iterable[str]) -> None:
    """Copies `chunks`, in the form of `incoming_line`, into the table `incoming_usage` of the
    connection, which is empty again when the transaction ends.
    """
    connection.execute(
        text(
            "CREATE TEMP TABLE IF NOT EXISTS incoming_usage (line bigint, "
            'event_id text COLLATE "C", account_number text COLLATE "C", metric text, '
            "occurred_at timestamptz, quantity numeric) ON COMMIT DELETE ROWS"
        )
    )
    cursor: Cursor[Any] = connection.connection.cursor()  # type: ignore[assignment]
    with cursor, cursor.copy("COPY incoming_usage FROM STDIN") as copy:
        for chunk in chunks:
            copy.write(chunk)


def incoming_line(
    line: int, event_id: str, account_number: str, metric: str, occurred_at: str, quantity: str
) -> str:
    """As COPY reads it; account and metric are `written` before."""
    return f"{line}\t{event_id}\t{account_number}\t{metric}\t{occurred_at}\t{quantity}\n"


def written(value: str) -> str:
    """A text without control characters as COPY reads it."""
    return value.replace("\\", "\\\\")


def write_incoming(connection: Connection, *, time_zone: str, received_by: str) -> Written:
    """Moves what was laid out into `billing_events` or, where nobody has the account, aside.

    `time_zone`: the seller's, in which days and periods begin. An event that is there stays as it
    is, whatever its other line says; `other_content` tells.
    """
    rows = connection.execute(_WRITE, {"zone": time_zone, "by": received_by}).all()
    new = {BillingPeriod.of(row.month): row.events for row in rows if row.month is not None}
    return Written(
        new=new,
        first_day=min((row.day for row in rows if row.day is not None), default=None),
        set_aside=[row.line for row in rows if row.what == "aside"],
        doubled=[row.line for row in rows if row.what == "doubled"],
    )


def other_content(
    connection: Connection, lines: Sequence[int] | None = None
) -> dict[int, tuple[str, int | None]]:
    """By line, the events whose id is another event's: the id, and the line where that stands, or
    None where it came earlier. The event that is kept under an id, or else the first line of it,
    has it for good. `lines`: those that are asked about; None: all.
    """
    rows = connection.execute(_OTHER_CONTENT, {"lines": None if lines is None else list(lines)})
    return {row.line: (row.event_id, row.other) for row in rows}


_WRITE = text(f"""
    WITH incoming AS MATERIALIZED (
        SELECT DISTINCT ON (event.event_id)
               event.*, customers.id AS customer_id,
               usage_content_hash(account_number, metric, occurred_at, quantity) AS content_hash
        FROM incoming_usage event
        LEFT JOIN customers USING (account_number)
        ORDER BY event.event_id, line
    ), new_keys AS (
        INSERT INTO usage_event_keys (event_id, content_hash, customer_id, occurred_at)
        SELECT event_id, content_hash, customer_id,
               CASE WHEN customer_id IS NOT NULL THEN occurred_at END
        FROM incoming ORDER BY event_id
        ON CONFLICT (event_id) DO NOTHING
        RETURNING event_id
    ), fresh AS MATERIALIZED (
        SELECT incoming.* FROM incoming JOIN new_keys USING (event_id)
    ), added AS (
        INSERT INTO billing_events (customer_id, metric, occurred_at, quantity, event_id)
        SELECT customer_id, metric, occurred_at, quantity, event_id
        FROM fresh WHERE customer_id IS NOT NULL
        RETURNING customer_id, metric, quantity, (occurred_at AT TIME ZONE :zone)::date AS day
    ), aside AS (
        INSERT INTO set_aside_events
            (event_id, account_number, metric, occurred_at, quantity, received_by)
        SELECT event_id, account_number, metric, occurred_at, quantity, :by
        FROM fresh WHERE customer_id IS NULL
    ), {COUNTED}
    SELECT 'new' AS what, date_trunc('month', day)::date AS month, min(day) AS day,
           count(*) AS events, NULL AS line
    FROM added GROUP BY 2
    UNION ALL
    SELECT 'aside', NULL, NULL, NULL, line FROM fresh WHERE customer_id IS NULL
    UNION ALL
    SELECT 'doubled', NULL, NULL, NULL, line
    FROM incoming_usage event
    WHERE NOT EXISTS (SELECT FROM fresh WHERE fresh.line = event.line)
""")  # noqa: S608 - of constants

_OTHER_CONTENT = text("""
    WITH event AS (
        SELECT *, usage_content_hash(account_number, metric, occurred_at, quantity) AS content_hash
        FROM incoming_usage
        WHERE CAST(:lines AS bigint[]) IS NULL
           OR event_id IN (SELECT event_id FROM incoming_usage WHERE line = ANY(:lines))
    ), first AS (
        SELECT DISTINCT ON (event_id) event_id, line, content_hash
        FROM event ORDER BY event_id, line
    )
    SELECT event.line, event.event_id,
           CASE WHEN first.content_hash <> event.content_hash THEN first.line END AS other
    FROM event
    JOIN first USING (event_id)
    LEFT JOIN usage_event_keys key USING (event_id)
    WHERE coalesce(key.content_hash, first.content_hash) <> event.content_hash
    ORDER BY event.line
""")
