"""The JSON of discounts."""

from datetime import date, datetime

from pydantic import ConfigDict, Field

from api.master_data_values import Currency, Day, Name, Percent, UnitPrice
from api.schemas import Amount, Schema
from domain.discounts import Discount


class DiscountRequest(Schema):
    """Either a `percent`, or an `amount` a month with its currency, off one plan or, for
    `plan_code` null, off everything that a month comes to.

    It counts for a whole month if it is valid on the month's first day, or on the first day of what
    it takes off where that is later. Percentages come first, each off what the ones before left.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "account_number": "1047",
                "plan_code": "premium-support",
                "name": "Launch offer",
                "percent": "20",
                "valid_from": "2026-04-01",
                "valid_to": "2026-10-01",
            }
        },
    )

    account_number: Name
    plan_code: Name | None = None
    name: Name = Field(description="Printed on the invoice.")
    percent: Percent | None = None
    amount: UnitPrice | None = None
    currency: Currency | None = None
    valid_from: Day
    valid_to: Day | None = Field(None, description="First day that is not valid any more.")

    def as_discount(self) -> Discount:
        """Raises InvalidValue where the terms do not fit each other."""
        return Discount(
            name=self.name,
            valid_from=self.valid_from,
            valid_to=self.valid_to,
            plan_code=self.plan_code,
            percent=self.percent,
            amount=self.amount,
            currency=self.currency,
        )


class DiscountChange(Schema):
    """`valid_to`: the first day that is not valid any more; null takes the end away."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"valid_to": "2026-07-01"}}
    )

    valid_to: Day | None


class DiscountOut(Schema):
    """A discount on the days `[valid_from, valid_to)`; `valid_to` null: open-ended."""

    id: int
    account_number: str
    plan_code: str | None
    name: str
    percent: Amount | None
    amount: Amount | None
    currency: str | None
    valid_from: date
    valid_to: date | None
    created_at: datetime
    created_by: str
