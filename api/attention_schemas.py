"""The JSON of what waits for a person."""

from pydantic import ConfigDict, Field

from api.schemas import Amount, Schema
from domain.proof import ProofStatus


class CurrencyAmountOut(Schema):
    """A sum in one currency."""

    currency: str
    amount: Amount


class WaitingMoneyOut(Schema):
    """How many wait, and what they come to; no currency that none of them has."""

    count: int
    amounts: list[CurrencyAmountOut]


class FailedCustomersOut(Schema):
    """How many customers a period's cycle could not bill."""

    period: str
    failed: int


class RunningCycleOut(Schema):
    """A cycle that is not closed. `status`: planning, planned or issuing."""

    period: str
    status: str


class UnprovedMonthOut(Schema):
    """A month whose last proof does not balance (alarm), or is not complete (incomplete)."""

    period: str
    status: ProofStatus
    difference_count: int


class AttentionOut(Schema):
    """What waits for a person now."""

    model_config = ConfigDict(
        extra="forbid",
        from_attributes=True,
        json_schema_extra={
            "example": {
                "review_cases": {
                    "count": 3,
                    "amounts": [{"currency": "USD", "amount": "1204.50"}],
                },
                "disputes": {"count": 1, "amounts": [{"currency": "USD", "amount": "312.91"}]},
                "unmatched_transactions": {
                    "count": 2,
                    "amounts": [{"currency": "EUR", "amount": "890.00"}],
                },
                "held_invoices": {"count": 0, "amounts": []},
                "undelivered_emails": 1,
                "set_aside_events": 12,
                "failed_customers": [{"period": "2026-02", "failed": 2}],
                "unbilled_periods": ["2026-03"],
                "running_cycles": [{"period": "2026-02", "status": "issuing"}],
                "unproved_months": [
                    {"period": "2026-01", "status": "alarm", "difference_count": 12}
                ],
            }
        },
    )

    review_cases: WaitingMoneyOut = Field(
        description="Invoices in manual review, with what is still to be paid on them."
    )
    disputes: WaitingMoneyOut = Field(
        description="Invoices whose payment is disputed, with their totals."
    )
    unmatched_transactions: WaitingMoneyOut = Field(
        description="Bank transactions that nobody has assigned; what was taken back counts less."
    )
    held_invoices: WaitingMoneyOut = Field(
        description="Invoices on hold on which something is still to be paid, with what that is."
    )
    undelivered_emails: int = Field(
        description="E-mails that the mail server refused, or has not taken for more than a day, "
        "where no later one about the same invoice went out."
    )
    set_aside_events: int = Field(
        description="Usage events of accounts that nobody had when they came, and of which nobody "
        "has said yet whose they are."
    )
    failed_customers: list[FailedCustomersOut] = Field(
        description="Cycles with customers who could not be billed, the newest period first."
    )
    unbilled_periods: list[str] = Field(
        description="Months that are over and have usage or an active flat subscription, but no "
        "cycle and no invoices of an older system; from the first cycle on, or, without any, the "
        "latest month alone."
    )
    running_cycles: list[RunningCycleOut] = Field(
        description="Cycles that are not closed, the newest period first."
    )
    unproved_months: list[UnprovedMonthOut] = Field(
        description="Months whose reconciliation found differences, or could not check something; "
        "the newest period first."
    )
