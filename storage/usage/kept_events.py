"""One event as it stands: what was received, what was corrected of it, where it counts."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from domain.errors import NotFound
from storage.tables import (
    billing_events,
    customers,
    set_aside_events,
    usage_corrections,
    usage_event_keys,
)


class EventState(StrEnum):
    """`set_aside`: of an account that nobody has; it waits for a person. `dismissed`: a person
    decided that it counts for nobody.
    """

    COUNTED = "counted"
    AMENDED = "amended"
    CANCELLED = "cancelled"
    SET_ASIDE = "set_aside"
    DISMISSED = "dismissed"


class CorrectionKind(StrEnum):
    AMEND = "amend"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Correction:
    """One change of an event's quantity; `new_quantity` 0 where it was cancelled."""

    id: int
    event_id: str
    account_number: str
    metric: str
    occurred_at: datetime
    kind: CorrectionKind
    old_quantity: Decimal
    new_quantity: Decimal
    reason: str
    person: str
    business_date: date
    made_at: datetime


@dataclass(frozen=True)
class KeptEvent:
    """An event with its history.

    Attributes:
        account_number: of the customer for whom it counts; while nobody has it, as it was sent.
        received_quantity: as it was received, for good.
        quantity: what counts now; 0 where it is cancelled, set aside or dismissed.
        corrections: the oldest first.
    """

    event_id: str
    account_number: str
    metric: str
    occurred_at: datetime
    received_at: datetime
    received_quantity: Decimal
    quantity: Decimal
    state: EventState
    corrections: tuple[Correction, ...] = ()


def load_event(connection: Connection, event_id: str) -> KeptEvent:
    """Raises NotFound."""
    key = connection.execute(
        select(usage_event_keys.c.customer_id, usage_event_keys.c.occurred_at).where(
            usage_event_keys.c.event_id == event_id
        )
    ).one_or_none()
    if key is None:
        raise no_such_event(event_id)
    if key.customer_id is None:
        return _aside(connection, event_id)
    received = _received(connection, event_id, *key)
    corrections = corrections_of(connection, event_id)
    return KeptEvent(
        event_id=event_id,
        account_number=received.account_number,
        metric=received.metric,
        occurred_at=received.occurred_at,
        received_at=received.received_at,
        received_quantity=received.quantity,
        quantity=corrections[-1].new_quantity if corrections else received.quantity,
        state=_state(corrections),
        corrections=corrections,
    )


def no_such_event(event_id: str) -> NotFound:
    return NotFound(f"There is no usage event {event_id}; give its id as it was sent.")


def corrections_of(connection: Connection, event_id: str) -> tuple[Correction, ...]:
    """The oldest first."""
    rows = connection.execute(
        CORRECTIONS.where(usage_corrections.c.event_id == event_id).order_by(usage_corrections.c.id)
    )
    return tuple(as_correction(row) for row in rows)


CORRECTIONS: Select[Any] = select(usage_corrections, customers.c.account_number).join(
    customers, customers.c.id == usage_corrections.c.customer_id
)


def as_correction(row: Row[Any]) -> Correction:
    """A row of `CORRECTIONS`."""
    values = {name: getattr(row, name) for name in Correction.__dataclass_fields__}
    return Correction(**values | {"kind": CorrectionKind(row.kind)})


def _received(
    connection: Connection, event_id: str, customer_id: int, occurred_at: datetime
) -> Row[Any]:
    """The event's own row. The key tells where it is: no partition has an index on the ids."""
    return connection.execute(
        select(billing_events, customers.c.account_number)
        .join(customers, customers.c.id == billing_events.c.customer_id)
        .where(
            billing_events.c.customer_id == customer_id,
            billing_events.c.occurred_at == occurred_at,
            billing_events.c.event_id == event_id,
            billing_events.c.correction_id.is_(None),
        )
    ).one()


def _aside(connection: Connection, event_id: str) -> KeptEvent:
    aside = connection.execute(
        select(set_aside_events).where(set_aside_events.c.event_id == event_id)
    ).one()
    dismissed = aside.dismissed_at is not None
    return KeptEvent(
        event_id=event_id,
        account_number=aside.account_number,
        metric=aside.metric,
        occurred_at=aside.occurred_at,
        received_at=aside.received_at,
        received_quantity=aside.quantity,
        quantity=Decimal(0),
        state=EventState.DISMISSED if dismissed else EventState.SET_ASIDE,
    )


def _state(corrections: tuple[Correction, ...]) -> EventState:
    if not corrections:
        return EventState.COUNTED
    cancelled = corrections[-1].kind is CorrectionKind.CANCEL
    return EventState.CANCELLED if cancelled else EventState.AMENDED
