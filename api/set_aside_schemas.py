"""The JSON of usage that is set aside, and of how much usage came in."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from api.bank_schemas import Line
from api.master_data_values import Name
from api.schemas import Amount, Schema
from storage.usage.events import EVENT_ID

EventId = Annotated[str, Field(pattern=f"^{EVENT_ID.pattern}$", examples=["evt-1047-1"])]
AsideState = Literal["waiting", "assigned", "dismissed"]


class SetAsideOut(Schema):
    """An event of an account that nobody had when it came.

    `account_number`: as it was sent; `assigned_to`: the customer's for whom it counts.
    """

    event_id: str
    account_number: str
    metric: str
    occurred_at: datetime
    quantity: Amount
    received_at: datetime
    received_by: str
    state: AsideState
    assigned_to: str | None
    decided_at: datetime | None
    decided_by: str | None
    note: str


class SetAsideAccountOut(Schema):
    """What waits of one account. `is_customer`: somebody has the account by now, and still does
    not get these events unless they are assigned.
    """

    account_number: str
    events: int
    first_at: datetime
    last_at: datetime
    is_customer: bool


class _Choice(Schema):
    """Either one event by its id, or all that wait of an account as it was sent."""

    event_id: EventId | None = None
    account_number: Name | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "_Choice":
        if (self.event_id is None) == (self.account_number is None):
            raise ValueError("give either event_id, or account_number for all that wait of it")
        return self


class AssignUsageRequest(_Choice):
    """Whose usage it is: of `assign_to`, a customer's account number."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"account_number": "9999", "assign_to": "1047", "note": "they moved"}
        },
    )

    assign_to: Name
    note: Line = Field("", max_length=1_000)


class DismissUsageRequest(_Choice):
    """Why the usage counts for nobody."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"account_number": "9999", "note": "a load test of ours"}},
    )

    note: Line = Field(min_length=1, max_length=1_000)


class DecidedOut(Schema):
    """How many events were assigned or dismissed, and what they come to by metric."""

    account_number: str
    events: int
    quantities: dict[str, Amount]


class DayOfArrivalsOut(Schema):
    """The events that came in on a day of the seller's zone, whenever they occurred."""

    day: date
    accepted: int = Field(description="Counted for a customer at once.")
    duplicates: int = Field(description="Known before, and counted once.")
    set_aside: int = Field(description="Of accounts that nobody had.")
    rejected: int = Field(description="Answered with the reason, and not kept.")
