"""What a customer subscribes to, and on which days."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from domain.periods import BillingPeriod


@dataclass(frozen=True)
class Subscription:
    """A customer's subscription to a plan on the days `[starts_on, ends_on)`.

    `ends_on` None: open-ended. `quantity` is the number of units of a flat plan.
    """

    plan_code: str
    quantity: Decimal
    starts_on: date
    ends_on: date | None = None

    def covers(self, day: date) -> bool:
        return self.starts_on <= day and (self.ends_on is None or day < self.ends_on)


def price_day(subscription: Subscription, period: BillingPeriod) -> date:
    """The day whose prices and discounts a subscription has in `period`: the first of the month,
    or its own first day where that is later.
    """
    return max(period.start, subscription.starts_on)


def covered_days(subscription: Subscription, period: BillingPeriod) -> str:
    """In words, the days of `period` that it covers where these are a part of it."""
    first = price_day(subscription, period)
    ends_on = subscription.ends_on
    if ends_on is None or ends_on >= period.end:
        return f"from {first}"
    until = f"until {ends_on - timedelta(days=1)}"
    return until if first == period.start else f"from {first} {until}"
