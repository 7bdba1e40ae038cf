"""A card customer's invoice on the production schedule: charged, retried, handed over."""

from datetime import time, timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.declines import DeclineClass
from domain.dunning import CollectionState
from tests.workflows.conftest import staffed
from tests.workflows.story import Story
from workflows.contracts.lifecycle import PaymentReceived

GOOD, BAD, NEW = "card-good", "card-bad", "card-new"


@pytest.fixture
async def story(skipping: WorkflowEnvironment) -> Story:
    story = await Story.begin(skipping)
    story.office.bank = {GOOD: None, BAD: DeclineClass.DECLINED, NEW: None}
    return story


async def test_a_card_that_is_good_pays_at_once_and_brings_one_receipt(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(GOOD)
        assert await story.end() == "paid"
        await story.until(40)
    assert story.charged_on == [0]
    assert story.mails == [(0, "receipt")]


async def test_a_declined_card_goes_its_fourteen_days(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD)
        await story.until(3, time(8, 59))
        assert story.charged_on == [0]
        await story.until(3, time(9, 1))
        assert story.charged_on == [0, 3]
        assert story.mails[-1] == (3, "reminder")
        await story.until(7, time(8, 59))
        assert story.charged_on == [0, 3]
        await story.until(7, time(9, 1))
        assert story.charged_on == [0, 3, 7]
        await story.until(14, time(8, 59))
        assert story.mails[-1] == (7, "urgent_notice")
        await story.until(14, time(9, 1))
        assert story.invoice.state is CollectionState.MANUAL_REVIEW
        await story.until(60)
    assert story.charged_on == [0, 3, 7]
    assert story.mails == [
        (0, "invoice"),
        (3, "reminder"),
        (7, "urgent_notice"),
        (14, "review_notice"),
    ]
    assert (story.day(31), "overdue") in story.invoice.events


@pytest.mark.parametrize(
    ("decline", "kind", "charged_on"),
    [
        (DeclineClass.EXPIRED_CARD, "update_payment_method", [0, 3, 7]),
        (DeclineClass.INSUFFICIENT_FUNDS, "invoice", [0, 3, 7]),
        (DeclineClass.DECLINED, "invoice", [0, 3, 7]),
        (DeclineClass.AUTHENTICATION_REQUIRED, "authenticate", [0]),
        (DeclineClass.LOST_OR_STOLEN, "update_payment_method", [0]),
        (DeclineClass.NO_CARD, "update_payment_method", [0]),
    ],
)
async def test_only_a_decline_that_may_pass_is_tried_again(
    story: Story, decline: DeclineClass, kind: str, charged_on: list[int]
) -> None:
    story.office.bank[BAD] = decline
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD)
        first = story.office.mails[0]
        assert first.kind == kind
        assert first.reason == decline.reason
        assert first.next_attempt_on == (story.day(3) if charged_on[1:] else None)
        await story.until(20)
    assert story.charged_on == charged_on
    assert [kind for _, kind in story.mails[1:]] == ["reminder", "urgent_notice", "review_notice"]


async def test_a_retry_that_succeeds_brings_the_receipt_and_no_reminder(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD)
        await story.until(2)
        story.office.bank[BAD] = None
        await story.until(4)
        assert await story.end() == "paid"
    assert story.charged_on == [0, 3]
    assert story.mails == [(0, "invoice"), (3, "receipt")]


async def test_a_payment_on_day_5_stops_the_steps_of_day_7(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD)
        await story.until(5)
        await story.pay()
        assert await story.end() == "paid"
        await story.until(20)
    assert story.charged_on == [0, 3]
    assert story.mails == [(0, "invoice"), (3, "reminder"), (5, "receipt")]


async def test_a_payment_that_was_not_booked_yet_goes_before_a_step_that_is_late(
    story: Story,
) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD)
    await story.until(2)
    story.invoice.waiting.append(lambda on: story.invoice.receive(story.invoice.open, on))
    await story.handle.terminate("lost")
    await story.until(5)  # day 3 went by with nobody at work
    await story.tell("payment_received", PaymentReceived("test"))
    async with staffed(story.environment.client, collection=story.office):
        assert await story.end() == "paid"
    assert story.charged_on == [0]
    assert story.mails == [(0, "invoice"), (5, "receipt")]


async def test_a_part_payment_goes_on_with_what_is_left(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD)
        await story.until(5)
        await story.pay("40.00")
        await story.until(8)
    assert story.invoice.open == 60
    assert story.mails[-1] == (7, "urgent_notice")


# --- a new card


async def test_a_new_card_is_charged_at_once(story: Story) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD)
        await story.until(5)
        await story.arrives(lambda on: story.leave_card(NEW))
        assert await story.end() == "paid"
    assert story.charged_on == [0, 3, 5]
    assert story.mails[-1] == (5, "receipt")


async def test_a_new_card_that_is_declined_too_is_tried_at_the_next_step(story: Story) -> None:
    story.office.bank[NEW] = DeclineClass.INSUFFICIENT_FUNDS
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD)
        await story.until(5)
        await story.arrives(lambda on: story.leave_card(NEW))
        await story.until(8)
    assert story.charged_on == [0, 3, 5, 7]
    assert story.mails[-2:] == [(5, "invoice"), (7, "urgent_notice")]
    assert story.office.mails[-2].next_attempt_on == story.day(7)


async def test_a_new_card_charges_all_invoices_of_the_customer_the_oldest_first(
    story: Story,
) -> None:
    older, newer = "INV-2026-01-0009", "INV-2026-03-0002"
    async with staffed(story.environment.client, collection=story.office):
        for number in (older, newer):
            story.keep(BAD, number)
            await story.start(number)
        await story.issue(BAD)
        await story.until(5)
        story.office.charges.clear()
        await story.arrives(lambda on: story.leave_card(NEW))
        for number in (newer, older):
            assert await story.end(number) == "paid"
        assert await story.end() == "paid"
    assert [number for number, _, _ in story.office.charges] == [
        older,
        story.invoice.number,
        newer,
    ]


async def test_an_invoice_without_a_workflow_is_passed_over_when_a_new_card_makes_its_round(
    story: Story,
) -> None:
    lost, newer = "INV-2026-01-0009", "INV-2026-03-0002"
    async with staffed(story.environment.client, collection=story.office):
        for number in (lost, newer):
            story.keep(BAD, number)
            await story.start(number)
        await story.issue(BAD)
        await story.handle_of(lost).terminate("lost")
        await story.arrives(lambda on: story.leave_card(NEW))
        assert await story.end() == "paid"
        assert await story.end(newer) == "paid"
    assert story.office.invoices[lost].to_wake  # the sweep's


# --- the card processor


async def test_a_processor_that_is_away_for_days_is_no_attempt_of_dunning(story: Story) -> None:
    story.office.gateway_is_down = True
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD)
        await story.until(4)
        assert story.mails == []
        for _ in range(3):  # nobody is called for an outage, at no hour of it
            assert "engineer" not in await story.details()
            await story.pass_time(timedelta(minutes=50))
        story.office.gateway_is_down = False
        await story.pass_time(timedelta(minutes=11))  # the longest pause between two tries
        assert story.charged_on == [4]
        assert story.mails == [(4, "invoice")]
        await story.until(8)
    assert story.charged_on == [4, 7]
    assert story.mails[-1] == (7, "reminder")


async def test_an_invoice_becomes_overdue_also_while_the_processor_is_away(story: Story) -> None:
    story.office.gateway_is_down = True
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD, due=1)
        await story.until(2)
        assert (story.day(2), "overdue") in story.invoice.events


async def test_a_charge_that_meets_a_defect_is_tried_again_each_hour(story: Story) -> None:
    story.office.broken = {"charge_invoice"}
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(GOOD)
        await story.pass_time(timedelta(minutes=30))
        story.office.broken = set()
        await story.pass_time(timedelta(minutes=31))
        assert await story.end() == "paid"
    assert story.charged_on == [0]


async def test_a_lost_workflow_brings_a_charge_to_its_end_that_was_on_its_way(
    story: Story,
) -> None:
    story.office.bank_is_slow()
    async with staffed(story.environment.client, collection=story.office):
        story.keep(GOOD)
        await story.start()
        await story.office.heard(lambda: "charge_begun" in story.office.done)
        await story.handle.terminate("lost")
        story.office.bank_answers()
        await story.tell("payment_received", PaymentReceived("sweep"))
        assert await story.end() == "paid"
    assert len(story.invoice.attempts) == 1
    assert story.mails == [(0, "receipt")]


async def test_a_retry_that_was_on_its_way_when_the_workflow_was_lost_is_the_steps_own(
    story: Story,
) -> None:
    async with staffed(story.environment.client, collection=story.office):
        await story.issue(BAD)
        await story.handle.terminate("lost")
        await story.until(3)
        story.invoice.begin_charge(2, story.day(3))
        await story.tell("payment_received", PaymentReceived("sweep"))
        await story.until(4)
    assert story.charged_on == [0, 3]
    assert story.mails == [(0, "invoice"), (3, "reminder")]
