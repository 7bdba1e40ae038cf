"""Recurring revenue of a customer, how it moves, and usage that falls."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.charges import rate_charge
from domain.discounts import Discount
from domain.errors import NoPriceInCurrency, OverlappingUsagePlans
from domain.periods import BillingPeriod
from domain.plans import Charge, Interval, PlanKind, PlanPrice, PriceBook, Tier
from domain.rating import Contract, Subscription
from domain.recurring import (
    Recurring,
    declining,
    recurring_revenue,
    window_start,
)

FEBRUARY_END = date(2026, 2, 28)
BEGINNING = date(2024, 1, 1)
CALLS = PlanPrice(
    code="api",
    name="API calls",
    kind=PlanKind.USAGE,
    currency="USD",
    charges=(
        Charge(
            "api_calls",
            tiers=(
                Tier("Free tier", 10_000, Decimal(0)),
                Tier("Tier 1", 100_000, Decimal("0.001")),
                Tier("Tier 2", None, Decimal("0.0005")),
            ),
        ),
    ),
    version=1,
    valid_from=BEGINNING,
)
SUPPORT = PlanPrice(
    code="support",
    name="Premium support",
    kind=PlanKind.FLAT,
    currency="USD",
    unit_price=Decimal("99.00"),
    version=1,
    valid_from=BEGINNING,
)
DEARER = PlanPrice(
    code="support",
    name="Premium support",
    kind=PlanKind.FLAT,
    currency="USD",
    unit_price=Decimal("120.00"),
    version=2,
    valid_from=date(2026, 2, 15),
)
MONTHS = (BillingPeriod(2025, 12), BillingPeriod(2026, 1), BillingPeriod(2026, 2))


def subscribed(code: str, starts: date = BEGINNING, ends: date | None = None) -> Subscription:
    return Subscription(code, Decimal(1), starts, ends)


def revenue(
    *subscriptions: Subscription,
    used: str = "0",
    prices: tuple[PlanPrice, ...] = (CALLS, SUPPORT),
    currency: str = "USD",
    on: date = FEBRUARY_END,
    discounts: tuple[Discount, ...] = (),
) -> Recurring:
    units = {sub: {"api_calls": Decimal(used)} for sub in subscriptions if sub.plan_code == "api"}
    contract = Contract(currency, subscriptions, discounts)
    return recurring_revenue(contract, units, PriceBook(prices), on)


def test_the_known_customer_pays_usage_and_support() -> None:
    found = revenue(subscribed("api"), subscribed("support"), used="247891")
    assert found == Recurring(Decimal("163.95"), Decimal("99.00"))
    assert found.total == Decimal("262.95")


@pytest.mark.parametrize(
    ("starts", "ends", "counts"),
    [
        (FEBRUARY_END, None, True),
        (date(2026, 3, 1), None, False),
        (BEGINNING, FEBRUARY_END, False),
        (BEGINNING, date(2026, 3, 1), True),
    ],
)
def test_only_what_is_active_on_the_day_recurs(
    starts: date, ends: date | None, counts: bool
) -> None:
    found = revenue(subscribed("support", starts, ends))
    assert found.subscriptions == (99 if counts else 0)


def test_a_part_of_a_month_is_no_part_of_the_price() -> None:
    assert revenue(subscribed("support", date(2026, 2, 20))).subscriptions == 99


def test_the_price_is_that_of_the_cycle() -> None:
    both = (SUPPORT, DEARER)
    before = revenue(subscribed("support"), prices=both)
    later = revenue(subscribed("support"), prices=both, on=date(2026, 3, 1))
    begun_later = revenue(subscribed("support", date(2026, 2, 16)), prices=both)
    assert [found.subscriptions for found in (before, later, begun_later)] == [99, 120, 120]


def test_a_yearly_fee_counts_a_twelfth_whatever_the_month() -> None:
    platform = replace(SUPPORT, code="platform", interval=Interval.YEAR)
    found = revenue(subscribed("platform", date(2025, 11, 20)), prices=(CALLS, platform))
    assert found.subscriptions == Decimal("8.25")


def test_usage_counts_at_least_the_commitment() -> None:
    committed = replace(CALLS, minimum=Decimal("500.00"))
    for used, expected in (("247891", 500), ("0", 500), ("2000000", 1_040)):
        assert revenue(subscribed("api"), used=used, prices=(committed,)).usage == expected


def test_discounts_of_the_day_are_taken_off() -> None:
    both = [subscribed("api"), subscribed("support")]
    off = Discount("Launch", BEGINNING, FEBRUARY_END, plan_code="support", percent=Decimal(10))
    still = replace(off, valid_to=None)
    assert revenue(*both, used="247891", discounts=(off,)).total == Decimal("262.95")
    assert revenue(*both, used="247891", discounts=(still,)) == Recurring(
        Decimal("163.95"), Decimal("89.10")
    )


def test_a_discount_on_everything_comes_off_both_by_their_share() -> None:
    off = Discount("Loyalty", BEGINNING, percent=Decimal(50))
    found = revenue(subscribed("api"), subscribed("support"), used="247891", discounts=(off,))
    assert found == Recurring(Decimal("81.97"), Decimal("49.50"))  # 131.48 comes off 262.95


@given(
    units=st.integers(0, 10**7),
    percent=st.integers(1, 100),
    amount=st.integers(1, 500),
)
def test_what_discounts_leave_is_never_below_zero(units: int, percent: int, amount: int) -> None:
    terms = (
        Discount("Share", BEGINNING, percent=Decimal(percent)),
        Discount("Fixed", BEGINNING, amount=Decimal(amount), currency="USD"),
    )
    found = revenue(subscribed("api"), subscribed("support"), used=str(units), discounts=terms)
    assert found.usage >= 0
    assert found.subscriptions >= 0
    bare = revenue(subscribed("api"), subscribed("support"), used=str(units))
    assert found.total <= bare.total


def test_a_missing_price_is_the_customers_error() -> None:
    with pytest.raises(NoPriceInCurrency):
        revenue(subscribed("support"), currency="EUR")


def test_two_plans_for_one_metric_are_the_customers_error() -> None:
    other = replace(CALLS, code="api-2")
    with pytest.raises(OverlappingUsagePlans):
        revenue(subscribed("api"), subscribed("api-2"), prices=(CALLS, other))


@given(units=st.integers(0, 10**9))
def test_usage_is_priced_as_the_cycle_prices_it(units: int) -> None:
    lines = rate_charge(CALLS, CALLS.charges[0], Decimal(units))
    found = revenue(subscribed("api"), used=str(units))
    assert found.usage == sum((line.amount for line in lines), Decimal(0))


def test_the_window_has_four_of_each_weekday() -> None:
    assert window_start(FEBRUARY_END) == date(2026, 2, 1)
    assert window_start(date(2026, 3, 1)) == date(2026, 2, 2)


def fall(*used: Any, threshold: str = "0.10") -> Decimal | None:
    first, second, third = (Decimal(units) for units in used)
    found = declining("calls", MONTHS, (first, second, third), threshold=Decimal(threshold))
    return None if found is None else round(found.fall, 3)


def test_a_fall_is_told_by_the_day() -> None:
    assert fall(100_000, 50_000, 20_000) == Decimal("0.779")  # 3,225.8 to 714.3 a day
    found = declining(
        "calls", MONTHS, (Decimal(31), Decimal(15), Decimal(7)), threshold=Decimal("0.1")
    )
    assert found is not None
    assert [round(units, 3) for units in found.per_day] == [1, Decimal("0.484"), Decimal("0.25")]


@pytest.mark.parametrize(
    "used",
    [
        (310, 279, 226.8),  # 10, 9, 8.1 a day: ten percent each
        (310, 200, 0),
        (310, 279, 226),
    ],
)
def test_ten_percent_two_months_running_is_a_decline(used: tuple[float, ...]) -> None:
    assert fall(*(str(units) for units in used)) is not None


@pytest.mark.parametrize(
    "used",
    [
        (310, 280, 226),  # 9.03 a day in January
        (310, 279, 227),  # 8.107 in February
        (310, 279, 280),  # a shorter month with more a day
        (0, 0, 0),
        (0, 310, 100),
        (310, 0, 0),
        (310, 100, 310),
    ],
)
def test_anything_else_is_none(used: tuple[int, ...]) -> None:
    assert fall(*used) is None


@given(
    used=st.tuples(*[st.integers(1, 10**9)] * 3), low=st.integers(1, 49), more=st.integers(0, 50)
)
def test_a_higher_threshold_flags_nobody_else(
    used: tuple[int, int, int], low: int, more: int
) -> None:
    low_threshold, high_threshold = (f"{percent / 100}" for percent in (low, low + more))
    if fall(*used, threshold=high_threshold) is not None:
        assert fall(*used, threshold=low_threshold) is not None
