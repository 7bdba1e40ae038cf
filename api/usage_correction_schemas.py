"""The JSON of usage events as they stand, and of their corrections."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema

from api.bank_schemas import Line
from api.schemas import Amount, Schema
from storage.usage.events import BAD_QUANTITY, QUANTITY


def _quantity(value: Any) -> Decimal:
    """A float is no text, and so no number here."""
    written = str(value) if type(value) is int else value
    if not isinstance(written, str) or not QUANTITY.fullmatch(written):
        raise ValueError(f"{value!r} {BAD_QUANTITY}")
    return Decimal(written)


EventQuantity = Annotated[
    Decimal,
    PlainValidator(_quantity),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "exclusiveMaximum": 10**15},
                {"type": "string", "pattern": r"^[0-9]{1,15}(\.[0-9]{1,6})?$"},
            ],
            "examples": ["120"],
        }
    ),
]
Reason = Annotated[
    Line,
    Field(
        min_length=1, max_length=1_000, description="Why; kept with the correction and in the log."
    ),
]
EventState = Literal["counted", "amended", "cancelled", "set_aside", "dismissed"]


class AmendRequest(Schema):
    """What an event should have counted, and why."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"quantity": "120", "reason": "the meter counted twice"}},
    )

    quantity: EventQuantity = Field(description="The whole quantity from now on, 0 or more.")
    reason: Reason


class CancelRequest(Schema):
    """Why an event should count nothing."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"reason": "a load test of ours"}}
    )

    reason: Reason


class CorrectionOut(Schema):
    """One change of an event; `new_quantity` is 0 where it was cancelled."""

    id: int
    event_id: str
    account_number: str
    metric: str
    occurred_at: datetime
    kind: Literal["amend", "cancel"]
    old_quantity: Amount
    new_quantity: Amount
    reason: str
    person: str
    business_date: date
    made_at: datetime


class UsageEventOut(Schema):
    """An event as it was received, as it counts now, and what was corrected in between."""

    account_number: str = Field(
        description="Of the customer for whom it counts; while nobody has it, as it was sent."
    )
    event_id: str
    metric: str
    occurred_at: datetime
    received_at: datetime
    received_quantity: Amount = Field(description="As it was received; it never changes.")
    quantity: Amount = Field(description="What counts now; 0 where it counts for nobody.")
    state: EventState
    corrections: list[CorrectionOut] = Field(description="The oldest first.")
