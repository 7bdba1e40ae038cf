"""The units of a metric turned into usage lines, by each model of charging."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from domain.errors import NegativeUsage
from domain.lines import LineKind, RatedLine, figure
from domain.money import round_money
from domain.plans import Charge, ChargeModel, PlanPrice


@dataclass(frozen=True)
class _Units:
    """So many units of a tier, or packages, at one price each."""

    says: str
    quantity: Decimal
    unit_price: Decimal


def rate_charge(plan: PlanPrice, charge: Charge, quantity: Decimal) -> list[RatedLine]:
    """The lines of `quantity` units of one charge of `plan`, each saying how it was priced.

    No units, no lines. Raises NegativeUsage below zero.
    """
    if quantity < 0:
        raise NegativeUsage(charge.metric, quantity)
    if quantity == 0:
        return []
    return [
        RatedLine(
            kind=LineKind.USAGE,
            description=f"{_title(plan, charge)}: {units.says}",
            quantity=units.quantity,
            unit_price=units.unit_price,
            amount=round_money(units.quantity * units.unit_price, plan.currency),
            plan_code=plan.code,
            plan_version=plan.version,
        )
        for units in _MODELS[charge.model](charge, quantity)
    ]


def _graduated(charge: Charge, quantity: Decimal) -> list[_Units]:
    """One for each tier that is reached, cheapest position first.

    Tier n prices the units above the previous tier's `up_to` and up to its own, inclusive.
    """
    reached = []
    lower = Decimal(0)
    for tier in charge.tiers:
        upper = quantity if tier.up_to is None else min(quantity, Decimal(tier.up_to))
        if upper <= lower:
            break
        reached.append(_Units(tier.name, upper - lower, tier.unit_price))
        lower = upper
    return reached


def _volume(charge: Charge, quantity: Decimal) -> list[_Units]:
    """All units at the price of the first tier that holds them."""
    tier = next(tier for tier in charge.tiers if tier.up_to is None or quantity <= tier.up_to)
    says = f"Volume tier '{tier.name}', all {figure(quantity)} at {figure(tier.unit_price)}"
    return [_Units(says, quantity, tier.unit_price)]


def _package(charge: Charge, quantity: Decimal) -> list[_Units]:
    assert charge.package_size is not None  # kept by Charge
    assert charge.unit_price is not None
    packages = (quantity / charge.package_size).to_integral_value(ROUND_CEILING)
    noun = "package" if packages == 1 else "packages"
    says = f"{figure(packages)} {noun} of {charge.package_size:,} {_words(charge.metric)}"
    return [_Units(f"{says}, {figure(quantity)} used", packages, charge.unit_price)]


def _per_unit(charge: Charge, quantity: Decimal) -> list[_Units]:
    assert charge.unit_price is not None  # kept by Charge
    says = f"{figure(quantity)} {_words(charge.metric)} at {figure(charge.unit_price)} each"
    return [_Units(says, quantity, charge.unit_price)]


_MODELS: dict[ChargeModel, Callable[[Charge, Decimal], list[_Units]]] = {
    ChargeModel.GRADUATED: _graduated,
    ChargeModel.VOLUME: _volume,
    ChargeModel.PACKAGE: _package,
    ChargeModel.PER_UNIT: _per_unit,
}


def _title(plan: PlanPrice, charge: Charge) -> str:
    """What the line is about: the plan, and which of its charges where that is not plain."""
    if charge.name:
        return f"{plan.name}, {charge.name}"
    return plan.name if len(plan.charges) == 1 else f"{plan.name}, {_words(charge.metric)}"


def _words(metric: str) -> str:
    return metric.replace("_", " ")
