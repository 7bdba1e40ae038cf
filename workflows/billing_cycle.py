"""A month billed: every customer planned, at most ten at once issued, closed, and proved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

from workflows import ids, policies
from workflows.contracts import customer as customer_contract
from workflows.contracts import cycle as contract
from workflows.contracts.customer import CustomerOrder, CustomerOutcome, FailureReport
from workflows.contracts.cycle import (
    ClosedCycle,
    CycleOrder,
    CyclePosition,
    CycleProgress,
    CycleStep,
    DiscardedPlan,
    DiscardOrder,
    DraftsOrder,
    DraftToIssue,
    PlanPageOrder,
)
from workflows.contracts.proof import ProofOrder
from workflows.customer_billing import CustomerBilling
from workflows.proving import prove

DISCARDED = "discarded"
"""The type of the failure that ends a cycle whose plan was thrown away: it may be started anew."""


class _PlanDiscarded(Exception):
    """There is nothing left to plan or to issue."""


@workflow.defn
class BillingCycle:
    """Bills one period. Signals: `pause`, `resume`, `retry`, `start_anew`. Update: `discard`.
    Query: `progress`.

    The plan is made by pages of customers and can be read before anything is issued. The issue
    fans out one `CustomerBilling` a draft; after a number of pages the workflow drains what is in
    flight and continues as new. What has an outcome in PostgreSQL is never done again, so a
    second workflow for the same period finishes what the first left. A plan that is discarded
    ends the workflow as failed, which lets the month be started with another order.
    """

    @workflow.init
    def __init__(self, order: CycleOrder) -> None:
        position = order.position or CyclePosition()
        self._phase = position.phase
        self._after_account = position.after_account
        self._failed_again = position.failed_again
        self._retry_requested = position.retry_requested
        self._paused = position.paused
        self._counts = position.counts
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._between_steps = asyncio.Lock()
        self._discarding = False
        self._discarded = False
        self._next_order: CycleOrder | None = None

    @workflow.run
    async def run(self, order: CycleOrder) -> ClosedCycle:
        try:
            return await self._bill_month(order)
        except (_PlanDiscarded, ActivityError):
            # a discard that waits for its turn has it now, also where the plan broke down
            await workflow.wait_condition(workflow.all_handlers_finished)
            if not self._discarded:
                raise
        if self._next_order is not None:
            workflow.continue_as_new(self._next_order)
        raise ApplicationError(
            f"The plan of {order.period} was discarded; start the month again.",
            type=DISCARDED,
            non_retryable=True,
        )

    async def _bill_month(self, order: CycleOrder) -> ClosedCycle:
        if order.position is None and self._retry_requested:  # started by the signal
            self._retry_requested, self._failed_again = False, True
        while True:
            if self._phase == "plan":
                await self._plan(order)
            if self._phase == "issue":
                await self._issue(order)
            closed = await workflow.execute_local_activity(
                contract.close_cycle,
                CycleStep(order.period, order.requested_by),
                summary=f"Close {order.period}",
                **policies.RECORD,
            )
            if not self._retry_requested and workflow.patched("prove-cycle"):
                self._enter("prove")
                await prove(ProofOrder(order.period, order.calendar, order.requested_by))
            if not self._retry_requested:
                await workflow.wait_condition(workflow.all_handlers_finished)
                return closed
            self._begin_retry()

    @workflow.signal
    def pause(self) -> None:
        """No further customer is begun; those in flight are finished."""
        self._paused = True
        self._describe()

    @workflow.signal
    def resume(self) -> None:
        """Goes on after `pause`, or issues a plan that waited to be read."""
        self._paused = False
        self._describe()

    @workflow.signal
    def retry(self) -> None:
        """Bills the customers that failed once more, when the present pass is through."""
        self._retry_requested = True

    @workflow.signal
    def start_anew(self, order: CycleOrder) -> None:
        """The month was started while this workflow stood in the way: it counts if the plan is
        being discarded, since that would take the new order with it.
        """
        if self._discarding:
            self._next_order = order

    @workflow.update
    async def discard(self, order: DiscardOrder) -> DiscardedPlan:
        """Throws the plan away, of which nothing was issued, and ends the workflow.

        Refused with the reason once the issue has begun; the workflow then goes on.
        """
        async with self._between_steps:
            self._discarding = True
            try:
                plan = await workflow.execute_activity(
                    contract.discard_plan,
                    order,
                    summary=f"Discard the plan of {order.period}",
                    **policies.DISCARD,
                )
            except ActivityError:
                if not self._discarded:
                    self._discarding, self._next_order = False, None
                raise
            self._discarded = True
            return plan

    @workflow.query
    def progress(self) -> CycleProgress:
        return CycleProgress(self._phase, self._paused, self._counts, tuple(self._in_flight))

    async def _plan(self, order: CycleOrder) -> None:
        async with self._step_of_the_plan():
            await workflow.execute_local_activity(
                contract.open_cycle, order, summary=f"Open {order.period}", **policies.RECORD
            )
        while True:
            async with self._step_of_the_plan():
                page = await workflow.execute_activity(
                    contract.plan_page,
                    PlanPageOrder(
                        order.period,
                        self._after_account,
                        order.customers_per_page,
                        self._failed_again,
                    ),
                    summary=f"Rate the customers behind {self._after_account or 'the start'}",
                    **policies.RATE_PAGE,
                )
            if page.last_account is None:
                break
            self._count(drafted=page.drafted + page.late, skipped=page.skipped, failed=page.failed)
            self._after_account = page.last_account
            if workflow.info().is_continue_as_new_suggested():
                await self._continue_as_new(order)
        async with self._step_of_the_plan():
            await workflow.execute_local_activity(
                contract.finish_plan,
                CycleStep(order.period, order.requested_by),
                summary="Number the drafts",
                **policies.NUMBER,
            )
        if order.pause_before_issue and not self._failed_again:
            self._paused = True
        self._enter("issue")

    async def _issue(self, order: CycleOrder) -> None:
        await workflow.wait_condition(lambda: not self._paused or self._discarded)
        async with self._step_of_the_plan():
            await workflow.execute_local_activity(
                contract.begin_issue,
                CycleStep(
                    order.period, order.requested_by, order.calendar.real_date(workflow.now())
                ),
                summary="Begin to issue",
                **policies.RECORD,
            )
        pages = 0
        while True:
            page = await workflow.execute_local_activity(
                contract.list_drafts,
                DraftsOrder(
                    order.period,
                    self._after_account,
                    order.customers_per_page,
                    unowned_too=self._failed_again,
                ),
                summary=f"List the drafts behind {self._after_account or 'the start'}",
                **policies.RECORD,
            )
            if not page.drafts:
                break
            for draft in page.drafts:
                await workflow.wait_condition(
                    lambda: not self._paused and len(self._in_flight) < order.customers_in_flight
                )
                self._in_flight[draft.subject] = asyncio.create_task(self._bill(order, draft))
                self._after_account = draft.account_number
            pages += 1
            if pages >= order.pages_per_run or workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(lambda: not self._in_flight)
                await self._continue_as_new(order)
        await workflow.wait_condition(lambda: not self._in_flight)
        self._enter("close")

    @asynccontextmanager
    async def _step_of_the_plan(self) -> AsyncIterator[None]:
        """A step that a discard waits for, and that is not taken behind one."""
        async with self._between_steps:
            if self._discarded:
                raise _PlanDiscarded
            yield

    async def _bill(self, order: CycleOrder, draft: DraftToIssue) -> None:
        try:
            outcome = await self._bill_customer(order, draft)
        except ChildWorkflowError as error:
            outcome = await self._give_up(order, draft, str(error.cause or error))
        finally:
            self._in_flight.pop(draft.subject, None)
        if outcome.issued:
            self._count(issued=1)
        else:
            self._count(failed_to_issue=1)

    async def _give_up(
        self, order: CycleOrder, draft: DraftToIssue, reason: str
    ) -> CustomerOutcome:
        """The customer's own workflow broke down. What cannot even be recorded stays a draft,
        which the closed cycle counts and a retry takes up.
        """
        with suppress(ActivityError, ApplicationError):
            await workflow.execute_local_activity(
                customer_contract.record_failure,
                FailureReport(draft.number, "workflow_failed", reason, order.requested_by),
                summary=f"Record that {draft.subject} failed",
                **policies.RECORD,
            )
        return CustomerOutcome(draft.account_number, draft.number, issued=False, reason=reason)

    async def _bill_customer(self, order: CycleOrder, draft: DraftToIssue) -> CustomerOutcome:
        pause = 1
        while True:
            try:
                return await workflow.execute_child_workflow(
                    CustomerBilling.run,
                    CustomerOrder(
                        period=order.period,
                        account_number=draft.account_number,
                        number=draft.number,
                        calendar=order.calendar,
                        reminders_held=order.hold_reminders,
                        actor=order.requested_by,
                    ),
                    id=ids.customer_billing_id(order.period, draft.subject),
                    parent_close_policy=ParentClosePolicy.ABANDON,
                    cancellation_type=ChildWorkflowCancellationType.ABANDON,
                    static_summary=f"{draft.number} for {draft.subject}",
                    search_attributes=ids.search_attributes(
                        order.period, account_number=draft.account_number, number=draft.number
                    ),
                )
            except WorkflowAlreadyStartedError:
                # left in flight by a cycle that was terminated; it finishes by itself
                pause = min(2 * pause, policies.LONGEST_WAIT_FOR_EARLIER_CHILD)
                await workflow.sleep(pause, summary="Billed by an earlier cycle; wait")

    def _begin_retry(self) -> None:
        self._retry_requested = False
        self._failed_again = True
        self._enter("plan")

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._after_account = ""
        self._describe()

    def _count(self, **more: int) -> None:
        self._counts = replace(
            self._counts, **{name: getattr(self._counts, name) + n for name, n in more.items()}
        )
        self._describe()

    def _describe(self) -> None:
        counts = self._counts
        workflow.set_current_details(
            f"Phase: **{self._phase}**{' (paused)' if self._paused else ''}. "
            f"Planned: {counts.drafted} drafts, {counts.skipped} skipped, {counts.failed} failed. "
            f"Issued: {counts.issued}, failed to issue: {counts.failed_to_issue}."
        )

    async def _continue_as_new(self, order: CycleOrder) -> None:
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._discarded:
            raise _PlanDiscarded
        workflow.continue_as_new(
            replace(
                order,
                position=CyclePosition(
                    phase=self._phase,
                    after_account=self._after_account,
                    failed_again=self._failed_again,
                    retry_requested=self._retry_requested,
                    paused=self._paused,
                    counts=self._counts,
                ),
            )
        )
