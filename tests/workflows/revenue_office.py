"""The activities that work recurring revenue out, in memory."""

from dataclasses import dataclass, field
from datetime import date

from temporalio import activity
from temporalio.exceptions import ApplicationError

from workflows.contracts.recurring_revenue import DayOrder, MissingDays, RecurringRevenueOrder


@dataclass
class RevenueOffice:
    """`missing`: the days that are not there, the oldest first.

    `defects`: days that cannot be worked out. `importing`: attempts that an import keeps out.
    `comes_in`: usage arrives behind each day, so that the last one is missing again.
    `worked_out`: what was done, in order.
    """

    missing: list[date] = field(default_factory=list)
    defects: set[date] = field(default_factory=set)
    importing: int = 0
    comes_in: bool = False
    worked_out: list[date] = field(default_factory=list)

    @activity.defn
    async def find_missing_days(self, order: RecurringRevenueOrder) -> MissingDays:
        return MissingDays(tuple(self.missing))

    @activity.defn
    async def work_out_day(self, order: DayOrder) -> None:
        if order.day in self.defects:
            raise ApplicationError("a defect", type="defect", non_retryable=True)
        if self.importing:
            self.importing -= 1
            raise ApplicationError("an import holds the lock")
        self.worked_out.append(order.day)
        if not self.comes_in:
            self.missing.remove(order.day)
