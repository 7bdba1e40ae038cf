"""A plan thrown away by the cycle's workflow, which ends so that the month can be started anew."""

import asyncio
from dataclasses import replace
from datetime import date

import pytest
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
)
from temporalio.testing import WorkflowEnvironment

from tests.workflows.conftest import ISSUED_ON, TASK_QUEUE, BillingOffice, accounts, staffed
from workflows.billing_cycle import DISCARDED, BillingCycle
from workflows.contracts.cycle import ClosedCycle, CycleOrder, DiscardedPlan, DiscardOrder
from workflows.ids import billing_cycle_id
from workflows.starting import discard_plan, start_cycle

PERIOD = "2026-02"
TO_BE_READ = CycleOrder(PERIOD, ISSUED_ON, pause_before_issue=True)
AT_ONCE = CycleOrder(PERIOD, ISSUED_ON)
Handle = WorkflowHandle[BillingCycle, ClosedCycle]
DISCARD = DiscardOrder(PERIOD, cycle_id=1, actor="Greta Finance")


async def begin(client: Client, order: CycleOrder) -> Handle:
    await start_cycle(client, order, task_queue=TASK_QUEUE)
    return client.get_workflow_handle_for(BillingCycle.run, billing_cycle_id(PERIOD))


async def waiting(client: Client) -> Handle:
    """A cycle whose plan waits to be read."""
    handle = await begin(client, TO_BE_READ)
    while not (await handle.query(BillingCycle.progress)).paused:
        pass
    return handle


async def end_of(handle: Handle) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert isinstance(failure.value.cause, ApplicationError)
    return failure.value.cause


async def test_a_discarded_plan_ends_the_workflow_and_the_month_starts_anew(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(3))
    async with staffed(skipping.client, office):
        handle = await waiting(skipping.client)
        assert await handle.execute_update(BillingCycle.discard, DISCARD) == DiscardedPlan(3)
        assert (await handle.describe()).status is WorkflowExecutionStatus.FAILED
        end = await end_of(handle)
        assert (end.type, end.message) == (
            DISCARDED,
            "The plan of 2026-02 was discarded; start the month again.",
        )
        assert office.posted == []
        again = await begin(skipping.client, replace(AT_ONCE, issued_on=date(2026, 3, 9)))
        assert (await again.result()).issued == 3
    assert office.steps == ["open", "planned", "discarded", "open", "planned", "issuing", "closed"]


async def test_a_plan_is_discarded_between_two_of_its_pages(skipping: WorkflowEnvironment) -> None:
    office = BillingOffice(accounts(9))
    office.page_may_end.clear()
    async with staffed(skipping.client, office):
        handle = await begin(skipping.client, replace(AT_ONCE, customers_per_page=3))
        await office.page_is_begun.wait()
        asked = await handle.start_update(
            BillingCycle.discard, DISCARD, wait_for_stage=WorkflowUpdateStage.ACCEPTED
        )
        office.page_may_end.set()
        assert await asked.result() == DiscardedPlan(3)
        assert (await end_of(handle)).type == DISCARDED
    assert office.pages_planned == [""]
    assert office.steps == ["open", "discarded"]


async def test_once_the_issue_has_begun_a_discard_is_refused_and_the_cycle_goes_on(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(2), together=2)
    async with staffed(skipping.client, office):
        handle = await begin(skipping.client, replace(AT_ONCE, customers_in_flight=1))
        while not (await handle.query(BillingCycle.progress)).in_flight:
            pass
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(BillingCycle.discard, DISCARD)
        await office.render_one_by_one()
        assert (await handle.result()).issued == 2
    assert isinstance(refused.value.cause, ActivityError)
    assert isinstance(refused.value.cause.cause, ApplicationError)
    assert refused.value.cause.cause.message == "the issue has begun"


async def test_a_cycle_that_broke_down_is_taken_up_to_be_discarded(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(3))
    async with staffed(skipping.client, office):
        handle = await waiting(skipping.client)
        await handle.terminate("an operator's mistake")
        plan = await discard_plan(
            skipping.client,
            replace(TO_BE_READ, opens=False),
            DISCARD,
            task_queue=TASK_QUEUE,
        )
        assert plan == DiscardedPlan(3)
        assert (await end_of(handle)).type == DISCARDED
    assert office.posted == []


async def test_who_starts_the_month_while_it_is_discarded_gets_the_new_plan(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(2))
    async with staffed(skipping.client, office):
        handle = await waiting(skipping.client)
        office.discard_may_end.clear()
        asked = asyncio.create_task(handle.execute_update(BillingCycle.discard, DISCARD))
        await office.discard_is_done.wait()
        # deleted, and not known to the workflow yet
        await begin(skipping.client, replace(AT_ONCE, hold_reminders=True))
        office.discard_may_end.set()
        await asked
        assert (await handle.result()).issued == 2
    assert office.steps == ["open", "planned", "discarded", "open", "planned", "issuing", "closed"]
    assert office.collection.invoices["INV-2026-02-0001"].on_hold


async def test_a_start_before_the_discard_does_not_come_back_behind_it(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(2))
    async with staffed(skipping.client, office):
        handle = await waiting(skipping.client)
        await begin(skipping.client, TO_BE_READ)
        await handle.execute_update(BillingCycle.discard, DISCARD)
        assert (await end_of(handle)).type == DISCARDED


async def test_two_discards_at_once_are_both_answered(skipping: WorkflowEnvironment) -> None:
    office = BillingOffice(accounts(2))
    async with staffed(skipping.client, office):
        handle = await waiting(skipping.client)
        office.discard_may_end.clear()
        asked = [
            await handle.start_update(
                BillingCycle.discard, DISCARD, wait_for_stage=WorkflowUpdateStage.ACCEPTED
            )
            for _ in range(2)
        ]
        office.discard_may_end.set()
        for update in asked:
            await update.result()
        assert (await end_of(handle)).type == DISCARDED


async def test_a_plan_that_breaks_down_lets_the_discard_that_waits_have_its_turn(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(2), plan_is_broken=True)
    office.page_may_end.clear()
    async with staffed(skipping.client, office):
        handle = await begin(skipping.client, AT_ONCE)
        await office.page_is_begun.wait()
        asked = await handle.start_update(
            BillingCycle.discard, DISCARD, wait_for_stage=WorkflowUpdateStage.ACCEPTED
        )
        office.page_may_end.set()
        assert await asked.result() == DiscardedPlan(0)
        assert (await end_of(handle)).type == DISCARDED
