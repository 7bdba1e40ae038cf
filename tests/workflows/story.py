"""An invoice's story on skipped time: issued today, told in days."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from domain.dunning import Event
from domain.instructions import InstructionKind
from domain.periods import BusinessCalendar
from tests.workflows.booked_invoice import BookedInvoice
from tests.workflows.collection_office import CollectionOffice
from tests.workflows.conftest import TASK_QUEUE
from workflows.contracts.lifecycle import Instruction, InvoiceOrder, PaymentReceived
from workflows.ids import invoice_id, search_attributes
from workflows.invoice_lifecycle import InvoiceLifecycle
from workflows.starting import tell_invoice

NUMBER = "INV-2026-02-0001"
BERLIN = BusinessCalendar("Europe/Berlin")
_HALF_A_DAY = timedelta(hours=12)
Handle = WorkflowHandle[InvoiceLifecycle, str]

_SIGNALS = {
    InstructionKind.HOLD: "hold",
    InstructionKind.RELEASE: "release",
    InstructionKind.VOID: "void",
    InstructionKind.CREDIT_NOTE: "ask",
    InstructionKind.RESEND: "ask",
    InstructionKind.RENEW_LINKS: "ask",
}


@dataclass
class Story:
    """Invoices in `office`, issued on `day_0`, due on day 30."""

    environment: WorkflowEnvironment
    day_0: date
    office: CollectionOffice = field(default_factory=CollectionOffice)
    calendar: BusinessCalendar = BERLIN

    @classmethod
    async def begin(cls, environment: WorkflowEnvironment, **changes: Any) -> "Story":
        """At noon of the seller's next day, whatever the time is now: what a story tells of its
        first hours must not reach into its second day.
        """
        zone = ZoneInfo(BERLIN.time_zone)
        now = (await environment.get_current_time()).astimezone(zone)
        today = now.date() + timedelta(days=1)
        await environment.sleep(datetime.combine(today, time(12), zone) - now)
        return cls._today(environment, today, **changes)

    @classmethod
    async def begin_in_real_time(cls, environment: WorkflowEnvironment) -> "Story":
        """Now, on a server whose clock does not skip; the story tells no hours then."""
        now = await environment.get_current_time()
        return cls._today(environment, now.astimezone(ZoneInfo(BERLIN.time_zone)).date())

    @classmethod
    def _today(cls, environment: WorkflowEnvironment, today: date, **changes: Any) -> "Story":
        story = cls(environment, today, **changes)
        story.office.calendar = story.calendar
        return story

    @property
    def invoice(self) -> BookedInvoice:
        return self.office.invoices[NUMBER]

    @property
    def handle(self) -> Handle:
        return self.handle_of(NUMBER)

    def handle_of(self, number: str) -> Handle:
        return self.environment.client.get_workflow_handle_for(
            InvoiceLifecycle.run, invoice_id(number)
        )

    def keep(
        self, card: str | None = None, number: str = NUMBER, *, due: int = 30, **changes: Any
    ) -> BookedInvoice:
        """An issued invoice of customer 1001, due `due` days after the issue."""
        return self.office.keep(
            BookedInvoice(number, "1001", self.day_0, self.day(due), card=card, **changes)
        )

    def order(self, number: str = NUMBER, **changes: Any) -> InvoiceOrder:
        invoice = self.office.invoices[number]
        return InvoiceOrder(
            number,
            invoice.account,
            "2026-02",
            invoice.issued_on,
            invoice.due_on,
            calendar=self.calendar,
            **{"case": invoice.case(), **changes},
        )

    async def start(self, number: str = NUMBER, **changes: Any) -> Handle:
        """The invoice's workflow begins as the billing starts it, `changes` made to its order."""
        return await self.environment.client.start_workflow(
            InvoiceLifecycle.run,
            self.order(number, **changes),
            id=invoice_id(number),
            task_queue=TASK_QUEUE,
            search_attributes=search_attributes("2026-02", account_number="1001", number=number),
        )

    async def issue(self, card: str | None = None, **changes: Any) -> Handle:
        """An invoice is issued, and what its first minute brings has happened."""
        self.keep(card, **changes)
        handle = await self.start()
        await self.pass_time(timedelta(minutes=1))
        return handle

    # --- time

    def day(self, days: int) -> date:
        return self.day_0 + timedelta(days=days)

    async def until(self, days: int, clock: time = time(12)) -> None:
        """Lets time pass until `clock` in the seller's zone, `days` days after the issue."""
        zone = ZoneInfo(self.calendar.time_zone)
        then = datetime.combine(self.day(days), clock, zone)
        await self.pass_time(then - await self.environment.get_current_time())

    async def pass_time(self, duration: timedelta) -> None:
        """Half a day at a time: the SDK gives each call thirty real seconds, and a day may be full
        of work that is tried again and again.
        """
        while duration > timedelta(0):
            part = min(duration, _HALF_A_DAY)
            await self.environment.sleep(part)
            duration -= part

    async def end(self, number: str = NUMBER) -> str:
        """How the invoice's workflow ends, now: waiting for it lets no time pass."""
        with self.environment.auto_time_skipping_disabled():
            async with asyncio.timeout(30):
                return await self.handle_of(number).result()

    async def details(self) -> str:
        """What the Web UI shows of the first invoice's workflow."""
        metadata = await self.handle.query(
            "__temporal_workflow_metadata", result_type=WorkflowMetadata
        )
        return str(metadata.current_details)

    # --- what others do

    async def arrives(self, what: Callable[[date], None], number: str = NUMBER) -> None:
        """Something is stored for the invoice, and its workflow is told."""
        self.office.invoices[number].waiting.append(what)
        await self.tell("payment_received", PaymentReceived("test"), number)

    async def pay(self, amount: str = "100.00", number: str = NUMBER) -> None:
        invoice = self.office.invoices[number]
        await self.arrives(lambda on: invoice.receive(type(invoice.total)(amount), on), number)

    def leave_card(self, card: str) -> None:
        """The customer of the first invoice leaves a card, which their other ones are to try."""
        for other in self.office.invoices.values():
            if other.account == self.invoice.account and not other.settled:
                other.card = card
                other.to_wake = other is not self.invoice

    def take_back(self, on: date, event: Event, invoice: BookedInvoice | None = None) -> None:
        """All that was paid went back to the payer."""
        invoice = invoice or self.invoice
        invoice.paid *= 0
        invoice.move(event, on)

    def reverse_wire(self, on: date, invoice: BookedInvoice | None = None) -> None:
        self.take_back(on, Event.WIRE_REVERSED, invoice)
        (invoice or self.invoice).restart_steps(on, new_round=True)

    def pay_late(self, on: date) -> None:
        """What was written off is paid after all."""
        self.invoice.paid = self.invoice.total
        self.invoice.move(Event.SETTLED, on)

    def dispute(self, on: date) -> None:
        self.invoice.disputed = True
        self.invoice.move(Event.DISPUTE_OPENED, on)

    def win_dispute(self, on: date) -> None:
        self.invoice.disputed = False
        self.invoice.move(Event.DISPUTE_WON, on)
        self.invoice.restart_steps(on, new_round=False)

    async def ask(
        self, kind: InstructionKind, *, until: date | None = None, number: str = NUMBER
    ) -> int:
        """A person asks for something, as the API passes it on; its id."""
        instruction = self.office.ask(number, kind, until)
        signal = _SIGNALS.get(kind, "resolve_manual_review")
        await self.tell(signal, Instruction(instruction), number)
        return instruction

    async def tell(
        self, signal: str, message: PaymentReceived | Instruction, number: str = NUMBER
    ) -> None:
        await tell_invoice(
            self.environment.client,
            self.office.resumption(number),
            signal,
            message,
            task_queue=TASK_QUEUE,
        )

    async def outgrow_the_run(self, *, events: int) -> str:
        """The sweep looks after the first invoice until its run has so many events; the run that
        it then has.
        """
        while (await self.handle.describe()).history_length < events:
            await self.tell("payment_received", PaymentReceived("sweep"))
        await self.handle.query(InvoiceLifecycle.case)  # behind all that it was told
        return (await self.handle.describe()).run_id

    async def follow_the_run(self, run_id: str | None) -> None:
        """Waits until another run has followed that one."""
        async with asyncio.timeout(30):
            while (await self.handle.describe()).run_id == run_id:
                await asyncio.sleep(0.05)

    # --- what came of it

    @property
    def charged_on(self) -> list[int]:
        """The days after the issue on which a card was charged."""
        return [(on - self.day_0).days for _, _, on in self.office.charges]

    @property
    def mails(self) -> list[tuple[int, str]]:
        """(day, kind) of every e-mail that went out, in order."""
        return [
            ((mail.business_date - self.day_0).days, mail.kind.value) for mail in self.office.mails
        ]
