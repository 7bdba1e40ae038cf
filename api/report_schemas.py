"""The JSON of the reports, with the definition of every figure."""

from datetime import date

from pydantic import Field

from api.schemas import Amount, Period, Schema
from domain.recurring import Movement


class RateOut(Schema):
    """An exchange rate that the report used: one unit of `base` in the report's currency."""

    base: str
    rate: Amount
    valid_from: date


class ReportHead(Schema):
    """What every report says of itself."""

    as_of: date = Field(description="The business day at whose end the figures are true.")
    currency: str = Field(description="What all amounts are in.")
    rates: list[RateOut] = Field(
        description="The rates by which other currencies were converted, and the sums rounded."
    )


class AgedOut(Schema):
    """Invoices of one age."""

    bucket: str = Field(
        description="Days past the due date: current (due that day or later), 1-30, 31-60 "
        "(day 60 included), 60+."
    )
    amount: Amount = Field(description="What is open on them: total less paid less credited.")
    invoices: int
    customers: int
    share: Amount | None = Field(description="Of all that is open, in percent; null: of nothing.")


class DebtorOut(Schema):
    """A customer who owes something."""

    account_number: str
    name: str
    amount: Amount
    by_bucket: dict[str, Amount]
    invoices: int
    oldest_due_on: date = Field(description="Due date of the invoice that is open for longest.")


class OutstandingOut(ReportHead):
    """Open balances by age. Void and written-off invoices are not open; customer credit that no
    invoice has used is not taken off.
    """

    total: Amount
    invoices: int
    customers: int
    buckets: list[AgedOut]
    debtors: list[DebtorOut] = Field(description="Who owes most first, up to `limit`.")


class CustomerRevenueOut(Schema):
    """One customer's month."""

    account_number: str
    name: str
    segment: str
    revenue: Amount = Field(
        description="Invoiced for the period without tax, less what credit notes took back of it."
    )
    before: Amount = Field(description="The same for the month before.")
    change: Amount
    growth: Amount | None = Field(description="Change in percent; null: nothing before.")
    share: Amount | None = Field(description="Of the month's revenue, in percent.")


class RevenueByCustomerOut(ReportHead):
    """A month's revenue by customer. The totals are of all, also of those below `limit`."""

    period: Period
    revenue: Amount
    before: Amount
    growth: Amount | None
    billed_customers: int = Field(description="Customers whose revenue is not 0.")
    customers: list[CustomerRevenueOut] = Field(description="Who gave most first, up to `limit`.")


class MrrPointOut(Schema):
    """Recurring revenue at the end of a day."""

    day: date
    mrr: Amount
    usage: Amount
    subscriptions: Amount
    customers: int
    growth: Amount | None = Field(description="Since the point a week before, in percent.")


class MrrChangeOut(Schema):
    """What one kind of movement did to the revenue."""

    kind: Movement = Field(
        description="new: nothing before; churned: nothing now; expansion, contraction: more, less."
    )
    amount: Amount
    customers: int


class MoverOut(Schema):
    """A customer whose recurring revenue moved."""

    account_number: str
    name: str
    kind: Movement
    before: Amount
    now: Amount
    change: Amount


class BilledOut(Schema):
    """What was invoiced for a month, tax included, less what was voided since."""

    period: Period | None = Field(
        description="The latest month of which an invoice was issued; null: none was."
    )
    amount: Amount
    before: Amount = Field(description="The same for the month before.")
    growth: Amount | None


class MrrOut(ReportHead):
    """Monthly recurring revenue: usage plus subscriptions, without tax and proration.

    It is worked out customer by customer when a day is first asked for, and again where usage,
    subscriptions or prices came in that count from that day or before.
    """

    mrr: Amount
    usage: Amount = Field(
        description="The usage of the four weeks that end with the day, priced through the tiers "
        "as if it were a month's, of the usage plans that are active on the day."
    )
    subscriptions: Amount = Field(
        description="Quantity times monthly price of the flat plans that are active on the day."
    )
    customers: int = Field(description="Customers with recurring revenue.")
    growth: Amount | None = Field(description="Since four weeks before, in percent.")
    trend: list[MrrPointOut] = Field(
        description="Thirteen weekly points, the last of them the day; all by the day's rates."
    )
    since: date = Field(description="The day four weeks before, from which the changes count.")
    changes: list[MrrChangeOut] = Field(
        description="Their sum is what the revenue grew by, up to the rounding of other currencies."
    )
    movers: list[MoverOut] = Field(description="Whose revenue moved most, up to `limit`.")
    billed: BilledOut
    unrated: int = Field(
        description="Customers left out, since a price for something they have is missing."
    )


class DeclineOut(Schema):
    """Usage that falls month by month."""

    metric: str
    per_day: list[Amount] = Field(description="Units per day in the three months, oldest first.")
    fall: Amount = Field(description="From the first to the last month, in percent.")


class FailedPaymentOut(Schema):
    """An invoice whose card was refused and on which something is open."""

    number: str
    first_failed_on: date


class AtRiskOut(Schema):
    """A customer who may be about to leave, and why."""

    account_number: str
    name: str
    segment: str
    revenue: Amount = Field(description="Their recurring revenue on the day.")
    declines: list[DeclineOut]
    failed_payments: list[FailedPaymentOut]


class ChurnRiskOut(ReportHead):
    """Customers whose usage per day fell two months running, or whose payment failed."""

    threshold_percent: Amount = Field(description="The least fall that counts, a setting.")
    months: list[Period] = Field(description="The last three that were over, oldest first.")
    flagged: int
    revenue: Amount = Field(description="Recurring revenue of all who are flagged.")
    customers: list[AtRiskOut] = Field(description="Most revenue first, up to `limit`.")
