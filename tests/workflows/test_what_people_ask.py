"""What people ask of an invoice: held, released, resolved, credited, refused."""

from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.declines import DeclineClass
from domain.dunning import CollectionState
from domain.instructions import InstructionKind
from tests.workflows.conftest import TASK_QUEUE, staffed
from tests.workflows.story import NUMBER, Story
from workflows.contracts.collection import ReleaseOrder
from workflows.contracts.lifecycle import Instruction
from workflows.cycle_release import CycleRelease
from workflows.ids import cycle_release_id
from workflows.starting import release_cycle

BAD, NEW = "card-bad", "card-new"


@pytest.fixture
async def story(skipping: WorkflowEnvironment) -> Story:
    story = await Story.begin(skipping)
    story.office.bank = {BAD: DeclineClass.DECLINED, NEW: None}
    return story


async def reach_review(story: Story) -> None:
    """A card that is declined to the end, on day 14."""
    await story.issue(BAD)
    await story.until(14)
    assert story.invoice.state is CollectionState.MANUAL_REVIEW


# --- the five resolutions


@pytest.mark.parametrize(
    ("resolution", "end", "mail"),
    [
        (InstructionKind.PAID_ELSEWHERE, "paid", (20, "receipt")),
        (InstructionKind.WRITE_OFF, "uncollectible", (14, "review_notice")),
        (InstructionKind.VOID_BY_CREDIT_NOTE, "void", (20, "credit_note")),
    ],
)
async def test_a_resolution_ends_the_invoice(
    story: Story, resolution: InstructionKind, end: str, mail: tuple[int, str]
) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await reach_review(story)
        await story.until(20)
        await story.ask(resolution)
        assert await story.end() == end
    assert story.mails[-1] == mail


async def test_charge_again_charges_once_however_often_it_is_told(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await reach_review(story)
        instruction = await story.ask(InstructionKind.CHARGE_AGAIN)
        await story.tell("resolve_manual_review", Instruction(instruction))
        await story.pass_time(timedelta(minutes=1))
        assert story.charged_on == [0, 3, 7, 14]
        assert story.mails[-1] == (14, "invoice")
        assert story.invoice.state is CollectionState.MANUAL_REVIEW
        story.office.bank[BAD] = None
        await story.until(15)
        await story.ask(InstructionKind.CHARGE_AGAIN)
        assert await story.end() == "paid"
    assert story.charged_on == [0, 3, 7, 14, 15]


async def test_an_extension_begins_the_steps_anew_from_its_day(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await reach_review(story)
        await story.ask(InstructionKind.EXTEND, until=story.day(20))
        await story.until(40)
    assert story.charged_on == [0, 3, 7, 23, 27]
    assert story.mails[4:] == [(23, "reminder"), (27, "urgent_notice"), (34, "review_notice")]


async def test_a_resolution_before_its_time_is_refused_and_changes_nothing(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD)
        instruction = await story.ask(InstructionKind.WRITE_OFF)
        await story.until(4)
    assert story.invoice.instructions[instruction].outcome == "refused"
    assert story.mails == [(0, "invoice"), (3, "reminder")]


# --- hold and release


async def test_a_hold_stops_the_steps_which_count_from_the_release(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD)
        await story.until(4)
        await story.ask(InstructionKind.HOLD)
        await story.until(40)
        assert story.charged_on == [0, 3]
        assert (story.day(31), "overdue") in story.invoice.events
        await story.ask(InstructionKind.RELEASE)
        await story.until(60)
    assert story.charged_on == [0, 3, 47]
    assert story.mails == [
        (0, "invoice"),
        (3, "reminder"),
        (47, "urgent_notice"),
        (54, "review_notice"),
    ]


async def test_a_hold_while_the_card_is_being_charged_keeps_the_reminder_back(
    story: Story,
) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD)
        story.office.gateway_is_down = True
        await story.until(3)  # the retry of day 3 is on its way
        await story.ask(InstructionKind.HOLD)
        story.office.gateway_is_down = False
        await story.until(10)
        assert story.charged_on == [0, 3]
        assert story.mails == [(0, "invoice")]
        await story.ask(InstructionKind.RELEASE)
        await story.until(14)
    assert story.mails == [(0, "invoice"), (13, "reminder")]


async def test_a_reminder_that_waits_for_the_mail_server_comes_too_late_once_held(
    story: Story,
) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(due=1)
        story.office.mail_is_down = True
        await story.until(5)
        await story.ask(InstructionKind.HOLD)
        story.office.mail_is_down = False
        await story.until(10)
        assert story.mails == [(0, "invoice")]
        await story.ask(InstructionKind.RELEASE)
        await story.until(14)
    assert story.mails == [(0, "invoice"), (13, "reminder")]


async def test_a_first_charge_and_a_first_email_do_not_wait_for_the_release(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD, on_hold=True)
        await story.until(10)
    assert story.charged_on == [0]
    assert story.mails == [(0, "invoice")]


async def test_the_release_of_a_cycle_tells_every_invoice_page_by_page(story: Story) -> None:
    numbers = [f"INV-2026-02-{place:04d}" for place in range(1, 8)]
    lost = numbers[2]
    client = story.environment.client
    async with staffed(client, collection=story.office):
        for number in numbers:
            story.keep(number=number, due=1, on_hold=True)
            await story.start(number)
        await story.until(5)
        await story.handle_of(lost).terminate("lost")
        await story.until(10)
        order = ReleaseOrder("2026-02", "finance", page_size=2, pages_per_run=2)
        await release_cycle(client, order, task_queue=TASK_QUEUE)
        release = client.get_workflow_handle_for(CycleRelease.run, cycle_release_id("2026-02"))
        await story.until(14)
        assert await release.result() == 7
    reminded = {mail.number for mail in story.office.mails if mail.kind == "reminder"}
    assert reminded == {*numbers} - {lost}
    assert story.office.invoices[lost].case().instructions  # the sweep's


# --- credit notes, voids, resending


async def test_a_credit_note_over_what_is_open_ends_the_invoice_once_it_was_sent(
    story: Story,
) -> None:
    story.office.mail_is_down = True
    async with staffed(story.environment.client, collection=story.office):
        await story.issue()
        await story.ask(InstructionKind.CREDIT_NOTE)
        await story.pass_time(timedelta(hours=1))
        assert story.invoice.state is CollectionState.PAID
        story.office.mail_is_down = False
        await story.pass_time(timedelta(minutes=16))  # the longest pause between two tries
        assert await story.end() == "paid"
    note = f"CN-{NUMBER}-1"
    assert [done for done in story.office.done if note in done] == [
        f"render {note}",
        f"refund {note}",
    ]
    assert sorted(kind for _, kind in story.mails) == ["credit_note", "invoice"]


async def test_a_credit_note_that_a_lost_workflow_left_is_finished(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue()
        await story.handle.terminate("lost")
        story.invoice.carry_out(story.office.ask(NUMBER, InstructionKind.VOID), story.day(0))
        await story.ask(InstructionKind.HOLD)  # refused: it is void
        assert await story.end() == "void"
    assert story.mails == [(0, "invoice"), (0, "credit_note")]


async def test_a_paid_invoice_is_voided_by_a_workflow_of_its_own(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue()
        await story.pay()
        await story.end()
        await story.ask(InstructionKind.VOID)
        assert await story.end() == "void"
    assert story.mails[-1] == (0, "credit_note")


async def test_what_is_sent_again_is_sent_each_time_it_is_asked_for(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue()
        for _ in range(2):
            await story.ask(InstructionKind.RESEND)
            await story.pass_time(timedelta(minutes=1))
    assert [kind for _, kind in story.mails] == ["invoice"] * 3


async def test_instructions_are_carried_out_in_the_order_they_were_asked(story: Story) -> None:
    story.keep()
    await story.start()
    asked = [await story.ask(InstructionKind.HOLD), await story.ask(InstructionKind.RELEASE)]
    async with staffed(story.environment.client, collection=story.office):
        await story.pass_time(timedelta(minutes=1))
        assert not story.invoice.on_hold
    assert [story.invoice.instructions[id].outcome for id in asked] == ["done", "done"]
