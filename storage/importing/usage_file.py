"""usage.csv and usage.csv.gz: a million rows validated, then copied into their partitions."""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import Cursor
from sqlalchemy import Connection, text

from domain.periods import BillingPeriod
from storage.importing import fields
from storage.importing.problems import Problems
from storage.importing.reading import read_records

_EVENT_ID = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,200}")  # printable, no blank, no backslash
_QUANTITY = re.compile(r"\d{1,15}(\.\d{1,6})?", re.ASCII)
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
_PLAIN_INSTANT = len("2026-02-03T14:05:00Z")
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_CHUNK = 5_000


def read_usage(
    connection: Connection,
    path: Path,
    problems: Problems,
    *,
    accounts: Container[str],
    metrics: Container[str],
    now: datetime,
    progress: Callable[[int], None],
) -> None:
    """Reads the file into the temporary table `incoming_usage`, bad rows to `problems`.

    `now`: the instant of the import; an event behind it is refused. `progress` is called with
    the number of rows read since the last call.
    """
    connection.execute(
        text(
            'CREATE TEMP TABLE incoming_usage (line bigint, event_id text COLLATE "C", '
            'account_number text COLLATE "C", metric text, occurred_at timestamptz, '
            "quantity numeric) ON COMMIT DROP"
        )
    )
    lines = _good_lines(path, problems, accounts=accounts, metrics=metrics, now=now)
    with (
        psycopg_cursor(connection) as cursor,
        cursor.copy("COPY incoming_usage FROM STDIN") as copy,
    ):
        for chunk in _chunks(lines):
            copy.write("".join(chunk))
            progress(len(chunk))
    connection.execute(text("ANALYZE incoming_usage"))
    _check_event_ids(connection, path.name, problems)


def months_of_incoming_usage(connection: Connection) -> list[BillingPeriod]:
    """First and last month (UTC) of what was read; empty for an empty file."""
    first, last = connection.execute(
        text("SELECT min(occurred_at), max(occurred_at) FROM incoming_usage")
    ).one()
    if first is None:
        return []
    return [BillingPeriod.of(moment.astimezone(UTC).date()) for moment in (first, last)]


def write_usage(connection: Connection, *, time_zone: str) -> dict[BillingPeriod, int]:
    """Moves what was read into `billing_events`, keys first, and counts it by day and month; the
    number of new events by period.

    `time_zone`: the seller's, in which the periods begin and end.
    """
    rows = connection.execute(
        text("""
            WITH distinct_events AS (
                SELECT DISTINCT ON (event_id) * FROM incoming_usage ORDER BY event_id, line
            ), new_keys AS (
                INSERT INTO usage_event_keys (event_id, content_hash)
                SELECT event_id,
                       usage_content_hash(account_number, metric, occurred_at, quantity)
                FROM distinct_events
                ON CONFLICT (event_id) DO NOTHING
                RETURNING event_id
            ), added AS (
                INSERT INTO billing_events (customer_id, metric, occurred_at, quantity, event_id)
                SELECT customers.id, event.metric, event.occurred_at, event.quantity, event.event_id
                FROM distinct_events event
                JOIN new_keys USING (event_id)
                JOIN customers USING (account_number)
                RETURNING customer_id, metric, quantity,
                          (occurred_at AT TIME ZONE :zone)::date AS day
            ), by_day AS (
                INSERT INTO usage_daily (customer_id, metric, day, quantity)
                SELECT customer_id, metric, day, sum(quantity) FROM added GROUP BY 1, 2, 3
                ON CONFLICT (customer_id, metric, day)
                DO UPDATE SET quantity = usage_daily.quantity + excluded.quantity
            ), by_month AS (
                INSERT INTO usage_monthly (month, customer_id, metric, quantity)
                SELECT date_trunc('month', day)::date, customer_id, metric, sum(quantity)
                FROM added GROUP BY 1, 2, 3
                ON CONFLICT (month, customer_id, metric)
                DO UPDATE SET quantity = usage_monthly.quantity + excluded.quantity
            ), overtaken AS (
                DELETE FROM recurring_days WHERE day >= (SELECT min(day) FROM added)
            )
            SELECT date_trunc('month', day)::date AS month, count(*)
            FROM added GROUP BY 1 ORDER BY 1
        """),
        {"zone": time_zone},
    )
    return {BillingPeriod.of(month): count for month, count in rows}


def late_usage(connection: Connection, added: Mapping[BillingPeriod, int]) -> dict[str, int]:
    """Of `added`, the periods whose cycle has been planned: no invoice has these events yet."""
    planned = set(
        connection.execute(
            text("SELECT period_start FROM billing_cycles WHERE status <> 'planning'")
        ).scalars()
    )
    return {str(period): count for period, count in added.items() if period.start in planned}


def psycopg_cursor(connection: Connection) -> "Cursor[Any]":
    """The driver's own cursor inside the caller's transaction, for COPY."""
    cursor: Cursor[Any] = connection.connection.cursor()  # type: ignore[assignment]
    return cursor


def _good_lines(
    path: Path,
    problems: Problems,
    *,
    accounts: Container[str],
    metrics: Container[str],
    now: datetime,
) -> Iterator[str]:
    columns = {
        "event_id": _event_id,
        "account_number": _known(accounts, "is no customer"),
        "metric": _known(metrics, "is counted by no plan"),
        "occurred_at": lambda value: _instant(value, now),
        "quantity": _quantity,
    }
    for record in read_records(path, columns, problems):
        values = record.values
        yield (
            f"{record.line}\t{values['event_id']}\t{values['account_number']}\t{values['metric']}"
            f"\t{values['occurred_at']}\t{values['quantity']}\n"
        )


def _known(names: Container[str], complaint: str) -> Callable[[str], str]:
    """A column that refers to one of `names`, written as COPY reads it."""
    written: dict[str, str] = {}

    def name(value: str) -> str:
        if value not in written:
            if value not in names:
                raise ValueError(f"{value!r} {complaint}")
            written[value] = fields.required(value).replace("\\", "\\\\")
        return written[value]

    return name


def _event_id(value: str) -> str:
    if not _EVENT_ID.fullmatch(value):
        raise ValueError("must be 1 to 200 printable ASCII characters without blank or backslash")
    return value


def _instant(value: str, now: datetime) -> str:
    try:
        moment = datetime.fromisoformat(value.upper() if _INSTANT.fullmatch(value) else "")
    except ValueError:
        raise ValueError(f"{value!r} is not a time; write it as 2026-02-03T14:05:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone; end it with Z or an offset")
    if not _EARLIEST <= moment <= now:
        raise ValueError(f"{value} lies before the year 2000 or in the future")
    # what PostgreSQL reads otherwise than Python goes over in one form: offsets, nanoseconds
    return value if len(value) == _PLAIN_INSTANT else moment.astimezone(UTC).isoformat()


def _quantity(value: str) -> str:
    if not _QUANTITY.fullmatch(value):
        raise ValueError(f"{value!r} is not a quantity of 0 or more with at most 6 decimals")
    return value


def _chunks(lines: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    yield chunk


def _check_event_ids(connection: Connection, file: str, problems: Problems) -> None:
    """An event id that names two different events, in the file or with one known before."""
    doubled = connection.execute(
        text("""
            SELECT event.line, event.event_id, known.line AS other
            FROM (SELECT *, min(line) OVER (PARTITION BY event_id) AS first_line
                  FROM incoming_usage) event
            JOIN incoming_usage known ON known.line = event.first_line
            WHERE event.line <> event.first_line
              AND (event.account_number, event.metric, event.occurred_at, event.quantity)
                  IS DISTINCT FROM
                  (known.account_number, known.metric, known.occurred_at, known.quantity)
            ORDER BY event.line
        """)
    )
    for row in doubled:
        problems.add(
            file, row.line, "event_id", f"{row.event_id} names another event in line {row.other}"
        )
    changed = connection.execute(
        text("""
            SELECT event.line, event.event_id
            FROM incoming_usage event JOIN usage_event_keys USING (event_id)
            WHERE content_hash
                <> usage_content_hash(account_number, metric, occurred_at, quantity)
            ORDER BY event.line
        """)
    )
    for row in changed:
        problems.add(
            file, row.line, "event_id", f"{row.event_id} was received with other content before"
        )
