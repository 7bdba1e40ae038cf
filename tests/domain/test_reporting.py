"""Shares, growth and exchange rates as the reports show them."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.reporting import (
    AGING_BUCKETS,
    ExchangeRate,
    ExchangeRates,
    MissingExchangeRate,
    days_sales_outstanding,
    growth,
    percent,
    three_months_to,
)

MARCH_1 = date(2026, 3, 1)
AMOUNTS = st.decimals(Decimal("0.01"), Decimal(10**9), places=2)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        ("6970.00", "8200.00", "85.0"),
        ("984.00", "8200.00", "12.0"),
        ("246.00", "8200.00", "3.0"),
        ("1", "800", "0.1"),  # 0.125
        ("0.5", "1000", "0.1"),  # 0.05, half-up
        ("-0.5", "1000", "-0.1"),
        ("0", "5", "0.0"),
    ],
)
def test_a_share_is_rounded_half_up_to_a_tenth(part: str, whole: str, expected: str) -> None:
    assert str(percent(Decimal(part), Decimal(whole))) == expected


def test_there_is_no_share_of_nothing_and_no_growth_from_nothing() -> None:
    assert percent(Decimal(5), Decimal(0)) is None
    assert growth(Decimal(5), Decimal(0)) is None


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ("47829.14", "45901.29", "4.2"),
        ("5", "5", "0.0"),
        ("0", "5", "-100.0"),
        ("15", "5", "200.0"),
    ],
)
def test_growth_is_held_against_what_was_before(now: str, before: str, expected: str) -> None:
    assert growth(Decimal(now), Decimal(before)) == Decimal(expected)


@given(part=AMOUNTS, rest=AMOUNTS)
def test_two_shares_make_a_whole(part: Decimal, rest: Decimal) -> None:
    whole = part + rest
    shares = [percent(amount, whole) for amount in (part, rest)]
    assert abs(sum(share or Decimal(0) for share in shares) - 100) <= Decimal("0.1")


def test_the_ages_follow_each_other_without_gap() -> None:
    first = [bucket.from_day for bucket in AGING_BUCKETS]
    assert first == [None, 1, 31, 61]


def test_a_reports_own_currency_needs_no_rate() -> None:
    rates = ExchangeRates("USD", MARCH_1, [ExchangeRate("EUR", Decimal("1.1"), MARCH_1)])
    assert rates.of("USD").rate == 1
    assert rates.of("EUR").rate == Decimal("1.1")
    with pytest.raises(MissingExchangeRate, match="from GBP to USD on 2026-03-01; import it in"):
        rates.of("GBP")


@pytest.mark.parametrize(
    ("last", "first"),
    [
        ("2026-03-31", "2026-01-01"),
        ("2026-02-28", "2025-12-01"),
        ("2024-02-29", "2023-12-01"),
        ("2026-03-10", "2025-12-11"),
        ("2026-05-30", "2026-02-28"),
        ("2026-05-31", "2026-03-01"),
    ],
)
def test_three_months_end_with_the_day(last: str, first: str) -> None:
    assert three_months_to(date.fromisoformat(last)) == date.fromisoformat(first)


@given(st.dates(date(2001, 1, 1), date(2199, 12, 30)))
def test_three_months_begin_no_earlier_for_an_earlier_day(last: date) -> None:
    first, next_first = three_months_to(last), three_months_to(last + timedelta(1))
    assert first <= next_first
    assert 89 <= (last - first).days + 1 <= 93


@pytest.mark.parametrize(
    ("receivables", "billed", "days", "dso"),
    [
        ("100.00", "300.00", 90, "30.0"),
        ("0.00", "300.00", 90, "0.0"),
        ("1.00", "1800.00", 90, "0.1"),  # 0.05, half-up
        ("900.00", "300.00", 92, "276.0"),
    ],
)
def test_receivables_are_told_in_days_of_billing(
    receivables: str, billed: str, days: int, dso: str
) -> None:
    found = days_sales_outstanding(Decimal(receivables), Decimal(billed), days)
    assert found == Decimal(dso)


def test_without_billing_there_are_no_days() -> None:
    assert days_sales_outstanding(Decimal("5.00"), Decimal("0.00"), 90) is None
