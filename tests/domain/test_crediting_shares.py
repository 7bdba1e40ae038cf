"""Amounts taken apart lose and add nothing."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.apportioning import contained_tax, implied_rate, spread

PARTS = st.lists(st.integers(-(10**9), 10**9), max_size=12)


def test_shares_are_proportional_and_the_largest_remainders_take_the_rest() -> None:
    assert spread(10, [50, 30, 20]) == [5, 3, 2]
    assert spread(10, [1, 1, 1_000]) == [0, 0, 10]
    assert spread(2, [1, 1, 1]) == [1, 1, 0]
    assert spread(5, [100, -90]) == [50, -45]
    assert spread(0, [7, -7]) == [0, 0]


@given(st.data(), PARTS)
def test_shares_sum_to_the_amount_and_stay_within_their_parts(
    data: st.DataObject, over: list[int]
) -> None:
    if sum(over) < 0:
        over = [-part for part in over]
    amount = data.draw(st.integers(0, sum(over)))
    shares = spread(amount, over)
    assert sum(shares) == amount
    for share, part in zip(shares, over, strict=True):
        assert min(part, 0) <= share <= max(part, 0)
        assert abs(share * sum(over) - amount * part) < max(sum(over), 1)


@given(st.integers(0, 10**12), st.sampled_from(["0", "2.5", "19", "25.5", "100"]).map(Decimal))
def test_a_net_and_its_tax_part_again(net: int, rate: Decimal) -> None:
    tax = (net * rate / 100).quantize(Decimal(1), rounding="ROUND_HALF_UP")
    assert contained_tax(net + int(tax), rate) == tax


@pytest.mark.parametrize(
    ("net", "tax", "rate"),
    [
        ("180.00", "34.20", "19"),
        ("100.00", "8.88", "8.88"),
        ("1000000.00", "88750.00", "8.875"),
        ("0.50", "0.10", "20"),
        ("99.00", "0.00", "0"),
        ("0.00", "0.00", "0"),
    ],
)
def test_the_rate_of_totals_is_the_shortest_that_gives_them(net: str, tax: str, rate: str) -> None:
    assert implied_rate(Decimal(net), Decimal(tax), "USD") == Decimal(rate)


@given(st.integers(1, 10**9), st.integers(0, 10**9))
def test_the_rate_of_totals_gives_their_tax_again(net: int, tax: int) -> None:
    rate = implied_rate(Decimal(net), Decimal(tax), "JPY")
    assert (net * rate / 100).quantize(Decimal(1), rounding="ROUND_HALF_UP") == tax
