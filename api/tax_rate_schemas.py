"""The JSON of tax rates."""

from datetime import date

from pydantic import ConfigDict, Field

from api.master_data_values import Country, Day, Name, Percent, Words
from api.schemas import Amount, Flag, Schema


class TaxRateRequest(Schema):
    """A place's rate on the days `[valid_from, valid_to)`; null: open-ended.

    `region` is empty for the whole country; for the US a state, such as NY. `name` is printed on
    invoices.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "country": "DE",
                "rate_percent": "16",
                "name": "VAT",
                "valid_from": "2026-07-01",
                "ends_previous": True,
            }
        },
    )

    country: Country
    region: Words = ""
    rate_percent: Percent
    name: Name
    valid_from: Day
    valid_to: Day | None = Field(None, description="First day on which it is not valid any more.")
    ends_previous: Flag = Field(
        False, description="The place's open-ended rate before it ends on `valid_from`."
    )


class TaxRateChange(Schema):
    """When the rate ends; null: it is open-ended."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"valid_to": "2027-01-01"}}
    )

    valid_to: Day | None = Field(description="First day on which it is not valid any more.")


class TaxRateOut(Schema):
    """A place's rate on the days `[valid_from, valid_to)`; null: open-ended."""

    id: int
    country: str
    region: str
    rate_percent: Amount
    name: str
    valid_from: date
    valid_to: date | None
