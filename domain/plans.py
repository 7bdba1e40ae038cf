"""Pricing plans: what is sold, at which price, in which currency, from which day."""

from collections.abc import Iterable, Sequence
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


class Interval(StrEnum):
    """How often a flat plan is charged."""

    MONTH = "month"
    YEAR = "year"


class ChargeModel(StrEnum):
    """How a metric's units become an amount.

    `graduated`: each tier prices the units inside it. `volume`: the tier that the month's last unit
    reaches prices all of them. `package`: blocks of `package_size` units, a begun one as a whole.
    `per_unit`: one price for every unit.
    """

    GRADUATED = "graduated"
    VOLUME = "volume"
    PACKAGE = "package"
    PER_UNIT = "per_unit"

    @property
    def has_tiers(self) -> bool:
        return self in (ChargeModel.GRADUATED, ChargeModel.VOLUME)


@dataclass(frozen=True)
class Tier:
    """A band of prices.

    Attributes:
        name: printed on the invoice line.
        up_to: last unit of the band, inclusive; None for the band without an end.
        unit_price: price of each unit inside the band, in the plan's currency.
    """

    name: str
    up_to: int | None
    unit_price: Decimal


@dataclass(frozen=True)
class Charge:
    """What a usage plan asks for the units of one metric in a month.

    Attributes:
        tiers: ascending, the last without an end; empty where the model has none.
        unit_price: of a unit, or of a package; None where tiers price the units.
        package_size: units in a package; None for the other models.
        name: printed on the invoice beside the plan's; empty: the metric's where there are several.

    Raises InvalidValue if model, price and tiers do not fit each other.
    """

    metric: str
    model: ChargeModel = ChargeModel.GRADUATED
    tiers: tuple[Tier, ...] = ()
    unit_price: Decimal | None = None
    package_size: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not self.metric:
            raise InvalidValue("A usage plan needs the metric that each charge counts.")
        if self.model.has_tiers:
            self._check_tiers()
        else:
            self._check_price()
        if self.model is ChargeModel.PACKAGE:
            if self.package_size is None or self.package_size < 1:
                raise InvalidValue(
                    f"Packages of {self.metric} need a package_size, the units in each."
                )
        elif self.package_size is not None:
            raise InvalidValue(f"{self.metric} is not sold in packages; remove package_size.")

    def _check_tiers(self) -> None:
        if self.unit_price is not None:
            raise InvalidValue(f"{self.metric} is priced by tiers; remove unit_price.")
        if not self.tiers or self.tiers[-1].up_to is not None:
            raise InvalidValue(f"The last tier of {self.metric} must have up_to null.")
        if any(tier.unit_price < 0 for tier in self.tiers):
            raise InvalidValue(f"A tier of {self.metric} has a negative price.")
        limits = [0, *(tier.up_to for tier in self.tiers[:-1])]
        if any(
            lower is None or upper is None or upper <= lower for lower, upper in pairwise(limits)
        ):
            raise InvalidValue(f"The tiers of {self.metric} must have ascending up_to.")

    def _check_price(self) -> None:
        if self.unit_price is None or self.unit_price < 0:
            raise InvalidValue(f"{self.metric} needs a unit_price of 0 or more.")
        if self.tiers:
            raise InvalidValue(f"{self.metric} has one unit_price; remove its tiers.")


def charges_of(
    kind: PlanKind, charges: Sequence[Charge], metric: str | None, tiers: Sequence[Tier]
) -> tuple[Charge, ...]:
    """`charges`, or the graduated one of a plan that is written with `metric` and `tiers` alone.

    Raises InvalidValue where both are given, or either for a flat plan.
    """
    short = bool(metric or tiers)
    if kind is PlanKind.FLAT and (short or charges):
        raise InvalidValue("A flat plan has neither tiers nor a metric, nor charges; remove them.")
    if short and charges:
        raise InvalidValue("charges name their own metrics and tiers; remove those beside them.")
    return (Charge(metric or "", tiers=tuple(tiers)),) if short else tuple(charges)


@dataclass(frozen=True)
class PlanPrice:
    """One plan in one currency, at one version.

    Attributes:
        unit_price: price of one unit of a flat plan for a month, or a year; None for usage.
        charges: of a usage plan, one for each metric; empty for a flat plan.
        minimum: what the month's usage comes to at least; None for a plan without a commitment.
        interval: how often a flat plan is charged.
        valid_from: first day on which this version is the price.

    Raises InvalidValue if kind, price and charges do not fit each other.
    """

    code: str
    name: str
    kind: PlanKind
    currency: str
    unit_price: Decimal | None = None
    charges: tuple[Charge, ...] = ()
    minimum: Decimal | None = None
    interval: Interval = Interval.MONTH
    version: int = 1
    valid_from: date = date.min

    def __post_init__(self) -> None:
        minor_digits(self.currency)
        if self.kind is PlanKind.FLAT:
            self._check_flat()
        else:
            self._check_usage()

    @property
    def metrics(self) -> tuple[str, ...]:
        """What a usage plan counts; nothing for a flat plan."""
        return tuple(charge.metric for charge in self.charges)

    @property
    def short_tiers(self) -> tuple[Tier, ...]:
        """The tiers of its one charge, where metric and tiers alone say what it asks for."""
        match self.charges:
            case (Charge(model=ChargeModel.GRADUATED, name="", tiers=tiers),):
                return tiers
        return ()

    def _check_flat(self) -> None:
        if self.unit_price is None or self.unit_price < 0:
            raise InvalidValue(f"Flat plan {self.code} needs a unit_price of 0 or more.")
        if self.charges:
            raise InvalidValue(f"Flat plan {self.code} has no charges; remove them.")
        if self.minimum is not None:
            raise InvalidValue(f"Flat plan {self.code} has no minimum; remove it.")

    def _check_usage(self) -> None:
        if not self.charges:
            raise InvalidValue(f"Usage plan {self.code} needs the metric that it counts.")
        if self.unit_price is not None:
            raise InvalidValue(
                f"Usage plan {self.code} is priced by tiers or charges; remove unit_price."
            )
        if self.interval is not Interval.MONTH:
            raise InvalidValue(f"Usage plan {self.code} is charged each month; remove interval.")
        if self.minimum is not None and self.minimum <= 0:
            raise InvalidValue(f"The minimum of plan {self.code} must be above 0, or left out.")
        if len(set(self.metrics)) < len(self.metrics):
            raise InvalidValue(f"Plan {self.code} has two charges for one metric; keep one.")


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
