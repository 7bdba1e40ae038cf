"""The JSON of bank statements and of what they hold."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from api.schemas import Amount, Schema


def _text(value: str) -> str:
    """Raises ValueError for what PostgreSQL cannot hold."""
    if "\x00" in value or not value.isprintable():
        raise ValueError("has a control character; write it in one line")
    return value.strip()


Line = Annotated[str, AfterValidator(_text)]
TransactionStatus = Literal["unmatched", "matched", "reversed", "ignored"]


class StatementStoredOut(Schema):
    """What an upload came to.

    Of the `new` entries, `matched` are for invoices named with certainty, `waiting` are for a
    person, `reversed` took back an earlier entry; the others are money that went out.
    `known_before` were stored by an earlier upload and are left alone.
    """

    model_config = ConfigDict(
        extra="forbid",
        from_attributes=True,
        json_schema_extra={
            "example": {
                "statement_id": 7,
                "new": 31,
                "known_before": 0,
                "matched": 28,
                "waiting": 2,
                "reversed": 1,
                "invoices": ["INV-2026-02-0047"],
            }
        },
    )

    statement_id: int
    new: int
    known_before: int
    matched: int
    waiting: int
    reversed: int
    invoices: list[str]


class BookingOut(Schema):
    """A part of a transaction. `booked`: the invoice has counted it."""

    number: str
    amount: Amount
    booked: bool


class CandidateOut(Schema):
    """An invoice that a payment may be for; `score` of 0 to 100."""

    number: str
    score: int
    reasons: list[str]


class TransactionOut(Schema):
    """One entry of a bank statement.

    `amount` above zero is money in. `status`: unmatched (waits for a person), matched, reversed,
    ignored. `match_kind`: reference (by itself), person, or empty.
    """

    id: int
    statement_id: int | None
    bank_reference: str
    booked_on: date
    amount: Amount
    currency: str
    payer_name: str
    payer_iban: str
    remittance: str
    end_to_end_id: str
    status: str
    match_kind: str
    note: str
    decided_by: str
    decided_at: datetime | None
    reversal_of: int | None
    received_at: datetime
    allocations: list[BookingOut]
    candidates: list[CandidateOut]
    why_not: str


class AllocationIn(Schema):
    """A part of the transaction, in its currency and its sign."""

    number: Line = Field(min_length=1, max_length=40, examples=["INV-2026-02-0047"])
    amount: Decimal = Field(max_digits=18, examples=["312.91"])


class AssignRequest(Schema):
    """Which invoices a transaction is for; the amounts come to its own."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "allocations": [{"number": "INV-2026-02-0047", "amount": "312.91"}],
                "note": "the customer confirmed it by telephone",
            }
        },
    )

    allocations: list[AllocationIn] = Field(min_length=1, max_length=100)
    note: Line = Field("", max_length=1_000)


class IgnoreRequest(Schema):
    """Why a transaction is for no invoice."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"note": "a refund of the landlord's"}}
    )

    note: Line = Field(min_length=1, max_length=1_000)
