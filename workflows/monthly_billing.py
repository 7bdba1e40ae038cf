"""Months billed by themselves, each once, one after another."""

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import (
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

from workflows import ids, policies
from workflows.billing_cycle import DISCARDED, BillingCycle
from workflows.contracts import monthly_billing as contract
from workflows.contracts.cycle import ClosedCycle, CycleOrder
from workflows.contracts.monthly_billing import (
    BilledMonths,
    DueMonthOrder,
    MonthlyBillingOrder,
)


class _Waits(Exception):
    """The month is in other hands, or in a person's; a later run goes on."""


@workflow.defn
class MonthlyBilling:
    """One look at the months that are due; run by a schedule, each day.

    What is missing is read from PostgreSQL before each month, never counted, so that a run makes up
    for any number of runs that there were not. Each cycle has its own id, which another start, by a
    person or by an earlier run, has taken already where there was one.
    """

    @workflow.run
    async def run(self, order: MonthlyBillingOrder) -> BilledMonths:
        closed: list[ClosedCycle] = []
        while True:
            due = await workflow.execute_local_activity(
                contract.find_due_month,
                DueMonthOrder(order, order.calendar.real_date(workflow.now())),
                summary="Find the month whose turn it is",
                **policies.RECORD,
            )
            if due.cycle is None:
                return self._ended(closed, due.waits)
            workflow.set_current_details(f"Bills {due.cycle.period}.")
            try:
                closed.append(await self._bill(due.cycle))
            except _Waits as reason:
                return self._ended(closed, str(reason))

    async def _bill(self, order: CycleOrder) -> ClosedCycle:
        """Sees the cycle to its end, however long a person takes over its plan.

        It is abandoned, not ended, with this run. Raises _Waits, and ChildWorkflowError where it
        breaks down, which fails this run; the next one takes it up.
        """
        try:
            return await workflow.execute_child_workflow(
                BillingCycle.run,
                order,
                id=ids.billing_cycle_id(order.period),
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                parent_close_policy=ParentClosePolicy.ABANDON,
                cancellation_type=ChildWorkflowCancellationType.ABANDON,
                static_summary=f"Bill {order.period}",
                search_attributes=ids.search_attributes(order.period),
            )
        except WorkflowAlreadyStartedError as error:
            raise _Waits(f"The cycle of {order.period} is under way.") from error
        except ChildWorkflowError as error:
            if isinstance(error.cause, ApplicationError) and error.cause.type == DISCARDED:
                raise _Waits(error.cause.message) from error
            raise

    @staticmethod
    def _ended(closed: list[ClosedCycle], waits: str) -> BilledMonths:
        months = ", ".join(cycle.period for cycle in closed) or "nothing"
        workflow.set_current_details(f"Billed: {months}. {waits}".strip())
        return BilledMonths(tuple(closed), waits)
