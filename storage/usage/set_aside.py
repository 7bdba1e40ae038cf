"""Usage of accounts that nobody has: kept until a person says whose it is, or that it is nobody's.

A customer who is added later with the account's number does not get it by that alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Row,
    Text,
    any_,
    case,
    func,
    literal,
    select,
    text,
    tuple_,
)

from domain.errors import Conflict, InvalidField, NotFound
from storage import audit
from storage.tables import customers, set_aside_events
from storage.usage.batches import Batch, begin_batch, record_batch
from storage.usage.counting import COUNTED

SUBJECT = "set_aside_usage"
_aside = set_aside_events.c


class AsideState(StrEnum):
    WAITING = "waiting"
    ASSIGNED = "assigned"
    DISMISSED = "dismissed"


class EventDecided(Conflict):
    """The event was assigned or dismissed before."""

    code = "event_decided"


@dataclass(frozen=True)
class SetAsideEvent:
    """An event of an account that nobody had when it came.

    `account_number`: as it was sent; `assigned_to`: the customer's, None until it is assigned.
    """

    event_id: str
    account_number: str
    metric: str
    occurred_at: datetime
    quantity: Decimal
    received_at: datetime
    received_by: str
    state: AsideState
    assigned_to: str | None
    decided_at: datetime | None
    decided_by: str | None
    note: str


@dataclass(frozen=True)
class SetAsideAccount:
    """What waits of one account. `is_customer`: somebody has the account by now."""

    account_number: str
    events: int
    first_at: datetime
    last_at: datetime
    is_customer: bool


@dataclass(frozen=True)
class Chosen:
    """One event, or all that wait of an account: exactly one of both is given."""

    event_id: str | None = None
    account_number: str | None = None


@dataclass(frozen=True)
class Decided:
    """How many events were assigned or dismissed, and what they come to, by metric."""

    account_number: str
    events: int
    quantities: dict[str, Decimal]


def list_set_aside(
    connection: Connection,
    state: AsideState,
    *,
    account_number: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int,
) -> list[SetAsideEvent]:
    """By account number, as it was sent, then by event id; `after` has both."""
    order = (_aside.account_number, _aside.event_id)
    conditions = [_IS[state]]
    if account_number is not None:
        conditions.append(_aside.account_number == account_number)
    if after is not None:
        conditions.append(tuple_(*order) > after)
    rows = connection.execute(
        select(
            *(_aside[name] for name in _OWN),
            _STATE.label("state"),
            customers.c.account_number.label("assigned_to"),
            func.coalesce(_aside.assigned_at, _aside.dismissed_at).label("decided_at"),
        )
        .outerjoin(customers, customers.c.id == _aside.assigned_to)
        .where(*conditions)
        .order_by(*order)
        .limit(limit)
    )
    return [SetAsideEvent(**{**row._mapping, "state": AsideState(row.state)}) for row in rows]


def list_accounts(
    connection: Connection, *, after: str | None = None, limit: int
) -> list[SetAsideAccount]:
    """The next `limit` accounts of which something waits, behind the number `after`."""
    conditions = [_IS[AsideState.WAITING]]
    if after is not None:
        conditions.append(_aside.account_number > after)
    is_customer = select(customers.c.id).where(customers.c.account_number == _aside.account_number)
    rows = connection.execute(
        select(
            _aside.account_number,
            func.count().label("events"),
            func.min(_aside.occurred_at).label("first_at"),
            func.max(_aside.occurred_at).label("last_at"),
            is_customer.exists().label("is_customer"),
        )
        .where(*conditions)
        .group_by(_aside.account_number)
        .order_by(_aside.account_number)
        .limit(limit)
    )
    return [SetAsideAccount(**row._mapping) for row in rows]


def count_waiting(connection: Connection) -> int:
    """How many events wait for a person."""
    waiting = select(func.count()).select_from(set_aside_events).where(_IS[AsideState.WAITING])
    return int(connection.execute(waiting).scalar_one())


def waiting_among(connection: Connection, event_ids: Sequence[str]) -> set[str]:
    """Which of these events wait for a person."""
    waiting = select(set_aside_events.c.event_id).where(
        set_aside_events.c.event_id == any_(literal(event_ids, ARRAY(Text))),
        _IS[AsideState.WAITING],
    )
    return set(connection.execute(waiting).scalars())


def assign_set_aside(
    connection: Connection,
    chosen: Chosen,
    to: str,
    *,
    note: str,
    by: str,
    business_date: date,
    time_zone: str,
) -> Decided:
    """Counts the events for the customer whose account is `to`, as if they had been sent for it.

    A single event may have been dismissed before. Raises NotFound where nothing was chosen,
    InvalidField for an unknown customer, and EventDecided for an event that was assigned already:
    that one can be cancelled.
    """
    begin_batch(connection)
    customer_id = connection.execute(
        select(customers.c.id).where(customers.c.account_number == to)
    ).scalar_one_or_none()
    if customer_id is None:
        raise InvalidField("assign_to", f"{to} is no customer; add it first.")
    if chosen.event_id is not None:
        _require(connection, chosen.event_id, AsideState.WAITING, AsideState.DISMISSED)
    rows = connection.execute(
        _ASSIGN,
        {**vars(chosen), "customer": customer_id, "note": note, "by": by, "zone": time_zone},
    ).all()
    decided = _decided(chosen, rows)
    record_batch(connection, Batch(by, min(row.first_day for row in rows), accepted=0))
    _tell(connection, chosen, decided, "assigned", note, by, business_date, {"to": to})
    return decided


def dismiss_set_aside(
    connection: Connection, chosen: Chosen, *, note: str, by: str, business_date: date
) -> Decided:
    """Says that the events count for nobody. `note`: why; required.

    A single one can still be assigned later. Raises NotFound where nothing waits, InvalidField
    without a note, and EventDecided for an event that was assigned or dismissed already.
    """
    if not note.strip():
        raise InvalidField("note", "is empty; say why the usage counts for nobody.")
    if chosen.event_id is not None:
        _require(connection, chosen.event_id, AsideState.WAITING)
    rows = connection.execute(_DISMISS, {**vars(chosen), "note": note, "by": by}).all()
    decided = _decided(chosen, rows)
    _tell(connection, chosen, decided, "dismissed", note, by, business_date, {})
    return decided


_OWN = (
    *("event_id", "account_number", "metric", "occurred_at", "quantity"),
    *("received_at", "received_by", "decided_by", "note"),
)
_IS: dict[AsideState, ColumnElement[bool]] = {
    AsideState.WAITING: _aside.assigned_at.is_(None) & _aside.dismissed_at.is_(None),
    AsideState.ASSIGNED: _aside.assigned_at.is_not(None),
    AsideState.DISMISSED: _aside.dismissed_at.is_not(None),
}
_STATE = case(*((condition, state.value) for state, condition in _IS.items()))


def _require(connection: Connection, event_id: str, *states: AsideState) -> None:
    """Locks the event. Raises NotFound and EventDecided."""
    event = connection.execute(
        select(_STATE.label("state"), customers.c.account_number)
        .select_from(set_aside_events)
        .outerjoin(customers, customers.c.id == _aside.assigned_to)
        .where(_aside.event_id == event_id)
        .with_for_update(of=set_aside_events)
    ).one_or_none()
    if event is None:
        raise NotFound(f"event_id: no event {event_id} is set aside.")
    if event.state not in states:
        remedy = f"assigned to {event.account_number}; amend or cancel it there"
        is_so = remedy if event.account_number else f"{event.state} already"
        raise EventDecided(f"event_id: {event_id} is {is_so}.")


def _decided(chosen: Chosen, rows: Sequence[Row[Any]]) -> Decided:
    if not rows:
        raise NotFound(f"account_number: nothing of {chosen.account_number} waits to be decided.")
    return Decided(
        account_number=rows[0].account_number,
        events=sum(row.events for row in rows),
        quantities={row.metric: row.quantity for row in rows},
    )


def _tell(
    connection: Connection,
    chosen: Chosen,
    decided: Decided,
    event: str,
    note: str,
    by: str,
    business_date: date,
    details: dict[str, Any],
) -> None:
    sums = {metric: f"{quantity:f}" for metric, quantity in decided.quantities.items()}
    details = {**details, "events": decided.events, "quantities": sums}
    if chosen.event_id is not None:
        details["event_id"] = chosen.event_id
    entry = audit.AuditEntry(
        *(business_date, by, SUBJECT, decided.account_number, event), reason=note, details=details
    )
    audit.record(connection, entry)


_CHOSEN = """
    chosen AS MATERIALIZED (
        SELECT event_id, account_number, metric, occurred_at, quantity, received_at
        FROM set_aside_events
        WHERE event_id = CAST(:event_id AS text)
           OR (account_number = CAST(:account_number AS text)
               AND assigned_at IS NULL AND dismissed_at IS NULL)
        ORDER BY event_id FOR UPDATE
    )
"""
_ASSIGN = text(f"""
    WITH {_CHOSEN}, assigned AS (
        UPDATE set_aside_events event
        SET assigned_to = :customer, assigned_at = now(), dismissed_at = NULL,
            decided_by = :by, note = :note
        FROM chosen WHERE event.event_id = chosen.event_id
    ), found AS (
        UPDATE usage_event_keys key
        SET customer_id = :customer, occurred_at = chosen.occurred_at
        FROM chosen WHERE key.event_id = chosen.event_id
    ), added AS (
        INSERT INTO billing_events
            (customer_id, metric, occurred_at, quantity, event_id, received_at)
        SELECT :customer, metric, occurred_at, quantity, event_id, received_at FROM chosen
        RETURNING customer_id, metric, quantity, (occurred_at AT TIME ZONE :zone)::date AS day
    ), {COUNTED}
    SELECT (SELECT account_number FROM chosen LIMIT 1) AS account_number,
           metric, count(*) AS events, sum(quantity) AS quantity, min(day) AS first_day
    FROM added GROUP BY metric ORDER BY metric
""")  # noqa: S608 - of constants
_DISMISS = text(f"""
    WITH {_CHOSEN}, dismissed AS (
        UPDATE set_aside_events event
        SET dismissed_at = now(), decided_by = :by, note = :note
        FROM chosen WHERE event.event_id = chosen.event_id
    )
    SELECT min(account_number) AS account_number,
           metric, count(*) AS events, sum(quantity) AS quantity
    FROM chosen GROUP BY metric ORDER BY metric
""")  # noqa: S608 - of constants
