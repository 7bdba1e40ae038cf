"""Plans: what fits together, and which version is the price."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from domain.errors import InvalidValue, NoPriceInCurrency, UnknownPlan
from domain.plans import Charge, PlanKind, PriceBook, Tier
from tests.builders import TIERS, flat_plan, price_book, usage_plan

FIRST_OF_FEBRUARY = date(2026, 2, 1)


def tiers(*limits: int | None) -> tuple[Tier, ...]:
    return tuple(Tier(f"to {limit}", limit, Decimal("0.001")) for limit in limits)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"charges": ()}, "needs the metric"),
        ({"unit_price": Decimal(1)}, "remove unit_price"),
        ({"tiers": ()}, "up_to null"),
        ({"tiers": tiers(10)}, "up_to null"),
        ({"tiers": tiers(None, None)}, "ascending"),
        ({"tiers": tiers(10, 10, None)}, "ascending"),
        ({"tiers": tiers(100, 10, None)}, "ascending"),
        ({"tiers": tiers(0, None)}, "ascending"),
        ({"tiers": tiers(-5, None)}, "ascending"),
        ({"tiers": (Tier("all", None, Decimal("-0.1")),)}, "negative price"),
        ({"currency": "dollar"}, "ISO 4217"),
    ],
)
def test_a_usage_plan_that_does_not_fit_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        usage_plan(**changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"unit_price": None}, "needs a unit_price"),
        ({"unit_price": Decimal("-0.01")}, "needs a unit_price"),
        ({"charges": (Charge("api_calls", tiers=TIERS),)}, "has no charges"),
        ({"minimum": Decimal(1)}, "has no minimum"),
        ({"kind": PlanKind.USAGE}, "needs the metric"),
    ],
)
def test_a_flat_plan_that_does_not_fit_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        replace(flat_plan(), **changes)


def test_a_free_flat_plan_is_a_plan() -> None:
    assert flat_plan(unit_price="0").unit_price == 0


def test_a_single_tier_without_end_is_a_plan() -> None:
    assert len(usage_plan(tiers=tiers(None)).charges[0].tiers) == 1


def test_the_newest_version_that_has_begun_is_the_price() -> None:
    book = PriceBook(
        [
            flat_plan(unit_price="120.00", version=3, valid_from=date(2026, 2, 2)),
            flat_plan(unit_price="99.00", version=1),
            flat_plan(unit_price="110.00", version=2, valid_from=FIRST_OF_FEBRUARY),
        ]
    )
    days = [date(2026, 1, 31), FIRST_OF_FEBRUARY, date(2026, 2, 2)]
    prices = [book.price("premium-support", "USD", day).version for day in days]
    assert prices == [1, 2, 3]


def test_the_customers_currency_picks_the_price() -> None:
    book = price_book(flat_plan(unit_price="89.00", currency="EUR"))
    assert book.price("premium-support", "EUR", FIRST_OF_FEBRUARY).unit_price == Decimal(89)
    assert book.price("premium-support", "USD", FIRST_OF_FEBRUARY).unit_price == Decimal(99)


def test_a_currency_without_a_price_is_refused_with_those_that_have_one() -> None:
    book = price_book(flat_plan(currency="EUR"))
    with pytest.raises(NoPriceInCurrency, match=r"no price in GBP \(it has EUR, USD\)"):
        book.price("premium-support", "GBP", FIRST_OF_FEBRUARY)


def test_a_plan_that_nobody_made_is_unknown() -> None:
    with pytest.raises(UnknownPlan, match="gold"):
        price_book().price("gold", "USD", FIRST_OF_FEBRUARY)


def test_a_plan_that_begins_later_is_unknown_before() -> None:
    book = PriceBook([flat_plan(valid_from=date(2026, 2, 2))])
    with pytest.raises(UnknownPlan, match="2026-02-01"):
        book.price("premium-support", "USD", FIRST_OF_FEBRUARY)
