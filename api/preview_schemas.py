"""The JSON of a plan's preview, and of its approval."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from api.collection_schemas import Note
from api.cycle_schemas import ApprovalOut
from api.schemas import (
    Amount,
    CycleCustomer,
    LineOut,
    Schema,
    TaxLineOut,
    Totals,
)
from domain.standing_out import Finding, FindingKind
from domain.whole_plan import PlanFindingKind

_FINDING: dict[str, Any] = {
    "kind": "drop",
    "account_number": "1047",
    "customer": "Brandt & Söhne GmbH",
    "currency": "USD",
    "currency_before": "USD",
    "before": "262.95",
    "now": "99.00",
    "difference": "-163.95",
    "percent": "-62.4",
    "explanation": "",
}


class PlanFindingOut(Schema):
    """What stands out of the plan as a whole, beside the last month.

    `unit`: a currency, a metric, "customers", or "units" for usage of all metrics. `before` and
    `percent` are null where there was nothing.
    """

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    kind: PlanFindingKind
    unit: str
    before: Amount | None
    now: Amount
    difference: Amount
    percent: Amount | None


class FindingOut(Schema):
    """What stands out of one customer, in figures before tax.

    `before`: what is usual, the middle one of the last three months, in `currency_before`; for
    tax_changed, the tax as it was done before. `difference` and `percent` are null where they
    cannot be told, as between two currencies. `explanation`: what the figures do not tell.
    """

    model_config = ConfigDict(
        extra="forbid", from_attributes=True, json_schema_extra={"example": _FINDING}
    )

    kind: FindingKind
    account_number: str
    customer: str
    currency: str
    currency_before: str
    before: Amount | None
    now: Amount | None
    difference: Amount | None
    percent: Amount | None
    explanation: str

    @classmethod
    def of(cls, finding: Finding, customer: str) -> "FindingOut":
        return cls(
            kind=finding.kind,
            account_number=finding.account_number,
            customer=customer,
            currency=finding.currency,
            currency_before=finding.currency_before or finding.currency,
            before=finding.before,
            now=finding.now,
            difference=finding.difference,
            percent=finding.percent,
            explanation=finding.explanation,
        )


class ComparedTotalsOut(Schema):
    """One currency's sums in the plan, `now`, and in the month that it is held against; null where
    there is no invoice in that currency. `difference` and `percent` are of the totals.
    """

    currency: str
    now: Totals | None
    before: Totals | None
    difference: Amount
    percent: Amount | None


class SumOut(Schema):
    currency: str
    amount: Amount


class ToApproveOut(Schema):
    """What waits to be approved: the drafts that would be issued and are not approved as they
    stand, and the credits (`credited`: before tax) that the plan gives.

    `digest` names exactly these, and is empty where there are none. `note_required`: the plan
    stands out as a whole, so whoever approves it says why it is right.
    """

    drafts: int
    totals: list[SumOut]
    credits: int
    credited: list[SumOut]
    digest: str
    note_required: bool


class PreviewOut(Schema):
    """A plan, held against `compared_with`: the latest of the three months before that has
    invoices, null if none has.

    `customers` have an invoice in the plan, `customers_before` had one in that month. `whole`: what
    stands out of the plan as a whole, the greatest fall first. `counts`: of what stands out of
    single customers, by kind; `findings` is a page of these, who failed first, then by money.
    """

    period: str
    status: str
    compared_with: str | None
    customers: int
    customers_before: int
    totals: list[ComparedTotalsOut]
    whole: list[PlanFindingOut]
    counts: dict[FindingKind, int]
    findings: list[FindingOut]
    next_cursor: str | None = None
    approval_required: bool
    to_approve: ToApproveOut
    approvals: list[ApprovalOut]


class BeforeOut(Schema):
    """The customer's regular invoice of the month that the plan is held against."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    number: str | None
    currency: str
    total: Amount


class PreviewCustomer(CycleCustomer):
    """A customer of a plan with the lines of the draft, and what they were billed before."""

    model_config = ConfigDict(
        extra="forbid",
        from_attributes=True,
        json_schema_extra={
            "example": {
                "account_number": "1047",
                "customer": "Brandt & Söhne GmbH",
                "payment_method": "bank_transfer",
                "outcome": "drafted",
                "reason_code": "",
                "reason": "",
                "number": "INV-2026-02-0047",
                "invoice_status": "draft",
                "currency": "USD",
                "total": "312.91",
                "late_month": None,
                "before": {"number": "INV-2026-01-0047", "currency": "USD", "total": "214.20"},
                "lines": [],
                "tax_lines": [],
            }
        },
    )

    before: BeforeOut | None
    lines: list[LineOut]
    tax_lines: list[TaxLineOut]


class ApprovalRequest(Schema):
    """Approves what `digest`, of the preview that was read, names."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "digest": "187:0:40213.55USD:9f86d081884c7d659a2feaa0c55ad015",
                "note": "Usage fell with the holidays.",
            }
        },
    )

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z:.+\-]{1,1000}$")]
    note: Note = Field(
        "", description="Needed where the plan stands out as a whole: why it is right."
    )


def table(
    findings: Iterable[Finding], customers: dict[str, str]
) -> tuple[list[str], list[list[str | Decimal | None]]]:
    """The findings as a header and rows."""
    header = (
        "kind account_number customer currency_before before currency now difference percent "
        "explanation"
    ).split()
    rows = [FindingOut.of(it, customers.get(it.account_number, "")) for it in findings]
    return header, [[getattr(row, name) for name in header] for row in rows]
