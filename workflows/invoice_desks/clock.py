"""The business day as one invoice's workflow sees it."""

from datetime import date, datetime, timedelta

from temporalio import workflow

from domain.periods import BusinessCalendar
from workflows.contracts.lifecycle import InvoiceOrder


class BusinessClock:
    """Business dates from workflow time.

    `counted_from` is the business date at the instant `started_at`; without an instant the clock
    stands still on that date until it is started, as demonstrations want it.
    """

    def __init__(
        self, calendar: BusinessCalendar, *, counted_from: date, started_at: datetime | None
    ) -> None:
        self._calendar = calendar
        self.counted_from = counted_from
        self.started_at = started_at

    @classmethod
    def of(cls, order: InvoiceOrder) -> "BusinessClock":
        """The clock of a workflow that begins now, or goes on where another run left it."""
        position = order.position
        if position is not None:
            return cls(
                order.calendar,
                counted_from=position.counted_from,
                started_at=position.clock_started,
            )
        return cls(
            order.calendar,
            counted_from=order.resumed_on or order.issued_on,
            started_at=None if order.clock_held else workflow.now(),
        )

    @property
    def stands_still(self) -> bool:
        return self.started_at is None

    def start(self, at: datetime) -> None:
        """Days pass from `at` on. A clock that runs already is left alone."""
        if self.started_at is None:
            self.started_at = at

    def today(self) -> date:
        if self.started_at is None:
            return self.counted_from
        return self._calendar.business_date(
            workflow.now(), counted_from=self.counted_from, started_at=self.started_at
        )

    def time_until(self, day: date) -> timedelta:
        """Until the steps of `day` fire; zero if they should have fired, or the clock stands."""
        if self.started_at is None:
            return timedelta(0)
        fires_at = self._calendar.fires_at(
            day, counted_from=self.counted_from, started_at=self.started_at
        )
        return max(fires_at - workflow.now(), timedelta(0))
