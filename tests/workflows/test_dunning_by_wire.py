"""A wire customer's invoice: waited for, reminded after the due date, reopened by a reversal."""

from datetime import time, timedelta
from decimal import Decimal

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.dunning import CollectionState, DunningPolicy, DunningStep, Event
from domain.emails import EmailKind
from domain.instructions import InstructionKind
from domain.periods import BusinessCalendar
from tests.workflows.conftest import staffed
from tests.workflows.story import Story
from workflows.contracts.lifecycle import Instruction


@pytest.fixture
async def story(skipping: WorkflowEnvironment) -> Story:
    return await Story.begin(skipping)


async def test_the_steps_count_from_the_due_date(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue()
        await story.until(31, time(8, 59))
        assert story.mails == [(0, "invoice")]
        assert (story.day(31), "overdue") not in story.invoice.events
        await story.until(31, time(9, 1))
        assert (story.day(31), "overdue") in story.invoice.events
        await story.until(60)
    assert story.mails == [
        (0, "invoice"),
        (33, "reminder"),
        (37, "urgent_notice"),
        (44, "review_notice"),
    ]
    assert story.office.charges == []


async def test_a_payment_settles_the_invoice_and_stops_everything(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue()
        await story.until(34)
        await story.pay()
        assert await story.end() == "paid"
        await story.until(60)
    assert story.mails == [(0, "invoice"), (33, "reminder"), (34, "receipt")]


async def test_a_payment_that_arrives_before_the_first_step_is_counted(story: Story) -> None:
    story.keep()
    await story.start()
    await story.pay()  # no worker has seen the workflow yet
    async with staffed(story.environment.client, collection=story.office):
        assert await story.end() == "paid"
    assert story.mails == [(0, "receipt")]


@pytest.mark.parametrize(
    ("total", "paid", "mail"),
    [
        (Decimal("0.00"), Decimal("0.00"), "invoice"),
        (Decimal("100.00"), Decimal("100.00"), "receipt"),
    ],
    ids=["nothing to pay", "covered by credit"],
)
async def test_an_invoice_that_was_settled_when_it_was_posted_is_mailed_and_ends(
    story: Story, total: Decimal, paid: Decimal, mail: str
) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(state=CollectionState.PAID, total=total, paid=paid)
        assert await story.end() == "paid"
    assert story.mails == [(0, mail)]


async def test_a_policy_of_the_customers_own_is_followed(story: Story) -> None:
    copied = ("boss@customer.example",)
    policy = DunningPolicy(
        (
            DunningStep(1, EmailKind.REMINDER, cc=copied),
            DunningStep(2, EmailKind.REVIEW_NOTICE, cc=("legal@seller.example",)),
        )
    )
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(policy=policy)
        await story.until(40)
    assert story.mails == [(0, "invoice"), (31, "reminder"), (32, "review_notice")]
    assert story.office.mails[1].cc == copied
    assert story.office.mails[2].cc == ("legal@seller.example",)


async def test_a_days_length_is_told_in_demonstrations(story: Story) -> None:
    story.calendar = story.office.calendar = BusinessCalendar(day_seconds=60)
    async with staffed(story.environment.client, collection=story.office):
        story.keep()
        await story.start()
        await story.pass_time(timedelta(minutes=32))
        assert story.mails == [(0, "invoice")]
        await story.pass_time(timedelta(minutes=13))
    assert story.mails[1:] == [(33, "reminder"), (37, "urgent_notice"), (44, "review_notice")]
    assert (story.day(31), "overdue") in story.invoice.events


async def test_a_demonstrations_clock_stands_still_until_the_release(story: Story) -> None:
    story.calendar = story.office.calendar = BusinessCalendar(day_seconds=60)
    async with staffed(story.environment.client, collection=story.office):
        story.keep(on_hold=True)
        await story.start(clock_held=True)
        await story.pass_time(timedelta(hours=1))
        assert story.mails == [(0, "invoice")]
        released_at = await story.environment.get_current_time()
        release = story.office.ask(story.invoice.number, InstructionKind.RELEASE)
        await story.tell("release", Instruction(release, released_at))
        await story.pass_time(timedelta(minutes=34))
    assert story.mails == [(0, "invoice"), (33, "reminder")]


# --- mail


async def test_a_mail_server_that_is_away_for_a_week_holds_up_nothing(story: Story) -> None:
    story.office.mail_is_down = True
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(due=1)
        await story.until(5)
        assert (story.day(2), "overdue") in story.invoice.events
        await story.pay()
        await story.until(7)
        assert story.invoice.state is CollectionState.PAID
        assert story.mails == []
        story.office.mail_is_down = False
        await story.pass_time(timedelta(minutes=16))  # the longest pause between two tries
        assert await story.end() == "paid"
    # the reminder of day 4 came too late
    assert sorted(kind for _, kind in story.mails) == ["invoice", "receipt"]


async def test_an_email_that_is_given_up_is_recorded_and_the_steps_go_on(story: Story) -> None:
    story.office.broken = {"send_notice"}
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(due=1)
        await story.until(16)
    assert [report.order.kind for report in story.office.undelivered] == [
        "invoice",
        "reminder",
        "urgent_notice",
        "review_notice",
    ]
    assert story.invoice.state is CollectionState.MANUAL_REVIEW


# --- what comes back


async def test_a_reversed_wire_reopens_the_invoice_and_begins_the_steps_anew(
    story: Story,
) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue()
        await story.until(34)
        await story.pay()
        assert await story.end() == "paid"
        await story.until(40)
        await story.arrives(story.reverse_wire)
        await story.until(60)
        assert story.invoice.state is CollectionState.MANUAL_REVIEW
        await story.pay()
        assert await story.end() == "paid"
    assert story.mails == [
        (0, "invoice"),
        (33, "reminder"),
        (34, "receipt"),
        (43, "reminder"),
        (47, "urgent_notice"),
        (54, "review_notice"),
        (60, "receipt"),
    ]


async def test_money_that_went_back_is_a_case_for_a_person_each_time(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue()
        for day in (5, 8):
            await story.until(day)
            await story.pay()
            await story.end()
            await story.until(day + 1)
            await story.arrives(lambda on: story.take_back(on, Event.MONEY_RETURNED))
            await story.pass_time(timedelta(minutes=1))
            assert story.invoice.state is CollectionState.MANUAL_REVIEW
    assert story.mails == [
        (0, "invoice"),
        (5, "receipt"),
        (6, "review_notice"),
        (8, "receipt"),
        (9, "review_notice"),
    ]


async def test_a_dispute_stops_the_steps_until_it_is_won(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(due=1)
        await story.until(2)
        await story.arrives(story.dispute)
        await story.until(20)
        assert story.mails == [(0, "invoice"), (2, "review_notice")]
        assert "disputes" in story.office.mails[1].reason
        await story.arrives(story.win_dispute)
        await story.until(24)
    assert story.mails[2:] == [(23, "reminder")]


async def test_an_invoice_that_was_written_off_and_is_paid_brings_a_receipt(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(due=1)
        await story.until(16)
        await story.ask(InstructionKind.WRITE_OFF)
        assert await story.end() == "uncollectible"
        await story.until(20)
        await story.arrives(story.pay_late)
        assert await story.end() == "paid"
    assert story.mails[-1] == (20, "receipt")
