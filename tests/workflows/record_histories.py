"""Records the histories that `test_replay.py` replays.

`python -m tests.workflows.record_histories` writes them anew.
Run it only when a workflow is changed on purpose and no running one can be left behind; a history
recorded before the change is what shows that running workflows survive it.
"""

import asyncio
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from domain.periods import BusinessCalendar
from stack.test_server import test_server_path as find_test_server
from tests.workflows.conftest import (
    DUE_ON,
    ISSUED_ON,
    TASK_QUEUE,
    BillingOffice,
    accounts,
    staffed,
)
from workflows.billing_cycle import BillingCycle
from workflows.connection import DATA_CONVERTER, prepare_namespace
from workflows.contracts.cycle import CycleOrder
from workflows.contracts.lifecycle import InvoiceOrder, InvoiceStanding, PaymentReceived
from workflows.ids import billing_cycle_id, customer_billing_id, invoice_id
from workflows.invoice_lifecycle import InvoiceLifecycle
from workflows.starting import start_cycle

HISTORIES = Path(__file__).parent / "histories"
NUMBER = "INV-2026-02-0001"
PAID = InvoiceStanding("paid", Decimal("0.00"), settled=True)


async def record_all() -> None:
    for recording in (_cycle, _paid_late, _nothing_to_pay):
        server = await WorkflowEnvironment.start_time_skipping(
            data_converter=DATA_CONVERTER, test_server_existing_path=str(find_test_server())
        )
        async with server:
            await prepare_namespace(server.client, retention=timedelta(days=1))
            await recording(server)


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


async def _paid_late(server: WorkflowEnvironment) -> None:
    """Overdue, then paid."""
    office = BillingOffice(accounts(1), standing=PAID)
    async with staffed(server.client, office):
        handle = await server.client.start_workflow(
            InvoiceLifecycle.run,
            InvoiceOrder(
                NUMBER, "1001", "2026-02", ISSUED_ON, DUE_ON, BusinessCalendar(day_seconds=86_400)
            ),
            id=invoice_id(NUMBER),
            task_queue=TASK_QUEUE,
        )
        await server.sleep(timedelta(days=40))
        await handle.signal(InvoiceLifecycle.payment_received, PaymentReceived("wire 1"))
        await handle.result()
        await _save(server.client, handle.id, "invoice_overdue_then_paid")


async def _nothing_to_pay(server: WorkflowEnvironment) -> None:
    """An invoice of 0.00: paid at once."""
    office = BillingOffice(accounts(1))
    async with staffed(server.client, office):
        handle = await server.client.start_workflow(
            InvoiceLifecycle.run,
            InvoiceOrder(NUMBER, "1001", "2026-02", ISSUED_ON, DUE_ON, nothing_to_pay=True),
            id=invoice_id(NUMBER),
            task_queue=TASK_QUEUE,
        )
        await handle.result()
        await _save(server.client, handle.id, "invoice_paid_at_once")


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
