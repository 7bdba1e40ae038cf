"""Recurring revenue is worked out in advance, as a process."""

from datetime import date

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.testing import WorkflowEnvironment

from tests.workflows.conftest import TASK_QUEUE, staffed
from tests.workflows.revenue_office import RevenueOffice
from workflows.contracts.recurring_revenue import RecurringRevenueOrder
from workflows.recurring_revenue import RecurringRevenue

DAYS = [date(2026, 2, 14), date(2026, 2, 21), date(2026, 2, 28)]


async def run(client: Client, revenue: RevenueOffice) -> int:
    """One run of the schedule; how many days were worked out."""
    async with staffed(client, revenue=revenue):
        worked_out: int = await client.execute_workflow(
            RecurringRevenue.run,
            RecurringRevenueOrder(),
            id="recurring-revenue",
            task_queue=TASK_QUEUE,
        )
    return worked_out


async def test_the_days_that_are_missing_are_worked_out_one_after_another(
    skipping: WorkflowEnvironment,
) -> None:
    revenue = RevenueOffice(list(DAYS))
    assert await run(skipping.client, revenue) == 3
    assert revenue.worked_out == DAYS


async def test_nothing_is_worked_out_where_all_is_there(skipping: WorkflowEnvironment) -> None:
    revenue = RevenueOffice()
    assert await run(skipping.client, revenue) == 0
    assert revenue.worked_out == []


async def test_a_run_ends_however_much_comes_in_meanwhile(skipping: WorkflowEnvironment) -> None:
    revenue = RevenueOffice(DAYS[-1:], comes_in=True)
    assert await run(skipping.client, revenue) == 1
    assert revenue.missing == revenue.worked_out == DAYS[-1:]


async def test_an_import_is_waited_out(skipping: WorkflowEnvironment) -> None:
    revenue = RevenueOffice(list(DAYS), importing=20)
    assert await run(skipping.client, revenue) == 3
    assert revenue.worked_out == DAYS


async def test_a_defect_ends_the_run_and_keeps_what_was_worked_out(
    skipping: WorkflowEnvironment,
) -> None:
    revenue = RevenueOffice(list(DAYS), defects={DAYS[1]})
    with pytest.raises(WorkflowFailureError):
        await run(skipping.client, revenue)
    assert revenue.missing == DAYS[1:]
    revenue.defects.clear()  # mended, until the schedule's next run
    assert await run(skipping.client, revenue) == 2
    assert revenue.worked_out == DAYS
