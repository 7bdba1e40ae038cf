"""An invoice from issue to settlement: delivered, then waited for under durable timers."""

import asyncio
from datetime import date, datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows import ids, policies
from workflows.contracts import lifecycle as contract
from workflows.contracts.lifecycle import (
    InvoiceOrder,
    InvoiceStanding,
    Occasion,
    PaymentReceived,
)


@workflow.defn
class InvoiceLifecycle:
    """Owns one issued invoice until it is settled. Signal: `payment_received`.

    The invoice itself lives in PostgreSQL; this workflow knows what is to happen next and when.
    """

    @workflow.init
    def __init__(self, order: InvoiceOrder) -> None:
        self._order = order
        self._status = "paid" if order.nothing_to_pay else "issued"
        self._settled = order.nothing_to_pay
        self._payments_to_count = 0
        self._overdue_from: date | None = order.due_on + timedelta(days=1)

    @workflow.run
    async def run(self, order: InvoiceOrder) -> str:
        """The status with which the invoice ended: paid, void or uncollectible."""
        delivery = asyncio.create_task(self._deliver())
        while not self._settled:
            if await self._payment_before(self._overdue_from):
                await self._count_payments()
            else:
                await self._mark_overdue()
        await delivery
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._status

    @workflow.signal
    def payment_received(self, payment: PaymentReceived) -> None:
        """A payment was stored and is to be counted. Cancels the step that was waited for."""
        self._payments_to_count += 1

    async def _deliver(self) -> None:
        """Beside the rest: a mail server that is away for days holds up no payment and no step."""
        try:
            await workflow.execute_activity(
                contract.deliver_invoice,
                self._occasion(),
                task_queue=ids.mail_queue(workflow.info().task_queue),
                summary=f"E-mail {self._order.number}",
                **policies.SEND_MAIL,
            )
        except ActivityError as error:
            workflow.set_current_details(f"Not delivered by e-mail: {error.cause}")

    async def _payment_before(self, day: date | None) -> bool:
        """Waits for a payment until the step of `day` fires; None waits for good."""
        timeout = None if day is None else max(self._fires_at(day) - workflow.now(), timedelta(0))
        try:
            await workflow.wait_condition(
                lambda: self._payments_to_count > 0,
                timeout=timeout,
                timeout_summary=f"Overdue from {day}",
            )
        except TimeoutError:
            return False
        return True

    async def _count_payments(self) -> None:
        self._payments_to_count = 0
        self._became(
            await workflow.execute_local_activity(
                contract.settle_invoice,
                self._occasion(),
                summary=f"Count the payments of {self._order.number}",
                **policies.RECORD,
            )
        )

    async def _mark_overdue(self) -> None:
        self._overdue_from = None
        self._became(
            await workflow.execute_local_activity(
                contract.mark_overdue,
                self._occasion(),
                summary=f"{self._order.number} is overdue",
                **policies.RECORD,
            )
        )

    def _became(self, standing: InvoiceStanding) -> None:
        """Shows the new standing in the Web UI; the search attribute only when it ends."""
        self._status = standing.status
        self._settled = standing.settled
        workflow.set_current_details(
            f"**{standing.status}**, {standing.open_amount:f} open, due {self._order.due_on}"
        )
        if standing.settled:
            workflow.upsert_search_attributes([ids.COLLECTION_STATE.value_set(standing.status)])

    def _occasion(self) -> Occasion:
        today = self._order.calendar.business_date(
            workflow.now(),
            counted_from=self._order.issued_on,
            started_at=workflow.info().start_time,
        )
        return Occasion(self._order.number, today)

    def _fires_at(self, day: date) -> datetime:
        return self._order.calendar.fires_at(
            day, counted_from=self._order.issued_on, started_at=workflow.info().start_time
        )
