"""The JSON of the reports, with the definition of every figure."""

from datetime import date

from pydantic import Field

from api.schemas import Amount, Period, Schema


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
        description="The rates by which other currencies were converted; each customer's sum is "
        "rounded, and totals are sums of these."
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
