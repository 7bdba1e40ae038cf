"""Usage and subscriptions turned into invoice lines."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from domain.charges import rate_charge
from domain.discounts import Discount, discount_lines
from domain.errors import OverlappingUsagePlans, UsageWithoutPlan
from domain.flat_fees import give_back_year, rate_month, rate_year
from domain.lines import LineKind, RatedLine, sum_of
from domain.money import round_money
from domain.periods import BillingPeriod
from domain.plans import Interval, PlanKind, PlanPrice, PriceBook
from domain.subscriptions import Subscription, covered_days, price_day

__all__ = ["Contract", "DailyUsage", "LineKind", "RatedLine", "Subscription", "rate_customer"]


@dataclass(frozen=True)
class Contract:
    """What a customer agreed to: the terms by which their months are rated.

    `subscriptions`: at least those with a day in the month; others count for nothing.
    `discounts`: all that the customer ever had, since what a year cost may be given back later.
    """

    currency: str
    subscriptions: tuple[Subscription, ...]
    discounts: tuple[Discount, ...] = ()


@dataclass(frozen=True)
class DailyUsage:
    """The quantity of one metric on one day of the seller's time zone."""

    metric: str
    day: date
    quantity: Decimal


@dataclass
class _PlanLines:
    """What one plan comes to in the month. `on`: first day of it; `given_back`: days of a paid
    year, which are net of their discounts.
    """

    plan_code: str
    on: date
    charged: list[RatedLine] = field(default_factory=list)
    given_back: list[RatedLine] = field(default_factory=list)


def rate_usage(
    plan: PlanPrice,
    subscription: Subscription,
    used: Mapping[str, Decimal],
    period: BillingPeriod,
) -> list[RatedLine]:
    """The lines of a usage plan's charges and, where they come to less than its minimum, the one
    that tops them up to it; for a part of the month the minimum is that part's, by day.

    `used`: units by metric on the days that the subscription covers. Raises NegativeUsage.
    """
    lines: list[RatedLine] = []
    for charge in plan.charges:
        lines += rate_charge(plan, charge, used.get(charge.metric, Decimal(0)))
    if plan.minimum is None:
        return lines
    days = period.days_covered(subscription.starts_on, subscription.ends_on)
    committed = round_money(plan.minimum * days / period.days, plan.currency)
    usage = round_money(sum_of(lines), plan.currency)
    if usage < committed:
        part = f" for {days} of {period.days} days ({covered_days(subscription, period)})"
        lines.append(
            RatedLine(
                kind=LineKind.MINIMUM,
                description=f"Minimum commitment: {plan.name}, {committed:,f}"
                f"{part if days < period.days else ' a month'} less usage of {usage:,f}",
                quantity=Decimal(1),
                unit_price=None,
                amount=committed - usage,
                plan_code=plan.code,
                plan_version=plan.version,
            )
        )
    return lines


def rate_customer(
    contract: Contract, usage: Iterable[DailyUsage], prices: PriceBook, period: BillingPeriod
) -> list[RatedLine]:
    """All lines of one customer's period: usage by plan, charge and tier, then flat fees, each plan
    with its discounts, and at the end the discounts on everything.

    Prices and discounts are those valid on the period's first day, or on the subscription's first
    day where that is later. A usage plan prices the usage of the days that its subscription covers;
    where a customer changes plans in mid-month, each plan's tiers count its own days from zero.

    Raises CustomerCannotBeBilled: a missing price, usage that no plan covers or that two do, a
    discount in another currency.
    """
    ordered = sorted(contract.subscriptions, key=lambda sub: (sub.plan_code, sub.starts_on))
    metered: dict[Subscription, PlanPrice] = {}
    flat: list[tuple[Subscription, PlanPrice]] = []
    for subscription in ordered:
        if period.days_covered(subscription.starts_on, subscription.ends_on) == 0:
            continue
        on = price_day(subscription, period)
        plan = prices.price(subscription.plan_code, contract.currency, on)
        if plan.kind is PlanKind.USAGE:
            metered[subscription] = plan
        else:
            flat.append((subscription, plan))

    groups: dict[str, _PlanLines] = {}
    used = _usage_by_plan(metered, usage)
    for subscription, plan in metered.items():
        group = groups.setdefault(plan.code, _PlanLines(plan.code, price_day(subscription, period)))
        group.charged += rate_usage(plan, subscription, used[subscription], period)
    for subscription, plan in flat:
        group = groups.setdefault(plan.code, _PlanLines(plan.code, price_day(subscription, period)))
        if plan.interval is Interval.YEAR:
            group.charged += rate_year(plan, subscription, period)
            group.given_back += give_back_year(
                subscription, prices, contract.currency, contract.discounts, period
            )
        else:
            group.charged += rate_month(plan, subscription, period)
    return _discounted(contract, list(groups.values()))


def _discounted(contract: Contract, groups: list[_PlanLines]) -> list[RatedLine]:
    """The lines of all plans, each with its discounts behind it, and those on everything."""
    lines: list[RatedLine] = []
    charged: list[RatedLine] = []
    for group in groups:
        off = discount_lines(
            contract.discounts, group.plan_code, group.charged, group.on, contract.currency
        )
        charged += group.charged + off
        lines += group.charged + off + group.given_back
    if groups:
        first = min(group.on for group in groups)
        lines += discount_lines(contract.discounts, None, charged, first, contract.currency)
    return lines


def _usage_by_plan(
    plans: Mapping[Subscription, PlanPrice], usage: Iterable[DailyUsage]
) -> dict[Subscription, dict[str, Decimal]]:
    """For each usage subscription the units of its metrics on the days it covers."""
    used: dict[Subscription, dict[str, Decimal]] = {subscription: {} for subscription in plans}
    uncovered: dict[str, list[DailyUsage]] = defaultdict(list)
    for entry in usage:
        if entry.quantity == 0:
            continue
        covering = [
            sub
            for sub, plan in plans.items()
            if entry.metric in plan.metrics and sub.covers(entry.day)
        ]
        if len(covering) > 1:
            raise OverlappingUsagePlans(
                entry.metric, covering[0].plan_code, covering[1].plan_code, entry.day
            )
        if covering:
            units = used[covering[0]]
            units[entry.metric] = units.get(entry.metric, Decimal(0)) + entry.quantity
        else:
            uncovered[entry.metric].append(entry)
    for metric, entries in sorted(uncovered.items()):
        days = [entry.day for entry in entries]
        quantity = sum((entry.quantity for entry in entries), Decimal(0))
        raise UsageWithoutPlan(metric, quantity, min(days), max(days))
    return used
