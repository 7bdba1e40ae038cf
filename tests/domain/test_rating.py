"""Usage in tiers, flat charges by day, and what a customer's month comes to."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.charges import rate_charge
from domain.errors import (
    InvalidValue,
    NegativeUsage,
    NoPriceInCurrency,
    OverlappingUsagePlans,
    UnknownPlan,
    UsageWithoutPlan,
)
from domain.flat_fees import rate_month
from domain.money import round_money
from domain.periods import BillingPeriod
from domain.plans import PlanPrice, PriceBook, Tier
from domain.proration import proration_credit
from domain.rating import (
    Contract,
    LineKind,
    RatedLine,
    Subscription,
    rate_customer,
)
from tests.builders import FEBRUARY, flat_plan, price_book, subscription, usage, usage_plan

CENT = Decimal("0.01")
CALLS = st.integers(0, 10**12).map(Decimal)
FRACTIONS = st.decimals(0, 10**9, places=6)
PRICES = st.decimals(min_value="0.01", max_value="99999.99", places=2)
MONTHS = st.builds(BillingPeriod, st.integers(2020, 2030), st.integers(1, 12))


def figures(lines: list[RatedLine]) -> list[tuple[str, str]]:
    return [(f"{line.quantity:f}", f"{line.amount:f}") for line in lines]


def rate(
    subscriptions: list[Subscription], *used: object, prices: PriceBook | None = None
) -> list[RatedLine]:
    contract = Contract("USD", tuple(subscriptions))
    return rate_customer(contract, used, prices or price_book(), FEBRUARY)


# --- graduated tiers


def rate_graduated(plan: PlanPrice, quantity: Decimal) -> list[RatedLine]:
    return rate_charge(plan, plan.charges[0], quantity)


def test_account_1047_uses_all_three_tiers() -> None:
    lines = rate_graduated(usage_plan(), Decimal(247_891))
    assert figures(lines) == [("10000", "0.00"), ("90000", "90.00"), ("147891", "73.95")]


def test_account_1047_owes_262_95_before_tax() -> None:
    lines = rate([subscription(), subscription("premium-support")], usage(247_891))
    assert sum(line.amount for line in lines) == Decimal("262.95")
    assert [line.description for line in lines] == [
        "API calls: Free tier",
        "API calls: Tier 1",
        "API calls: Tier 2",
        "Premium support",
    ]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (0, []),
        (1, [("1", "0.00")]),
        (10_000, [("10000", "0.00")]),
        (10_001, [("10000", "0.00"), ("1", "0.00")]),
        (10_005, [("10000", "0.00"), ("5", "0.01")]),
        (100_000, [("10000", "0.00"), ("90000", "90.00")]),
        (100_001, [("10000", "0.00"), ("90000", "90.00"), ("1", "0.00")]),
        (100_010, [("10000", "0.00"), ("90000", "90.00"), ("10", "0.01")]),
    ],
)
def test_a_tier_ends_with_its_last_unit(calls: int, expected: list[tuple[str, str]]) -> None:
    assert figures(rate_graduated(usage_plan(), Decimal(calls))) == expected


def test_part_of_a_unit_falls_into_the_tier_it_reaches() -> None:
    lines = rate_graduated(usage_plan(), Decimal("10000.5"))
    assert [line.quantity for line in lines] == [Decimal(10_000), Decimal("0.5")]


def test_negative_usage_is_refused() -> None:
    with pytest.raises(NegativeUsage, match="api_calls sums to -1"):
        rate_graduated(usage_plan(), Decimal(-1))


@given(CALLS | FRACTIONS)
def test_the_tiers_hold_all_units(quantity: Decimal) -> None:
    assert sum(line.quantity for line in rate_graduated(usage_plan(), quantity)) == quantity


@given(CALLS, st.integers(0, 10**6))
def test_more_units_never_cost_less(quantity: Decimal, more: int) -> None:
    def cost(units: Decimal) -> Decimal:
        return sum((line.amount for line in rate_graduated(usage_plan(), units)), Decimal(0))

    assert cost(quantity + more) >= cost(quantity)


@given(CALLS)
def test_no_quantity_costs_more_than_at_the_highest_price(quantity: Decimal) -> None:
    lines = rate_graduated(usage_plan(), quantity)
    assert sum(line.amount for line in lines) <= quantity * Decimal("0.001") + CENT


@given(CALLS)
def test_the_cost_is_that_of_the_formula(quantity: Decimal) -> None:
    expected = round_money(
        min(max(quantity - 10_000, Decimal(0)), Decimal(90_000)) / 1_000, "USD"
    ) + round_money(max(quantity - 100_000, Decimal(0)) / 2_000, "USD")
    lines = rate_graduated(usage_plan(), quantity)
    assert sum(line.amount for line in lines) == expected


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=5, unique=True), CALLS)
def test_any_ladder_of_tiers_holds_all_units_in_order(limits: list[int], quantity: Decimal) -> None:
    bands = [Tier(str(limit), limit, Decimal("0.01")) for limit in sorted(limits)]
    plan = usage_plan(tiers=(*bands, Tier("rest", None, Decimal("0.001"))))
    lines = rate_graduated(plan, quantity)
    assert sum(line.quantity for line in lines) == quantity
    assert all(line.quantity > 0 for line in lines)
    assert len(lines) == min(len(limits) + 1, sum(quantity > low for low in [0, *sorted(limits)]))


# --- flat charges and proration


def lines_of(starts_on: date, ends_on: date | None, **changes: object) -> list[RatedLine]:
    sub = subscription("premium-support", starts_on=starts_on, ends_on=ends_on, **changes)
    return rate_month(flat_plan(), sub, FEBRUARY)


def test_a_whole_month_is_one_line() -> None:
    assert figures(lines_of(date(2026, 2, 1), date(2026, 3, 1))) == [("1", "99.00")]


@pytest.mark.parametrize(
    ("starts_on", "ends_on", "credit", "text"),
    [
        (date(2026, 2, 15), None, "-49.50", "14 of 28 days (from 2026-02-15)"),
        (date(2025, 1, 1), date(2026, 2, 8), "-74.25", "7 of 28 days (until 2026-02-07)"),
        (date(2026, 2, 2), date(2026, 2, 4), "-91.93", "(from 2026-02-02 until 2026-02-03)"),
        (date(2026, 2, 28), None, "-95.46", "1 of 28 days (from 2026-02-28)"),
    ],
)
def test_a_part_of_a_month_takes_the_rest_back(
    starts_on: date, ends_on: date | None, credit: str, text: str
) -> None:
    charge, proration = lines_of(starts_on, ends_on)
    assert (charge.kind, f"{charge.amount:f}") == (LineKind.FLAT, "99.00")
    assert (proration.kind, f"{proration.amount:f}") == (LineKind.PRORATION, credit)
    assert proration.unit_price is None
    assert text in proration.description


@pytest.mark.parametrize(
    ("starts_on", "ends_on"),
    [(date(2026, 3, 1), None), (date(2025, 1, 1), date(2026, 2, 1))],
)
def test_a_subscription_beside_the_period_gives_no_line(
    starts_on: date, ends_on: date | None
) -> None:
    assert lines_of(starts_on, ends_on) == []


def test_a_change_of_quantity_is_two_pairs_of_lines() -> None:
    change = date(2026, 2, 15)
    lines = rate(
        [
            subscription("dedicated-ip", quantity=Decimal(2), ends_on=change),
            subscription("dedicated-ip", quantity=Decimal(5), starts_on=change),
        ]
    )
    assert figures(lines) == [("2", "98.00"), ("2", "-49.00"), ("5", "245.00"), ("5", "-122.50")]


def test_a_change_of_plan_charges_each_for_its_days() -> None:
    change = date(2026, 2, 8)
    lines = rate(
        [
            subscription("dedicated-ip", ends_on=change),
            subscription("premium-support", starts_on=change),
        ]
    )
    assert [(line.plan_code, f"{line.amount:f}") for line in lines] == [
        ("dedicated-ip", "49.00"),
        ("dedicated-ip", "-36.75"),
        ("premium-support", "99.00"),
        ("premium-support", "-24.75"),
    ]


@pytest.mark.parametrize(("used", "of"), [(-1, 28), (29, 28), (0, 0)])
def test_more_days_than_there_are_cannot_be_prorated(used: int, of: int) -> None:
    with pytest.raises(InvalidValue, match="no part of a period"):
        proration_credit(Decimal(99), used, of, "USD")


@given(PRICES, st.integers(1, 1_000), MONTHS, st.data())
def test_a_part_of_a_month_costs_its_share_up_to_half_a_cent(
    price: Decimal, quantity: int, month: BillingPeriod, data: st.DataObject
) -> None:
    used = data.draw(st.integers(1, month.days))
    sub = subscription(
        "premium-support",
        quantity=Decimal(quantity),
        starts_on=month.end - timedelta(days=used),
    )
    lines = rate_month(replace(flat_plan(), unit_price=price), sub, month)
    charged = sum(line.amount for line in lines)
    exact = price * quantity * used / month.days
    assert abs(charged - exact) <= CENT / 2
    assert 0 <= charged <= price * quantity


@given(PRICES, MONTHS, st.data())
def test_adjoining_parts_of_a_month_cost_the_month_up_to_a_cent(
    price: Decimal, month: BillingPeriod, data: st.DataObject
) -> None:
    change = month.start + timedelta(days=data.draw(st.integers(1, month.days - 1)))
    plan = replace(flat_plan(), unit_price=price)
    before = subscription("premium-support", starts_on=month.start, ends_on=change)
    after = subscription("premium-support", starts_on=change)
    lines = rate_month(plan, before, month) + rate_month(plan, after, month)
    assert abs(sum(line.amount for line in lines) - price) <= CENT


@given(PRICES, st.integers(1, 31), st.data())
def test_a_longer_use_never_costs_less(price: Decimal, days: int, data: st.DataObject) -> None:
    used = data.draw(st.integers(0, days - 1))
    credits = [proration_credit(price, day, days, "USD") for day in (used, used + 1)]
    assert credits[0] <= credits[1] <= 0


# --- a customer's month


def test_nothing_used_and_nothing_subscribed_gives_no_line() -> None:
    assert rate([]) == []
    assert rate([subscription()]) == []


def test_usage_comes_before_flat_charges() -> None:
    lines = rate([subscription("dedicated-ip"), subscription()], usage(5))
    assert [line.kind for line in lines] == [LineKind.USAGE, LineKind.FLAT]


def test_days_add_up_before_they_meet_the_tiers() -> None:
    lines = rate([subscription()], usage(6_000, 1), usage(5_000, 2))
    assert figures(lines) == [("10000", "0.00"), ("1000", "1.00")]


def test_a_usage_plan_is_not_prorated() -> None:
    lines = rate([subscription(starts_on=date(2026, 2, 10))], usage(20_000, 10))
    assert figures(lines) == [("10000", "0.00"), ("10000", "10.00")]


def test_plans_that_follow_each_other_count_their_own_days_from_zero() -> None:
    change = date(2026, 2, 15)
    prices = price_book(
        usage_plan(code="bulk", name="Bulk", tiers=(Tier("all", None, Decimal("0.002")),))
    )
    lines = rate(
        [subscription(ends_on=change), subscription("bulk", starts_on=change)],
        usage(12_000, 14),
        usage(12_000, 15),
        prices=prices,
    )
    assert [(line.plan_code, f"{line.amount:f}") for line in lines] == [
        ("api-calls", "0.00"),
        ("api-calls", "2.00"),
        ("bulk", "24.00"),
    ]


def test_one_plan_left_and_taken_again_counts_each_time_from_zero() -> None:
    lines = rate(
        [
            subscription(ends_on=date(2026, 2, 10)),
            subscription(starts_on=date(2026, 2, 20)),
        ],
        usage(10_000, 5),
        usage(10_000, 20),
    )
    assert figures(lines) == [("10000", "0.00"), ("10000", "0.00")]


def test_usage_without_a_plan_is_refused_with_its_days() -> None:
    with pytest.raises(UsageWithoutPlan, match="12 api_calls from 2026-02-03 to 2026-02-05"):
        rate([subscription("premium-support")], usage(5, 3), usage(7, 5))


def test_usage_before_the_plan_begins_is_refused() -> None:
    with pytest.raises(UsageWithoutPlan, match="from 2026-02-09 to 2026-02-09"):
        rate([subscription(starts_on=date(2026, 2, 10))], usage(5, 9), usage(5, 10))


def test_usage_of_another_metric_is_not_covered() -> None:
    with pytest.raises(UsageWithoutPlan, match="emails"):
        rate([subscription()], usage(5, 9, "emails"))


def test_usage_of_zero_needs_no_plan() -> None:
    assert rate([], usage(0)) == []


def test_two_plans_for_one_call_are_refused() -> None:
    prices = price_book(usage_plan(code="bulk"))
    with pytest.raises(OverlappingUsagePlans, match="api-calls and bulk both price api_calls"):
        rate([subscription(), subscription("bulk")], usage(5), prices=prices)


def test_two_plans_without_a_call_between_them_are_no_harm() -> None:
    prices = price_book(usage_plan(code="bulk"))
    assert rate([subscription(), subscription("bulk")], prices=prices) == []


@pytest.mark.parametrize("plan_code", ["api-calls", "premium-support"])
def test_a_price_that_is_missing_in_the_currency_is_refused(plan_code: str) -> None:
    with pytest.raises(NoPriceInCurrency, match="EUR"):
        rate_customer(
            Contract("EUR", (subscription(plan_code),)), [usage()], price_book(), FEBRUARY
        )


def test_an_unknown_plan_is_refused() -> None:
    with pytest.raises(UnknownPlan, match="gold"):
        rate([subscription("gold")])


def test_negative_usage_of_a_month_is_refused() -> None:
    with pytest.raises(NegativeUsage):
        rate([subscription()], usage(-5))


def test_a_correction_within_the_month_lowers_the_usage() -> None:
    lines = rate([subscription()], usage(11_000, 1), usage(-1_000, 2))
    assert figures(lines) == [("10000", "0.00")]


def test_the_price_is_that_of_the_periods_first_day() -> None:
    dearer = flat_plan(unit_price="120.00", version=2, valid_from=date(2026, 2, 2))
    (line,) = rate([subscription("premium-support")], prices=price_book(dearer))
    assert (line.plan_version, line.unit_price) == (1, Decimal("99.00"))


def test_who_subscribes_later_pays_the_price_of_that_day() -> None:
    dearer = flat_plan(unit_price="120.00", version=2, valid_from=date(2026, 2, 2))
    late = subscription("premium-support", starts_on=date(2026, 2, 15))
    charge, _ = rate([late], prices=price_book(dearer))
    assert (charge.plan_version, charge.unit_price) == (2, Decimal("120.00"))


@given(st.lists(st.tuples(st.integers(1, 28), st.integers(0, 10**6)), max_size=20))
def test_every_call_of_a_month_stands_on_a_line(days: list[tuple[int, int]]) -> None:
    change = date(2026, 2, 15)
    prices = price_book(usage_plan(code="bulk"))
    lines = rate(
        [subscription(ends_on=change), subscription("bulk", starts_on=change)],
        *(usage(calls, day) for day, calls in days),
        prices=prices,
    )
    assert sum(line.quantity for line in lines) == sum(calls for _, calls in days)
