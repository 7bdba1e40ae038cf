"""An invoice from issue to settlement: delivered, then waited for under durable timers."""

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from domain.invoice import overdue_from
from workflows import ids, policies
from workflows.contracts import lifecycle as contract
from workflows.contracts.lifecycle import (
    InvoiceOrder,
    InvoiceStanding,
    Occasion,
    PaymentReceived,
    UndeliveredReport,
)

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@workflow.defn
class InvoiceLifecycle:
    """Owns one issued invoice until it is settled. Signals: `payment_received`, `hold`, `release`.

    The invoice itself lives in PostgreSQL; this workflow knows what is to happen next and when.
    """

    @workflow.init
    def __init__(self, order: InvoiceOrder) -> None:
        self._order = order
        self._status = "paid" if order.nothing_to_pay else "issued"
        self._settled = order.nothing_to_pay
        self._held = order.reminders_held
        self._payments_to_count = 0
        self._overdue_from: date | None = overdue_from(order.due_on)

    @workflow.run
    async def run(self, order: InvoiceOrder) -> str:
        """The status with which the invoice ended: paid, void or uncollectible."""
        delivery = asyncio.create_task(self._deliver())
        while not self._settled:
            if await self._payment_before(self._overdue_from):
                await self._count_payments()
            else:
                await self._mark_overdue()
        while not delivery.done() or self._payments_to_count:
            await workflow.wait_condition(lambda: delivery.done() or self._payments_to_count > 0)
            if self._payments_to_count:
                await self._count_payments()
        return self._status

    @workflow.signal
    def payment_received(self, payment: PaymentReceived) -> None:
        """A payment was stored and is to be counted. Cancels the step that was waited for."""
        self._payments_to_count += 1

    @workflow.signal
    def hold(self) -> None:
        """No reminder is sent until released; due date and payments count all the same."""
        self._held = True

    @workflow.signal
    def release(self) -> None:
        """Reminders may be sent again."""
        self._held = False

    @workflow.query
    def on_hold(self) -> bool:
        return self._held

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
            await self._record(
                contract.record_undelivered,
                UndeliveredReport(
                    self._order.number, self._occasion().business_date, str(error.cause)
                ),
                "could not be e-mailed",
            )

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
            await self._record(contract.settle_invoice, self._occasion(), "has a payment to count")
        )

    async def _mark_overdue(self) -> None:
        self._overdue_from = None
        self._became(await self._record(contract.mark_overdue, self._occasion(), "is overdue"))

    async def _record(
        self, effect: Callable[[Argument], Result], argument: Argument, what: str
    ) -> Result:
        """Records what happened, however long it takes: an invoice never loses its workflow to a
        defect. The details tell an engineer, and the record is tried again each hour.
        """
        while True:
            try:
                return await workflow.execute_local_activity(
                    effect, argument, summary=f"{self._order.number} {what}", **policies.RECORD
                )
            except (ActivityError, ApplicationError) as error:
                workflow.set_current_details(f"**Needs an engineer**: it {what}, and {error}")
                await workflow.sleep(policies.AFTER_A_DEFECT, summary="Try again after a defect")

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
