"""One customer's invoice: rendered, posted, and handed to its own workflow."""

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    WorkflowAlreadyStartedError,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

from workflows import ids, policies
from workflows.contracts import customer as contract
from workflows.contracts.customer import (
    CustomerOrder,
    CustomerOutcome,
    FailureReport,
    PostedInvoice,
    PostOrder,
    RenderOrder,
)
from workflows.contracts.lifecycle import InvoiceOrder
from workflows.invoice_lifecycle import InvoiceLifecycle


@workflow.defn
class CustomerBilling:
    """Issues one planned draft. A failure ends this customer as `failed`; the others go on."""

    @workflow.run
    async def run(self, order: CustomerOrder) -> CustomerOutcome:
        try:
            posted = await self._issue(order)
        except (ActivityError, ApplicationError) as error:  # a local activity's comes unwrapped
            reason, recorded = await self._record_failure(order, error)
            if recorded is None:
                workflow.set_current_details(f"Failed: {reason}")
                return CustomerOutcome(order.account_number, order.number, False, reason)
            posted = recorded
        await self._hand_over(order, posted)
        return CustomerOutcome(order.account_number, order.number, issued=True)

    async def _issue(self, order: CustomerOrder) -> PostedInvoice:
        """Document first: nothing is issued that cannot be shown."""
        rendered = await workflow.execute_local_activity(
            contract.render_invoice,
            RenderOrder(order.number),
            summary=f"Render {order.number}",
            **policies.RENDER,
        )
        return await workflow.execute_local_activity(
            contract.post_invoice,
            PostOrder(
                order.number,
                rendered.pdf_sha256,
                order.actor,
                on_hold=order.reminders_held,
                issued_on=rendered.issued_on,
            ),
            summary=f"Post {order.number}",
            **policies.RECORD,
        )

    async def _hand_over(self, order: CustomerOrder, posted: PostedInvoice) -> None:
        """Starts the invoice's own workflow, which outlives this one."""
        try:
            await workflow.start_child_workflow(
                InvoiceLifecycle.run,
                InvoiceOrder(
                    number=order.number,
                    account_number=order.account_number,
                    period=order.period,
                    issued_on=posted.issued_on,
                    due_on=posted.due_on,
                    calendar=order.calendar,
                    case=posted.case,
                    clock_held=order.reminders_held and order.calendar.day_seconds is not None,
                ),
                id=ids.invoice_id(order.number),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=ParentClosePolicy.ABANDON,
                cancellation_type=ChildWorkflowCancellationType.ABANDON,
                static_summary=f"{order.number}, due {posted.due_on}",
                search_attributes=ids.search_attributes(
                    order.period,
                    account_number=order.account_number,
                    number=order.number,
                    state=posted.case.state.value,
                ),
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("%s has its workflow already", order.number)

    async def _record_failure(
        self, order: CustomerOrder, error: FailureError
    ) -> tuple[str, PostedInvoice | None]:
        """The reason, and what was posted if the failure came behind the posting."""
        cause = error.cause if isinstance(error, ActivityError) else error
        reason = cause.message if isinstance(cause, FailureError) else str(error)
        code = (cause.type if isinstance(cause, ApplicationError) else None) or "failed"
        recorded = await workflow.execute_local_activity(
            contract.record_failure,
            FailureReport(order.number, code, reason, order.actor),
            summary=f"Record that {order.account_number} failed",
            **policies.RECORD,
        )
        return reason, recorded.posted
