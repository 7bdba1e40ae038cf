"""The reminders of a cycle that was started with them held are released, all from one moment."""

import asyncio
from dataclasses import replace
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from workflows import ids, policies
from workflows.contracts import collection as contract
from workflows.contracts.collection import (
    ReleaseAsked,
    ReleaseOrder,
    ReleasePageOrder,
    ReleasePosition,
)
from workflows.contracts.lifecycle import Instruction
from workflows.invoice_lifecycle import InvoiceLifecycle


@workflow.defn
class CycleRelease:
    """Releases every invoice of a cycle that is on hold; each is stored before it is told."""

    @workflow.run
    async def run(self, order: ReleaseOrder) -> int:
        """How many invoices were told. The steps of all count from the first run's start."""
        position = order.position or ReleasePosition(workflow.info().start_time)
        pages = 0
        while True:
            page = await workflow.execute_local_activity(
                contract.release_page,
                ReleasePageOrder(order, position.after, order.page_size),
                summary=f"Release {order.period} behind {position.after or 'the start'}",
                **policies.RECORD,
            )
            if not page.released:
                return position.told
            await asyncio.gather(
                *(self._tell(asked, position.released_at) for asked in page.released)
            )
            position = replace(
                position,
                told=position.told + len(page.released),
                after=page.released[-1].number,
            )
            pages += 1
            if pages >= order.pages_per_run:
                workflow.continue_as_new(replace(order, position=position))

    async def _tell(self, asked: ReleaseAsked, released_at: datetime) -> None:
        """One that has no workflow is taken up by the sweep, which finds its instruction."""
        try:
            await workflow.get_external_workflow_handle_for(
                InvoiceLifecycle.run, ids.invoice_id(asked.number)
            ).signal(InvoiceLifecycle.release, Instruction(asked.instruction, released_at))
        except FailureError as failure:
            if is_cancelled_exception(failure):
                raise
            workflow.logger.info("%s has no running workflow", asked.number)
