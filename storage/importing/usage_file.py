"""usage.csv and usage.csv.gz: a million rows validated, then copied into their partitions."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, text

from domain.periods import BillingPeriod
from storage.importing import fields
from storage.importing.problems import Problems
from storage.importing.reading import read_records
from storage.usage.events import (
    BAD_EVENT_ID,
    BAD_QUANTITY,
    CLOCKS_DIFFER_BY,
    EARLIEST,
    EVENT_ID,
    OTHER_CONTENT,
    OTHER_IN_BATCH,
    QUANTITY,
    TOO_EARLY,
    instant,
)
from storage.usage.writing import incoming_line, lay_out, other_content, written

_PLAIN_INSTANT = len("2026-02-03T14:05:00Z")
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

    `now`: the instant of the import; an event more than five minutes behind it is refused.
    `progress` is called with the number of rows read since the last call.
    """
    lines = _good_lines(path, problems, accounts=accounts, metrics=metrics, now=now)
    lay_out(connection, _told(_chunks(lines), progress))
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


def late_usage(connection: Connection, added: Mapping[BillingPeriod, int]) -> dict[str, int]:
    """Of `added`, the periods whose cycle has been planned: the next one bills these events."""
    planned = set(
        connection.execute(
            text("SELECT period_start FROM billing_cycles WHERE status <> 'planning'")
        ).scalars()
    )
    return {str(period): count for period, count in added.items() if period.start in planned}


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
        yield incoming_line(
            record.line,
            values["event_id"],
            values["account_number"],
            values["metric"],
            values["occurred_at"],
            values["quantity"],
        )


def _known(names: Container[str], complaint: str) -> Callable[[str], str]:
    """A column that refers to one of `names`, written as COPY reads it."""
    as_written: dict[str, str] = {}

    def name(value: str) -> str:
        if value not in as_written:
            if value not in names:
                raise ValueError(f"{value!r} {complaint}")
            as_written[value] = written(fields.required(value))
        return as_written[value]

    return name


def _event_id(value: str) -> str:
    if not EVENT_ID.fullmatch(value):
        raise ValueError(BAD_EVENT_ID)
    return value


def _instant(value: str, now: datetime) -> str:
    moment = instant(value)
    if not EARLIEST <= moment <= now + CLOCKS_DIFFER_BY:
        raise ValueError(f"{value} {TOO_EARLY} or in the future")
    # what PostgreSQL reads otherwise than Python goes over in one form: offsets, nanoseconds
    return value if len(value) == _PLAIN_INSTANT else moment.astimezone(UTC).isoformat()


def _quantity(value: str) -> str:
    if not QUANTITY.fullmatch(value):
        raise ValueError(f"{value!r} {BAD_QUANTITY}")
    return value


def _chunks(lines: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    yield chunk


def _told(chunks: Iterable[list[str]], progress: Callable[[int], None]) -> Iterator[str]:
    for chunk in chunks:
        yield "".join(chunk)
        progress(len(chunk))


def _check_event_ids(connection: Connection, file: str, problems: Problems) -> None:
    """An event id that names two different events, in the file or with one known before."""
    for line, (event_id, other) in other_content(connection).items():
        reason = OTHER_CONTENT if other is None else f"{OTHER_IN_BATCH} in line {other}"
        problems.add(file, line, "event_id", f"{event_id} {reason}")
