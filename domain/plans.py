"""Pricing plans: what is sold, at which price, in which currency, from which day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from domain.errors import InvalidValue, NoPriceInCurrency, UnknownPlan
from domain.money import minor_digits


class PlanKind(StrEnum):
    USAGE = "usage"
    FLAT = "flat"


@dataclass(frozen=True)
class Tier:
    """A band of graduated prices.

    Attributes:
        name: printed on the invoice line.
        up_to: last unit of the band, inclusive; None for the band without an end.
        unit_price: price of each unit inside the band, in the plan's currency.
    """

    name: str
    up_to: int | None
    unit_price: Decimal


@dataclass(frozen=True)
class PlanPrice:
    """One plan in one currency, at one version.

    Attributes:
        metric: what a usage plan counts; None for a flat plan.
        unit_price: monthly price of one unit of a flat plan; None for a usage plan.
        tiers: ascending, the last without an end; empty for a flat plan.
        valid_from: first day on which this version is the price.

    Raises InvalidValue if kind, price and tiers do not fit each other.
    """

    code: str
    name: str
    kind: PlanKind
    currency: str
    metric: str | None = None
    unit_price: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    version: int = 1
    valid_from: date = date.min

    def __post_init__(self) -> None:
        minor_digits(self.currency)
        if self.kind is PlanKind.FLAT:
            self._check_flat()
        else:
            self._check_usage()

    def _check_flat(self) -> None:
        if self.unit_price is None or self.unit_price < 0:
            raise InvalidValue(f"Flat plan {self.code} needs a unit_price of 0 or more.")
        if self.tiers or self.metric:
            raise InvalidValue(
                f"Flat plan {self.code} has neither tiers nor a metric; remove them."
            )

    def _check_usage(self) -> None:
        if not self.metric:
            raise InvalidValue(f"Usage plan {self.code} needs the metric that it counts.")
        if self.unit_price is not None:
            raise InvalidValue(f"Usage plan {self.code} is priced by tiers; remove unit_price.")
        if not self.tiers or self.tiers[-1].up_to is not None:
            raise InvalidValue(f"The last tier of plan {self.code} must have up_to null.")
        if any(tier.unit_price < 0 for tier in self.tiers):
            raise InvalidValue(f"A tier of plan {self.code} has a negative price.")
        limits = [0, *(tier.up_to for tier in self.tiers[:-1])]
        if any(
            lower is None or upper is None or upper <= lower for lower, upper in pairwise(limits)
        ):
            raise InvalidValue(f"The tiers of plan {self.code} must have ascending up_to.")


class PriceBook:
    """All plan prices known, looked up by code, currency and day."""

    def __init__(self, prices: Iterable[PlanPrice]) -> None:
        self._by_code: dict[str, list[PlanPrice]] = {}
        for price in sorted(prices, key=lambda price: (price.valid_from, price.version)):
            self._by_code.setdefault(price.code, []).append(price)

    def price(self, code: str, currency: str, on: date) -> PlanPrice:
        """The version of plan `code` in `currency` that is valid on `on`.

        Raises UnknownPlan if no version is valid then, NoPriceInCurrency if none of the valid
        ones has the currency.
        """
        valid = [price for price in self._by_code.get(code, ()) if price.valid_from <= on]
        if not valid:
            raise UnknownPlan(code, on)
        matching = [price for price in valid if price.currency == currency]
        if not matching:
            raise NoPriceInCurrency(code, currency, sorted({price.currency for price in valid}))
        return matching[-1]

    def kind_and_metric(self, code: str, on: date) -> tuple[PlanKind, str | None]:
        """What plan `code` is, whatever the currency. Raises UnknownPlan."""
        known = self._by_code.get(code)
        if not known:
            raise UnknownPlan(code, on)
        return known[-1].kind, known[-1].metric
