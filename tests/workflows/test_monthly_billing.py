"""Months billed by themselves, as a process: in order, each once, whatever stands in the way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, time, timedelta

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from domain.monthly_billing import MonthlyRule
from domain.periods import BillingPeriod
from tests.workflows.conftest import TASK_QUEUE, accounts, staffed
from tests.workflows.months_office import MonthsOffice
from workflows.billing_cycle import BillingCycle
from workflows.contracts.cycle import ClosedCycle, CycleOrder, DiscardOrder
from workflows.contracts.monthly_billing import BilledMonths, MonthlyBillingOrder
from workflows.ids import billing_cycle_id
from workflows.monthly_billing import MonthlyBilling
from workflows.starting import discard_plan, start_cycle

Cycle = WorkflowHandle[BillingCycle, ClosedCycle]
Run = WorkflowHandle[MonthlyBilling, BilledMonths]


@asynccontextmanager
async def working(environment: WorkflowEnvironment, office: MonthsOffice) -> AsyncIterator[None]:
    """Days pass where a test says so: a plan may wait for longer than a server that skips would."""
    with environment.auto_time_skipping_disabled():
        async with staffed(environment.client, office):
            yield


async def mid_month(environment: WorkflowEnvironment) -> datetime:
    """Noon of the 15th of the server's next month, from which no month is near its end."""
    now = await environment.get_current_time()
    noon = datetime.combine(BillingPeriod.of(now.date()).end.replace(day=15), time(12), UTC)
    await environment.sleep(noon - now)
    return await environment.get_current_time()


def back(now: datetime, months: int) -> BillingPeriod:
    period = BillingPeriod.of(now.date())
    for _ in range(months):
        period = period.previous()
    return period


def names(first: BillingPeriod, count: int) -> list[str]:
    found = [first]
    while len(found) < count:
        found.append(found[-1].next())
    return [str(period) for period in found]


async def look(client: Client, first: BillingPeriod, *, pause: bool = False) -> Run:
    """One run of the schedule."""
    order = MonthlyBillingOrder(MonthlyRule(starts=first), pause_before_issue=pause)
    return await client.start_workflow(
        MonthlyBilling.run, order, id="monthly-billing", task_queue=TASK_QUEUE
    )


async def paused(client: Client, month: str) -> Cycle:
    """The month's cycle, once there is one and its plan waits to be read."""
    handle = client.get_workflow_handle_for(BillingCycle.run, billing_cycle_id(month))
    while True:
        with suppress(RPCError, WorkflowQueryFailedError):
            if (await handle.query(BillingCycle.progress)).paused:
                return handle


async def test_missed_months_are_billed_one_after_another_and_dated_today(
    skipping: WorkflowEnvironment,
) -> None:
    now, office = await mid_month(skipping), MonthsOffice([])
    async with working(skipping, office):
        billed = await (await look(skipping.client, back(now, 3))).result()
        again = await (await look(skipping.client, back(now, 3))).result()
    months = names(back(now, 3), 3)
    assert [cycle.period for cycle in billed.closed] == months
    assert office.opened == [(month, now.date()) for month in months]
    assert office.steps == ["open", "planned", "issuing", "closed"] * 3
    assert again == BilledMonths()


async def test_a_customer_who_fails_does_not_keep_the_next_month_waiting(
    skipping: WorkflowEnvironment,
) -> None:
    now, office = await mid_month(skipping), MonthsOffice(accounts(1), unratable={"1001"})
    async with working(skipping, office):
        billed = await (await look(skipping.client, back(now, 2))).result()
    assert [cycle.failed for cycle in billed.closed] == [1, 1]


async def test_the_next_month_begins_once_the_plan_before_it_was_read_and_is_dated_then(
    skipping: WorkflowEnvironment,
) -> None:
    now, office = await mid_month(skipping), MonthsOffice([])
    first, second = names(back(now, 2), 2)
    async with working(skipping, office):
        run = await look(skipping.client, back(now, 2), pause=True)
        plan = await paused(skipping.client, first)
        await skipping.sleep(timedelta(days=3))
        assert office.months == [first]
        await plan.signal(BillingCycle.resume)
        plan = await paused(skipping.client, second)
        await plan.signal(BillingCycle.resume)
        billed = await run.result()
    assert [cycle.period for cycle in billed.closed] == [first, second]
    assert office.opened == [
        (first, now.date()),
        (second, now.date() + timedelta(days=3)),
    ]


async def test_a_cycle_that_somebody_started_is_left_alone_and_waited_for(
    skipping: WorkflowEnvironment,
) -> None:
    now, office = await mid_month(skipping), MonthsOffice([])
    first, second = names(back(now, 2), 2)
    by_hand = CycleOrder(first, now.date(), pause_before_issue=True)
    async with working(skipping, office):
        await start_cycle(skipping.client, by_hand, task_queue=TASK_QUEUE)
        plan = await paused(skipping.client, first)
        waiting = await (await look(skipping.client, back(now, 2))).result()
        assert office.months == [first]
        await plan.signal(BillingCycle.resume)
        await plan.result()
        billed = await (await look(skipping.client, back(now, 2))).result()
    assert waiting == BilledMonths((), f"The cycle of {first} is under way.")
    assert [cycle.period for cycle in billed.closed] == [second]


async def test_a_cycle_that_broke_down_fails_the_run_and_is_taken_up_by_the_next(
    skipping: WorkflowEnvironment,
) -> None:
    now, office = await mid_month(skipping), MonthsOffice([], plan_is_broken=True)
    async with working(skipping, office):
        with pytest.raises(WorkflowFailureError):
            await (await look(skipping.client, back(now, 2))).result()
        assert office.months == names(back(now, 2), 1)
        office.plan_is_broken = False
        billed = await (await look(skipping.client, back(now, 2))).result()
    assert [cycle.period for cycle in billed.closed] == names(back(now, 2), 2)
    assert office.months == names(back(now, 2), 2)


async def test_a_plan_that_is_discarded_keeps_the_months_behind_it_waiting(
    skipping: WorkflowEnvironment,
) -> None:
    now, office = await mid_month(skipping), MonthsOffice([])
    first, _ = names(back(now, 2), 2)
    async with working(skipping, office):
        run = await look(skipping.client, back(now, 2), pause=True)
        await paused(skipping.client, first)
        await discard_plan(
            skipping.client,
            CycleOrder(first, now.date()),
            DiscardOrder(first, cycle_id=1, actor="Greta Finance"),
            task_queue=TASK_QUEUE,
        )
        stopped = await run.result()
    assert stopped.closed == ()
    assert "was discarded; start the month again" in stopped.waits
    assert office.months == [first]


async def test_who_stops_the_run_stops_no_cycle(skipping: WorkflowEnvironment) -> None:
    now, office = await mid_month(skipping), MonthsOffice([])
    first, _ = names(back(now, 2), 2)
    async with working(skipping, office):
        run = await look(skipping.client, back(now, 2), pause=True)
        plan = await paused(skipping.client, first)
        await run.cancel()
        with pytest.raises(WorkflowFailureError):
            await run.result()
        await plan.signal(BillingCycle.resume)
        await plan.result()
    assert office.months == [first]
    assert office.steps[-1] == "closed"
