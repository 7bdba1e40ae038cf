"""The JSON of requests and answers. Money is a string, with the currency's digits."""

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)

from domain.errors import InvalidValue
from domain.periods import BillingPeriod


def _checked(period: str) -> str:
    """Raises ValueError, so that the problem names the field where the month was given."""
    try:
        return str(BillingPeriod.parse(period))
    except InvalidValue as refusal:
        raise ValueError(refusal.message) from None


def _written_out(day: object) -> object:
    """Raises ValueError for a number, which would count seconds from 1970, and for an instant."""
    if (isinstance(day, str) and _DAY.fullmatch(day)) or type(day) is date:
        return day
    raise ValueError("give a day as YYYY-MM-DD")


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
Day = Annotated[date, BeforeValidator(_written_out)]
"""A date of a request, as YYYY-MM-DD alone."""
Flag = Annotated[bool, Strict()]
"""Yes or no in a request's JSON: `true` or `false`, and no 1, "yes" or "off"."""
Whole = Annotated[int, Strict()]
"""A whole number in a request's JSON, and neither "3" nor `true`."""
Amount = Annotated[Decimal, PlainSerializer(lambda value: f"{value:f}", return_type=str)]
Period = Annotated[
    str, AfterValidator(_checked), WithJsonSchema({"type": "string", "examples": ["2026-02"]})
]
"""A month as text that `BillingPeriod.parse` takes."""
Item = TypeVar("Item")
Found = TypeVar("Found")


class Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)


class CycleRequest(Schema):
    """A month to bill."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"period": "2026-02", "issued_on": "2026-03-01", "hold_reminders": False}
        },
    )

    period: Period = Field(description="The month, YYYY-MM. It must be over.")
    issued_on: Day | None = Field(
        None,
        description="Business date of the invoices; if left out, the day on which their issue "
        "begins in the seller's zone.",
    )
    hold_reminders: Flag = Field(
        False, description="The invoices start on hold: no reminder is sent until released."
    )
    pause_before_issue: Flag = Field(
        False, description="The plan waits to be read; `resume` issues it."
    )
    approval_required: Flag | None = Field(
        None,
        description="The plan waits, and is issued only as it was approved from its preview; as "
        "the setting has it if left out.",
    )


class Totals(Schema):
    """Sums in one currency over what was issued and is about to be; failed and void ones not.

    `late`: what past months, billed before, came to differ by.
    """

    currency: str
    invoices: int
    usage: Amount
    subscriptions: Amount
    proration: Amount
    discounts: Amount
    late: Amount
    subtotal: Amount
    tax: Amount
    total: Amount


class ToCollectOut(Schema):
    """What is open in one way: of a plan, what will be charged and asked for.

    `by`: card, card_missing (to be paid by card, and none is on file), bank_transfer. The
    customers' credit, which is used when an invoice is issued, is not taken off.
    """

    by: Literal["card", "card_missing", "bank_transfer"]
    currency: str
    invoices: int
    total: Amount


class Discarded(Schema):
    """A plan that was thrown away; `drafts`: how many invoices it would have become."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"period": "2026-02", "drafts": 200}}
    )

    period: str
    drafts: int


class Failure(Schema):
    """A customer who could not be billed. `number` is the draft's, where there is one.

    `late_month`: the past month for which that is so; null for the cycle's own.
    """

    account_number: str
    reason_code: str
    reason: str
    number: str | None
    late_month: str | None


class CycleCustomer(Schema):
    """What a cycle did for a customer.

    `outcome`: drafted (to be issued), issued, skipped or failed; the last two have a reason.
    `number`, `invoice_status` and `total` are null where there is no invoice; `currency` is the
    customer's then. `payment_method`: card or bank_transfer, as it is now. `late_month`: the past
    month that the invoice is about; null for the regular one.
    """

    model_config = ConfigDict(
        extra="forbid",
        from_attributes=True,
        json_schema_extra={
            "example": {
                "account_number": "1047",
                "customer": "Brandt & Söhne GmbH",
                "payment_method": "bank_transfer",
                "outcome": "issued",
                "reason_code": "",
                "reason": "",
                "number": "INV-2026-02-0047",
                "invoice_status": "issued",
                "currency": "USD",
                "total": "312.91",
                "late_month": None,
            }
        },
    )

    account_number: str
    customer: str
    payment_method: str
    outcome: str
    reason_code: str
    reason: str
    number: str | None
    invoice_status: str | None
    currency: str
    total: Amount | None
    late_month: str | None


class CycleOut(Schema):
    """A billing cycle as it stands, with its totals.

    `dated_by_issue`: `issued_on` becomes the day on which the issue begins, where that is later.
    `status`: queued (accepted, no worker has taken it up), planning, planned, issuing, closed.
    `customers` have an outcome: drafted (to be issued), issued, skipped or failed. Past months that
    have an invoice of their own are counted as `late_drafted`, `late_issued` and `late_failed`.
    """

    model_config = ConfigDict(
        extra="forbid",
        from_attributes=True,
        json_schema_extra={
            "example": {
                "period": "2026-02",
                "status": "closed",
                "issued_on": "2026-03-01",
                "dated_by_issue": True,
                "hold_reminders": False,
                "started_at": "2026-03-01T08:00:00Z",
                "planned_at": "2026-03-01T08:00:01Z",
                "closed_at": "2026-03-01T08:00:09Z",
                "customers": 200,
                "drafted": 0,
                "issued": 187,
                "skipped": 13,
                "failed": 0,
                "late_drafted": 0,
                "late_issued": 0,
                "late_failed": 0,
                "totals": [],
            }
        },
    )

    period: str
    status: str
    issued_on: date | None = None
    dated_by_issue: bool = False
    hold_reminders: bool = False
    started_at: datetime | None = None
    planned_at: datetime | None = None
    closed_at: datetime | None = None
    customers: int = 0
    drafted: int = 0
    issued: int = 0
    skipped: int = 0
    failed: int = 0
    late_drafted: int = 0
    late_issued: int = 0
    late_failed: int = 0
    totals: list[Totals] = []


class TaxLineOut(Schema):
    """Tax at one rate. `rule`: domestic, eu_destination, reverse_charge, listed,
    outside_scope or exempt."""

    rule: str
    name: str
    rate_percent: Amount
    taxable: Amount
    amount: Amount


class LineOut(Schema):
    """`kind`: usage, minimum, flat, proration, discount, prepaid_purchase, prepaid_draw or late.

    `unit_price` is null where the amount is no product, as of a proration or a discount.
    `service_month`: the month that the line is about, which is a past one if its kind is late.
    """

    position: int
    kind: str
    description: str
    quantity: Amount
    unit_price: Amount | None
    amount: Amount
    service_month: str


class InvoiceOut(Schema):
    """An invoice. `number` is null for a draft of a plan still in the making.

    `kind`: regular, or late: about `service_month`, a past month, in the cycle of `period`.
    `usage`, `subscriptions`, `proration`, `discounts` and `late` make the subtotal: minimum
    commitments are usage, the price of prepaid credit is a subscription's, what it pays for is a
    discount.
    """

    number: str | None
    account_number: str
    customer: str
    period: str
    service_month: str
    kind: str
    status: str
    collection_state: str | None
    currency: str
    usage: Amount
    subscriptions: Amount
    proration: Amount
    discounts: Amount
    late: Amount
    subtotal: Amount
    tax: Amount
    total: Amount
    amount_paid: Amount
    amount_credited: Amount
    open_amount: Amount
    issued_on: date
    due_on: date
    on_hold: bool
    disputed: bool


class NextStep(Schema):
    """What happens by itself, and when.

    `what`: overdue (the mark), reminder, urgent_notice, or review_notice (a person takes the
    case). `charges_card`: the card on file is tried first.
    """

    on: date
    what: str
    charges_card: bool


class InvoiceDetail(InvoiceOut):
    """An invoice with its lines, taxes and links.

    `days_late` since the first failed charge or the due date; zero once nothing is open.
    `next_step` is null where nothing happens until somebody acts.
    """

    settled_on: date | None
    days_late: int
    next_step: NextStep | None
    lines: list[LineOut]
    tax_lines: list[TaxLineOut]
    pdf_url: str | None
    workflow_url: str


class TimelineOut(Schema):
    """One thing that happened to an invoice; `details` are the event's own."""

    at: datetime
    business_date: date
    actor: str
    event: str
    from_state: str | None
    to_state: str | None
    reason: str
    details: dict[str, Any]


class Me(Schema):
    """Who calls. `role`: admin, finance or viewer. `may_act`: whether they may change something.
    `email` is null for a key.

    `business_date` is today in the seller's zone; a demonstration has days of its own, of
    `day_seconds` each, which is null otherwise.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "Ada Lovelace",
                "role": "finance",
                "may_act": True,
                "email": "ada@meridian-api.example",
                "business_date": "2026-03-01",
                "day_seconds": None,
            }
        },
    )

    name: str
    role: str
    may_act: bool
    email: str | None
    business_date: date
    day_seconds: int | None


class Page(BaseModel, Generic[Item]):
    """One page of a list; `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None = None


def page_of(
    found: Sequence[Found],
    limit: int,
    shown: Callable[[Found], Item],
    cursor: Callable[[Found], str],
) -> Page[Item]:
    """The page of the first `limit` entries of `found`, which has one more where another page
    follows; `cursor`: of the page behind an entry.
    """
    return Page(
        items=[shown(entry) for entry in found[:limit]],
        next_cursor=cursor(found[limit - 1]) if len(found) > limit else None,
    )
