"""The workflow of one invoice as a process: pages, defects, long lives, ends."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import CancelledError
from temporalio.testing import WorkflowEnvironment

from domain.declines import DeclineClass
from domain.dunning import CollectionState
from tests.workflows.conftest import TASK_QUEUE, staffed
from tests.workflows.story import NUMBER, Story
from workflows.collection_sweep import CollectionSweep
from workflows.contracts.collection import SweepOrder
from workflows.contracts.lifecycle import PageRequest, PaymentReceived
from workflows.ids import COLLECTION_STATE, CUSTOMER_ACCOUNT
from workflows.invoice_desks.beside import Beside
from workflows.invoice_lifecycle import InvoiceLifecycle
from workflows.starting import ask_invoice

GOOD, BAD = "card-good", "card-bad"
PAGE = PageRequest("https://billing.example/back", "https://billing.example/away")
NUDGE = PaymentReceived("sweep")


@pytest.fixture
async def story(skipping: WorkflowEnvironment) -> Story:
    story = await Story.begin(skipping)
    story.office.bank = {GOOD: None, BAD: DeclineClass.DECLINED}
    return story


async def open_page(story: Story, update: str = "open_checkout") -> str:
    return await ask_invoice(
        story.environment.client,
        story.office.resumption(NUMBER),
        update,
        PAGE,
        task_queue=TASK_QUEUE,
    )


# --- pages of the card processor


async def test_a_payer_gets_a_page_that_is_closed_once_the_invoice_is_settled(
    story: Story,
) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue()
        assert await open_page(story) == f"https://pay.example/{NUMBER}"
        assert story.invoice.pages_open
        await story.pay()
        assert await story.end() == "paid"
    assert not story.invoice.pages_open


async def test_no_page_is_opened_while_the_card_is_being_charged(story: Story) -> None:
    story.office.bank_is_slow()
    async with staffed(story.environment.client, collection=story.office):
        story.keep(GOOD)
        await story.start()
        await story.office.heard(lambda: "charge_begun" in story.office.done)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await open_page(story)
        assert "being charged at this moment" in str(refused.value.cause)
        story.office.bank_answers()
        assert await story.end() == "paid"
    assert "open_checkout" not in story.office.done


async def test_a_customer_leaves_a_card_also_where_the_invoice_is_paid(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(GOOD)
        assert await story.end() == "paid"
        assert await open_page(story, "open_card_setup") == f"https://card.example/{NUMBER}"
        assert await story.end() == "paid"


# --- defects


async def test_a_defect_is_told_to_an_engineer_and_tried_again_each_hour(story: Story) -> None:
    story.office.broken = {"take_in"}
    async with staffed(story.environment.client, collection=story.office):
        await story.issue()
        await story.pay()
        await story.pass_time(timedelta(minutes=59))
        details = await story.details()
        assert "**Needs an engineer**: it has something to book, and" in details
        assert "a defect" in details
        story.office.broken = set()
        await story.pass_time(timedelta(minutes=2))
        assert await story.end() == "paid"
    assert story.office.done.count("take_in") == 1


async def test_a_payment_goes_before_a_step_that_waited_for_a_defect(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(due=1)
        await story.until(2)
        story.office.broken = {"take_in"}
        await story.pay("10.00")
        await story.until(5)  # the reminder of day 4 waits behind the defect
        await story.pay("90.00")
        story.office.broken = set()
        await story.pass_time(timedelta(hours=1))
        assert await story.end() == "paid"
    assert story.mails == [(0, "invoice"), (5, "receipt")]


async def test_what_breaks_beside_the_loop_is_raised_in_it() -> None:
    async def breaks() -> None:
        raise KeyError("a defect of ours")

    beside = Beside()
    beside.start(breaks())
    assert not beside.is_idle
    while not beside.is_idle:
        await asyncio.sleep(0)
    assert beside.ended == 1
    with pytest.raises(RuntimeError) as raised:
        beside.raise_what_broke()
    assert isinstance(raised.value.__cause__, KeyError)


# --- a long life


async def test_a_history_stays_short_however_often_the_sweep_looks_after_the_invoice(
    story: Story,
) -> None:
    story.office.mail_is_down = True
    async with staffed(story.environment.client, collection=story.office):
        story.keep(due=1)
        first = await story.start(events_per_run=60)
        for _ in range(40):
            await story.tell("payment_received", NUDGE)
            await story.pass_time(timedelta(minutes=2))
        description = await story.handle.describe()
        assert description.run_id != first.first_execution_run_id
        assert description.history_length < 90
        assert description.typed_search_attributes[CUSTOMER_ACCOUNT] == "1001"
        assert description.typed_search_attributes[COLLECTION_STATE] == "issued"
        story.office.mail_is_down = False
        await story.until(16)
    assert story.mails == [
        (0, "invoice"),
        (4, "reminder"),
        (8, "urgent_notice"),
        (15, "review_notice"),
    ]


async def test_a_charge_is_carried_over_from_run_to_run(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        story.keep(BAD)
        first = await story.start(events_per_run=60)
        await story.until(2)
        story.office.gateway_is_down = True
        await story.until(3)  # the retry of day 3 is on its way
        for _ in range(40):
            await story.tell("payment_received", NUDGE)
            await story.pass_time(timedelta(minutes=2))
        assert (await story.handle.describe()).run_id != first.first_execution_run_id
        story.office.gateway_is_down = False
        await story.until(4)
    assert story.charged_on == [0, 3]
    assert story.mails == [(0, "invoice"), (3, "reminder")]


async def test_a_demonstrations_clock_goes_on_from_run_to_run(story: Story) -> None:
    story.calendar = story.office.calendar = replace(story.calendar, day_seconds=60)
    async with staffed(story.environment.client, collection=story.office):
        story.keep()
        first = await story.start(events_per_run=20)
        for _ in range(20):
            await story.tell("payment_received", NUDGE)
            await story.pass_time(timedelta(minutes=1))
        assert (await story.handle.describe()).run_id != first.first_execution_run_id
        await story.pass_time(timedelta(minutes=14))
    assert story.mails == [(0, "invoice"), (33, "reminder")]


# --- ends


async def test_a_cancelled_workflow_ends_and_is_taken_up_by_what_arrives(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue()
        await story.handle.cancel()
        with pytest.raises(WorkflowFailureError) as ended:
            await story.end()
        assert isinstance(ended.value.cause, CancelledError)
        await story.pay()
        assert await story.end() == "paid"


async def test_a_workflow_that_waits_for_an_engineer_can_be_cancelled(story: Story) -> None:
    story.office.broken = {"take_in"}
    async with staffed(story.environment.client, collection=story.office):
        await story.issue()
        await story.pay()
        await story.pass_time(timedelta(minutes=1))
        await story.handle.cancel()
        with pytest.raises(WorkflowFailureError) as ended:
            await story.end()
        assert isinstance(ended.value.cause, CancelledError)


async def test_an_open_invoice_waits_without_doing_anything(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue()
        await story.until(20)
        kinds = [event.event_type async for event in story.handle.fetch_history_events()]
    assert kinds.count(EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED) == 2


# --- the sweep


async def test_the_sweep_wakes_what_runs_and_starts_what_has_ended_or_was_lost(
    story: Story,
) -> None:
    running, ended, lost = (f"INV-2026-02-{place:04d}" for place in (2, 3, 4))
    client = story.environment.client
    async with staffed(client, collection=story.office):
        for number in (running, ended, lost):
            story.keep(number=number)
            await story.start(number)
        await story.pass_time(timedelta(minutes=1))
        await story.pay(number=ended)
        await story.end(ended)
        await story.handle_of(lost).terminate("lost")
        for number in (running, lost):
            invoice = story.office.invoices[number]
            invoice.waiting.append(partial(invoice.receive, invoice.open))
        reopened = story.office.invoices[ended]
        reopened.waiting.append(partial(story.reverse_wire, invoice=reopened))
        swept = await client.execute_workflow(
            CollectionSweep.run,
            SweepOrder(story.calendar),
            id="collection-sweep",
            task_queue=TASK_QUEUE,
        )
        assert swept == 3
        for number in (running, lost):
            assert await story.end(number) == "paid"
        await story.office.heard(lambda: reopened.state is CollectionState.ISSUED)
        case = await story.handle_of(ended).query(InvoiceLifecycle.case)
        assert case is not None


async def test_the_sweep_starts_who_was_never_mailed_and_tells_nothing_to_who_runs(
    story: Story,
) -> None:
    running, lost = "INV-2026-02-0002", "INV-2026-02-0003"
    client = story.environment.client
    async with staffed(client, collection=story.office):
        for number in (running, lost):
            story.keep(number=number)
        await story.start(running)
        await story.pass_time(timedelta(minutes=1))
        before = (await story.handle_of(running).describe()).history_length
        story.office.unmailed = [running, lost]
        await client.execute_workflow(
            CollectionSweep.run,
            SweepOrder(story.calendar),
            id="collection-sweep",
            task_queue=TASK_QUEUE,
        )
        assert (await story.handle_of(running).describe()).history_length == before
        assert (await story.handle_of(lost).describe()).status is WorkflowExecutionStatus.RUNNING


async def test_the_sweep_looks_behind_a_page_that_nothing_helps(story: Story) -> None:
    client = story.environment.client
    numbers = [f"INV-2026-02-{place:04d}" for place in (2, 3, 4)]
    async with staffed(client, collection=story.office):
        for number in numbers:
            story.keep(number=number)
            await story.start(number)
        await story.pass_time(timedelta(minutes=1))
        last = story.office.invoices[numbers[-1]]
        for number in numbers:
            invoice = story.office.invoices[number]
            invoice.waiting.append(partial(invoice.receive, invoice.open))
        swept = await client.execute_workflow(
            CollectionSweep.run,
            SweepOrder(story.calendar, limit=1),
            id="collection-sweep",
            task_queue=TASK_QUEUE,
        )
        assert swept == 3
        assert await story.end(last.number) == "paid"


async def test_nothing_is_swept_where_nothing_waits(story: Story) -> None:
    client = story.environment.client
    async with staffed(client, collection=story.office):
        await story.issue()
        swept = await client.execute_workflow(
            CollectionSweep.run, SweepOrder(), id="collection-sweep", task_queue=TASK_QUEUE
        )
    assert swept == 0
    assert "take_in" not in story.office.done
