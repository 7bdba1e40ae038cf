"""Figures and dates as people read them; no digit is lost on the way."""

import pytest

from console.showing import (
    change,
    day,
    instant,
    money,
    month,
    number,
    percent,
    plural,
    price,
    round_money,
    short_day,
    short_month,
    whole,
)


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("47829.14", "USD", "$47,829.14"),
        ("-412.36", "USD", "-$412.36"),
        ("1200", "JPY", "¥1,200"),
        ("9.000", "KWD", "KWD\xa09.000"),
        ("0.00", "EUR", "€0.00"),
        ("90071992547409.93", "USD", "$90,071,992,547,409.93"),
    ],
)
def test_money_has_the_digits_of_its_currency(amount: str, currency: str, shown: str) -> None:
    assert money(amount, currency) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("0.0005", "$0.0005"), ("99", "$99.00"), ("0.10", "$0.10"), ("1234.56789", "$1,234.56789")],
)
def test_a_price_has_every_digit_that_it_has(amount: str, shown: str) -> None:
    assert price(amount, "USD") == shown


def test_the_axis_of_a_chart_has_no_cents_where_it_needs_none() -> None:
    assert round_money("25000", "USD") == "$25,000"
    assert round_money("0.5", "USD") == "$0.50"


def test_numbers_and_shares() -> None:
    assert number("247891") == "247,891"
    assert number("0.5") == "0.5"
    assert whole("24638.5") == "24,639"
    assert percent("85.0") == "85 %"
    assert percent(None) == "–"
    assert (change("4.2"), change("-17.1"), change("0.0")) == ("+4.2 %", "−17.1 %", "+0.0 %")
    assert change(None) == "–"
    assert (plural(1, "entry", "entries"), plural(1200, "invoice")) == ("1 entry", "1,200 invoices")


def test_dates() -> None:
    assert day("2026-03-01") == "1 Mar 2026"
    assert day("2026-03-01T08:00:00Z") == "1 Mar 2026"
    assert day(None) == "–"
    assert short_day("2026-03-01") == "1 Mar"
    assert (month("2026-02"), short_month("2026-02")) == ("February 2026", "Feb 2026")
    assert instant("2026-03-01T08:05:59+00:00") == "1 Mar 2026, 08:05 UTC"
