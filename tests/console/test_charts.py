"""What is drawn has the proportions of the figures."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.charts import part_of, round_top, stacked

FIGURES = st.decimals(0, 10**12, places=2)


@pytest.mark.parametrize(
    ("highest", "top"),
    [("0", "1"), ("0.07", "0.08"), ("1", "1"), ("46096.50", "50000"), ("10000.01", "15000")],
)
def test_an_axis_ends_at_the_next_round_figure(highest: str, top: str) -> None:
    assert round_top(Decimal(highest)) == Decimal(top)


@given(FIGURES)
def test_an_axis_is_neither_too_short_nor_more_than_half_empty(highest: Decimal) -> None:
    top = round_top(highest)
    assert top >= highest
    assert highest == 0 or top <= 2 * highest


@given(st.lists(st.tuples(FIGURES, FIGURES), min_size=1, max_size=13))
def test_the_parts_of_a_column_stand_on_each_other_and_have_its_height(
    points: list[tuple[Decimal, Decimal]],
) -> None:
    chart = stacked([("x", {"low": low, "high": high}) for low, high in points])
    for column, (low, high) in zip(chart.columns, points, strict=True):
        assert column.total == low + high
        below, above = column.segments
        assert below.y + below.height == 100
        assert above.y + above.height == below.y
        assert above.y >= 0
        drawn = (below.height + above.height) * chart.top / 100
        assert abs(drawn - column.total) <= chart.top / 10**20


def test_a_part_below_zero_takes_no_room() -> None:
    (column,) = stacked([("May", {"in": "80", "out": "-30"})]).columns
    assert [part.height for part in column.segments] == [100, 0]
    assert column.total == 50


def test_nothing_at_all_is_no_chart() -> None:
    assert not stacked([]).has_any
    assert not stacked([("May", {"in": "0.00"})]).has_any
    assert stacked([("May", {"in": "0.01"})]).has_any


@pytest.mark.parametrize(
    ("value", "longest", "length"),
    [
        ("50", "200", "25"),
        ("0.01", "100000", "1"),
        ("0", "5", "0"),
        ("-3", "5", "0"),
        ("7", "0", "0"),
    ],
)
def test_a_bar_is_as_long_as_its_share_and_never_too_short_to_see(
    value: str, longest: str, length: str
) -> None:
    assert part_of(value, longest) == Decimal(length)
