"""The JSON of subscriptions."""

from datetime import date, datetime

from pydantic import ConfigDict, Field, model_validator

from api.master_data_values import Day, Name, Quantity, left_out
from api.schemas import Amount, Schema


class SubscriptionRequest(Schema):
    """A customer's subscription to a plan on the days `[starts_on, ends_on)`; null: open-ended."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "account_number": "1047",
                "plan_code": "premium-support",
                "quantity": "2",
                "starts_on": "2026-03-01",
            }
        },
    )

    account_number: Name
    plan_code: Name
    quantity: Quantity
    starts_on: Day
    ends_on: Day | None = Field(None, description="First day that is not covered any more.")


class SubscriptionChange(Schema):
    """Either `ends_on`, where null takes the end away, or another `quantity` from a day on.

    A quantity ends the subscription on the day `from` and begins another one, so that each has its
    own proration.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"quantity": 5, "from": "2026-03-15"}}
    )

    ends_on: Day | None = Field(None, description="First day that is not covered any more.")
    quantity: Quantity = left_out()
    from_day: Day = left_out(alias="from", description="First day of the new quantity.")

    @model_validator(mode="after")
    def _is_one_change(self) -> "SubscriptionChange":
        if self.model_fields_set not in ({"ends_on"}, {"quantity", "from_day"}):
            raise ValueError("give either ends_on, or quantity together with from")
        return self


class SubscriptionOut(Schema):
    """A subscription on the days `[starts_on, ends_on)`; `ends_on` null: open-ended.

    `counts_late`: behind a change, the months that were billed and for which it counts in the next
    cycle, as a difference that is charged or given back.
    """

    id: int
    account_number: str
    plan_code: str
    plan_name: str
    quantity: Amount
    starts_on: date
    ends_on: date | None
    created_at: datetime
    counts_late: tuple[str, ...] = ()
