"""What people correct of usage: the event stays as it was received, and a row beside it has the
difference, so that the sum over the rows is what counts.

A month that is not billed yet is billed by what counts then; of one that is, the difference comes
with the next cycle.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, select, text

from domain.errors import Conflict, InvalidField
from domain.periods import BillingPeriod
from storage import audit
from storage.tables import customers, usage_corrections, usage_event_keys
from storage.usage.batches import Batch, begin_batch, record_batch
from storage.usage.counting import COUNTED
from storage.usage.kept_events import (
    CORRECTIONS,
    Correction,
    CorrectionKind,
    EventState,
    KeptEvent,
    as_correction,
    load_event,
    no_such_event,
)

SUBJECT = "usage_event"
_TOLD_AS = {CorrectionKind.AMEND: "amended", CorrectionKind.CANCEL: "cancelled"}


class EventNotCounted(Conflict):
    """An event that counts for nobody has nothing to correct."""

    code = "event_not_counted"


class NothingToCorrect(Conflict):
    """The event is already as it was asked to be."""

    code = "nothing_to_correct"


@dataclass(frozen=True)
class CorrectionOrder:
    """What a person wants of an event.

    Attributes:
        quantity: what counts from now on, 0 or more; None cancels the event.
        idempotency_key: names the request; under the same one it is carried out once.
    """

    event_id: str
    quantity: Decimal | None
    reason: str
    idempotency_key: str | None = None

    @property
    def kind(self) -> CorrectionKind:
        return CorrectionKind.CANCEL if self.quantity is None else CorrectionKind.AMEND

    @property
    def new_quantity(self) -> Decimal:
        return Decimal(0) if self.quantity is None else self.quantity


def correct_event(
    connection: Connection, order: CorrectionOrder, *, by: str, business_date: date, time_zone: str
) -> KeptEvent:
    """Amends or cancels an event, with the audit entry; the event as it stands then.

    Asked again under its `idempotency_key` it changes nothing. What was corrected may be corrected
    again, and amended where it was cancelled. `time_zone`: the seller's. Raises NotFound,
    InvalidField without a reason, EventNotCounted for an event that is set aside or dismissed,
    NothingToCorrect, and Conflict for a key under which something else was asked of the event.
    """
    if not order.reason.strip():
        raise InvalidField("reason", "is empty; say why the event is corrected.")
    begin_batch(connection)
    key = _lock(connection, order.event_id)
    event = load_event(connection, order.event_id)
    if _was_made(connection, order):
        return event
    _require_counted(event)
    if event.quantity == order.new_quantity:
        raise NothingToCorrect(
            f"quantity: {order.event_id} counts {event.quantity:f} {event.metric} already; "
            "there is nothing to correct."
        )
    correction_id = _write(connection, order, event, key, by=by, business_date=business_date)
    _count(connection, correction_id, time_zone=time_zone, by=by)
    return load_event(connection, order.event_id)


@dataclass(frozen=True)
class CorrectionFilter:
    """Which corrections to list; None means any. `month`: the one in which the usage occurred."""

    account_number: str | None = None
    month: BillingPeriod | None = None


def list_corrections(
    connection: Connection,
    wanted: CorrectionFilter,
    *,
    time_zone: str,
    before: int | None = None,
    limit: int,
) -> list[Correction]:
    """The last one first; the next `limit` made before the one with the id `before`."""
    made = usage_corrections.c
    conditions: list[ColumnElement[bool]] = []
    if wanted.account_number is not None:
        conditions.append(customers.c.account_number == wanted.account_number)
    if wanted.month is not None:
        start, end = wanted.month.bounds(time_zone)
        conditions += [made.occurred_at >= start, made.occurred_at < end]
    if before is not None:
        conditions.append(made.id < before)
    rows = connection.execute(CORRECTIONS.where(*conditions).order_by(made.id.desc()).limit(limit))
    return [as_correction(row) for row in rows]


def _lock(connection: Connection, event_id: str) -> Row[Any]:
    """The event's key, so that its corrections come one after another. Raises NotFound."""
    key = connection.execute(
        select(usage_event_keys).where(usage_event_keys.c.event_id == event_id).with_for_update()
    ).one_or_none()
    if key is None:
        raise no_such_event(event_id)
    return key


def _was_made(connection: Connection, order: CorrectionOrder) -> bool:
    """Raises Conflict if something else was made under the key."""
    if order.idempotency_key is None:
        return False
    before = connection.execute(
        select(usage_corrections).where(
            usage_corrections.c.event_id == order.event_id,
            usage_corrections.c.idempotency_key == order.idempotency_key,
        )
    ).one_or_none()
    if before is None:
        return False
    asked = (order.kind.value, order.new_quantity, order.reason)
    if (before.kind, before.new_quantity, before.reason) != asked:
        raise Conflict(
            f"The Idempotency-Key {order.idempotency_key!r} was used for another correction of "
            f"{order.event_id}; give each request a key of its own."
        )
    return True


def _require_counted(event: KeptEvent) -> None:
    """Raises EventNotCounted."""
    if event.state is EventState.SET_ASIDE:
        raise EventNotCounted(
            f"{event.event_id} is set aside, since nobody had the account {event.account_number} "
            "when it came; assign it to a customer first, or dismiss it."
        )
    if event.state is EventState.DISMISSED:
        raise EventNotCounted(
            f"{event.event_id} was dismissed and counts for nobody; assign it to a customer first."
        )


def _write(
    connection: Connection,
    order: CorrectionOrder,
    event: KeptEvent,
    key: Row[Any],
    *,
    by: str,
    business_date: date,
) -> int:
    """The correction with its audit entry; its id."""
    correction_id: int = connection.execute(
        insert(usage_corrections)
        .values(
            event_id=order.event_id,
            customer_id=key.customer_id,
            metric=event.metric,
            occurred_at=event.occurred_at,
            kind=order.kind.value,
            old_quantity=event.quantity,
            new_quantity=order.new_quantity,
            reason=order.reason,
            person=by,
            business_date=business_date,
            idempotency_key=order.idempotency_key,
        )
        .returning(usage_corrections.c.id)
    ).scalar_one()
    details = {
        "account_number": event.account_number,
        "metric": event.metric,
        "occurred_at": event.occurred_at.isoformat(),
        "quantity": {"from": f"{event.quantity:f}", "to": f"{order.new_quantity:f}"},
    }
    told_as = _TOLD_AS[order.kind]
    entry = audit.AuditEntry(
        *(business_date, by, SUBJECT, order.event_id, told_as),
        reason=order.reason,
        details=details,
    )
    audit.record(connection, entry)
    return correction_id


def _count(connection: Connection, correction_id: int, *, time_zone: str, by: str) -> None:
    """Adds the difference to the events and to their sums."""
    day = connection.execute(_ADD, {"correction": correction_id, "zone": time_zone}).scalar_one()
    record_batch(connection, Batch(by, day, accepted=0))


_ADD = text(f"""
    WITH added AS (
        INSERT INTO billing_events
            (customer_id, metric, occurred_at, quantity, event_id, correction_id)
        SELECT customer_id, metric, occurred_at, new_quantity - old_quantity, event_id, id
        FROM usage_corrections WHERE id = :correction
        RETURNING customer_id, metric, quantity, (occurred_at AT TIME ZONE :zone)::date AS day
    ), {COUNTED}
    SELECT day FROM added
""")  # noqa: S608 - of constants
