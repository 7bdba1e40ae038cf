"""The JSON of plans and their prices."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.master_data_values import Code, Currency, Day, Name, UnitPrice
from api.schemas import Amount, Schema, Whole
from domain.plans import PlanKind, Tier

_TIERS: list[Any] = [
    {"name": "Free tier", "up_to": 10_000, "unit_price": "0"},
    {"name": "Tier 1", "unit_price": "0.001"},
]


class TierIn(Schema):
    """A band of graduated prices. `up_to`: its last unit, inclusive; null in the last band."""

    name: Name
    up_to: Annotated[Whole, Field(ge=1, lt=10**15)] | None = None
    unit_price: UnitPrice

    def as_tier(self) -> Tier:
        return Tier(self.name, self.up_to, self.unit_price)


class PriceRequest(Schema):
    """A price in one currency from the day `valid_from` on, until a later version's.

    A flat plan has a `unit_price`, for a month of one unit; a usage plan has `tiers`.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"currency": "USD", "unit_price": "109.00", "valid_from": "2026-04-01"}
        },
    )

    currency: Currency
    unit_price: UnitPrice | None = None
    tiers: list[TierIn] = Field([], max_length=50)
    valid_from: Day


class PlanRequest(PriceRequest):
    """A plan with its first price. `metric`: what a usage plan counts; null for a flat plan."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "code": "api-calls-basic",
                "name": "API calls, basic",
                "kind": "usage",
                "metric": "api_calls",
                "currency": "USD",
                "tiers": _TIERS,
                "valid_from": "2026-04-01",
            }
        },
    )

    code: Code
    name: Name
    kind: Literal[PlanKind.USAGE, PlanKind.FLAT]
    metric: Name | None = None


class TierOut(Schema):
    """A band of graduated prices. `up_to`: its last unit, inclusive; null in the last one."""

    name: str
    up_to: int | None
    unit_price: Amount


class PriceOut(Schema):
    """A version of the price in one currency.

    `standing`: in_force is the price of today, upcoming begins later, past was replaced. A month is
    billed by the version of its first day, or of the subscription's where that is later.
    """

    currency: str
    version: int
    valid_from: date
    standing: Literal["past", "in_force", "upcoming"]
    unit_price: Amount | None
    tiers: list[TierOut]


class PlanOut(Schema):
    """A plan with every version of its prices, by currency and version."""

    code: str
    name: str
    kind: str
    metric: str | None
    created_at: datetime
    prices: list[PriceOut]
