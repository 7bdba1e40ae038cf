"""Records the histories that `test_replay.py` replays.

`python -m tests.workflows.record_histories` writes them anew.
Run it only when a workflow is changed on purpose and no running one can be left behind; a history
recorded before the change is what shows that running workflows survive it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from domain.declines import DeclineClass
from domain.instructions import InstructionKind
from domain.monthly_billing import MonthlyRule
from domain.periods import BillingPeriod
from tests.workflows.conftest import (
    ISSUED_ON,
    TASK_QUEUE,
    BillingOffice,
    accounts,
    staffed,
    start_server,
)
from tests.workflows.months_office import MonthsOffice
from tests.workflows.proof_office import ProofOffice
from tests.workflows.revenue_office import RevenueOffice
from tests.workflows.story import Story
from workflows.billing_cycle import BillingCycle
from workflows.collection_sweep import CollectionSweep
from workflows.connection import prepare_namespace
from workflows.contracts.collection import ReleaseOrder, SweepOrder
from workflows.contracts.cycle import CycleOrder
from workflows.contracts.lifecycle import PaymentReceived
from workflows.contracts.monthly_billing import MonthlyBillingOrder
from workflows.contracts.proof import ReconciliationOrder
from workflows.contracts.recurring_revenue import RecurringRevenueOrder
from workflows.ids import (
    MONTHLY_BILLING,
    RECONCILIATION,
    RECURRING_REVENUE,
    SWEEP,
    billing_cycle_id,
    customer_billing_id,
    cycle_release_id,
)
from workflows.monthly_billing import MonthlyBilling
from workflows.reconciliation import Reconciliation
from workflows.recurring_revenue import RecurringRevenue
from workflows.starting import release_cycle, start_cycle

HISTORIES = Path(__file__).parent / "histories"
GOOD, BAD, NEW = "card-good", "card-bad", "card-new"


async def record_all() -> None:
    for path in HISTORIES.glob("*.json"):
        path.unlink()
    await _on_a_server(_cycle)
    for told in (_release, _sweep):
        await _told(told)
    for on in (_recurring_revenue, _monthly_billing, _proved_cycle, _reconciliation):
        await _on_a_server(on)
    for name, tell in INVOICES.items():
        await _told(partial(_invoice, name, tell))


# --- the cycle


async def _cycle(server: WorkflowEnvironment) -> None:
    """A cycle of two pages a run, one customer's PDF broken: its last run, and two customers."""
    office = BillingOffice(accounts(8), broken={"1002"})
    async with staffed(server.client, office):
        order = CycleOrder("2026-02", ISSUED_ON, customers_per_page=2, pages_per_run=2)
        await start_cycle(server.client, order, task_queue=TASK_QUEUE)
        handle = server.client.get_workflow_handle_for(
            BillingCycle.run, billing_cycle_id("2026-02")
        )
        await handle.result()
        await _save(server.client, handle.id, "cycle_after_continue_as_new")
        await _save(server.client, customer_billing_id("2026-02", "1001"), "customer_issued")
        await _save(server.client, customer_billing_id("2026-02", "1002"), "customer_failed")


async def _release(story: Story) -> None:
    """Three held invoices released by pages of two; one has no workflow."""
    for place in (1, 2, 3):
        story.keep(number=f"INV-2026-02-{place:04d}", on_hold=True)
        if place < 3:
            await story.start(f"INV-2026-02-{place:04d}")
    await story.pass_time(timedelta(minutes=1))
    client = story.environment.client
    order = ReleaseOrder("2026-02", "finance", page_size=2, pages_per_run=1)
    await release_cycle(client, order, task_queue=TASK_QUEUE)
    await story.pass_time(timedelta(minutes=1))
    await _save(client, cycle_release_id("2026-02"), "cycle_release")


async def _sweep(story: Story) -> None:
    """One invoice is woken, another started."""
    for place in (1, 2):
        invoice = story.keep(number=f"INV-2026-02-{place:04d}")
        invoice.waiting.append(partial(invoice.receive, invoice.open))
    await story.start()
    await story.pass_time(timedelta(minutes=1))
    client = story.environment.client
    await client.execute_workflow(
        CollectionSweep.run, SweepOrder(story.calendar), id=SWEEP, task_queue=TASK_QUEUE
    )
    await _save(client, SWEEP, "sweep")


async def _recurring_revenue(server: WorkflowEnvironment) -> None:
    """Two days are worked out."""
    revenue = RevenueOffice([date(2026, 2, 21), date(2026, 2, 28)])
    async with staffed(server.client, revenue=revenue):
        await server.client.execute_workflow(
            RecurringRevenue.run,
            RecurringRevenueOrder(),
            id=RECURRING_REVENUE,
            task_queue=TASK_QUEUE,
        )
        await _save(server.client, RECURRING_REVENUE, "recurring_revenue")


async def _monthly_billing(server: WorkflowEnvironment) -> None:
    """Two missed months are billed, and no other is due."""
    office = MonthsOffice([])
    today = (await server.get_current_time()).date()
    first = BillingPeriod.of(today).previous().previous()
    async with staffed(server.client, office):
        await server.client.execute_workflow(
            MonthlyBilling.run,
            MonthlyBillingOrder(MonthlyRule(starts=first)),
            id=MONTHLY_BILLING,
            task_queue=TASK_QUEUE,
        )
        await _save(server.client, MONTHLY_BILLING, "monthly_billing")


async def _proved_cycle(server: WorkflowEnvironment) -> None:
    """A cycle that ends with its proof, which breaks down and is recorded as such."""
    office, proofs = BillingOffice(accounts(2)), ProofOffice(defects={"2026-02"})
    async with staffed(server.client, office, proofs=proofs):
        order = CycleOrder("2026-02", ISSUED_ON)
        await start_cycle(server.client, order, task_queue=TASK_QUEUE)
        handle = server.client.get_workflow_handle(billing_cycle_id("2026-02"))
        await handle.result()
        await _save(server.client, handle.id, "cycle_proved")


async def _reconciliation(server: WorkflowEnvironment) -> None:
    """Two months are due, one of which cannot be proved."""
    proofs = ProofOffice(due=("2026-01", "2026-02"), defects={"2026-01"})
    async with staffed(server.client, proofs=proofs):
        await server.client.execute_workflow(
            Reconciliation.run, ReconciliationOrder(), id=RECONCILIATION, task_queue=TASK_QUEUE
        )
        await _save(server.client, RECONCILIATION, "reconciliation")


# --- an invoice


async def _paid_at_once(story: Story) -> None:
    await story.issue(GOOD)
    await story.end()


async def _mid_dunning(story: Story) -> None:
    """A card that is declined, its reminder and its urgent notice sent; still running."""
    await story.issue(BAD)
    await story.until(8)


async def _resolved(story: Story) -> None:
    """By card to manual review, charged again in vain, then written off."""
    await story.issue(BAD)
    await story.until(14)
    for resolution in (InstructionKind.CHARGE_AGAIN, InstructionKind.WRITE_OFF):
        await story.ask(resolution)
        await story.pass_time(timedelta(minutes=1))
    await story.end()


async def _new_card(story: Story) -> None:
    """A card that expired is replaced, and pays."""
    await story.issue(BAD)
    await story.until(5)
    await story.arrives(lambda on: story.leave_card(NEW))
    await story.pass_time(timedelta(minutes=1))
    await story.end()


async def _reopened(story: Story) -> None:
    """Paid by a wire that the bank takes back: the run that began with the reversal."""
    await story.issue()
    await story.pay()
    await story.end()
    await story.until(40)
    await story.arrives(story.reverse_wire)
    await story.until(44)
    await story.pay()
    await story.pass_time(timedelta(minutes=1))
    await story.end()


async def _wire_to_review(story: Story) -> None:
    """Never paid, and still in review."""
    await story.issue()
    await story.until(45)


async def _held_and_released(story: Story) -> None:
    await story.issue(BAD)
    await story.until(4)
    await story.ask(InstructionKind.HOLD)
    await story.until(10)
    await story.ask(InstructionKind.RELEASE)
    await story.until(18)


async def _credited(story: Story) -> None:
    await story.issue()
    await story.ask(InstructionKind.CREDIT_NOTE)
    await story.pass_time(timedelta(minutes=1))
    await story.end()


async def _continued(story: Story) -> None:
    """The run that goes on with a charge and an e-mail that were on their way."""
    story.keep(BAD)
    story.office.mail_is_down = story.office.gateway_is_down = True
    first = await story.start(events_per_run=40)
    while (await story.handle.describe()).run_id == first.first_execution_run_id:
        await story.tell("payment_received", PaymentReceived("sweep"))
        await story.pass_time(timedelta(minutes=2))
    story.office.mail_is_down = story.office.gateway_is_down = False
    await story.until(1)


async def _mended(story: Story) -> None:
    """A defect is waited for, and the payer gets a page."""
    await story.issue()
    story.office.broken = {"take_in"}
    await story.pay()
    await story.pass_time(timedelta(minutes=10))
    story.office.broken = set()
    await story.pass_time(timedelta(hours=1))
    await story.end()


INVOICES: dict[str, Callable[[Story], Awaitable[None]]] = {
    "invoice_paid_at_once": _paid_at_once,
    "invoice_mid_dunning": _mid_dunning,
    "invoice_resolved_from_review": _resolved,
    "invoice_paid_by_a_new_card": _new_card,
    "invoice_reopened_by_a_reversal": _reopened,
    "invoice_by_wire_to_review": _wire_to_review,
    "invoice_held_and_released": _held_and_released,
    "invoice_credited": _credited,
    "invoice_after_continue_as_new": _continued,
    "invoice_mended": _mended,
}


async def _invoice(name: str, tell: Callable[[Story], Awaitable[None]], story: Story) -> None:
    await tell(story)
    await _save(story.environment.client, story.handle.id, name)


# --- how it is done


async def _told(tell: Callable[[Story], Awaitable[None]]) -> None:
    async def on(server: WorkflowEnvironment) -> None:
        story = await Story.begin(server)
        story.office.bank = {GOOD: None, BAD: DeclineClass.EXPIRED_CARD, NEW: None}
        async with staffed(server.client, collection=story.office):
            await tell(story)

    await _on_a_server(on)


async def _on_a_server(work: Callable[[WorkflowEnvironment], Awaitable[None]]) -> None:
    async with await start_server() as server:
        await prepare_namespace(server.client, retention=timedelta(days=1))
        await work(server)


async def _save(client: Client, workflow_id: str, name: str) -> None:
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    told = _without_traces_of_the_machine(json.loads(history.to_json()))
    (HISTORIES / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _without_traces_of_the_machine(value: Any) -> Any:
    """The history without process names and stack traces, which replay does not look at."""
    if isinstance(value, dict):
        return {
            key: "recorded" if key == "identity" else _without_traces_of_the_machine(entry)
            for key, entry in value.items()
            if key != "stackTrace"
        }
    if isinstance(value, list):
        return [_without_traces_of_the_machine(entry) for entry in value]
    return value


if __name__ == "__main__":
    asyncio.run(record_all())
