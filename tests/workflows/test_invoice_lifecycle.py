"""An invoice's process, on the production schedule: real days, skipped."""

from datetime import date, timedelta
from decimal import Decimal

from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from domain.periods import BusinessCalendar
from tests.workflows.conftest import TASK_QUEUE, BillingOffice, accounts, staffed
from workflows.contracts.lifecycle import InvoiceOrder, InvoiceStanding, PaymentReceived
from workflows.ids import invoice_id
from workflows.invoice_lifecycle import InvoiceLifecycle

NUMBER = "INV-2026-02-0001"
PAID = InvoiceStanding("paid", Decimal("0.00"), settled=True)
PARTLY = InvoiceStanding("issued", Decimal("4.00"), settled=False)


async def issue(
    environment: WorkflowEnvironment, **changes: object
) -> "WorkflowHandle[InvoiceLifecycle, str]":
    """An invoice issued today by the skipping clock, due in thirty days."""
    today = (await environment.get_current_time()).date()
    order = InvoiceOrder(
        NUMBER, "1001", "2026-02", issued_on=today, due_on=today + timedelta(days=30), **changes
    )
    return await environment.client.start_workflow(
        InvoiceLifecycle.run, order, id=invoice_id(NUMBER), task_queue=TASK_QUEUE
    )


async def pay(client: Client) -> None:
    handle = client.get_workflow_handle_for(InvoiceLifecycle.run, invoice_id(NUMBER))
    await handle.signal(InvoiceLifecycle.payment_received, PaymentReceived("wire 1"))


async def test_an_invoice_of_nothing_is_delivered_and_ends(skipping: WorkflowEnvironment) -> None:
    office = BillingOffice(accounts(1))
    async with staffed(skipping.client, office):
        ended = await (await issue(skipping, nothing_to_pay=True)).result()
    assert ended == "paid"
    assert len(office.delivered) == 1
    assert office.overdue == []


async def test_a_payment_settles_the_invoice_and_cancels_the_timer(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(1), standing=PAID)
    async with staffed(skipping.client, office):
        handle = await issue(skipping)
        await skipping.sleep(timedelta(days=5))
        await pay(skipping.client)
        assert await handle.result() == "paid"
        await skipping.sleep(timedelta(days=40))
    assert office.overdue == []


async def test_an_unpaid_invoice_is_overdue_the_day_after_its_due_date_at_nine(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(1), standing=PAID)
    async with staffed(skipping.client, office):
        calendar = BusinessCalendar("Europe/Berlin")
        handle = await issue(skipping, calendar=calendar)
        due_on = office_due_date(await skipping.get_current_time())
        await skipping.sleep(timedelta(days=29))
        assert office.overdue == []
        await skipping.sleep(timedelta(days=3))
        (occasion,) = office.overdue
        assert occasion.business_date == due_on + timedelta(days=1)
        await pay(skipping.client)
        assert await handle.result() == "paid"


async def test_a_part_payment_keeps_the_invoice_waiting(skipping: WorkflowEnvironment) -> None:
    office = BillingOffice(accounts(1), standing=PARTLY)
    async with staffed(skipping.client, office):
        handle = await issue(skipping)
        await skipping.sleep(timedelta(days=5))
        await pay(skipping.client)
        await skipping.sleep(timedelta(days=40))
        assert len(office.overdue) == 1
        office.standing = PAID
        await pay(skipping.client)
        assert await handle.result() == "paid"
    assert len(office.settle_calls) == 2


async def test_a_payment_that_arrives_before_the_first_step_is_counted(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(1), standing=PAID)
    handle = await issue(skipping)
    await pay(skipping.client)  # no worker has seen the workflow yet
    async with staffed(skipping.client, office):
        assert await handle.result() == "paid"
    assert len(office.settle_calls) == 1


async def test_a_mail_server_that_is_away_holds_up_neither_payment_nor_overdue(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(1), standing=PAID, mail_is_down=True)
    async with staffed(skipping.client, office):
        handle = await issue(skipping)
        await skipping.sleep(timedelta(days=40))
        assert len(office.overdue) == 1
        await pay(skipping.client)
        await skipping.sleep(timedelta(days=1))
        assert len(office.settle_calls) == 1
        office.mail_is_down = False
        assert await handle.result() == "paid"
    assert len(office.delivered) == 1


async def test_a_payment_is_counted_also_while_a_settled_invoice_waits_for_the_mail_server(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(1), standing=PAID, mail_is_down=True)
    async with staffed(skipping.client, office):
        handle = await issue(skipping)
        await pay(skipping.client)
        await skipping.sleep(timedelta(days=1))
        await pay(skipping.client)
        await skipping.sleep(timedelta(days=1))
        assert len(office.settle_calls) == 2
        office.mail_is_down = False
        assert await handle.result() == "paid"


async def test_an_email_that_is_given_up_is_recorded_and_the_invoice_goes_on(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(1), standing=PAID, mail_is_refused=True)
    async with staffed(skipping.client, office):
        handle = await issue(skipping)
        await pay(skipping.client)
        assert await handle.result() == "paid"
    assert len(office.undelivered) == 1


async def test_a_defect_does_not_cost_the_invoice_its_workflow(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(1), standing=PAID, settling_is_broken=True)
    async with staffed(skipping.client, office):
        handle = await issue(skipping)
        await pay(skipping.client)
        await skipping.sleep(timedelta(minutes=30))
        office.settling_is_broken = False
        assert await handle.result() == "paid"
    assert len(office.settle_calls) == 1


async def test_an_invoice_can_be_held_and_released(skipping: WorkflowEnvironment) -> None:
    office = BillingOffice(accounts(1))
    async with staffed(skipping.client, office):
        handle = await issue(skipping, reminders_held=True)
        assert await handle.query(InvoiceLifecycle.on_hold)
        await handle.signal(InvoiceLifecycle.release)
        assert not await handle.query(InvoiceLifecycle.on_hold)
        await handle.signal(InvoiceLifecycle.hold)
        assert await handle.query(InvoiceLifecycle.on_hold)


async def test_a_demonstrations_day_lasts_as_long_as_it_is_told(
    skipping: WorkflowEnvironment,
) -> None:
    office = BillingOffice(accounts(1))
    async with staffed(skipping.client, office):
        await issue(skipping, calendar=BusinessCalendar(day_seconds=1))
        await skipping.sleep(timedelta(seconds=30))
        assert office.overdue == []
        await skipping.sleep(timedelta(seconds=2))
        assert len(office.overdue) == 1


def office_due_date(now: object) -> date:
    """The due date of an invoice issued now."""
    return now.date() + timedelta(days=30)  # type: ignore[attr-defined, no-any-return]
