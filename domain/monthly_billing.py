"""Months that are billed by themselves: which, in which order, and from which day on."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from domain.errors import NoFirstMonth
from domain.periods import BillingPeriod


@dataclass(frozen=True)
class MonthlyRule:
    """When nobody has to press the button.

    Attributes:
        day: 1 to 28, of the month behind the billed one; a month is due from this day on.
        at: time of day, seller's zone, at which it is looked each day for what is due.
        starts: no earlier month is billed by itself; None: whatever lies behind the last cycle.
    """

    day: int = 1
    at: time = time(6)
    starts: BillingPeriod | None = None

    def due_on(self, period: BillingPeriod) -> date:
        """The first day on which `period` is billed by itself; the month is over by then."""
        return period.end.replace(day=self.day)

    def next_period(self, last: BillingPeriod | None) -> BillingPeriod:
        """The month to bill behind `last`, the latest one that has a cycle; None: there is none.

        Raises NoFirstMonth where neither tells: how far back a seller wants to bill is not guessed.
        """
        candidates = [last.next()] if last else []
        if self.starts:
            candidates.append(self.starts)
        if not candidates:
            raise NoFirstMonth
        return max(candidates)

    def missed(self, last: BillingPeriod | None, today: date) -> tuple[BillingPeriod, ...]:
        """The months behind `last` that are due on `today`, the oldest first.

        `today`: a date in the seller's zone. Raises NoFirstMonth.
        """
        due = []
        period = self.next_period(last)
        while self.due_on(period) <= today:
            due.append(period)
            period = period.next()
        return tuple(due)

    def next_look(self, period: BillingPeriod, now: datetime, time_zone: str) -> datetime:
        """The first instant from `now` on at which `period` is looked for and due; UTC."""
        zone = ZoneInfo(time_zone)
        day = max(self.due_on(period), now.astimezone(zone).date())
        look = datetime.combine(day, self.at, zone)
        if look < now:
            look = datetime.combine(day + timedelta(days=1), self.at, zone)
        return look.astimezone(UTC)
