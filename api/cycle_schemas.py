"""The JSON of a billing cycle as a whole, with who approved what of it."""

from datetime import date, datetime

from pydantic import ConfigDict, Field

from api.schemas import Amount, CycleOut, Failure, Schema, ToCollectOut


class ApprovalOut(Schema):
    """Who let how many drafts be issued. `digest` names the drafts as they were."""

    model_config = ConfigDict(
        extra="forbid",
        from_attributes=True,
        json_schema_extra={
            "example": {
                "person": "Greta Finance",
                "note": "Usage fell with the holidays.",
                "drafts": 187,
                "business_date": "2026-03-01",
                "approved_at": "2026-03-01T08:10:00Z",
                "digest": "187:0:40213.55USD:9f86d081884c7d659a2feaa0c55ad015",
            }
        },
    )

    person: str
    note: str
    drafts: int
    business_date: date
    approved_at: datetime
    digest: str


class DeviationOut(Schema):
    """A draft that is not issued as it was approved, and why. `approved_total` is null where it was
    not approved at all, `total` where there is nothing to issue any more. A total below zero,
    before tax, is what a retry would give back of the invoice.
    """

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    account_number: str
    number: str
    approved_currency: str | None
    approved_total: Amount | None
    currency: str | None
    total: Amount | None
    why: str


class CycleDetail(CycleOut):
    """A cycle with its failures, and what its workflow is doing now.

    `paused` and `in_flight` are null when no worker answers. `proving`: all is issued, and the
    month is being proved. `deviations`: what is not issued as it was approved.
    """

    to_collect: list[ToCollectOut] = Field(default_factory=list)
    failures: list[Failure] = Field(default_factory=list)
    paused: bool | None = None
    in_flight: list[str] | None = None
    proving: bool = False
    approval_required: bool = False
    approvals: list[ApprovalOut] = Field(default_factory=list)
    deviations: list[DeviationOut] = Field(default_factory=list)
    workflow_url: str
