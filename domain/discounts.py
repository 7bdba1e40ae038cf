"""Discounts: what a customer pays less, on one plan or on everything, until a day."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from domain.errors import DiscountInAnotherCurrency, InvalidValue
from domain.lines import LineKind, RatedLine, figure, sum_of
from domain.money import round_money


@dataclass(frozen=True)
class Discount:
    """A percentage, or a fixed amount a month, that is taken off on the days
    `[valid_from, valid_to)`; `valid_to` None: without an end.

    `plan_code` None: off everything that a month comes to. Raises InvalidValue unless it has either
    a percentage above 0 and up to 100 or an amount above 0 with its currency.
    """

    name: str
    valid_from: date
    valid_to: date | None = None
    plan_code: str | None = None
    percent: Decimal | None = None
    amount: Decimal | None = None
    currency: str | None = None

    def __post_init__(self) -> None:
        if (self.percent is None) == (self.amount is None):
            raise InvalidValue("A discount has either percent or amount; give one of them.")
        if self.percent is not None and not 0 < self.percent <= 100:
            raise InvalidValue("percent of a discount must be above 0 and at most 100.")
        if self.amount is not None and self.amount <= 0:
            raise InvalidValue("amount of a discount must be above 0.")
        if (self.amount is None) != (self.currency is None):
            raise InvalidValue("A discount's amount, and it alone, has a currency.")
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise InvalidValue("valid_to of a discount must be after valid_from.")

    def covers(self, day: date) -> bool:
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)

    def taken_off(self, rest: Decimal, currency: str) -> Decimal:
        """What it takes off `rest`, which is not below zero, rounded; never more than that.

        Raises DiscountInAnotherCurrency for a fixed amount in any other than `currency`.
        """
        if self.percent is not None:
            return round_money(rest * self.percent / 100, currency)
        assert self.amount is not None  # kept by __post_init__
        assert self.currency is not None
        if self.currency != currency:
            raise DiscountInAnotherCurrency(self.name, self.currency, currency)
        return min(round_money(self.amount, currency), rest)

    def says(self, rest: Decimal) -> str:
        """In words, what it takes off `rest`."""
        if self.percent is not None:
            return f"{figure(self.percent)} % of {rest:,f}"
        return f"{self.amount:,f} a month"

    @property
    def _order(self) -> tuple[bool, date, str]:
        return self.percent is None, self.valid_from, self.name


@dataclass(frozen=True)
class Reduction:
    """What a discount takes `off`, rounded, where `rest` was left."""

    discount: Discount
    rest: Decimal
    off: Decimal


def reductions(
    discounts: Iterable[Discount], plan_code: str | None, amount: Decimal, on: date, currency: str
) -> list[Reduction]:
    """What the discounts on a plan, for None those on everything, take off `amount` on the day.

    Percentages come first, each off what the ones before left, then fixed amounts; none takes off
    more than is left. What takes nothing off is left out. Raises DiscountInAnotherCurrency.
    """
    counting = [entry for entry in discounts if entry.plan_code == plan_code and entry.covers(on)]
    taken = []
    rest = max(amount, Decimal(0))
    for discount in sorted(counting, key=lambda entry: entry._order):
        off = discount.taken_off(rest, currency)
        if off > 0:
            taken.append(Reduction(discount, rest, off))
            rest -= off
    return taken


def discount_lines(
    discounts: Iterable[Discount],
    plan_code: str | None,
    lines: Sequence[RatedLine],
    on: date,
    currency: str,
) -> list[RatedLine]:
    """The lines of what `reductions` takes off the sum of `lines`."""
    return [
        RatedLine(
            kind=LineKind.DISCOUNT,
            description=f"Discount: {taken.discount.name}, {taken.discount.says(taken.rest)}",
            quantity=Decimal(1),
            unit_price=None,
            amount=-taken.off,
            plan_code=plan_code or "",
            plan_version=lines[0].plan_version if plan_code else 0,
        )
        for taken in reductions(discounts, plan_code, sum_of(lines), on, currency)
    ]
