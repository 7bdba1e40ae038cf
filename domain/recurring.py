"""Recurring revenue: what a customer pays in a month, as their subscriptions and use now are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from domain.errors import OverlappingUsagePlans
from domain.money import round_money
from domain.periods import BillingPeriod
from domain.plans import PlanKind, PriceBook
from domain.rating import Subscription, rate_graduated

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
    subscribed: Iterable[Subscription],
    used: Mapping[Subscription, Decimal],
    prices: PriceBook,
    currency: str,
    on: date,
) -> Recurring:
    """A customer's on the day `on`: the flat plans that are active then at their monthly price,
    and the usage of the four weeks before, priced as if it were a month's.

    `used`: by usage subscription that is active on the day, the units of the days in the window
    that it covers. Prices are those of the cycle: valid on the month's first day, or on the
    subscription's where that is later. Raises CustomerCannotBeBilled: a missing price, or two plans
    for one metric.
    """
    usage, flat = Decimal(0), Decimal(0)
    metered: dict[str | None, str] = {}
    for subscription in subscribed:
        if not subscription.covers(on):
            continue
        priced_on = max(BillingPeriod.of(on).start, subscription.starts_on)
        kind, metric = prices.kind_and_metric(subscription.plan_code, priced_on)
        plan = prices.price(subscription.plan_code, currency, priced_on)
        if kind is PlanKind.USAGE:
            if metric in metered:
                raise OverlappingUsagePlans(metric or "", metered[metric], plan.code, on)
            metered[metric] = plan.code
            lines = rate_graduated(plan, used.get(subscription, Decimal(0)))
            usage += sum((line.amount for line in lines), Decimal(0))
        else:
            assert plan.unit_price is not None  # kept by PlanPrice
            flat += round_money(subscription.quantity * plan.unit_price, currency)
    return Recurring(round_money(usage, currency), round_money(flat, currency))


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
