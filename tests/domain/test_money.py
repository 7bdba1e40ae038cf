"""Amounts: rounding, minor units, currencies that do not mix."""

from decimal import Decimal

import pytest
from babel import Locale
from babel.numbers import get_currency_precision
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import CurrencyMismatch, InvalidValue
from domain.money import Money, minor_digits, round_money, total

CURRENCIES = st.sampled_from(["JPY", "USD", "EUR", "KWD", "CLF"])
EXACT = st.decimals(min_value=-(10**12), max_value=10**12, places=8)

# Babel has CLDR's digits: those that people use. ISO 4217, as banks and card providers count, has
# two for these (three for IQD), or has withdrawn the currency.
OTHERWISE_IN_BABEL = set("AFN ALL IQD IRR KPW LAK LBP MGA MMK RSD SOS SYP YER".split())
WITHDRAWN = set("ADP BYR ESP ITL LUF MGF MRO SLL STD TMM TRL ZMK ZWD".split())


@pytest.mark.parametrize(
    ("exact", "currency", "rounded"),
    [
        ("73.9455", "USD", "73.95"),
        ("0.005", "USD", "0.01"),
        ("-0.005", "USD", "-0.01"),
        ("0.004999999", "USD", "0.00"),
        ("2.675", "EUR", "2.68"),
        ("90", "USD", "90.00"),
        ("0.5", "JPY", "1"),
        ("-0.5", "JPY", "-1"),
        ("1.0005", "KWD", "1.001"),
    ],
)
def test_rounds_halves_away_from_zero(exact: str, currency: str, rounded: str) -> None:
    assert str(round_money(Decimal(exact), currency)) == rounded


def test_what_rounds_to_nothing_has_no_sign() -> None:
    assert str(round_money(Decimal("-0.001"), "USD")) == "0.00"


@given(EXACT, CURRENCIES)
def test_rounding_moves_an_amount_by_half_a_minor_unit_at_most(
    exact: Decimal, currency: str
) -> None:
    half = Decimal(1).scaleb(-minor_digits(currency)) / 2
    assert abs(round_money(exact, currency) - exact) <= half


@given(EXACT, CURRENCIES)
def test_rounding_twice_is_rounding_once(exact: Decimal, currency: str) -> None:
    once = round_money(exact, currency)
    assert round_money(once, currency) == once


@given(EXACT, CURRENCIES)
def test_a_debt_rounds_as_the_claim_does(exact: Decimal, currency: str) -> None:
    assert round_money(-exact, currency) == -round_money(exact, currency)


def test_minor_units_are_those_of_babel_but_for_the_named_ones() -> None:
    codes = [code for code in Locale("en").currencies if code not in WITHDRAWN]
    different = {code for code in codes if minor_digits(code) != get_currency_precision(code)}
    assert different == OTHERWISE_IN_BABEL


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("JPY", 0), ("UYI", 0), ("USD", 2), ("HUF", 2), ("KWD", 3), ("IQD", 3), ("CLF", 4)],
)
def test_minor_units_of_iso_4217(currency: str, digits: int) -> None:
    assert minor_digits(currency) == digits


@pytest.mark.parametrize("code", ["", "usd", "US", "USDX", "U1D", "€€€", "ÄÖÜ", "US "])
def test_what_is_no_currency_code_is_refused(code: str) -> None:
    with pytest.raises(InvalidValue, match="ISO 4217"):
        minor_digits(code)


@given(st.integers(-(10**15), 10**15), CURRENCIES)
def test_minor_units_come_back(units: int, currency: str) -> None:
    assert Money.from_minor(units, currency).to_minor() == units


def test_minor_units_are_counted_as_card_providers_count() -> None:
    assert Money(Decimal("312.91"), "USD").to_minor() == 31_291
    assert Money(Decimal("313"), "JPY").to_minor() == 313
    assert Money(Decimal("1.250"), "KWD").to_minor() == 1_250


def test_a_fraction_of_a_minor_unit_cannot_be_charged() -> None:
    with pytest.raises(InvalidValue, match="fraction"):
        Money(Decimal("0.001"), "USD").to_minor()


def test_amounts_of_one_currency_add_up() -> None:
    ten, four = Money(Decimal(10), "EUR"), Money(Decimal("4.50"), "EUR")
    assert ten + four == Money(Decimal("14.50"), "EUR")
    assert ten - four == Money(Decimal("5.50"), "EUR")
    assert -four == Money(Decimal("-4.50"), "EUR")
    assert str(ten - four) == "5.50 EUR"


def test_amounts_of_two_currencies_do_not_meet() -> None:
    dollars, euros = Money(Decimal(1), "USD"), Money(Decimal(1), "EUR")
    with pytest.raises(CurrencyMismatch, match="USD and EUR"):
        dollars + euros
    with pytest.raises(CurrencyMismatch):
        dollars - euros
    with pytest.raises(CurrencyMismatch):
        total([dollars, euros], "USD")


def test_the_sum_of_nothing_is_zero_in_its_currency() -> None:
    assert str(total([], "KWD")) == "0.000 KWD"


@given(st.lists(st.integers(-(10**9), 10**9)))
def test_a_sum_counts_every_minor_unit(units: list[int]) -> None:
    amounts = [Money.from_minor(unit, "USD") for unit in units]
    assert total(amounts, "USD").to_minor() == sum(units)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_no_amount(text: str) -> None:
    with pytest.raises(InvalidValue, match="not an amount"):
        Money(Decimal(text), "USD")
