"""Billing periods and business dates.

A period is a calendar month `[start, end)` in the seller's time zone.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from domain.errors import InvalidValue, PeriodNotOver

_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)


def overlap(one: tuple[date, date | None], other: tuple[date, date | None]) -> bool:
    """Whether two spans of days `[first, after)` share a day; `after` None means open-ended."""
    begins = max(one[0], other[0])
    return all(after is None or begins < after for after in (one[1], other[1]))


@dataclass(frozen=True, order=True)
class BillingPeriod:
    """One calendar month. Orders by time; prints as "2026-02"."""

    year: int
    month: int

    def __post_init__(self) -> None:
        if not (1 <= self.month <= 12 and 2000 <= self.year <= 2200):
            raise InvalidValue(f"{self} is not a month; give one as YYYY-MM, such as 2026-02.")

    @classmethod
    def parse(cls, text: str) -> "BillingPeriod":
        """From "2026-02". Raises InvalidValue for anything else."""
        match = _MONTH.fullmatch(text)
        if match is None:
            raise InvalidValue(f"{text!r} is not a period; give a month as YYYY-MM.")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, day: date) -> "BillingPeriod":
        """The period that contains `day`."""
        return cls(day.year, day.month)

    @property
    def start(self) -> date:
        """First day, inclusive."""
        return date(self.year, self.month, 1)

    @property
    def end(self) -> date:
        """First day after the period (exclusive end)."""
        return self.next().start

    @property
    def last_day(self) -> date:
        """Last day of the period, inclusive; the day that decides the tax."""
        return self.end - timedelta(days=1)

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    def next(self) -> "BillingPeriod":
        return BillingPeriod(self.year + self.month // 12, self.month % 12 + 1)

    def previous(self) -> "BillingPeriod":
        return BillingPeriod.of(self.start - timedelta(days=1))

    def days_covered(self, starts_on: date, ends_on: date | None) -> int:
        """Days of the period inside `[starts_on, ends_on)`; `ends_on` None means open-ended."""
        first = max(self.start, starts_on)
        after = self.end if ends_on is None else min(self.end, ends_on)
        return max(0, (after - first).days)

    def bounds(self, time_zone: str) -> tuple[datetime, datetime]:
        """The period `[start, end)` as instants in UTC, its midnights taken in `time_zone`."""
        zone = ZoneInfo(time_zone)
        start, end = (
            datetime.combine(day, time(), zone).astimezone(UTC) for day in (self.start, self.end)
        )
        return start, end

    def require_over(self, now: datetime, time_zone: str) -> None:
        """Raises PeriodNotOver while the period still receives usage at the instant `now`."""
        if now < self.bounds(time_zone)[1]:
            raise PeriodNotOver(str(self), self.last_day, time_zone)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


@dataclass(frozen=True)
class BusinessCalendar:
    """Turns business dates into the instants at which their steps fire.

    Real time (`day_seconds` None): a step due on a date fires at 09:00 in `time_zone`.
    Demonstrations: a day lasts `day_seconds` seconds, counted from the event that started the
    steps. Which of the two is data in the workflow's input, so the same code runs in both.
    """

    time_zone: str = "UTC"
    day_seconds: int | None = None

    def fires_at(self, due: date, *, counted_from: date, started_at: datetime) -> datetime:
        """The instant of the step that is due on `due`.

        `counted_from` and `started_at` are the business date and the instant of the event that
        started the steps; only the demonstration's short days need them.
        """
        if self.day_seconds is not None:
            return started_at + (due - counted_from).days * timedelta(seconds=self.day_seconds)
        return datetime.combine(due, time(9), ZoneInfo(self.time_zone)).astimezone(UTC)

    def business_date(self, now: datetime, *, counted_from: date, started_at: datetime) -> date:
        """The business date at the instant `now`; the inverse of `fires_at`."""
        if self.day_seconds is not None:
            days = int((now - started_at) / timedelta(seconds=self.day_seconds))
            return counted_from + timedelta(days=days)
        return self.real_date(now)

    def real_date(self, now: datetime) -> date:
        """The seller's date at the instant `now`, which in a demonstration is no business date."""
        return now.astimezone(ZoneInfo(self.time_zone)).date()
