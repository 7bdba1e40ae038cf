"""Amounts on their way to Stripe and back."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.card_amounts import (
    NotChargeable,
    chargeable,
    from_stripe,
    minimum_charge,
    to_stripe,
)
from domain.errors import InvalidValue
from domain.money import minor_digits, round_money

STEPS = {  # Stripe's units in the smallest amount that it charges and ISO 4217 has
    "USD": 1,
    "EUR": 1,
    "HUF": 1,
    "JPY": 1,
    "KRW": 1,
    "MGA": 1,
    "ISK": 100,
    "UGX": 100,
    "KWD": 10,
    "BHD": 10,
}


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [
        ("312.91", "USD", 31291),
        ("0.50", "EUR", 50),
        ("500", "JPY", 500),
        ("12", "MGA", 12),
        ("500", "ISK", 50000),
        ("1500", "UGX", 150000),
        ("5.120", "KWD", 5120),
        ("175.00", "HUF", 17500),
        ("-1.25", "USD", -125),
    ],
)
def test_an_amount_is_counted_as_stripe_counts_it(amount: str, currency: str, units: int) -> None:
    assert to_stripe(Decimal(amount), currency) == units
    assert from_stripe(units, currency) == Decimal(amount)


@given(st.sampled_from(sorted(STEPS)), st.integers(-(10**9), 10**9))
def test_what_stripe_counts_comes_back_the_same(currency: str, steps: int) -> None:
    units = steps * STEPS[currency]
    assert to_stripe(from_stripe(units, currency), currency) == units


@given(st.sampled_from(sorted(STEPS)), st.decimals(-(10**9), 10**9, places=2))
def test_what_can_be_charged_comes_back_to_the_digit(currency: str, exact: Decimal) -> None:
    amount = round_money(exact, currency)
    try:
        units = to_stripe(amount, currency)
    except NotChargeable:
        assert currency in ("KWD", "BHD", "MGA")
        return
    back = from_stripe(units, currency)
    assert (back, str(back)) == (amount, str(amount))
    assert -back.as_tuple().exponent == minor_digits(currency)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("amount", "currency", "step"),
    [
        ("1.005", "USD", "0.01"),
        ("500.5", "JPY", "1"),
        ("500.5", "ISK", "1"),
        ("12.50", "MGA", "1"),
        ("5.124", "KWD", "0.01"),
    ],
)
def test_what_stripe_cannot_express_is_refused_with_the_step(
    amount: str, currency: str, step: str
) -> None:
    with pytest.raises(NotChargeable, match=f"multiples of {step}") as refusal:
        to_stripe(Decimal(amount), currency)
    assert refusal.value.code == "not_chargeable"
    assert not chargeable(Decimal(amount), currency)


@pytest.mark.parametrize("currency", ["IQD", "LYD", "CLF", "UYW", "UYI"])
def test_a_currency_that_stripe_does_not_take_is_refused(currency: str) -> None:
    with pytest.raises(NotChargeable, match="bank transfer"):
        to_stripe(Decimal(100), currency)
    assert not chargeable(Decimal(100), currency)


def test_a_count_that_no_amount_has_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"500\.50 ISK"):
        from_stripe(50050, "ISK")


@pytest.mark.parametrize("amount", ["NaN", "Infinity"])
def test_what_is_no_number_is_refused(amount: str) -> None:
    with pytest.raises(InvalidValue, match="not an amount"):
        to_stripe(Decimal(amount), "USD")


@pytest.mark.parametrize(
    ("currency", "least"),
    [("USD", "0.50"), ("GBP", "0.30"), ("JPY", "50"), ("CZK", "15.00"), ("ISK", None)],
)
def test_the_least_that_stripe_charges(currency: str, least: str | None) -> None:
    assert minimum_charge(currency) == (None if least is None else Decimal(least))


@pytest.mark.parametrize(
    ("amount", "currency", "yes"),
    [
        ("0.49", "USD", False),
        ("0.50", "USD", True),
        ("999999.99", "USD", True),
        ("1000000.00", "USD", False),
        ("99999999", "JPY", True),
        ("1" + "0" * 40, "JPY", False),
        ("0", "ISK", False),
        ("1", "ISK", True),
        ("-5.00", "USD", False),
    ],
)
def test_a_card_can_be_charged_between_the_limits(amount: str, currency: str, yes: bool) -> None:
    assert chargeable(Decimal(amount), currency) is yes
