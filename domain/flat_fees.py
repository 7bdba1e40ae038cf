"""Flat fees: by the month with its part taken back, by the year on each anniversary."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from domain.discounts import Discount, discount_lines
from domain.lines import LineKind, RatedLine, sum_of
from domain.money import round_money
from domain.periods import BillingPeriod
from domain.plans import PlanPrice, PriceBook
from domain.proration import proration_credit
from domain.subscriptions import Subscription, covered_days, price_day


def rate_month(
    plan: PlanPrice, subscription: Subscription, period: BillingPeriod
) -> list[RatedLine]:
    """The full month's charge and, for a part of the month, the line that takes back the rest.

    A subscription without a day in the period gives no lines.
    """
    days = period.days_covered(subscription.starts_on, subscription.ends_on)
    if days == 0:
        return []
    charge = _charge(plan, subscription, plan.name)
    if days == period.days:
        return [charge]
    unused = proration_credit(_fee(plan, subscription), days, period.days, plan.currency)
    says = f"{plan.name}, {days} of {period.days} days ({covered_days(subscription, period)})"
    return [charge, _proration(plan, subscription, says, unused)]


@dataclass(frozen=True)
class PaidYear:
    """A year of a subscription, from its first day or an anniversary, `[begins_on, ends_on)`."""

    begins_on: date
    ends_on: date

    @classmethod
    def of(cls, subscription: Subscription, day: date) -> "PaidYear":
        """The one that holds `day`, which is not before the subscription's first."""
        starts_on = subscription.starts_on
        begins_on = _anniversary(starts_on, day.year)
        if begins_on > day:
            begins_on = _anniversary(starts_on, day.year - 1)
        return cls(begins_on, _anniversary(starts_on, begins_on.year + 1))

    @property
    def days(self) -> int:
        return (self.ends_on - self.begins_on).days


def rate_year(
    plan: PlanPrice, subscription: Subscription, period: BillingPeriod
) -> list[RatedLine]:
    """The year's fee in full in the month in which a year begins; no lines in any other.

    Years begin on the subscription's first day and its anniversaries: 29 February has them on the
    28th of common years.
    """
    begins_on = _anniversary(subscription.starts_on, period.year)
    in_period = BillingPeriod.of(begins_on) == period
    if not in_period or not subscription.covers(begins_on):
        return []
    year = PaidYear.of(subscription, begins_on)
    last_day = year.ends_on - timedelta(days=1)
    return [_charge(plan, subscription, f"{plan.name}, year from {begins_on} to {last_day}")]


def give_back_year(
    subscription: Subscription,
    prices: PriceBook,
    currency: str,
    discounts: Sequence[Discount],
    period: BillingPeriod,
) -> list[RatedLine]:
    """The line that gives back the days behind an end inside a paid year, in the month of the
    subscription's last day.

    They are a share of what the year cost at its beginning: the price of then, less the discounts
    of then that were taken off this fee alone or off everything by a percentage.
    """
    if subscription.ends_on is None:
        return []
    last_day = subscription.ends_on - timedelta(days=1)
    year = PaidYear.of(subscription, last_day)
    if BillingPeriod.of(last_day) != period or year.ends_on == subscription.ends_on:
        return []
    on = price_day(subscription, BillingPeriod.of(year.begins_on))
    plan = prices.price(subscription.plan_code, currency, on)
    paid = [_charge(plan, subscription, plan.name)]
    paid += discount_lines(discounts, plan.code, paid, on, currency)
    shares = [entry for entry in discounts if entry.percent is not None]
    paid += discount_lines(shares, None, paid, on, currency)
    used = (subscription.ends_on - year.begins_on).days
    says = f"{plan.name}, {used} of {year.days} days (from {year.begins_on} until {last_day})"
    unused = proration_credit(sum_of(paid), used, year.days, currency)
    return [_proration(plan, subscription, says, unused)]


def _anniversary(starts_on: date, year: int) -> date:
    """The day of `year` on which a year of what began on `starts_on` begins."""
    try:
        return starts_on.replace(year=year)
    except ValueError:  # 29 February, in a common year
        return date(year, 2, 28)


def _fee(plan: PlanPrice, subscription: Subscription) -> Decimal:
    assert plan.unit_price is not None  # kept by PlanPrice
    return subscription.quantity * plan.unit_price


def _charge(plan: PlanPrice, subscription: Subscription, says: str) -> RatedLine:
    return RatedLine(
        kind=LineKind.FLAT,
        description=says,
        quantity=subscription.quantity,
        unit_price=plan.unit_price,
        amount=round_money(_fee(plan, subscription), plan.currency),
        plan_code=plan.code,
        plan_version=plan.version,
    )


def _proration(
    plan: PlanPrice, subscription: Subscription, says: str, amount: Decimal
) -> RatedLine:
    return RatedLine(
        kind=LineKind.PRORATION,
        description=f"Proration: {says}",
        quantity=subscription.quantity,
        unit_price=None,
        amount=amount,
        plan_code=plan.code,
        plan_version=plan.version,
    )
