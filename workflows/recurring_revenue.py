"""Recurring revenue is worked out in advance: the first reader of a day does not wait for it."""

from temporalio import workflow

from workflows import ids, policies
from workflows.contracts import recurring_revenue as contract
from workflows.contracts.recurring_revenue import DayOrder, RecurringRevenueOrder


@workflow.defn
class RecurringRevenue:
    """One look at the days that the present report needs; run by a schedule, every few minutes."""

    @workflow.run
    async def run(self, order: RecurringRevenueOrder) -> int:
        """How many days were worked out, each once: what comes in meanwhile is the next run's."""
        missing = await workflow.execute_local_activity(
            contract.find_missing_days,
            order,
            summary="Find the days that are missing",
            **policies.RECORD,
        )
        for day in missing.days:
            await workflow.execute_activity(
                contract.work_out_day,
                DayOrder(day),
                task_queue=ids.report_queue(workflow.info().task_queue),
                summary=f"Work out {day}",
                **policies.RATE_DAY,
            )
        return len(missing.days)
