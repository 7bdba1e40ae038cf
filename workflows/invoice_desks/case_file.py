"""The invoice as its workflow last saw it, and how its records are made."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError, RetryState, is_cancelled_exception

from domain.dunning import Case
from workflows import ids, policies
from workflows.contracts.lifecycle import InvoiceOrder, Occasion
from workflows.invoice_desks.beside import Beside
from workflows.invoice_desks.clock import BusinessClock

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class Defect(Exception):
    """An activity failed for good, by an error of ours; `what` it was to do, and the reason."""

    def __init__(self, what: str, failure: FailureError) -> None:
        reason = failure.cause if isinstance(failure, ActivityError) else failure
        super().__init__(f"it {what}, and {reason}")


class CaseFile:
    """The latest case of one invoice.

    Attributes:
        clock: the invoice's business days.
        steps_taken: how many steps of this round are behind it; runs ahead of the case's while a
            step's e-mail waits for the mail server.
        changes: grows whenever a case is taken over.
        follow_up: is told the case before, None for the first, and the one taken over.
    """

    def __init__(
        self,
        order: InvoiceOrder,
        clock: BusinessClock,
        beside: Beside,
        follow_up: Callable[[Case | None, Case], None],
    ) -> None:
        self.number = order.number
        self.clock = clock
        self.steps_taken = order.position.steps_taken if order.position else 0
        self.changes = 0
        self._order = order
        self._beside = beside
        self._follow_up = follow_up
        self._latest: Case | None = None
        self._troubles: list[str] = []

    @property
    def latest(self) -> Case | None:
        """None until the first one is taken over."""
        return self._latest

    @property
    def case(self) -> Case:
        assert self._latest is not None, "the case is opened first"
        return self._latest

    @property
    def task_queue(self) -> str:
        return workflow.info().task_queue

    @property
    def occasion(self) -> Occasion:
        return Occasion(self.number, self.clock.today())

    def take_over(self, case: Case) -> None:
        """Replaces the latest case by one that is not older, and has followed up what is new."""
        before = self._latest
        if before is not None and case.revision < before.revision:
            return
        self._latest = case
        self.changes += 1
        if before is None:
            self.steps_taken = max(self.steps_taken, case.steps_taken)
        elif case.round != before.round or (before.steps_stopped and not case.steps_stopped):
            self.steps_taken = case.steps_taken
        self.describe()
        self._follow_up(before, case)

    async def record(
        self, effect: Callable[[Argument], Result], argument: Argument, what: str
    ) -> Result:
        """A short transaction. Raises Defect where it fails for good."""
        return await self.once(
            lambda: workflow.execute_local_activity(
                effect, argument, summary=f"{self.number} {what}", **policies.RECORD
            ),
            what,
        )

    async def once(self, call: Callable[[], Awaitable[Result]], what: str) -> Result:
        """Raises Defect where `call` fails for good; a cancellation passes as it is.

        An attempt that fails while the run ends has not failed for good: Temporal tries nothing
        again that was cancelled meanwhile, and the next run does.
        """
        try:
            return await call()
        except FailureError as failure:
            if is_cancelled_exception(failure):
                raise
            if self._beside.is_put_down:
                raise asyncio.CancelledError from failure
            raise Defect(what, failure) from failure

    async def patiently(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Does `work` however long it takes: an invoice never loses its workflow to a defect.

        The details tell an engineer, and it is tried again each hour.
        """
        while True:
            try:
                return await work()
            except Defect as defect:
                trouble = str(defect)
                self._troubles.append(trouble)
                self.describe()
                await workflow.sleep(policies.AFTER_A_DEFECT, summary="Try again after a defect")
                self._troubles.remove(trouble)
                self.describe()

    async def ask_processor(
        self,
        effect: Callable[[Argument], Result],
        order: Callable[[], Argument],
        *,
        summary: str,
        what: str,
    ) -> Result:
        """An effect at the card processor, however long that is away.

        It is ordered anew each hour, so that it counts on the business day of its outcome and not
        on the day on which the outage began.
        """

        async def ask() -> Result:
            while True:
                try:
                    return await workflow.execute_activity(
                        effect,
                        order(),
                        task_queue=ids.card_queue(self.task_queue),
                        summary=summary,
                        **policies.CHARGE,
                    )
                except ActivityError as failure:
                    timed_out = failure.retry_state is RetryState.TIMEOUT
                    if not timed_out or self._beside.is_put_down:
                        raise

        return await self.patiently(lambda: self.once(ask, what))

    def describe(self) -> None:
        """Shows the case in the Web UI; the search attribute when the state changes."""
        told = [f"**Needs an engineer**: {trouble}" for trouble in self._troubles]
        case = self._latest
        if case is not None:
            held = ", on hold" if case.on_hold else ""
            told.append(
                f"**{case.state.value.replace('_', ' ')}**{held}, {case.open_amount:f} open, "
                f"due {self._order.due_on}"
            )
            shown = workflow.info().typed_search_attributes.get(ids.COLLECTION_STATE)
            if shown != case.state.value:
                workflow.upsert_search_attributes(
                    [ids.COLLECTION_STATE.value_set(case.state.value)]
                )
        workflow.set_current_details("\n\n".join(told))
