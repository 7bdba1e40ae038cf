"""What was stored and not applied is found again: a lost signal loses nothing."""

import asyncio
from dataclasses import replace

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import (
    FailureError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

from workflows import ids, policies
from workflows.contracts import collection as contract
from workflows.contracts.collection import SweepOrder
from workflows.contracts.lifecycle import InvoiceOrder, PaymentReceived
from workflows.invoice_lifecycle import InvoiceLifecycle


@workflow.defn
class CollectionSweep:
    """One look at everything that waits; run by a schedule, every few minutes."""

    @workflow.run
    async def run(self, order: SweepOrder) -> int:
        """How many invoices were woken. Page after page, so that many which nothing helps do not
        keep the others from being looked after.
        """
        while True:
            swept = await workflow.execute_local_activity(
                contract.find_waiting, order, summary="Find what waits", **policies.RECORD
            )
            await asyncio.gather(
                *(self._wake(invoice) for invoice in swept.invoices),
                *(self._start(invoice) for invoice in swept.unmailed),
            )
            woken = order.woken + len(swept.invoices)
            if swept.after is None:
                return woken
            order = replace(order, after=swept.after, woken=woken)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(order)

    async def _wake(self, invoice: InvoiceOrder) -> None:
        """Tells the invoice's workflow, or starts it where it has ended or was lost."""
        try:
            await workflow.get_external_workflow_handle_for(
                InvoiceLifecycle.run, ids.invoice_id(invoice.number)
            ).signal(InvoiceLifecycle.payment_received, PaymentReceived("sweep"))
            return
        except FailureError as failure:
            if is_cancelled_exception(failure):
                raise
            workflow.logger.info("%s has no running workflow", invoice.number)
        await self._start(invoice)

    async def _start(self, invoice: InvoiceOrder) -> None:
        """Starts its workflow; one that runs is told nothing."""
        try:
            await workflow.start_child_workflow(
                InvoiceLifecycle.run,
                invoice,
                id=ids.invoice_id(invoice.number),
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                parent_close_policy=ParentClosePolicy.ABANDON,
                cancellation_type=ChildWorkflowCancellationType.ABANDON,
                static_summary=f"{invoice.number}, taken up by the sweep",
                search_attributes=ids.search_attributes(
                    invoice.period,
                    account_number=invoice.account_number,
                    number=invoice.number,
                ),
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("%s has a running workflow", invoice.number)
