"""The values of master data in requests, by the import's rules for the columns of files."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from storage.importing import fields

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2199, 12, 31)
"""Further away a year is mistyped."""
_NUMBER = r"\d{1,15}(\.\d{1,12})?"
_PRINTABLE = {"pattern": r"^[^\x00-\x1f\x7f]*$"}


def _day(value: Any) -> date:
    day = fields.day(value if isinstance(value, str) else str(value))
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"{day} is not between {FIRST_DAY} and {LAST_DAY}; check the year")
    return day


def _number(value: Any) -> Decimal:
    """A float is no text, and so no number here."""
    if not isinstance(value, str):
        raise ValueError('must be written as text, such as "0.0005"')
    number = fields.amount(value)
    if number < 0:
        raise ValueError(f"{value} must not be below 0")
    return number


def _quantity(value: Any) -> Decimal:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return fields.positive(str(_number(value)))


def _percent(value: Any) -> Decimal:
    return fields.percent(f"{_number(value):f}")


def _text_schema(**example: Any) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{_NUMBER}$", **example}


def left_out(**about: Any) -> Any:
    """The default of a field that may be left out and, unlike the ones that may be null, has no
    value then: `model_fields_set` tells.
    """
    return Field(default_factory=lambda: None, **about)


Name = Annotated[
    str,
    Field(min_length=1, max_length=300, json_schema_extra=_PRINTABLE),
    AfterValidator(fields.required),
]
Words = Annotated[
    str, Field(max_length=300, json_schema_extra=_PRINTABLE), AfterValidator(fields.text)
]
Code = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Stands in addresses.")
]
"""What names a customer or a plan for good."""
Currency = Annotated[
    str, Field(json_schema_extra={"pattern": "^[A-Z]{3}$"}), AfterValidator(fields.currency)
]
Country = Annotated[
    str,
    Field(json_schema_extra={"enum": sorted(fields.COUNTRIES)}),
    AfterValidator(fields.country),
]
Day = Annotated[
    date,
    PlainValidator(_day),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-03-15"]}),
]
UnitPrice = Annotated[
    Decimal, PlainValidator(_number), WithJsonSchema(_text_schema(examples=["0.0005"]))
]
Percent = Annotated[
    Decimal, PlainValidator(_percent), WithJsonSchema(_text_schema(examples=["19"]))
]
Quantity = Annotated[
    Decimal,
    PlainValidator(_quantity),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "exclusiveMaximum": 10**15},
                _text_schema(),
            ],
            "examples": ["5"],
        }
    ),
]
Id = Annotated[int, Path(ge=1, lt=2**63)]
AccountPath = Annotated[str, Path(max_length=300, description="Account number.", examples=["1047"])]
PlanPath = Annotated[
    str, Path(max_length=300, description="The plan's code.", examples=["premium-support"])
]
Cursor = Annotated[
    str | None,
    Query(max_length=1_000, description="next_cursor of the page before."),
]
Limit = Annotated[int, Query(ge=1, le=500)]
