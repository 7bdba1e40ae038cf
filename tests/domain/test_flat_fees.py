"""Yearly fees: charged in advance on each anniversary, given back behind an end."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.discounts import Discount
from domain.errors import InvalidValue
from domain.lines import LineKind, RatedLine, sum_of
from domain.periods import BillingPeriod
from domain.plans import Interval, PlanPrice
from domain.rating import Contract, Subscription, rate_customer
from tests.builders import flat_plan, price_book, subscription, usage_plan

PLATFORM = flat_plan("platform", "1200.00", interval=Interval.YEAR)
PRICES = st.decimals(min_value="0.01", max_value="99999.99", places=2)
STARTS = st.dates(date(2023, 1, 1), date(2025, 12, 31))


def yearly(starts_on: date, ends_on: date | None = None, quantity: int = 1) -> Subscription:
    return subscription(
        "platform", starts_on=starts_on, ends_on=ends_on, quantity=Decimal(quantity)
    )


def rate(
    month: str | BillingPeriod,
    *subscriptions: Subscription,
    plans: tuple[PlanPrice, ...] = (PLATFORM,),
    discounts: tuple[Discount, ...] = (),
) -> list[RatedLine]:
    period = BillingPeriod.parse(month) if isinstance(month, str) else month
    contract = Contract("USD", subscriptions, discounts)
    return rate_customer(contract, (), price_book(*plans), period)


def told(lines: list[RatedLine]) -> list[tuple[str, str]]:
    return [(line.description, f"{line.amount:f}") for line in lines]


def months(first: BillingPeriod, last: BillingPeriod) -> list[BillingPeriod]:
    found = [first]
    while found[-1] < last:
        found.append(found[-1].next())
    return found


def test_a_year_is_charged_in_full_in_the_month_in_which_it_begins() -> None:
    lines = rate("2026-02", yearly(date(2026, 2, 15)))
    assert told(lines) == [("Platform, year from 2026-02-15 to 2027-02-14", "1200.00")]
    assert lines[0].kind is LineKind.FLAT


@pytest.mark.parametrize("month", ["2026-01", "2026-03", "2026-12", "2027-01"])
def test_no_other_month_of_the_year_has_a_line(month: str) -> None:
    assert rate(month, yearly(date(2026, 2, 15))) == []


def test_the_anniversary_charges_the_next_year_at_the_price_of_its_month() -> None:
    dearer = flat_plan(
        "platform",
        "1500.00",
        interval=Interval.YEAR,
        version=2,
        valid_from=date(2027, 2, 1),
    )
    lines = rate("2027-02", yearly(date(2026, 2, 15)), plans=(PLATFORM, dearer))
    assert told(lines) == [("Platform, year from 2027-02-15 to 2028-02-14", "1500.00")]


@pytest.mark.parametrize(
    ("month", "says"),
    [
        ("2024-02", "year from 2024-02-29 to 2025-02-27"),
        ("2025-02", "year from 2025-02-28 to 2026-02-27"),
        ("2027-02", "year from 2027-02-28 to 2028-02-28"),
        ("2028-02", "year from 2028-02-29 to 2029-02-27"),
    ],
)
def test_a_leap_day_has_its_anniversaries_on_the_28th_of_common_years(
    month: str, says: str
) -> None:
    ((found, amount),) = told(rate(month, yearly(date(2024, 2, 29))))
    assert (found, amount) == (f"Platform, {says}", "1200.00")


def test_an_end_inside_a_paid_year_gives_the_unused_days_back() -> None:
    ended = yearly(date(2025, 7, 1), date(2026, 3, 1))  # 243 of 365 days
    assert told(rate("2026-02", ended)) == [
        (
            "Proration: Platform, 243 of 365 days (from 2025-07-01 until 2026-02-28)",
            "-401.10",
        )
    ]
    assert rate("2026-03", ended) == []


def test_an_end_on_an_anniversary_gives_nothing_back_and_charges_nothing() -> None:
    ended = yearly(date(2025, 2, 15), date(2026, 2, 15))
    assert rate("2026-02", ended) == []


def test_a_year_that_begins_and_ends_in_one_month_is_charged_and_given_back() -> None:
    lines = rate("2026-02", yearly(date(2026, 2, 1), date(2026, 2, 11)))
    assert [f"{line.amount:f}" for line in lines] == ["1200.00", "-1167.12"]
    assert sum_of(lines) == Decimal("32.88")  # 10 of 365 days


def test_what_is_given_back_is_of_the_price_at_the_years_beginning() -> None:
    dearer = flat_plan(
        "platform", "9999.00", interval=Interval.YEAR, version=2, valid_from=date(2026, 1, 1)
    )
    ended = yearly(date(2025, 7, 1), date(2026, 3, 1))
    (line,) = rate("2026-02", ended, plans=(PLATFORM, dearer))
    assert (f"{line.amount:f}", line.plan_version) == ("-401.10", 1)


def test_what_is_given_back_is_net_of_the_discounts_of_then() -> None:
    launch = Discount(
        "Launch", date(2025, 1, 1), date(2025, 8, 1), plan_code="platform", percent=Decimal(20)
    )
    everything = Discount("Half", date(2025, 1, 1), date(2025, 8, 1), percent=Decimal(50))
    began = yearly(date(2025, 7, 1))
    assert sum_of(rate("2025-07", began, discounts=(launch, everything))) == Decimal("480.00")
    ended = yearly(date(2025, 7, 1), date(2026, 3, 1))
    (line,) = rate("2026-02", ended, discounts=(launch, everything))
    assert f"{line.amount:f}" == "-160.44"  # 480.00 x 122 / 365


def test_discounts_of_the_month_leave_what_is_given_back_alone() -> None:
    change = date(2026, 2, 15)
    half = Discount("Half", date(2026, 1, 1), percent=Decimal(50))
    lines = rate(
        "2026-02",
        yearly(date(2025, 2, 20), change),
        yearly(change, quantity=2),
        discounts=(half,),
    )
    assert told(lines) == [
        ("Platform, year from 2026-02-15 to 2027-02-14", "2400.00"),
        ("Proration: Platform, 360 of 365 days (from 2025-02-20 until 2026-02-14)", "-16.44"),
        ("Discount: Half, 50 % of 2,400.00", "-1200.00"),
    ]


def test_usage_is_charged_each_month() -> None:
    with pytest.raises(InvalidValue, match="charged each month"):
        usage_plan(interval=Interval.YEAR)


@given(STARTS, st.integers(1, 4), PRICES, st.integers(1, 20))
def test_n_years_cost_n_fees(starts_on: date, years: int, price: Decimal, quantity: int) -> None:
    plan = flat_plan("platform", str(price), interval=Interval.YEAR)
    first = BillingPeriod.of(starts_on)
    last = BillingPeriod(first.year + years, first.month).previous()
    sub = yearly(starts_on, quantity=quantity)
    lines = [line for month in months(first, last) for line in rate(month, sub, plans=(plan,))]
    assert sum_of(lines) == years * price * quantity
    assert len(lines) == years


@given(STARTS, st.integers(1, 1_500), PRICES)
def test_whatever_the_end_the_months_add_up_to_the_days_used(
    starts_on: date, days: int, price: Decimal
) -> None:
    plan = flat_plan("platform", str(price), interval=Interval.YEAR)
    ends_on = starts_on + timedelta(days=days)
    sub = yearly(starts_on, ends_on)
    span = months(BillingPeriod.of(starts_on), BillingPeriod.of(ends_on))
    charged = sum_of(line for month in span for line in rate(month, sub, plans=(plan,)))
    assert abs(charged - price * _years(starts_on, ends_on)) <= Decimal("0.005")


def _years(starts_on: date, ends_on: date) -> Decimal:
    """Whole years between both and, of the last, the part by day."""
    whole = 0
    while _anniversary(starts_on, whole + 1) <= ends_on:
        whole += 1
    begun = _anniversary(starts_on, whole)
    length = (_anniversary(starts_on, whole + 1) - begun).days
    return whole + Decimal((ends_on - begun).days) / length


def _anniversary(day: date, years: int) -> date:
    is_leap = (day.month, day.day) == (2, 29)
    year = day.year + years
    if is_leap and (year % 4 or (year % 100 == 0 and year % 400)):
        return date(year, 2, 28)
    return date(year, day.month, day.day)


def changed(**changes: Any) -> PlanPrice:
    return flat_plan("platform", "1200.00", **changes)


def test_a_monthly_plan_is_charged_each_month() -> None:
    months_of_it = [
        rate(month, yearly(date(2025, 2, 1)), plans=(changed(),))
        for month in ("2026-01", "2026-02")
    ]
    assert [told(lines) for lines in months_of_it] == [[("Platform", "1200.00")]] * 2
