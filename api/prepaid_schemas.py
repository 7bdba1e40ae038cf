"""The JSON of prepaid credit."""

from datetime import date, datetime

from pydantic import ConfigDict, Field

from api.master_data_values import Currency, Day, Name, UnitPrice, Words
from api.schemas import Amount, Schema
from storage.master_data.prepaid import Granted


class PrepaidRequest(Schema):
    """Credit of `amount`, sold for `price`, 0 for a gift.

    The price is billed with the month of `valid_from`. The usage of each month with a day in
    `[valid_from, expires_on)` draws the credit down, before tax. `reference`: what the customer
    knows it by, such as an order's number; the same again under it changes nothing.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "account_number": "1047",
                "reference": "PO-7731",
                "currency": "USD",
                "amount": "1000.00",
                "price": "900.00",
                "valid_from": "2026-04-01",
                "expires_on": "2027-04-01",
            }
        },
    )

    account_number: Name
    reference: Name
    currency: Currency
    amount: UnitPrice
    price: UnitPrice
    valid_from: Day
    expires_on: Day | None = Field(None, description="First day on which what is left lapses.")
    note: Words = ""

    def as_granted(self) -> Granted:
        """Raises InvalidField where the terms do not fit each other."""
        values = self.model_dump(exclude={"account_number"})
        return Granted(**values)


class PrepaidChange(Schema):
    """`expires_on`: the first day on which what is left lapses; null takes the end away."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"expires_on": "2026-12-01"}}
    )

    expires_on: Day | None


class PrepaidOut(Schema):
    """Prepaid credit. `left`: what no invoice and no draft draws; void ones draw nothing."""

    id: int
    account_number: str
    reference: str
    currency: str
    amount: Amount
    price: Amount
    left: Amount
    valid_from: date
    expires_on: date | None
    note: str
    person: str
    created_at: datetime
