"""The activities of collection, in memory, over invoices that obey the real rules."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date

from temporalio import activity
from temporalio.exceptions import ApplicationError

from domain.declines import DeclineClass
from domain.dunning import Case, Event
from domain.instructions import InstructionKind
from domain.periods import BusinessCalendar
from tests.workflows.booked_invoice import BookedInvoice, Told
from workflows.contracts.collection import (
    ReleaseAsked,
    ReleasePage,
    ReleasePageOrder,
    SweepOrder,
    Swept,
)
from workflows.contracts.lifecycle import (
    CarriedOut,
    ChargeOrder,
    CreditNoteOrder,
    InstructionOrder,
    InvoiceOrder,
    NoticeOrder,
    Occasion,
    PageOrder,
    ReviewOrder,
    UndeliveredReport,
)

DEFECT = ApplicationError("a defect", type="defect", non_retryable=True)


@dataclass
class CollectionOffice:
    """The activities of collection.

    `bank`: what becomes of a charge, by card; None is success. `broken`: names of activities that
    meet a defect. `charges`, `mails`: what was done, in order.
    """

    invoices: dict[str, BookedInvoice] = field(default_factory=dict)
    bank: dict[str, DeclineClass | None] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    mail_is_down: bool = False
    gateway_is_down: bool = False
    charges: list[tuple[str, int, date]] = field(default_factory=list)
    mails: list[NoticeOrder] = field(default_factory=list)
    undelivered: list[UndeliveredReport] = field(default_factory=list)
    unmailed: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)

    def __post_init__(self) -> None:
        self._bank_answers = asyncio.Event()
        self._bank_answers.set()
        self._mail_is_taken = asyncio.Event()
        self._mail_is_taken.set()
        self._heard = asyncio.Condition()
        self._instructions = 0

    # --- the world

    def keep(self, invoice: BookedInvoice) -> BookedInvoice:
        self.invoices[invoice.number] = invoice
        return invoice

    def bank_is_slow(self) -> None:
        """Charges wait at the bank until `bank_answers`."""
        self._bank_answers.clear()

    def bank_answers(self) -> None:
        self._bank_answers.set()

    def mail_is_slow(self) -> None:
        """E-mails are on the line until `mail_is_taken`."""
        self._mail_is_taken.clear()

    def mail_is_taken(self) -> None:
        self._mail_is_taken.set()

    def ask(self, number: str, kind: InstructionKind, until: date | None = None) -> int:
        """Stores what a person asks for; its id."""
        self._instructions += 1
        self.invoices[number].instructions[self._instructions] = Told(kind, until)
        return self._instructions

    def resumption(self, number: str) -> InvoiceOrder:
        """What the invoice's workflow is started with when it is taken up."""
        invoice = self.invoices[number]
        return InvoiceOrder(
            number,
            invoice.account,
            "2026-02",
            invoice.issued_on,
            invoice.due_on,
            calendar=self.calendar,
            resumed_on=invoice.events[-1][0] if invoice.events else invoice.issued_on,
        )

    async def heard(self, what: Callable[[], bool]) -> None:
        """Waits until the activities have brought about `what`."""
        async with asyncio.timeout(30), self._heard:
            await self._heard.wait_for(what)

    async def _note(self, name: str) -> None:
        async with self._heard:
            self.done.append(name)
            self._heard.notify_all()

    async def _case(self, name: str, number: str) -> Case:
        await self._note(name)
        invoice = self.invoices[number]
        others = [
            other.number
            for other in self.invoices.values()
            if other.to_wake and other.account == invoice.account and other is not invoice
        ]
        return invoice.case(tuple(others))

    def _meet_defect(self, name: str) -> None:
        if name in self.broken:
            raise DEFECT

    # --- the activities

    @activity.defn
    async def load_case(self, occasion: Occasion) -> Case:
        self._meet_defect("load_case")
        return await self._case("load_case", occasion.number)

    @activity.defn
    async def take_in(self, occasion: Occasion) -> Case:
        self._meet_defect("take_in")
        invoice = self.invoices[occasion.number]
        invoice.to_wake = False
        while invoice.waiting:
            invoice.waiting.pop(0)(occasion.business_date)
        return await self._case("take_in", occasion.number)

    @activity.defn
    async def carry_out(self, order: InstructionOrder) -> CarriedOut:
        invoice = self.invoices[order.number]
        told = invoice.carry_out(order.instruction, order.business_date)
        done = told.outcome == "done"
        return CarriedOut(
            case=await self._case("carry_out", order.number),
            done=done,
            charge=done and told.kind is InstructionKind.CHARGE_AGAIN,
            resend=done and told.kind is InstructionKind.RESEND,
        )

    @activity.defn
    async def mark_overdue(self, occasion: Occasion) -> Case:
        self.invoices[occasion.number].move(Event.FELL_OVERDUE, occasion.business_date)
        return await self._case("mark_overdue", occasion.number)

    @activity.defn
    async def begin_review(self, order: ReviewOrder) -> Case:
        invoice = self.invoices[order.number]
        invoice.move(Event.REVIEW_DUE, order.business_date)
        invoice.steps_taken = order.place
        return await self._case("begin_review", order.number)

    @activity.defn
    async def charge_invoice(self, order: ChargeOrder) -> Case:
        self._meet_defect("charge_invoice")
        if self.gateway_is_down:
            raise ConnectionError("the card processor does not answer")
        invoice = self.invoices[order.number]
        attempt = invoice.begin_charge(order.attempt, order.business_date)
        if attempt is not None and attempt.outcome == "pending":
            await self._note("charge_begun")
            await self._bank_answers.wait()
            if self.gateway_is_down:
                raise ConnectionError("the card processor hung up")
            self.charges.append((order.number, order.attempt, order.business_date))
            invoice.end_charge(attempt, self.bank[attempt.card], order.business_date)
        return await self._case("charge_invoice", order.number)

    @activity.defn
    async def open_checkout(self, order: PageOrder) -> str:
        self.invoices[order.number].pages_open = True
        await self._note("open_checkout")
        return f"https://pay.example/{order.number}"

    @activity.defn
    async def open_card_setup(self, order: PageOrder) -> str:
        await self._note("open_card_setup")
        return f"https://card.example/{order.number}"

    @activity.defn
    async def close_checkouts(self, occasion: Occasion) -> Case:
        self.invoices[occasion.number].pages_open = False
        return await self._case("close_checkouts", occasion.number)

    @activity.defn
    async def render_credit_note(self, order: CreditNoteOrder) -> None:
        await self._note(f"render {order.credit_note}")

    @activity.defn
    async def refund_credit_note(self, order: CreditNoteOrder) -> Case:
        if self.gateway_is_down:
            raise ConnectionError("the card processor does not answer")
        return await self._case(f"refund {order.credit_note}", order.number)

    @activity.defn
    async def send_notice(self, order: NoticeOrder) -> Case:
        self._meet_defect("send_notice")
        if self.mail_is_down:
            raise OSError("the mail server does not answer")
        await self._note("mail_begun")
        await self._mail_is_taken.wait()
        if self.mail_is_down:
            raise OSError("the mail server hung up")
        if self.invoices[order.number].send(order):
            self.mails.append(order)
        return await self._case("send_notice", order.number)

    @activity.defn
    async def record_undelivered(self, report: UndeliveredReport) -> Case:
        self.undelivered.append(report)
        self.invoices[report.order.number].record_notice(report.order)
        return await self._case("record_undelivered", report.order.number)

    @activity.defn
    async def find_waiting(self, order: SweepOrder) -> Swept:
        waiting = sorted(
            invoice.number
            for invoice in self.invoices.values()
            if (invoice.waiting or invoice.to_wake or invoice.case().instructions)
            and invoice.number > order.after
        )[: order.limit]
        return Swept(
            tuple(self.resumption(number) for number in waiting),
            after=waiting[-1] if len(waiting) == order.limit else None,
            unmailed=tuple(self.resumption(number) for number in self.unmailed),
        )

    @activity.defn
    async def release_page(self, order: ReleasePageOrder) -> ReleasePage:
        held = sorted(
            number
            for number, invoice in self.invoices.items()
            if invoice.on_hold and number > order.after
        )
        return ReleasePage(
            tuple(
                ReleaseAsked(number, self.ask(number, InstructionKind.RELEASE))
                for number in held[: order.limit]
            )
        )

    def of_the_billing_queue(self) -> list[Callable[..., Awaitable[object]]]:
        return [
            self.load_case,
            self.take_in,
            self.carry_out,
            self.mark_overdue,
            self.begin_review,
            self.render_credit_note,
            self.record_undelivered,
            self.find_waiting,
            self.release_page,
        ]

    def of_the_card_queue(self) -> list[Callable[..., Awaitable[object]]]:
        return [
            self.charge_invoice,
            self.open_checkout,
            self.open_card_setup,
            self.close_checkouts,
            self.refund_credit_note,
        ]
