"""What stands out of a customer in a month's plan, with the money in it.

What is usual of a customer is the middle one of their last three months; of two, the later one. So
a single odd month neither hides what follows it nor makes it stand out.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from domain.money import round_money
from domain.reporting import percent as percent_of

_TAX_TOLERANCE = Decimal("0.05")  # an older system may have rounded its tax line by line


class FindingKind(StrEnum):
    """Of one customer. At most one of those before `TAX_CHANGED` is true of a customer, beside
    months of theirs that failed.
    """

    FAILED = "failed"
    NEW = "new"
    GONE = "gone"
    CURRENCY_CHANGED = "currency_changed"
    ZERO_USAGE = "zero_usage"
    FIRST_USAGE = "first_usage"
    DROP = "drop"
    JUMP = "jump"
    TAX_CHANGED = "tax_changed"
    PRICE_CHANGED = "price_changed"
    LATE = "late"


@dataclass(frozen=True)
class Thresholds:
    """From where on a change stands out; each is inclusive.

    Attributes:
        percent, amount: of a customer's month, by both; `amount` is in the invoice's currency.
        whole_percent: of a figure of the whole plan.
    """

    percent: Decimal = Decimal(50)
    amount: Decimal = Decimal(50)
    whole_percent: Decimal = Decimal(20)

    def stands_out(self, before: Decimal, now: Decimal) -> bool:
        """Whether a customer's month does; from nothing on, any percentage is reached."""
        change = abs(now - before)
        return change >= self.amount and change * 100 >= self.percent * abs(before)

    def whole_stands_out(self, before: Decimal, now: Decimal) -> bool:
        return now != before and abs(now - before) * 100 >= self.whole_percent * abs(before)


@dataclass(frozen=True)
class MonthsBill:
    """What a customer's regular invoice of one month comes to.

    Attributes:
        net: before tax, without what is late.
        usage: the part of it that is for usage, minimum commitments included.
        tax_percent: None where an older system billed and only the tax itself is known.
    """

    currency: str
    net: Decimal
    usage: Decimal
    subtotal: Decimal
    tax: Decimal
    tax_rule: str = ""
    tax_percent: Decimal | None = None


@dataclass(frozen=True)
class PastMonth:
    """What came late for `month`, "2026-01", and is charged now, or given back; or `failed`: why it
    cannot be. The amount is net.
    """

    month: str
    currency: str
    amount: Decimal | None
    why: str


@dataclass(frozen=True)
class PriceChange:
    """Another version of a plan's price than in the last month."""

    plan_code: str
    before: int
    now: int


@dataclass(frozen=True)
class CustomerInPlan:
    """One customer in the plan, and in the months before it.

    Attributes:
        now: the draft, or the invoice since; None for one who was skipped or failed.
        failure: why the customer cannot be billed; empty otherwise.
        has_nothing: there was nothing to bill.
        is_subscribed: to something in this month.
        units: of usage, as the draft was rated, all metrics together.
        before: by month, the last one first; None where there is no invoice of it. Empty where
            nobody has an invoice of any of them.
    """

    account_number: str
    currency: str
    now: MonthsBill | None
    before: Sequence[MonthsBill | None]
    failure: str = ""
    has_nothing: bool = False
    is_subscribed: bool = True
    units: Decimal = Decimal(0)
    past_months: Sequence[PastMonth] = ()
    prices: Sequence[PriceChange] = ()

    @property
    def last(self) -> MonthsBill | None:
        """The latest bill of before."""
        return next((bill for bill in self.before if bill is not None), None)


@dataclass(frozen=True)
class Finding:
    """One thing that stands out of one customer.

    Attributes:
        currency: of the figures; of `before` alone where `currency_before` is not another one.
        before, now: the figures, which are net but for TAX_CHANGED; None where there is nothing.
        explanation: what the figures do not tell; may be empty.
    """

    kind: FindingKind
    account_number: str
    currency: str
    before: Decimal | None
    now: Decimal | None
    explanation: str = ""
    currency_before: str = ""

    @property
    def difference(self) -> Decimal | None:
        """None where both are of different currencies, or neither is known."""
        known = self.now if self.now is not None else self.before
        if known is None or self.currency_before:
            return None
        return (self.now or known * 0) - (self.before or known * 0)

    @property
    def percent(self) -> Decimal | None:
        """To a tenth; None where there was nothing before."""
        if self.before is None or self.difference is None:
            return None
        return percent_of(self.difference, abs(self.before))

    @property
    def money(self) -> Decimal:
        """What is at stake, above zero, in `currency`."""
        at_stake = self.difference if self.difference is not None else self.now
        return abs(at_stake or Decimal(0))


def customer_findings(customer: CustomerInPlan, thresholds: Thresholds) -> list[Finding]:
    """What stands out of one customer."""
    return [
        *_of_the_month(customer, thresholds),
        *_of_tax_and_prices(customer),
        *(_of_a_past_month(customer, past) for past in customer.past_months),
    ]


def ranked(findings: Iterable[Finding], worth: Callable[[str], Decimal]) -> list[Finding]:
    """Who failed first, since nothing is billed of them; each by the money in it, the most first.

    `worth`: what one unit of a currency is in the one that all are compared in.
    """
    return sorted(
        findings,
        key=lambda finding: (
            finding.kind is not FindingKind.FAILED,
            -finding.money * worth(finding.currency),
            finding.account_number,
            finding.kind.value,
            finding.explanation,
        ),
    )


def _of_the_month(customer: CustomerInPlan, thresholds: Thresholds) -> list[Finding]:
    now, last = customer.now, customer.last
    if customer.failure:
        currency = last.currency if last else customer.currency
        return [
            Finding(
                FindingKind.FAILED,
                customer.account_number,
                currency,
                last.net if last else None,
                None,
                customer.failure,
            )
        ]
    if now is None:
        return _of_one_without_a_bill(customer, thresholds)
    if last is None:
        if not customer.before:
            return []
        return [Finding(FindingKind.NEW, customer.account_number, now.currency, None, now.net)]
    if last.currency != now.currency:
        return [
            Finding(
                FindingKind.CURRENCY_CHANGED,
                customer.account_number,
                now.currency,
                last.net,
                now.net,
                currency_before=last.currency,
            )
        ]
    return _of_the_amount(customer, now, thresholds)


def _of_one_without_a_bill(customer: CustomerInPlan, thresholds: Thresholds) -> list[Finding]:
    """Who was billed in the last month; of who was not, that month's plan told it.

    Who is subscribed still, and used plenty, may just lack their usage.
    """
    bill = customer.before[0] if customer.before else None
    if bill is None or not customer.has_nothing:
        return []
    kind, before, now = FindingKind.GONE, bill.net, None
    if customer.is_subscribed:
        bills = [it for it in customer.before if it and it.currency == bill.currency]
        usage = _usual([it.usage for it in bills])
        if usage >= thresholds.amount:
            kind, before, now = FindingKind.ZERO_USAGE, usage, usage * 0
    return [Finding(kind, customer.account_number, bill.currency, before, now)]


def _of_the_amount(
    customer: CustomerInPlan, now: MonthsBill, thresholds: Thresholds
) -> list[Finding]:
    bills = [bill for bill in customer.before if bill and bill.currency == now.currency]
    net, usage = (_usual([getattr(bill, part) for bill in bills]) for part in ("net", "usage"))
    if not customer.units and usage >= thresholds.amount:
        kind, before, comes_to = FindingKind.ZERO_USAGE, usage, now.usage
    elif (
        customer.units and now.usage >= thresholds.amount and not any(bill.usage for bill in bills)
    ):
        kind, before, comes_to = FindingKind.FIRST_USAGE, usage, now.usage
    elif thresholds.stands_out(net, now.net):
        kind = FindingKind.JUMP if now.net > net else FindingKind.DROP
        before, comes_to = net, now.net
    else:
        return []
    return [Finding(kind, customer.account_number, now.currency, before, comes_to)]


def _usual(amounts: Sequence[Decimal]) -> Decimal:
    """The middle one; of two, the first, which is the later."""
    return sorted(amounts)[1] if len(amounts) == 3 else amounts[0]


def _of_tax_and_prices(customer: CustomerInPlan) -> list[Finding]:
    now, last = customer.now, customer.last
    found: list[Finding] = []
    if now is None or last is None:
        return found
    former = _former_tax(now, last)
    if former is not None:
        before, was = former
        found.append(
            Finding(
                FindingKind.TAX_CHANGED,
                customer.account_number,
                now.currency,
                before,
                now.tax,
                f"{was}; now {_treatment(now)}",
            )
        )
    if customer.prices:
        versions = ", ".join(
            f"{price.plan_code}: version {price.before}, now {price.now}"
            for price in customer.prices
        )
        found.append(
            Finding(
                FindingKind.PRICE_CHANGED,
                customer.account_number,
                now.currency,
                last.net,
                now.net,
                versions,
                currency_before=last.currency if last.currency != now.currency else "",
            )
        )
    return found


def _former_tax(now: MonthsBill, last: MonthsBill) -> tuple[Decimal, str] | None:
    """The tax on `now` as it was done before, and how that was; None where it is the same.

    Of an invoice that tells no rule, the tax is held against the present rate.
    """
    if now.tax_percent is None:
        return None
    if last.tax_percent is not None:
        if (last.tax_rule, last.tax_percent) == (now.tax_rule, now.tax_percent):
            return None
        percent, was = last.tax_percent, _treatment(last)
    else:
        if abs(last.subtotal * now.tax_percent / 100 - last.tax) <= _TAX_TOLERANCE:
            return None
        percent = percent_of(last.tax, last.subtotal) or Decimal(0)
        was = f"{percent.normalize():f} % by an older system"
    return round_money(now.subtotal * percent / 100, now.currency), was


def _treatment(bill: MonthsBill) -> str:
    rule = bill.tax_rule.replace("_", " ")
    return f"{rule} {bill.tax_percent.normalize():f} %" if bill.tax_percent else rule


def _of_a_past_month(customer: CustomerInPlan, past: PastMonth) -> Finding:
    kind = FindingKind.LATE if past.amount is not None else FindingKind.FAILED
    why = past.why if past.month in past.why else f"{past.month}: {past.why}"
    return Finding(kind, customer.account_number, past.currency, None, past.amount, why)
