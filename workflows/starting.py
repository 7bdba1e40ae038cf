"""How a billing cycle is started, and started again."""

from temporalio.client import Client
from temporalio.common import (
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from workflows import ids
from workflows.billing_cycle import BillingCycle
from workflows.contracts.cycle import CycleOrder


async def start_cycle(client: Client, order: CycleOrder, *, task_queue: str) -> None:
    """Starts the period's cycle; where it runs or has run, that one stands and nothing happens.

    One that broke down, or was terminated, is started again and goes on from PostgreSQL.
    """
    try:
        await client.start_workflow(
            BillingCycle.run,
            order,
            id=ids.billing_cycle_id(order.period),
            task_queue=task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"Bill {order.period}",
            search_attributes=ids.search_attributes(order.period),
        )
    except WorkflowAlreadyStartedError:
        return


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
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal="retry",
        static_summary=f"Bill {order.period}, what failed",
        search_attributes=ids.search_attributes(order.period),
    )
