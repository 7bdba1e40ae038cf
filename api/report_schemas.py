"""The JSON of the reports, with the definition of every figure."""

from datetime import date

from pydantic import Field

from api.schemas import Amount, Period, Schema
from domain.recurring import Movement
from domain.reporting import RecoveryStep


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


class RecoveredOut(Schema):
    """What came of cases on one step.

    The step is the one that the case had reached: by the state in which its invoice was when the
    money came. After an extension, and after a reversal that reopened it, the steps begin anew.
    """

    step: RecoveryStep = Field(
        description="before_reminders: no reminder had gone out, and it was not our retry (a wire, "
        "the payer's page, a new card). retry: no reminder had gone out, and a card that had been "
        "charged for the invoice before was charged again. reminder, urgent_notice: the last "
        "notice that had gone out. manual_review: a person had it, booked it as paid elsewhere, or "
        "had written it off."
    )
    settled: int = Field(
        description="Cases settled: nothing was open any more, whether money, customer credit or a "
        "credit note covered the rest. A void and a write-off settle nothing; a written-off case "
        "that is paid after all counts on the day of that. A case that was reopened and settled "
        "again counts again."
    )
    recovered: Amount = Field(
        description="Money that cases received, by card, wire or as paid elsewhere, parts of an "
        "invoice included. Not what came before the case opened, customer credit, credit notes, "
        "or what exceeded the invoice. Money that goes back later is not taken off."
    )


class CollectedMonthOut(Schema):
    """One calendar month, or what is over of it."""

    month: Period
    until: date = Field(
        description="Its last day, inclusive; of the month of `as_of`, that day. What stands, "
        "stands at its end."
    )
    opened: int = Field(
        description="Cases that opened. A case is an issued invoice that was not paid when it "
        "should have been. It opens on the business day of its first failed charge, or on that on "
        "which it was found overdue, whichever comes first. It closes when it is settled, voided "
        "or written off. A reversed payment, refund or dispute opens it again, and opens an "
        "invoice that was no case if its due date is over; that counts again."
    )
    settled: int = Field(description="Cases settled in the month: the sum of the steps.")
    recovered: Amount = Field(description="Money recovered in the month: the sum of the steps.")
    steps: list[RecoveredOut] = Field(description="Every step, in the order of the process.")
    unaided: Amount | None = Field(
        description="Share settled without a person: cases settled on any step but manual_review, "
        "in percent of all settled; null: none was."
    )
    unaided_change: Amount | None = Field(
        description="Of `unaided` against the month before, in points; null: one of them is."
    )
    open_cases: int = Field(description="Cases open at the end of `until`.")
    open_amount: Amount = Field(description="What is open on them: total less paid less credited.")
    receivables: Amount = Field(
        description="What is open on all invoices at the end of `until`, due or not; customer "
        "credit that no invoice has used is not taken off."
    )
    billed: Amount = Field(
        description="Totals, tax included, of the invoices issued in the three months that end "
        "with `until`: whole calendar months at a month's end, else from the day after the same "
        "day three months before. Nothing is taken off for credit notes or voids; an invoice below "
        "0 counts as 0."
    )
    dso: Amount | None = Field(
        description="Days sales outstanding: `receivables` / `billed` x days of the three months, "
        "to one decimal, half-up; null: nothing was billed."
    )
    dso_change: Amount | None = Field(
        description="Of `dso` against the month before, in days; null: one of them is."
    )


class CollectionsOut(ReportHead):
    """What the reminders achieve. The sums are of the months shown, which the events of later
    business days do not change.
    """

    rates: list[RateOut] = Field(
        description="The rates of `as_of`, by which all months were converted; each sum in another "
        "currency is rounded, and totals are sums of these."
    )
    opened: int
    settled: int
    recovered: Amount
    steps: list[RecoveredOut]
    unaided: Amount | None = Field(description="Of all that was settled, as in a month.")
    months: list[CollectedMonthOut] = Field(description="Oldest first.")
