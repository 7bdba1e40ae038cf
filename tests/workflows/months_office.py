"""Several months' cycles in memory, and which of them is due."""

from dataclasses import dataclass, field
from datetime import date

from temporalio import activity

from domain.periods import BillingPeriod
from tests.workflows.conftest import BillingOffice
from workflows.contracts.cycle import (
    ClosedCycle,
    CycleOrder,
    CycleStep,
    DiscardedPlan,
    DiscardOrder,
)
from workflows.contracts.monthly_billing import DueMonth, DueMonthOrder


@dataclass
class MonthsOffice(BillingOffice):
    """`last`: the latest month whose cycle is closed. `begun`: the cycle that is not closed.

    `opened`: each cycle once, with the date of its invoices.
    """

    last: BillingPeriod | None = None
    begun: CycleOrder | None = None
    discarded: bool = False
    opened: list[tuple[str, date]] = field(default_factory=list)

    @activity.defn
    async def find_due_month(self, order: DueMonthOrder) -> DueMonth:
        if self.discarded:
            return DueMonth(waits="discarded")
        if self.begun is not None:
            return DueMonth(self.begun)
        missed = order.order.rule.missed(self.last, order.today)
        if not missed:
            return DueMonth()
        return DueMonth(
            CycleOrder(
                str(missed[0]), order.today, pause_before_issue=order.order.pause_before_issue
            )
        )

    @activity.defn
    async def open_cycle(self, order: CycleOrder) -> None:
        if self.begun is None:
            self.outcome.clear()
            self.opened.append((order.period, order.issued_on))
        self.begun = order
        await super().open_cycle(order)

    @activity.defn
    async def discard_plan(self, order: DiscardOrder) -> DiscardedPlan:
        self.begun, self.discarded = None, True
        return await super().discard_plan(order)

    @activity.defn
    async def close_cycle(self, step: CycleStep) -> ClosedCycle:
        self.begun, self.last = None, BillingPeriod.parse(step.period)
        return await super().close_cycle(step)

    @property
    def months(self) -> list[str]:
        return [period for period, _ in self.opened]

    def activities(self) -> list:  # type: ignore[type-arg]
        return [*super().activities(), self.find_due_month]
