"""Each model of charging: what the units of a metric cost, and how the line says it."""

from decimal import ROUND_CEILING, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.charges import rate_charge
from domain.errors import InvalidValue, NegativeUsage
from domain.lines import RatedLine, sum_of
from domain.money import round_money
from domain.plans import Charge, ChargeModel, PlanKind, Tier, charges_of
from tests.builders import TIERS, usage_plan

QUANTITIES = st.integers(0, 10**12).map(Decimal) | st.decimals(0, 10**9, places=6)
PRICES = st.decimals(0, 1_000, places=4)
MODELS = st.sampled_from(
    [
        Charge("api_calls", tiers=TIERS),
        Charge("api_calls", ChargeModel.VOLUME, TIERS),
        Charge("api_calls", ChargeModel.PACKAGE, unit_price=Decimal("4.99"), package_size=100),
        Charge("api_calls", ChargeModel.PER_UNIT, unit_price=Decimal("0.0123")),
    ]
)
VOLUME = Charge(
    "api_calls",
    ChargeModel.VOLUME,
    (
        Tier("Up to 100,000", 100_000, Decimal("0.001")),
        Tier("Over 100,000", None, Decimal("0.0005")),
    ),
)
STORAGE = Charge("GB", ChargeModel.PACKAGE, unit_price=Decimal("4.00"), package_size=100)
MESSAGES = Charge("sms_sent", ChargeModel.PER_UNIT, unit_price=Decimal("0.05"))


def rated(charge: Charge, quantity: int | str | Decimal, **plan: Any) -> list[RatedLine]:
    return rate_charge(usage_plan(charge, **plan), charge, Decimal(quantity))


def only(lines: list[RatedLine]) -> tuple[str, str, str]:
    (line,) = lines
    return line.description, f"{line.quantity:f}", f"{line.amount:f}"


def test_volume_prices_all_units_at_the_tier_reached() -> None:
    says = "API calls: Volume tier 'Over 100,000', all 247,891 at 0.0005"
    assert only(rated(VOLUME, 247_891)) == (says, "247891", "123.95")


@pytest.mark.parametrize(
    ("units", "amount"), [(100_000, "100.00"), ("100000.5", "50.00"), (100_001, "50.00")]
)
def test_the_last_unit_of_a_volume_tier_is_still_inside_it(units: int | str, amount: str) -> None:
    assert only(rated(VOLUME, units))[2] == amount


def test_a_begun_package_counts_whole() -> None:
    says = "Storage: 13 packages of 100 GB, 1,247 used"
    assert only(rated(STORAGE, 1_247, name="Storage")) == (says, "13", "52.00")


@pytest.mark.parametrize(
    ("units", "packages"), [("0.5", "1"), (99, "1"), (100, "1"), ("100.01", "2"), (200, "2")]
)
def test_a_package_is_begun_by_its_first_part_of_a_unit(units: int | str, packages: str) -> None:
    assert only(rated(STORAGE, units))[1] == packages


def test_every_unit_has_one_price() -> None:
    says = "Messages: 1,250 sms sent at 0.05 each"
    assert only(rated(MESSAGES, 1_250, name="Messages")) == (says, "1250", "62.50")


def test_a_plan_of_several_charges_says_which_one_a_line_is() -> None:
    named = Charge("api_calls", tiers=TIERS, name="Calls")
    plan = usage_plan(named, MESSAGES, name="Growth")
    (call,) = rate_charge(plan, named, Decimal(5))
    (message,) = rate_charge(plan, MESSAGES, Decimal(2))
    assert call.description == "Growth, Calls: Free tier"
    assert message.description == "Growth, sms sent: 2 sms sent at 0.05 each"


@given(MODELS)
def test_no_units_have_no_line(charge: Charge) -> None:
    assert rated(charge, 0) == []


@given(MODELS)
def test_less_than_no_units_is_refused(charge: Charge) -> None:
    with pytest.raises(NegativeUsage, match="api_calls sums to -1"):
        rated(charge, -1)


@given(QUANTITIES)
def test_volume_is_the_quantity_times_the_price_of_its_tier(quantity: Decimal) -> None:
    price = Decimal("0.001") if quantity <= 100_000 else Decimal("0.0005")
    assert sum_of(rated(VOLUME, quantity)) == round_money(quantity * price, "USD")


@given(QUANTITIES, st.integers(0, 10**6), st.integers(1, 10**6), PRICES)
def test_more_units_never_need_fewer_packages(
    quantity: Decimal, more: int, size: int, price: Decimal
) -> None:
    charge = Charge("GB", ChargeModel.PACKAGE, unit_price=price, package_size=size)
    cost = sum_of(rated(charge, quantity))
    assert sum_of(rated(charge, quantity + more)) >= cost
    packages = (quantity / size).quantize(Decimal(1), rounding=ROUND_CEILING)
    assert cost == round_money(packages * price, "USD")


@given(QUANTITIES, st.integers(1, 1_000))
def test_packages_hold_all_units_and_the_last_is_not_empty(quantity: Decimal, size: int) -> None:
    charge = Charge("GB", ChargeModel.PACKAGE, unit_price=Decimal(1), package_size=size)
    packages = sum((line.quantity for line in rated(charge, quantity)), Decimal(0))
    assert packages * size >= quantity
    assert packages == 0 or (packages - 1) * size < quantity


@given(QUANTITIES, PRICES)
def test_per_unit_is_a_product(quantity: Decimal, price: Decimal) -> None:
    charge = Charge("GB", ChargeModel.PER_UNIT, unit_price=price)
    assert sum_of(rated(charge, quantity)) == round_money(quantity * price, "USD")


@given(QUANTITIES, PRICES)
def test_with_one_tier_graduated_volume_and_per_unit_are_the_same(
    quantity: Decimal, price: Decimal
) -> None:
    whole = (Tier("all", None, price),)
    costs = {
        sum_of(rated(charge, quantity))
        for charge in (
            Charge("GB", tiers=whole),
            Charge("GB", ChargeModel.VOLUME, whole),
            Charge("GB", ChargeModel.PER_UNIT, unit_price=price),
        )
    }
    assert len(costs) == 1


@given(MODELS, QUANTITIES)
def test_a_line_is_its_quantity_times_its_unit_price(charge: Charge, quantity: Decimal) -> None:
    for line in rated(charge, quantity):
        assert line.unit_price is not None
        assert line.amount == round_money(line.quantity * line.unit_price, "USD")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"metric": ""}, "needs the metric"),
        ({"model": ChargeModel.VOLUME}, "up_to null"),
        ({"tiers": TIERS, "unit_price": Decimal(1)}, "remove unit_price"),
        ({"tiers": TIERS, "package_size": 5}, "remove package_size"),
        ({"model": ChargeModel.PER_UNIT}, "needs a unit_price"),
        ({"model": ChargeModel.PER_UNIT, "unit_price": Decimal(-1)}, "needs a unit_price"),
        ({"model": ChargeModel.PER_UNIT, "unit_price": Decimal(1), "tiers": TIERS}, "remove its"),
        ({"model": ChargeModel.PACKAGE, "unit_price": Decimal(1)}, "need a package_size"),
        (
            {"model": ChargeModel.PACKAGE, "unit_price": Decimal(1), "package_size": 0},
            "need a package_size",
        ),
    ],
)
def test_a_charge_that_does_not_fit_is_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        Charge(**{"metric": "GB", **wrong})


def test_metric_and_tiers_alone_are_one_graduated_charge() -> None:
    (charge,) = charges_of(PlanKind.USAGE, [], "api_calls", TIERS)
    assert charge == Charge("api_calls", ChargeModel.GRADUATED, TIERS)
    assert usage_plan(charge).short_tiers == TIERS
    assert usage_plan(VOLUME).short_tiers == ()
    assert charges_of(PlanKind.USAGE, [VOLUME, STORAGE], None, []) == (VOLUME, STORAGE)


@pytest.mark.parametrize(
    ("kind", "charges", "metric", "reason"),
    [
        (PlanKind.USAGE, [VOLUME], "api_calls", "remove those beside them"),
        (PlanKind.FLAT, [VOLUME], None, "neither tiers nor a metric, nor charges"),
        (PlanKind.FLAT, [], "api_calls", "neither tiers nor a metric"),
    ],
)
def test_two_ways_to_write_one_plan_do_not_mix(
    kind: PlanKind, charges: list[Charge], metric: str | None, reason: str
) -> None:
    with pytest.raises(InvalidValue, match=reason):
        charges_of(kind, charges, metric, [])
