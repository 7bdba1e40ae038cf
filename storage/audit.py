"""The audit log: append-only, written in the transaction of the change that it tells of."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Column, ColumnElement, Connection, func, insert, select

from domain.periods import BusinessCalendar
from storage.tables import audit_log

Order = Literal["oldest", "newest"]
"""Which entry comes first."""


@dataclass(frozen=True)
class AuditEntry:
    """One thing that happened.

    Attributes:
        business_date: the day on which it counts, which in a demonstration is not today.
        actor: a person's name, or the process that acted, such as "billing-cycle".
        subject: the business key, such as "INV-2026-02-0047".
        event: past tense, such as "issued".
    """

    business_date: date
    actor: str
    subject_kind: str
    subject: str
    event: str
    from_state: str | None = None
    to_state: str | None = None
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def record(connection: Connection, *entries: AuditEntry) -> None:
    """Appends `entries` in the caller's transaction."""
    if entries:
        connection.execute(insert(audit_log), [vars(entry) for entry in entries])


@dataclass(frozen=True)
class RecordedEntry:
    """An entry as it is kept; `id` grows in the order of writing, `at` is the clock's instant."""

    id: int
    at: datetime
    business_date: date
    actor: str
    subject_kind: str
    subject: str
    event: str
    from_state: str | None
    to_state: str | None
    reason: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class AuditFilter:
    """Which entries to read; None means any. The business dates are both inclusive."""

    subject_kind: str | None = None
    subject: str | None = None
    actor: str | None = None
    event: str | None = None
    from_date: date | None = None
    to_date: date | None = None


def list_entries(
    connection: Connection,
    wanted: AuditFilter,
    *,
    after: int | None = None,
    up_to: int | None = None,
    order: Order = "oldest",
    limit: int,
) -> list[RecordedEntry]:
    """The next `limit` entries behind the one with id `after`, none beyond id `up_to`."""
    log = audit_log.c
    behind = operator.gt if order == "oldest" else operator.lt
    given: list[tuple[Callable[[Any, Any], ColumnElement[bool]], Column[Any], object]] = [
        (operator.eq, log.subject_kind, wanted.subject_kind),
        (operator.eq, log.subject, wanted.subject),
        (operator.eq, log.actor, wanted.actor),
        (operator.eq, log.event, wanted.event),
        (operator.ge, log.business_date, wanted.from_date),
        (operator.le, log.business_date, wanted.to_date),
        (behind, log.id, after),
        (operator.le, log.id, up_to),
    ]
    rows = connection.execute(
        select(audit_log)
        .where(*(is_so(column, value) for is_so, column, value in given if value is not None))
        .order_by(log.id if order == "oldest" else log.id.desc())
        .limit(limit)
    )
    return [RecordedEntry(**row._mapping) for row in rows]


def last_entry(connection: Connection) -> int:
    """The id of the last entry; 0 where there is none."""
    last: int = connection.execute(select(func.coalesce(func.max(audit_log.c.id), 0))).scalar_one()
    return last


def present_business_date(
    connection: Connection, calendar: BusinessCalendar, now: datetime
) -> date:
    """The seller's date at the instant `now`; in a demonstration, that of what was billed last."""
    today = calendar.real_date(now)
    if calendar.day_seconds is None:
        return today
    return last_business_date(connection) or today


def last_business_date(connection: Connection) -> date | None:
    """The business date of the last entry about billing: the present one, where days are not real
    ones. None while there is no such entry.

    What people change by hand, such as who may log in, carries today's date and tells no day of a
    demonstration; so do statements of the bank when they come in, but not what is booked of them.
    """
    return connection.execute(_LAST_OF_BILLING).scalar_one_or_none()


# Most entries are such ones, so it is among the last few, which no index has to say.
_LAST_OF_BILLING = (
    select(audit_log.c.business_date)
    .where(audit_log.c.subject_kind.in_(("cycle", "invoice")))
    .order_by(audit_log.c.id.desc())
    .limit(1)
)
