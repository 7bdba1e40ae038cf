"""Usage and subscriptions turned into invoice lines."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from domain.errors import NegativeUsage, OverlappingUsagePlans, UsageWithoutPlan
from domain.money import round_money
from domain.periods import BillingPeriod
from domain.plans import PlanKind, PlanPrice, PriceBook
from domain.proration import proration_credit


class LineKind(StrEnum):
    USAGE = "usage"
    FLAT = "flat"
    PRORATION = "proration"


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


@dataclass(frozen=True)
class Contract:
    """What a customer agreed to: the terms by which their months are rated.

    `subscriptions`: at least those with a day in the month; others count for nothing.
    """

    currency: str
    subscriptions: tuple[Subscription, ...]


@dataclass(frozen=True)
class DailyUsage:
    """The quantity of one metric on one day of the seller's time zone."""

    metric: str
    day: date
    quantity: Decimal


@dataclass(frozen=True)
class RatedLine:
    """A priced line, its amount rounded to the currency's minor unit.

    `unit_price` is None for a proration, whose amount is a share of a line's and no product.
    `plan_version` says which version of the plan priced it.
    """

    kind: LineKind
    description: str
    quantity: Decimal
    unit_price: Decimal | None
    amount: Decimal
    plan_code: str
    plan_version: int


def rate_graduated(plan: PlanPrice, quantity: Decimal) -> list[RatedLine]:
    """One line for each tier that `quantity` units reach, cheapest position first.

    Tier n prices the units above the previous tier's `up_to` and up to its own, inclusive.
    No units, no lines. Raises NegativeUsage below zero.
    """
    if quantity < 0:
        raise NegativeUsage(plan.metric or plan.code, quantity)
    lines = []
    lower = Decimal(0)
    for tier in plan.tiers:
        upper = quantity if tier.up_to is None else min(quantity, Decimal(tier.up_to))
        if upper <= lower:
            break
        units = upper - lower
        lines.append(
            RatedLine(
                kind=LineKind.USAGE,
                description=f"{plan.name}: {tier.name}",
                quantity=units,
                unit_price=tier.unit_price,
                amount=round_money(units * tier.unit_price, plan.currency),
                plan_code=plan.code,
                plan_version=plan.version,
            )
        )
        lower = upper
    return lines


def rate_flat(
    plan: PlanPrice, subscription: Subscription, period: BillingPeriod
) -> list[RatedLine]:
    """The full month's charge and, for a part of the month, the line that takes back the rest.

    A subscription without a day in the period gives no lines.
    """
    days = period.days_covered(subscription.starts_on, subscription.ends_on)
    if days == 0:
        return []
    assert plan.unit_price is not None  # kept by PlanPrice
    charge = RatedLine(
        kind=LineKind.FLAT,
        description=plan.name,
        quantity=subscription.quantity,
        unit_price=plan.unit_price,
        amount=round_money(subscription.quantity * plan.unit_price, plan.currency),
        plan_code=plan.code,
        plan_version=plan.version,
    )
    if days == period.days:
        return [charge]
    credit = RatedLine(
        kind=LineKind.PRORATION,
        description=f"Proration: {plan.name}, {days} of {period.days} days "
        f"({_covered_days(subscription, period)})",
        quantity=subscription.quantity,
        unit_price=None,
        amount=proration_credit(
            subscription.quantity * plan.unit_price, days, period.days, plan.currency
        ),
        plan_code=plan.code,
        plan_version=plan.version,
    )
    return [charge, credit]


def rate_customer(
    contract: Contract, usage: Iterable[DailyUsage], prices: PriceBook, period: BillingPeriod
) -> list[RatedLine]:
    """All lines of one customer's period: usage by plan and tier, then flat charges.

    Prices are those valid on the period's first day, or on the subscription's first day where
    that is later. A usage plan prices the usage of the days that its subscription covers; where
    a customer changes plans in mid-month, each plan's tiers count its own days from zero.

    Raises CustomerCannotBeBilled: a missing price, usage that no plan covers or that two do.
    """
    ordered = sorted(contract.subscriptions, key=lambda sub: (sub.plan_code, sub.starts_on))
    usage_plans: list[tuple[Subscription, str]] = []
    flat: list[RatedLine] = []
    for subscription in ordered:
        if period.days_covered(subscription.starts_on, subscription.ends_on) == 0:
            continue
        on = max(period.start, subscription.starts_on)
        kind, metric = prices.kind_and_metric(subscription.plan_code, on)
        if kind is PlanKind.USAGE:
            usage_plans.append((subscription, metric or ""))
        else:
            plan = prices.price(subscription.plan_code, contract.currency, on)
            flat.extend(rate_flat(plan, subscription, period))

    metered: list[RatedLine] = []
    for subscription, quantity in _usage_by_plan(usage_plans, usage):
        on = max(period.start, subscription.starts_on)
        plan = prices.price(subscription.plan_code, contract.currency, on)
        metered.extend(rate_graduated(plan, quantity))
    return metered + flat


def _usage_by_plan(
    plans: list[tuple[Subscription, str]], usage: Iterable[DailyUsage]
) -> Iterator[tuple[Subscription, Decimal]]:
    """Each usage subscription with the quantity of its metric on the days it covers."""
    quantities: dict[Subscription, Decimal] = {}
    uncovered: dict[str, list[DailyUsage]] = defaultdict(list)
    for entry in usage:
        if entry.quantity == 0:
            continue
        covering = [
            sub for sub, metric in plans if metric == entry.metric and sub.covers(entry.day)
        ]
        if len(covering) > 1:
            raise OverlappingUsagePlans(
                entry.metric, covering[0].plan_code, covering[1].plan_code, entry.day
            )
        if covering:
            quantities[covering[0]] = quantities.get(covering[0], Decimal(0)) + entry.quantity
        else:
            uncovered[entry.metric].append(entry)
    for metric, entries in sorted(uncovered.items()):
        days = [entry.day for entry in entries]
        quantity = sum((entry.quantity for entry in entries), Decimal(0))
        raise UsageWithoutPlan(metric, quantity, min(days), max(days))
    return ((sub, quantities[sub]) for sub, _ in plans if sub in quantities)


def _covered_days(subscription: Subscription, period: BillingPeriod) -> str:
    first = max(period.start, subscription.starts_on)
    ends_on = subscription.ends_on
    if ends_on is None or ends_on >= period.end:
        return f"from {first}"
    if first == period.start:
        return f"until {ends_on.fromordinal(ends_on.toordinal() - 1)}"
    return f"from {first} until {ends_on.fromordinal(ends_on.toordinal() - 1)}"
