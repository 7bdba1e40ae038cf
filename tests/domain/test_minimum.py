"""Plans of several metrics, and the commitment that tops their usage up."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import OverlappingUsagePlans, UsageWithoutPlan
from domain.lines import InvoiceSum, LineKind, RatedLine, sum_of
from domain.plans import Charge, ChargeModel, PlanPrice
from domain.rating import Contract, DailyUsage, Subscription, rate_customer
from tests.builders import FEBRUARY, TIERS, price_book, subscription, usage, usage_plan

CALLS = Charge("api_calls", tiers=TIERS)
STORAGE = Charge("GB", ChargeModel.PACKAGE, unit_price=Decimal("4.00"), package_size=100)
GROWTH = usage_plan(CALLS, STORAGE, code="growth", name="Growth", minimum=Decimal("100.00"))
LEAN = usage_plan(CALLS, code="lean", name="Lean")
MINIMA = st.decimals(min_value="0.01", max_value="9999.99", places=2)


def rate(
    subscriptions: list[Subscription], *used: DailyUsage, plan: PlanPrice = GROWTH
) -> list[RatedLine]:
    contract = Contract("USD", tuple(subscriptions))
    return rate_customer(contract, used, price_book(plan, LEAN), FEBRUARY)


def growth(**changes: object) -> Subscription:
    return subscription("growth", **changes)


def test_one_plan_counts_several_metrics() -> None:
    lines = rate([growth()], usage(110_000), usage(250, metric="GB"))
    assert [(line.description, f"{line.amount:f}") for line in lines] == [
        ("Growth, api calls: Free tier", "0.00"),
        ("Growth, api calls: Tier 1", "90.00"),
        ("Growth, api calls: Tier 2", "5.00"),
        ("Growth, GB: 3 packages of 100 GB, 250 used", "12.00"),
    ]


def test_usage_below_the_commitment_is_topped_up() -> None:
    line = rate([growth()], usage(30_000))[-1]
    assert line == RatedLine(
        LineKind.MINIMUM,
        "Minimum commitment: Growth, 100.00 a month less usage of 20.00",
        Decimal(1),
        None,
        Decimal("80.00"),
        "growth",
        1,
    )
    assert line.kind.counts_to is InvoiceSum.USAGE


def test_a_month_without_usage_costs_the_commitment() -> None:
    (line,) = rate([growth()])
    assert line.amount == Decimal("100.00")


def test_the_commitment_of_a_part_of_the_month_is_that_part() -> None:
    (line,) = rate([growth(starts_on=date(2026, 2, 15))])
    assert f"{line.amount:f}" == "50.00"
    assert "50.00 for 14 of 28 days (from 2026-02-15) less usage of 0.00" in line.description


def test_after_a_change_in_mid_month_each_plan_prices_its_own_days_of_each_metric() -> None:
    change = date(2026, 2, 15)
    lines = rate(
        [growth(ends_on=change), subscription("lean", starts_on=change)],
        usage(20_000, 14),
        usage(20_000, 15),
        usage(100, 1, "GB"),
    )
    assert [(line.plan_code, line.kind.value, f"{line.amount:f}") for line in lines] == [
        ("growth", "usage", "0.00"),
        ("growth", "usage", "10.00"),
        ("growth", "usage", "4.00"),
        ("growth", "minimum", "36.00"),
        ("lean", "usage", "0.00"),
        ("lean", "usage", "10.00"),
    ]


def test_a_metric_that_the_next_plan_lacks_is_usage_without_a_plan() -> None:
    change = date(2026, 2, 15)
    with pytest.raises(UsageWithoutPlan, match="5 GB from 2026-02-15"):
        rate(
            [growth(ends_on=change), subscription("lean", starts_on=change)],
            usage(5, 15, "GB"),
        )


def test_plans_that_share_one_of_their_metrics_overlap_on_that_one_alone() -> None:
    both = [growth(), subscription("lean")]
    assert rate(both, usage(5, metric="GB"))
    with pytest.raises(OverlappingUsagePlans, match="growth and lean both price api_calls"):
        rate(both, usage(5))


@given(MINIMA, st.integers(0, 10**7), st.integers(0, 10**4))
def test_a_month_costs_its_usage_or_the_minimum_whichever_is_more(
    minimum: Decimal, calls: int, stored: int
) -> None:
    used = [usage(calls), usage(stored, metric="GB")]
    bare = sum_of(rate([growth()], *used, plan=usage_plan(CALLS, STORAGE, code="growth")))
    plan = usage_plan(CALLS, STORAGE, code="growth", minimum=minimum)
    assert sum_of(rate([growth()], *used, plan=plan)) == max(bare, minimum)


@given(MINIMA, st.integers(1, 27))
def test_the_parts_of_a_month_commit_to_the_month_up_to_a_cent(minimum: Decimal, day: int) -> None:
    change = FEBRUARY.start + timedelta(days=day)
    lines = rate(
        [growth(ends_on=change), growth(starts_on=change)],
        plan=usage_plan(CALLS, code="growth", minimum=minimum),
    )
    assert abs(sum_of(lines) - minimum) <= Decimal("0.01")


@given(st.lists(st.tuples(st.integers(1, 28), st.integers(1, 10**5)), min_size=1, max_size=4))
def test_the_order_in_which_usage_is_told_does_not_matter(days: list[tuple[int, int]]) -> None:
    used = [
        *(usage(calls, day) for day, calls in days),
        *(usage(calls, day, "GB") for day, calls in days[:1]),
    ]
    seen = {tuple(rate([growth()], *order)) for order in permutations(used)}
    assert len(seen) == 1
