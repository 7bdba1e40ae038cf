"""Discounts: what they take off, in which order, and for which months."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.discounts import Discount
from domain.errors import DiscountInAnotherCurrency, InvalidValue
from domain.lines import InvoiceSum, LineKind, RatedLine, sum_of
from domain.money import round_money
from domain.rating import Contract, DailyUsage, Subscription, rate_customer
from tests.builders import FEBRUARY, price_book, subscription, usage

BEGINNING = date(2025, 1, 1)
SUPPORT = subscription("premium-support")
IP = subscription("dedicated-ip")


def percent(share: str = "20", **changes: Any) -> Discount:
    return Discount(
        **{"name": "Launch", "valid_from": BEGINNING, "percent": Decimal(share)} | changes
    )


def fixed(amount: str = "10.00", **changes: Any) -> Discount:
    terms = {"name": "Loyalty", "valid_from": BEGINNING, "amount": Decimal(amount)}
    return Discount(**terms | {"currency": "USD"} | changes)


def rate(
    subscriptions: list[Subscription], *discounts: Discount, used: tuple[DailyUsage, ...] = ()
) -> list[RatedLine]:
    contract = Contract("USD", tuple(subscriptions), discounts)
    return rate_customer(contract, used, price_book(), FEBRUARY)


def told(lines: list[RatedLine]) -> list[tuple[str, str]]:
    return [
        (line.description, f"{line.amount:f}") for line in lines if line.kind is LineKind.DISCOUNT
    ]


def test_a_percentage_is_taken_off_right_behind_its_plan() -> None:
    lines = rate([SUPPORT, IP], percent(plan_code="dedicated-ip"))
    assert [(line.plan_code, line.kind.value, f"{line.amount:f}") for line in lines] == [
        ("dedicated-ip", "flat", "49.00"),
        ("dedicated-ip", "discount", "-9.80"),
        ("premium-support", "flat", "99.00"),
    ]
    assert told(lines) == [("Discount: Launch, 20 % of 49.00", "-9.80")]
    assert lines[1].kind.counts_to is InvoiceSum.DISCOUNTS


def test_one_on_everything_comes_last_and_off_what_the_others_left() -> None:
    lines = rate([SUPPORT, IP], percent(), percent("50", plan_code="dedicated-ip"))
    assert told(lines) == [
        ("Discount: Launch, 50 % of 49.00", "-24.50"),
        ("Discount: Launch, 20 % of 123.50", "-24.70"),
    ]
    assert (lines[-1].plan_code, lines[-1].plan_version) == ("", 0)


def test_percentages_come_before_fixed_amounts() -> None:
    lines = rate([SUPPORT], fixed(valid_from=date(2024, 1, 1)), percent())
    assert told(lines) == [
        ("Discount: Launch, 20 % of 99.00", "-19.80"),
        ("Discount: Loyalty, 10.00 a month", "-10.00"),
    ]


def test_usage_is_discounted_with_its_tiers_in_one_line() -> None:
    lines = rate([subscription()], percent("10", plan_code="api-calls"), used=(usage(247_891),))
    assert told(lines) == [("Discount: Launch, 10 % of 163.95", "-16.40")]


def test_no_discount_takes_off_more_than_is_there() -> None:
    lines = rate([IP], fixed("40.00"), fixed("30.00", name="More"), fixed("5.00", name="Third"))
    assert sum_of(lines) == 0
    assert [amount for _, amount in told(lines)] == ["-40.00", "-9.00"]


def test_a_discount_on_nothing_has_no_line() -> None:
    assert told(rate([SUPPORT], percent(plan_code="dedicated-ip"))) == []
    assert rate([], percent(), fixed()) == []


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "counts"),
    [
        (date(2026, 2, 1), None, True),
        (date(2026, 2, 2), None, False),
        (BEGINNING, date(2026, 2, 1), False),
        (BEGINNING, date(2026, 2, 2), True),
    ],
)
def test_it_counts_for_a_whole_month_if_it_is_valid_on_the_first_day(
    valid_from: date, valid_to: date | None, counts: bool
) -> None:
    for discount in (percent(), fixed(), percent(plan_code="premium-support")):
        changed = Discount(**vars(discount) | {"valid_from": valid_from, "valid_to": valid_to})
        assert bool(told(rate([SUPPORT], changed))) is counts


def test_who_begins_in_mid_month_has_the_discounts_of_that_day() -> None:
    late = subscription("premium-support", starts_on=date(2026, 2, 15))
    welcome = fixed(valid_from=date(2026, 2, 10), plan_code="premium-support")
    assert told(rate([late], welcome)) == [("Discount: Loyalty, 10.00 a month", "-10.00")]
    assert told(rate([late, IP], percent(valid_from=date(2026, 2, 10)))) == []


def test_a_part_of_a_month_is_discounted_by_what_it_costs() -> None:
    half = subscription("premium-support", starts_on=date(2026, 2, 15))
    assert told(rate([half], percent())) == [("Discount: Launch, 20 % of 49.50", "-9.90")]


def test_an_amount_in_another_currency_is_the_customers_error() -> None:
    with pytest.raises(DiscountInAnotherCurrency, match="Loyalty is an amount in EUR"):
        rate([SUPPORT], fixed(currency="EUR"))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"percent": None}, "either percent or amount"),
        ({"amount": Decimal(1), "currency": "USD"}, "either percent or amount"),
        ({"percent": Decimal(0)}, "above 0 and at most 100"),
        ({"percent": Decimal("100.1")}, "above 0 and at most 100"),
        ({"percent": None, "amount": Decimal(0), "currency": "USD"}, "amount of a discount"),
        ({"percent": None, "amount": Decimal(1)}, "has a currency"),
        ({"currency": "USD"}, "has a currency"),
        ({"valid_to": BEGINNING}, "after valid_from"),
    ],
)
def test_a_discount_that_does_not_fit_is_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        percent(**wrong)


PLAN = st.sampled_from([None, "premium-support", "dedicated-ip", "api-calls"])
DAYS = st.integers(0, 900).map(lambda days: BEGINNING + timedelta(days=days))
DISCOUNTS = st.lists(
    st.builds(
        percent,
        st.decimals(min_value="0.01", max_value=100, places=2).map(str),
        plan_code=PLAN,
        valid_from=DAYS,
    )
    | st.builds(
        fixed,
        st.decimals(min_value="0.01", max_value=500, places=2).map(str),
        plan_code=PLAN,
        valid_from=DAYS,
    ),
    max_size=6,
)


@given(DISCOUNTS, st.integers(0, 10**6), st.integers(1, 28))
def test_no_plan_and_no_month_falls_below_zero(
    discounts: list[Discount], calls: int, day: int
) -> None:
    subscribed = [
        subscription(),
        subscription("dedicated-ip", starts_on=date(2026, 2, day)),
        SUPPORT,
    ]
    lines = rate(subscribed, *discounts, used=(usage(calls),))
    running = Decimal(0)
    for line in lines:
        running += line.amount
        assert line.amount == round_money(line.amount, "USD")
    assert running >= 0
    for code in ("api-calls", "dedicated-ip", "premium-support"):
        assert sum_of(line for line in lines if line.plan_code == code) >= 0


@given(DISCOUNTS, st.integers(0, 10**6))
def test_discounts_only_ever_lower_a_month(discounts: list[Discount], calls: int) -> None:
    subscribed = [subscription(), SUPPORT]
    bare = rate(subscribed, used=(usage(calls),))
    lines = rate(subscribed, *discounts, used=(usage(calls),))
    assert [line for line in lines if line.kind is not LineKind.DISCOUNT] == bare
    assert all(line.amount < 0 for line in lines if line.kind is LineKind.DISCOUNT)


@given(DISCOUNTS)
def test_the_order_in_which_discounts_are_told_does_not_matter(discounts: list[Discount]) -> None:
    named = [
        Discount(**vars(discount) | {"name": f"{place}"})
        for place, discount in enumerate(discounts)
    ]
    assert rate([SUPPORT, IP], *named) == rate([SUPPORT, IP], *reversed(named))
