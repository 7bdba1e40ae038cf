"""A month rated a second time, by another formula, to prove the first.

Nothing here is used to bill, and nothing of what bills is used here: amounts are exact fractions
until they are rounded as whole numbers of the smallest unit, tiers are overlaps of two spans, and
years are counted by months. Contracts, prices and discounts are the same data, read by both.
"""

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from domain.discounts import Discount
from domain.plans import Charge, ChargeModel, Interval, PlanKind, PlanPrice
from domain.subscriptions import Subscription

ON_EVERYTHING = ""
"""What discounts on everything are about, in place of a plan."""


class NotPriced(Exception):
    """A plan has no price in a currency on a day."""


@dataclass(frozen=True)
class Terms:
    """All that a customer's month is rated by.

    Attributes:
        currency: with its digits behind the point, `digits`.
        used: units by metric for each usage subscription, on the days that it covers.
        prices: every version of the plans, in every currency.
    """

    currency: str
    digits: int
    first_day: date
    subscriptions: Sequence[Subscription]
    used: Mapping[Subscription, Mapping[str, Decimal]]
    discounts: Sequence[Discount]
    prices: Mapping[str, Sequence[PlanPrice]]

    @property
    def after(self) -> date:
        """First day behind the month."""
        return self.first_day + timedelta(days=self.days)

    @property
    def days(self) -> int:
        return monthrange(self.first_day.year, self.first_day.month)[1]


@dataclass
class SecondRating:
    """What the month comes to by plan code, and its units by metric: free, and at a price."""

    amounts: dict[str, Decimal] = field(default_factory=dict)
    free: dict[str, Decimal] = field(default_factory=dict)
    priced: dict[str, Decimal] = field(default_factory=dict)


def rate_again(terms: Terms) -> SecondRating:
    """The month of `terms`. Prepaid credit is no part of it, as of the first rating.

    Raises NotPriced where a plan has no price; whom else the first rating refuses is not asked.
    """
    rating = SecondRating()
    by_plan: dict[str, list[Subscription]] = {}
    for subscription in terms.subscriptions:
        if _days_of(subscription, terms):
            by_plan.setdefault(subscription.plan_code, []).append(subscription)
    discounted = Fraction(0)
    for code, subscriptions in by_plan.items():
        subscriptions.sort(key=lambda subscription: subscription.starts_on)
        charged = sum(
            (_charged(subscription, terms, rating) for subscription in subscriptions), Fraction(0)
        )
        opened = _opens(subscriptions[0], terms.first_day)
        left = charged - _off(terms, code, charged, opened)
        discounted += left
        back = sum(
            (_given_back(subscription, terms) for subscription in subscriptions), Fraction(0)
        )
        rating.amounts[code] = _decimal(left - back, terms)
    if by_plan:
        opened = min(
            _opens(subscriptions[0], terms.first_day) for subscriptions in by_plan.values()
        )
        off = _off(terms, ON_EVERYTHING, discounted, opened)
        if off:
            rating.amounts[ON_EVERYTHING] = _decimal(-off, terms)
    return rating


def _charged(subscription: Subscription, terms: Terms, rating: SecondRating) -> Fraction:
    plan = _price(terms, subscription, terms.first_day)
    if plan.kind is PlanKind.FLAT:
        return _flat(plan, subscription, terms)
    used = terms.used.get(subscription, {})
    usage = sum(
        (_usage(charge, used.get(charge.metric), terms, rating) for charge in plan.charges),
        Fraction(0),
    )
    if plan.minimum is None:
        return usage
    days = _days_of(subscription, terms)
    return max(usage, _rounded(Fraction(plan.minimum) * days / terms.days, terms))


def _usage(
    charge: Charge, quantity: Decimal | None, terms: Terms, rating: SecondRating
) -> Fraction:
    if not quantity:
        return Fraction(0)
    units = Fraction(quantity)
    bands = _bands(charge, units)
    free = sum((counted for counted, price, _ in bands if price == 0), Fraction(0))
    for sums, part in ((rating.free, free), (rating.priced, units - free)):
        sums[charge.metric] = sums.get(charge.metric, Decimal(0)) + _exact(part)
    return sum((_rounded(sold * price, terms) for _, price, sold in bands), Fraction(0))


def _bands(charge: Charge, units: Fraction) -> list[tuple[Fraction, Fraction, Fraction]]:
    """Units used, the price of one that is sold, and how many are sold; tier by tier."""
    one_price = Fraction(charge.unit_price or 0)
    if charge.model is ChargeModel.PER_UNIT:
        return [(units, one_price, units)]
    if charge.model is ChargeModel.PACKAGE:
        size = charge.package_size or 1
        return [(units, one_price, Fraction(-(-units // size)))]
    ends = [units if tier.up_to is None else Fraction(tier.up_to) for tier in charge.tiers]
    prices = [Fraction(tier.unit_price) for tier in charge.tiers]
    if charge.model is ChargeModel.VOLUME:
        reached = sum(end < units for end in ends)
        return [(units, prices[reached], units)]
    begins = [Fraction(0), *ends[:-1]]
    inside = [
        max(Fraction(0), min(units, end) - begin) for begin, end in zip(begins, ends, strict=True)
    ]
    return [(part, price, part) for part, price in zip(inside, prices, strict=True)]


def _flat(plan: PlanPrice, subscription: Subscription, terms: Terms) -> Fraction:
    fee = Fraction(subscription.quantity) * Fraction(plan.unit_price or 0)
    if plan.interval is Interval.YEAR:
        begins = _begin_of_year(subscription, terms.after - timedelta(days=1))
        is_new = begins >= terms.first_day and _covers(subscription, begins)
        return _rounded(fee, terms) if is_new else Fraction(0)
    unused = terms.days - _days_of(subscription, terms)
    return _rounded(fee, terms) - _rounded(fee * unused / terms.days, terms)


def _given_back(subscription: Subscription, terms: Terms) -> Fraction:
    """Of a paid year that ends early in this month, the share of the days that are left."""
    ends_on = subscription.ends_on
    if ends_on is None or not terms.first_day < ends_on <= terms.after:
        return Fraction(0)
    if _price(terms, subscription, terms.first_day).interval is not Interval.YEAR:
        return Fraction(0)
    begins = _begin_of_year(subscription, ends_on - timedelta(days=1))
    ends = _same_day(subscription.starts_on, begins.year + 1)
    opened = _opens(subscription, begins.replace(day=1))
    plan = _price(terms, subscription, begins.replace(day=1))
    fee = Fraction(subscription.quantity) * Fraction(plan.unit_price or 0)
    paid = _rounded(fee, terms)
    paid -= _off(terms, plan.code, paid, opened)
    paid -= _off(terms, ON_EVERYTHING, paid, opened, percentages_only=True)
    return _rounded(paid * (ends - ends_on).days / (ends - begins).days, terms)


def _off(
    terms: Terms, code: str, amount: Fraction, on: date, *, percentages_only: bool = False
) -> Fraction:
    """What the discounts on a plan, or on everything, take off: percentages, then amounts."""
    valid = [
        discount
        for discount in terms.discounts
        if (discount.plan_code or ON_EVERYTHING) == code
        and discount.valid_from <= on
        and (discount.valid_to is None or on < discount.valid_to)
    ]
    left = amount
    for discount in sorted(valid, key=lambda discount: (discount.valid_from, discount.name)):
        if discount.percent is not None and left > 0:
            left -= _rounded(left * Fraction(discount.percent) / 100, terms)
    for discount in sorted(valid, key=lambda discount: (discount.valid_from, discount.name)):
        if discount.amount is not None and left > 0 and not percentages_only:
            left -= min(left, _rounded(Fraction(discount.amount), terms))
    return amount - left


def _price(terms: Terms, subscription: Subscription, first_day: date) -> PlanPrice:
    """The last version in the currency that is valid when the subscription opens its month.

    Raises NotPriced.
    """
    on = _opens(subscription, first_day)
    versions: Iterable[PlanPrice] = terms.prices[subscription.plan_code]
    valid = [p for p in versions if p.currency == terms.currency and p.valid_from <= on]
    if not valid:
        raise NotPriced(subscription.plan_code, terms.currency, on)
    return max(valid, key=lambda price: (price.valid_from, price.version))


def _opens(subscription: Subscription, first_day: date) -> date:
    return subscription.starts_on if subscription.starts_on > first_day else first_day


def _covers(subscription: Subscription, day: date) -> bool:
    ends_on = subscription.ends_on
    return subscription.starts_on <= day and (ends_on is None or day < ends_on)


def _days_of(subscription: Subscription, terms: Terms) -> int:
    """Days of the month that the subscription covers, counted one by one."""
    days = (terms.first_day + timedelta(days=place) for place in range(terms.days))
    return sum(_covers(subscription, day) for day in days)


def _begin_of_year(subscription: Subscription, day: date) -> date:
    """The last day on or before `day` on which a year of the subscription begins."""
    this_year = _same_day(subscription.starts_on, day.year)
    return this_year if this_year <= day else _same_day(subscription.starts_on, day.year - 1)


def _same_day(day: date, year: int) -> date:
    """`day` in another year; the last of February where that has no 29th."""
    return date(year, day.month, min(day.day, monthrange(year, day.month)[1]))


def _rounded(amount: Fraction, terms: Terms) -> Fraction:
    """Half away from zero, as a whole number of the currency's smallest unit."""
    units = abs(amount) * 10**terms.digits
    whole = (2 * units.numerator + units.denominator) // (2 * units.denominator)
    return Fraction(whole if amount >= 0 else -whole, 10**terms.digits)


def _decimal(amount: Fraction, terms: Terms) -> Decimal:
    """A rounded amount, with the currency's digits."""
    return Decimal(int(amount * 10**terms.digits)).scaleb(-terms.digits)


def _exact(units: Fraction) -> Decimal:
    """Units as they were counted: sums and differences of decimals."""
    return Decimal(units.numerator) / Decimal(units.denominator)
