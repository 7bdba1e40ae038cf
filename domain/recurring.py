"""Recurring revenue: what a customer pays in a month, as their subscriptions and use now are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from domain.discounts import discount_lines, reductions
from domain.errors import OverlappingUsagePlans
from domain.flat_fees import rate_month
from domain.lines import sum_of
from domain.money import round_money
from domain.periods import BillingPeriod
from domain.plans import Interval, PlanKind, PlanPrice, PriceBook
from domain.rating import Contract, rate_usage
from domain.subscriptions import Subscription, price_day

WINDOW_DAYS = 28
"""Usage of four weeks, in which every weekday counts equally often, stands for a month's."""


def window_start(day: date) -> date:
    """First day, inclusive, of the four weeks that end with `day`."""
    return day - timedelta(WINDOW_DAYS - 1)


@dataclass(frozen=True)
class Recurring:
    """Monthly recurring revenue in one currency, without tax and proration."""

    usage: Decimal
    subscriptions: Decimal

    @property
    def total(self) -> Decimal:
        return self.usage + self.subscriptions


def recurring_revenue(
    contract: Contract,
    used: Mapping[Subscription, Mapping[str, Decimal]],
    prices: PriceBook,
    on: date,
) -> Recurring:
    """A customer's on the day `on`: the flat plans that are active then at their monthly price, a
    yearly one at a twelfth, and the usage of the four weeks before, priced as if it were a month's,
    at least the plan's minimum. The discounts of the day are taken off; prepaid credit is none.

    `used`: by usage subscription that is active on the day, the units by metric of the days in the
    window that it covers. Prices are those of the cycle: valid on the month's first day, or on the
    subscription's where that is later. Raises CustomerCannotBeBilled: a missing price, two plans
    for one metric, a discount in another currency.
    """
    currency, month = contract.currency, BillingPeriod.of(on)
    usage, flat = Decimal(0), Decimal(0)
    metered: dict[str, str] = {}
    for subscription in contract.subscriptions:
        if not subscription.covers(on):
            continue
        plan = prices.price(subscription.plan_code, currency, price_day(subscription, month))
        whole = replace(subscription, starts_on=month.start, ends_on=None)
        if plan.kind is PlanKind.USAGE:
            _require_one_plan_a_metric(metered, plan, on)
            charged = rate_usage(plan, whole, used.get(subscription, {}), month)
        else:
            charged = rate_month(plan, whole, month)
        charged += discount_lines(contract.discounts, plan.code, charged, on, currency)
        monthly = sum_of(charged)
        if plan.kind is PlanKind.USAGE:
            usage += monthly
        else:
            flat += monthly / 12 if plan.interval is Interval.YEAR else monthly
    usage, flat = round_money(usage, currency), round_money(flat, currency)
    off = _off_everything(contract, usage + flat, on)
    off_usage = round_money(off * usage / (usage + flat), currency) if off else Decimal(0)
    return Recurring(usage - off_usage, flat - (off - off_usage))


def _off_everything(contract: Contract, total: Decimal, on: date) -> Decimal:
    taken = reductions(contract.discounts, None, total, on, contract.currency)
    return sum((reduction.off for reduction in taken), Decimal(0))


def _require_one_plan_a_metric(metered: dict[str, str], plan: PlanPrice, on: date) -> None:
    """Takes `plan` in. Raises OverlappingUsagePlans where another counts one of its metrics."""
    for metric in plan.metrics:
        if metric in metered:
            raise OverlappingUsagePlans(metric, metered[metric], plan.code, on)
        metered[metric] = plan.code


class Movement(StrEnum):
    """What became of a customer's recurring revenue between two days: who paid nothing before is
    new, who pays nothing now has churned.
    """

    NEW = "new"
    EXPANSION = "expansion"
    CONTRACTION = "contraction"
    CHURNED = "churned"


@dataclass(frozen=True)
class UsageDecline:
    """Usage per day of a metric in three months, the oldest first."""

    metric: str
    per_day: tuple[Decimal, Decimal, Decimal]

    @property
    def fall(self) -> Decimal:
        """From the first to the last month, as a share: 0.8 is a fall to a fifth."""
        first, _, last = self.per_day
        return 1 - last / first


def declining(
    metric: str,
    months: tuple[BillingPeriod, BillingPeriod, BillingPeriod],
    used: tuple[Decimal, Decimal, Decimal],
    *,
    threshold: Decimal,
) -> UsageDecline | None:
    """Usage whose daily average fell by at least `threshold` (0.10: ten percent) two months
    running; None for any other, such as one that was nothing before.
    """
    per_day = tuple(quantity / month.days for quantity, month in zip(used, months, strict=True))
    first, second, third = per_day
    kept = 1 - threshold
    if first <= 0 or second > first * kept or third > second * kept or second <= 0:
        return None
    return UsageDecline(metric, (first, second, third))
