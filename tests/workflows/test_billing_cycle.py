"""The cycle's process: plan, fan-out, pages, pause, failure and retry."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.testing import WorkflowEnvironment

from domain.emails import EmailKind
from tests.workflows.conftest import (
    ISSUED_ON,
    TASK_QUEUE,
    BillingOffice,
    accounts,
    names,
    staffed,
)
from workflows.billing_cycle import BillingCycle
from workflows.contracts.cycle import ClosedCycle, CycleOrder
from workflows.ids import billing_cycle_id, customer_billing_id, invoice_id
from workflows.starting import retry_cycle, start_cycle

PERIOD = "2026-02"


def order(**changes: object) -> CycleOrder:
    return replace(CycleOrder(PERIOD, ISSUED_ON), **changes)  # type: ignore[arg-type]


async def begin(client: Client, what: CycleOrder) -> "WorkflowHandle[BillingCycle, ClosedCycle]":
    await start_cycle(client, what, task_queue=TASK_QUEUE)
    return client.get_workflow_handle_for(BillingCycle.run, billing_cycle_id(PERIOD))


async def planned(client: Client) -> "WorkflowHandle[BillingCycle, ClosedCycle]":
    """The cycle, once its plan waits to be read."""
    handle = await begin(client, order(pause_before_issue=True))
    while not (await handle.query(BillingCycle.progress)).paused:
        pass
    return handle


async def test_bills_every_customer_once(skipping: WorkflowEnvironment) -> None:
    office = BillingOffice(accounts(25))
    async with staffed(skipping.client, office):
        closed = await (await begin(skipping.client, order())).result()
    assert closed == ClosedCycle(PERIOD, issued=25, skipped=0, failed=0)
    assert sorted(office.posted) == [office.number_of(account) for account in office.accounts]


async def test_bills_at_most_ten_customers_at_once(skipping: WorkflowEnvironment) -> None:
    # every rendering waits until ten run together, so fewer would hang and more would count
    office = BillingOffice(accounts(37), together=10)
    async with staffed(skipping.client, office):
        await (await begin(skipping.client, order())).result()
    assert office.most_rendering == 10


async def test_the_number_in_flight_is_a_setting(skipping: WorkflowEnvironment) -> None:
    office = BillingOffice(accounts(9), together=3)
    async with staffed(skipping.client, office):
        await (await begin(skipping.client, order(customers_in_flight=3))).result()
    assert office.most_rendering == 3


async def test_pages_of_customers_continue_as_new(skipping: WorkflowEnvironment) -> None:
    office = BillingOffice(accounts(10))
    async with staffed(skipping.client, office):
        handle = await begin(skipping.client, order(customers_per_page=3, pages_per_run=1))
        closed = await handle.result()
        first_run = handle.first_execution_run_id
        last_run = (await handle.describe()).run_id
    assert office.pages_planned == ["", "1003", "1006", "1009", "1010"]
    assert closed.issued == 10
    assert len(office.posted) == 10
    assert last_run != first_run


async def test_the_plan_waits_to_be_read_before_anything_is_issued(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(3))
    async with staffed(skipping.client, office):
        handle = await planned(skipping.client)
        progress = await handle.query(BillingCycle.progress)
        assert (progress.phase, progress.counts.drafted) == ("issue", 3)
        assert office.posted == []
        await handle.signal(BillingCycle.resume)
        assert (await handle.result()).issued == 3


async def test_a_plan_that_waited_is_told_the_day_on_which_its_issue_begins(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(1))
    async with staffed(skipping.client, office):
        handle = await planned(skipping.client)
        await skipping.sleep(timedelta(days=40))
        today = order().calendar.real_date(await skipping.get_current_time())
        await handle.signal(BillingCycle.resume)
        await handle.result()
    assert office.issue_began_on is not None
    assert office.issue_began_on >= today


async def test_a_customer_who_cannot_be_billed_fails_and_the_others_go_on(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(5), broken={"1002"}, unratable={"1004"})
    async with staffed(skipping.client, office):
        closed = await (await begin(skipping.client, order())).result()
        child = skipping.client.get_workflow_handle(customer_billing_id(PERIOD, "1002"))
        outcome = await child.result()
    assert (closed.issued, closed.failed) == (3, 2)
    assert outcome["reason"] == "the logo is no SVG"
    assert office.outcome["1002"] == office.outcome["1004"] == "failed"


async def test_retry_bills_what_failed_once_mended(skipping: WorkflowEnvironment) -> None:
    office = BillingOffice(accounts(5), broken={"1002"}, unratable={"1004"})
    async with staffed(skipping.client, office):
        await (await begin(skipping.client, order())).result()
        office.broken, office.unratable = set(), set()
        await retry_cycle(skipping.client, order(), task_queue=TASK_QUEUE)
        handle = skipping.client.get_workflow_handle_for(BillingCycle.run, billing_cycle_id(PERIOD))
        closed = await handle.result()
    assert (closed.issued, closed.failed) == (5, 0)
    assert sorted(office.posted) == [office.number_of(account) for account in office.accounts]


async def test_a_retry_asked_for_while_running_follows_the_present_pass(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(3), unratable={"1002"})
    async with staffed(skipping.client, office):
        handle = await planned(skipping.client)
        office.unratable = set()
        await retry_cycle(skipping.client, order(), task_queue=TASK_QUEUE)
        await handle.signal(BillingCycle.resume)
        closed = await handle.result()
    assert (closed.issued, closed.failed) == (3, 0)


async def test_a_second_start_finds_the_first(skipping: WorkflowEnvironment) -> None:
    office = BillingOffice(accounts(4))
    async with staffed(skipping.client, office):
        first = await begin(skipping.client, order())
        await first.result()
        again = await begin(skipping.client, order(issued_on=date(2026, 3, 9)))
        assert (await again.describe()).run_id == (await first.describe()).run_id
    assert len(office.posted) == 4


async def test_each_invoice_outlives_the_cycle_in_its_own_workflow(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(2))
    async with staffed(skipping.client, office):
        await (await begin(skipping.client, order())).result()
        invoice = skipping.client.get_workflow_handle(invoice_id("INV-2026-02-0001"))
        description = await invoice.describe()
        assert description.status is not None
        assert description.status.name == "RUNNING"
        assert description.typed_search_attributes.search_attributes
    told = [mail for mail in office.collection.mails if mail.kind is EmailKind.INVOICE]
    assert sorted(names(told)) == ["INV-2026-02-0001", "INV-2026-02-0002"]


async def test_an_invoice_left_by_a_terminated_cycle_is_not_billed_twice(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(3))
    async with staffed(skipping.client, office):
        handle = await planned(skipping.client)
        await handle.terminate("an operator's mistake")
        again = await skipping.client.start_workflow(
            BillingCycle.run,
            order(),
            id=billing_cycle_id(PERIOD),
            task_queue=TASK_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )
        assert (await again.result()).issued == 3
    assert len(office.posted) == 3


async def test_what_fails_behind_the_posting_is_issued_and_owned(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(3), fails_behind_posting={"1002"})
    async with staffed(skipping.client, office):
        closed = await (await begin(skipping.client, order())).result()
        invoice = skipping.client.get_workflow_handle(invoice_id("INV-2026-02-0002"))
        assert (await invoice.describe()).id == invoice.id
    assert (closed.issued, closed.failed) == (3, 0)


async def test_a_failure_that_cannot_be_recorded_is_counted_when_the_cycle_closes(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(3), broken={"1002"}, record_is_broken=True)
    async with staffed(skipping.client, office):
        closed = await (await begin(skipping.client, order())).result()
        assert (closed.issued, closed.failed, closed.drafted) == (2, 0, 1)
        office.broken, office.record_is_broken = set(), False
        await retry_cycle(skipping.client, order(), task_queue=TASK_QUEUE)
        handle = skipping.client.get_workflow_handle_for(BillingCycle.run, billing_cycle_id(PERIOD))
        assert (await handle.result()).issued == 3


async def test_a_retry_of_a_closed_cycle_is_one_pass(skipping: WorkflowEnvironment) -> None:
    office = BillingOffice(accounts(2), unratable={"1002"})
    async with staffed(skipping.client, office):
        await (await begin(skipping.client, order())).result()
        office.unratable, office.steps = set(), []
        await retry_cycle(skipping.client, order(), task_queue=TASK_QUEUE)
        handle = skipping.client.get_workflow_handle_for(BillingCycle.run, billing_cycle_id(PERIOD))
        assert (await handle.result()).issued == 2
    assert office.steps == ["open", "planned", "issuing", "closed"]


async def test_a_cycle_that_broke_down_is_started_again_once_mended(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(2), plan_is_broken=True)
    async with staffed(skipping.client, office):
        with pytest.raises(WorkflowFailureError):
            await (await begin(skipping.client, order())).result()
        office.plan_is_broken = False
        assert (await (await begin(skipping.client, order())).result()).issued == 2
