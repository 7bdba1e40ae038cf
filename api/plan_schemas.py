"""The JSON of plans and their prices."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.master_data_values import Code, Currency, Day, Name, UnitPrice, Words
from api.schemas import Amount, Schema, Whole
from domain.plans import Charge, ChargeModel, Interval, PlanKind, Tier

_TIERS: list[Any] = [
    {"name": "Free tier", "up_to": 10_000, "unit_price": "0"},
    {"name": "Tier 1", "unit_price": "0.001"},
]


class TierIn(Schema):
    """A band of prices. `up_to`: its last unit, inclusive; null in the last band."""

    name: Name
    up_to: Annotated[Whole, Field(ge=1, lt=10**15)] | None = None
    unit_price: UnitPrice

    def as_tier(self) -> Tier:
        return Tier(self.name, self.up_to, self.unit_price)


class ChargeIn(Schema):
    """What the units of one metric cost in a month.

    `model`: graduated (each tier prices the units inside it), volume (the tier that is reached
    prices all units), package (blocks of `package_size` units, a begun one as a whole), per_unit.
    The first two have `tiers`, the others a `unit_price`, of a package or a unit. `name` stands on
    invoices beside the plan's.
    """

    metric: Name
    model: Literal[
        ChargeModel.GRADUATED, ChargeModel.VOLUME, ChargeModel.PACKAGE, ChargeModel.PER_UNIT
    ] = ChargeModel.GRADUATED
    name: Words = ""
    tiers: list[TierIn] = Field([], max_length=50)
    unit_price: UnitPrice | None = None
    package_size: Annotated[Whole, Field(ge=1, lt=10**15)] | None = None

    def as_charge(self) -> Charge:
        """Raises InvalidValue if model, price and tiers do not fit each other."""
        return Charge(
            self.metric,
            self.model,
            tuple(tier.as_tier() for tier in self.tiers),
            self.unit_price,
            self.package_size,
            self.name,
        )


class PriceRequest(Schema):
    """A price in one currency from the day `valid_from` on, until a later version's.

    A flat plan has a `unit_price`, for one unit and a month, or the year of a yearly plan. A usage
    plan has `charges`, one for each metric; `tiers` alone is one graduated charge. `minimum`: what
    its month comes to at least.
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
    charges: list[ChargeIn] = Field([], max_length=50)
    minimum: UnitPrice | None = None
    valid_from: Day


class PlanRequest(PriceRequest):
    """A plan with its first price.

    `metric`: what the `tiers` of a usage plan count; null where it has `charges`, and for a flat
    plan. `interval`: how often a flat plan is charged, each month or in advance each year.
    """

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
    interval: Literal[Interval.MONTH, Interval.YEAR] = Interval.MONTH


class TierOut(Schema):
    """A band of prices. `up_to`: its last unit, inclusive; null in the last one."""

    name: str
    up_to: int | None
    unit_price: Amount


class ChargeOut(Schema):
    """What the units of one metric cost in a month; `model` as in a request."""

    metric: str
    model: str
    name: str
    tiers: list[TierOut]
    unit_price: Amount | None
    package_size: int | None


class PriceOut(Schema):
    """A version of the price in one currency.

    `tiers`: those of its one charge, where that is graduated and has no name of its own.
    `standing`: in_force is the price of today, upcoming begins later, past was replaced. A month is
    billed by the version of its first day, or of the subscription's where that is later.
    """

    currency: str
    version: int
    valid_from: date
    standing: Literal["past", "in_force", "upcoming"]
    unit_price: Amount | None
    tiers: list[TierOut]
    charges: list[ChargeOut]
    minimum: Amount | None


class PlanOut(Schema):
    """A plan with every version of its prices, by currency and version.

    `metrics`: all that a version of it counts; `metric`: the one, where there is no other.
    """

    code: str
    name: str
    kind: str
    interval: str
    metric: str | None
    metrics: list[str]
    created_at: datetime
    prices: list[PriceOut]
