"""How workflows are started from outside, and told what arrived."""

from typing import TypedDict

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import (
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from workflows import ids
from workflows.billing_cycle import BillingCycle
from workflows.contracts.collection import ReleaseOrder
from workflows.contracts.cycle import CycleOrder, DiscardedPlan, DiscardOrder
from workflows.contracts.lifecycle import (
    Instruction,
    InvoiceOrder,
    PageRequest,
    PaymentReceived,
)
from workflows.contracts.proof import ReconciliationOrder
from workflows.cycle_release import CycleRelease
from workflows.invoice_lifecycle import InvoiceLifecycle
from workflows.reconciliation import Reconciliation


class _IdPolicies(TypedDict):
    id_reuse_policy: WorkflowIDReusePolicy
    id_conflict_policy: WorkflowIDConflictPolicy


_RUNS_OR_RUNS_AGAIN = _IdPolicies(
    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
)
"""The one that runs is meant; where it has ended, it runs again under its own id."""


async def start_cycle(client: Client, order: CycleOrder, *, task_queue: str) -> None:
    """Starts the period's cycle; where it runs or has run, that one stands and nothing happens.

    One that broke down, or was terminated, is started again and goes on from PostgreSQL. One whose
    plan is just being discarded is told, and is followed by a run with this order.
    """
    if await _begins(client, order, task_queue):
        return
    running = client.get_workflow_handle_for(BillingCycle.run, ids.billing_cycle_id(order.period))
    try:
        await running.signal(BillingCycle.start_anew, order)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        await _begins(client, order, task_queue)  # it has ended: perhaps behind its discard


async def _begins(client: Client, order: CycleOrder, task_queue: str) -> bool:
    """Whether the cycle's workflow was started, since none ran and none had come to its end."""
    try:
        await client.start_workflow(
            BillingCycle.run,
            order,
            id=ids.billing_cycle_id(order.period),
            task_queue=task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            static_summary=f"Bill {order.period}",
            search_attributes=ids.search_attributes(order.period),
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def discard_plan(
    client: Client, order: CycleOrder, discard: DiscardOrder, *, task_queue: str
) -> DiscardedPlan:
    """Has the cycle's workflow throw its plan away; one that broke down is started for it.

    Its workflow has ended when this answers. Raises WorkflowUpdateFailedError with the reason where
    it is refused, and WorkflowAlreadyStartedError for a cycle that was closed meanwhile.
    """
    start = WithStartWorkflowOperation(
        BillingCycle.run,
        order,
        id=ids.billing_cycle_id(order.period),
        task_queue=task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=f"Discard the plan of {order.period}",
        search_attributes=ids.search_attributes(order.period),
    )
    return await client.execute_update_with_start_workflow(
        BillingCycle.discard, discard, start_workflow_operation=start
    )


async def retry_cycle(client: Client, order: CycleOrder, *, task_queue: str) -> None:
    """Bills the customers that failed, or are new, once more.

    A running cycle takes them up after its present pass; one that has ended runs again under its
    own id and goes on from what PostgreSQL says.
    """
    await client.start_workflow(
        BillingCycle.run,
        order,
        id=ids.billing_cycle_id(order.period),
        task_queue=task_queue,
        **_RUNS_OR_RUNS_AGAIN,
        start_signal="retry",
        static_summary=f"Bill {order.period}, what failed",
        search_attributes=ids.search_attributes(order.period),
    )


async def release_cycle(client: Client, order: ReleaseOrder, *, task_queue: str) -> None:
    """Releases a cycle's held reminders; while one release runs, another finds it."""
    await client.start_workflow(
        CycleRelease.run,
        order,
        id=ids.cycle_release_id(order.period),
        task_queue=task_queue,
        **_RUNS_OR_RUNS_AGAIN,
        static_summary=f"Release the reminders of {order.period}",
        search_attributes=ids.search_attributes(order.period),
    )


def _invoice_attributes(order: InvoiceOrder) -> TypedSearchAttributes:
    return ids.search_attributes(
        order.period, account_number=order.account_number, number=order.number
    )


async def tell_invoice(
    client: Client,
    order: InvoiceOrder,
    signal: str,
    message: PaymentReceived | Instruction,
    *,
    task_queue: str,
) -> None:
    """Signals the invoice's workflow, which is started again from PostgreSQL where it has ended.

    What the signal tells of is stored before: one that is lost is made up for by the sweep.
    """
    await client.start_workflow(
        InvoiceLifecycle.run,
        order,
        id=ids.invoice_id(order.number),
        task_queue=task_queue,
        **_RUNS_OR_RUNS_AGAIN,
        start_signal=signal,
        start_signal_args=[message],
        static_summary=f"{order.number}, taken up again",
        search_attributes=_invoice_attributes(order),
    )


async def ask_invoice(
    client: Client, order: InvoiceOrder, update: str, request: PageRequest, *, task_queue: str
) -> str:
    """The address of the page that the update `open_checkout` or `open_card_setup` answers.

    An invoice's workflow that has ended is started for it, and ends behind the answer.
    Raises WorkflowUpdateFailedError where the page is refused.
    """
    start = WithStartWorkflowOperation(
        InvoiceLifecycle.run,
        order,
        id=ids.invoice_id(order.number),
        task_queue=task_queue,
        **_RUNS_OR_RUNS_AGAIN,
        static_summary=f"{order.number}, taken up for its payer",
        search_attributes=_invoice_attributes(order),
    )
    address: str = await client.execute_update_with_start_workflow(
        update, request, start_workflow_operation=start, result_type=str
    )
    return address


async def reconcile_cycle(
    client: Client, period: str, order: ReconciliationOrder, *, task_queue: str
) -> WorkflowHandle[Reconciliation, int]:
    """Proves the month anew; while one proof of it runs, another finds that."""
    return await client.start_workflow(
        Reconciliation.run,
        order,
        id=ids.reconciliation_id(period),
        task_queue=task_queue,
        **_RUNS_OR_RUNS_AGAIN,
        static_summary=f"Prove {period} anew",
        search_attributes=ids.search_attributes(period),
    )
