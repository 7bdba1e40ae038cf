"""The geometry of the charts. What is drawn is in `templates/console/charts.html.j2`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

_STEPS = tuple(Decimal(step) for step in ("1", "1.5", "2", "2.5", "3", "4", "5", "6", "8", "10"))
_TALL = Decimal(100)


@dataclass(frozen=True)
class Segment:
    """A part of a column, from `y` downwards, both in hundredths of the chart's height."""

    name: str
    value: Decimal
    y: Decimal
    height: Decimal


@dataclass(frozen=True)
class Column:
    label: str
    total: Decimal
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Columns:
    """A column chart from zero to `top`, with a line at `middle`."""

    top: Decimal
    middle: Decimal
    names: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def has_any(self) -> bool:
        return any(column.total for column in self.columns)


def stacked(points: Sequence[tuple[str, Mapping[str, Any]]]) -> Columns:
    """A column for each (label, parts), the first part at the bottom.

    A part below zero takes no room, since it stands for nothing in a sum of what came in.
    """
    parts = [(label, {n: Decimal(str(v)) for n, v in values.items()}) for label, values in points]
    top = round_top(max((_height(values) for _, values in parts), default=Decimal(0)))
    columns = tuple(_column(label, values, top) for label, values in parts)
    names = tuple(parts[0][1]) if parts else ()
    return Columns(top, top / 2, names, columns)


def _column(label: str, values: Mapping[str, Decimal], top: Decimal) -> Column:
    y, segments = _TALL, []
    for name, value in values.items():
        height = max(value, Decimal(0)) / top * _TALL
        y -= height
        segments.append(Segment(name, value, y, height))
    return Column(label, sum(values.values(), Decimal(0)), tuple(segments))


def _height(values: Mapping[str, Decimal]) -> Decimal:
    return sum((max(value, Decimal(0)) for value in values.values()), Decimal(0))


def round_top(highest: Decimal) -> Decimal:
    """The end of an axis: the next round figure that is not below `highest`; 1 for nothing."""
    if highest <= 0:
        return Decimal(1)
    magnitude = Decimal(10) ** highest.adjusted()
    return next(step * magnitude for step in _STEPS if step * magnitude >= highest)


def part_of(value: Any, whole: Any) -> Decimal:
    """How long a bar is, in percent of the longest; 0 to 100, and never a hair too short to see."""
    amount, longest = Decimal(str(value)), Decimal(str(whole))
    if amount <= 0 or longest <= 0:
        return Decimal(0)
    share = min(amount / longest * 100, Decimal(100))
    return max(share, Decimal(1)).quantize(Decimal("0.01"), ROUND_CEILING)
