"""Recurring revenue, worked out before a report asks for it."""

from dataclasses import dataclass, field
from datetime import date

from temporalio import activity

from domain.periods import BusinessCalendar


@dataclass(frozen=True)
class RecurringRevenueOrder:
    """See to it that the days of the present business date's report are there.

    `calendar`: says which date that is.
    """

    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)


@dataclass(frozen=True)
class MissingDays:
    """The days that have to be worked out, the oldest first."""

    days: tuple[date, ...]


@dataclass(frozen=True)
class DayOrder:
    """Work out `day`, all customers."""

    day: date


@activity.defn
def find_missing_days(order: RecurringRevenueOrder) -> MissingDays:
    """Finds the days of the present report that are not there."""
    raise NotImplementedError


@activity.defn
def work_out_day(order: DayOrder) -> None:
    """Works the day out; one that is there stays as it is."""
    raise NotImplementedError
