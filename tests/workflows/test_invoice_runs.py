"""One run of an invoice's workflow after another, while something is under way: on the real server,
whose word on what was cancelled while it failed the test server does not give.
"""

from collections.abc import AsyncIterator

import pytest
from temporalio.testing import WorkflowEnvironment

from stack.temporal import ensure_server
from tests.workflows.conftest import staffed
from tests.workflows.story import Story
from workflows.connection import DATA_CONVERTER
from workflows.ids import SEARCH_ATTRIBUTES

GOOD = "card-good"


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    environment = await WorkflowEnvironment.start_local(
        data_converter=DATA_CONVERTER,
        dev_server_existing_path=str(ensure_server(print)),
        dev_server_log_level="error",
        search_attributes=SEARCH_ATTRIBUTES,
    )
    async with environment:
        story = await Story.begin_in_real_time(environment)
        story.office.bank = {GOOD: None}
        yield story


async def test_a_run_ends_behind_what_a_worker_is_at(story: Story) -> None:
    office = story.office
    office.mail_is_slow()
    office.bank_is_slow()
    async with staffed(story.environment.client, collection=office):
        story.keep(GOOD)
        first = (await story.start(events_per_run=20)).first_execution_run_id
        await office.heard(lambda: "charge_begun" in office.done)
        assert await story.outgrow_the_run(events=30) == first
        office.bank_answers()
        await office.heard(lambda: "mail_begun" in office.done)
        second = (await story.handle.describe()).run_id
        assert second != first
        assert await story.outgrow_the_run(events=30) == second
        office.mail_is_taken()
        assert await story.end() == "paid"
    assert (office.done.count("charge_begun"), office.done.count("mail_begun")) == (1, 1)
    assert story.mails == [(0, "receipt")]


async def test_an_email_that_fails_while_its_run_ends_is_the_next_runs(story: Story) -> None:
    office = story.office
    office.mail_is_slow()
    async with staffed(story.environment.client, collection=office):
        story.keep()
        first = (await story.start(events_per_run=20)).first_execution_run_id
        await office.heard(lambda: "mail_begun" in office.done)
        assert await story.outgrow_the_run(events=30) == first
        office.mail_is_down = True
        office.mail_is_taken()
        await story.follow_the_run(first)
        office.mail_is_down = False
        await office.heard(lambda: "send_notice" in office.done)
        await story.pay()
        assert await story.end() == "paid"
    assert office.undelivered == []
    assert [kind for _, kind in story.mails] == ["invoice", "receipt"]


async def test_a_charge_that_fails_while_its_run_ends_is_the_next_runs(story: Story) -> None:
    office = story.office
    office.bank_is_slow()
    async with staffed(story.environment.client, collection=office):
        story.keep(GOOD)
        first = (await story.start(events_per_run=20)).first_execution_run_id
        await office.heard(lambda: "charge_begun" in office.done)
        assert await story.outgrow_the_run(events=30) == first
        office.gateway_is_down = True
        office.bank_answers()
        await story.follow_the_run(first)
        office.gateway_is_down = False
        assert await story.end() == "paid"
    assert len(office.charges) == 1
