"""An invoice from issue to settlement: charged or waited for, dunned, reviewed, under durable
timers."""

from dataclasses import replace

from temporalio import workflow

from domain.dunning import Case, CollectionState, Due, next_due
from domain.emails import EmailKind
from workflows.contracts import lifecycle as contract
from workflows.contracts.lifecycle import (
    ChargeErrand,
    Instruction,
    InstructionOrder,
    InvoiceOrder,
    InvoicePosition,
    PageRequest,
    PaymentMethodUpdated,
    PaymentReceived,
    ReviewOrder,
)
from workflows.invoice_desks.beside import Beside
from workflows.invoice_desks.cards import CardDesk
from workflows.invoice_desks.case_file import CaseFile, Defect
from workflows.invoice_desks.clock import BusinessClock
from workflows.invoice_desks.credits import CreditDesk
from workflows.invoice_desks.mail import MailDesk


@workflow.defn
class InvoiceLifecycle:
    """Owns one issued invoice until it is settled.

    Signals: `payment_received`, `payment_method_updated`, `resolve_manual_review`, `hold`,
    `release`, `void`, `ask`. Updates: `open_checkout`, `open_card_setup`. Query: `case`.

    The invoice lives in PostgreSQL; every activity answers the case as it then stands, and from
    the case follows what is to be done next, so that an answer that was lost is made up for by
    the next one. E-mails and charges run beside the loop: neither a mail server nor a card
    processor that is away keeps a payment from being counted.
    """

    @workflow.init
    def __init__(self, order: InvoiceOrder) -> None:
        self._order = order
        self._clock = BusinessClock.of(order)
        self._beside = Beside()
        self._file = CaseFile(order, self._clock, self._beside, self._follow_up)
        self._mail = MailDesk(self._file, self._beside)
        self._cards = CardDesk(self._file, self._beside, self._mail)
        self._credits = CreditDesk(self._file, self._beside, self._mail)
        self._arrived = order.case is None or order.position is not None
        self._instructions: list[int] = []
        self._carried_out: set[int] = set()

    @workflow.run
    async def run(self, order: InvoiceOrder) -> str:
        """The state in which the invoice ended: paid, void or uncollectible."""
        self._continue(order.position)
        await self._file.patiently(self._open)
        while not await self._is_over():
            await self._file.patiently(self._go_on)
        return self._file.case.state.value

    # --- what others tell

    @workflow.signal
    def payment_received(self, payment: PaymentReceived) -> None:
        """Something was stored for the invoice and is to be booked. Cancels the pending timer."""
        self._arrived = True

    @workflow.signal
    def payment_method_updated(self, update: PaymentMethodUpdated) -> None:
        """The customer has a new card, and it is this invoice's turn to be charged with it."""
        self._arrived = True
        self._cards.order(ChargeErrand(new_card=True, then=update.then))

    @workflow.signal
    def resolve_manual_review(self, instruction: Instruction) -> None:
        """A person has decided a case of manual review."""
        self._ask(instruction.id)

    @workflow.signal
    def hold(self, instruction: Instruction) -> None:
        """No step is taken until released; due date and payments count all the same."""
        self._ask(instruction.id)

    @workflow.signal
    def release(self, instruction: Instruction) -> None:
        """The steps go on, and count from the release."""
        self._clock.start(instruction.clock_from or workflow.now())
        self._ask(instruction.id)

    @workflow.signal
    def void(self, instruction: Instruction) -> None:
        """The invoice is taken back by a credit note."""
        self._ask(instruction.id)

    @workflow.signal
    def ask(self, instruction: Instruction) -> None:
        """Any other instruction of a person: a credit note, the e-mail once more."""
        self._ask(instruction.id)

    @workflow.query
    def case(self) -> Case | None:
        """The invoice as this workflow last saw it."""
        return self._file.latest

    @workflow.update
    async def open_checkout(self, request: PageRequest) -> str:
        """The address of a page on which the payer pays what is open.

        Refused while the card on file is being charged.
        """
        return await self._cards.open_checkout(request)

    @workflow.update
    async def open_card_setup(self, request: PageRequest) -> str:
        """The address of a page on which the customer leaves a new card."""
        return await self._cards.open_card_setup(request)

    # --- the loop

    async def _open(self) -> None:
        """Takes up the case: as it was posted, or as PostgreSQL has it; then what was left to do
        with it.
        """
        if self._order.case is not None:
            self._file.take_over(self._order.case)
        else:
            occasion = self._file.occasion
            self._file.take_over(
                await self._file.record(contract.load_case, occasion, "is taken up")
            )
        if self._arrived:
            await self._take_in()
        if self._order.position is None:
            self._make_contact()

    async def _is_over(self) -> bool:
        if self._nothing_is_left():
            await workflow.wait_condition(workflow.all_handlers_finished)
        return self._nothing_is_left()

    async def _go_on(self) -> None:
        """Waits for the next thing that happens or falls due, and does what it asks for."""
        if workflow.info().get_current_history_length() >= self._order.events_per_run:
            await self._continue_as_new()
        due = self._next_due()
        try:
            if await self._something_before(due):
                await self._attend()
            elif due is not None:
                await self._take(due)
        except Defect:
            self._arrived = True  # what was told is looked for again, in PostgreSQL
            raise

    def _next_due(self) -> Due | None:
        """No step falls due while a charge is on its way, whose outcome decides which does; and
        nothing while the clock of a demonstration stands still.
        """
        if self._clock.stands_still:
            return None
        case = self._file.case
        charging = self._cards.in_hand is not None
        taken = len(case.policy.steps) if charging else self._file.steps_taken
        return next_due(case, steps_taken=taken)

    def _nothing_is_left(self) -> bool:
        self._beside.raise_what_broke()
        return (
            self._file.case.is_settled and self._beside.is_idle and not self._has_something_to_do()
        )

    def _has_something_to_do(self) -> bool:
        return bool(self._arrived or self._instructions or self._cards.can_begin)

    async def _something_before(self, due: Due | None) -> bool:
        """Waits until something is told or done, or the next step fires; None waits for good.

        What was told before goes before a step that is late.
        """
        if self._has_something_to_do():
            return True
        seen = (self._file.changes, self._beside.ended)
        timeout, summary = None, None
        if due is not None:
            timeout = self._clock.time_until(due.on)
            what = due.step.notice.value.replace("_", " ") if due.step else "overdue"
            summary = f"{what} on {due.on}"
        try:
            await workflow.wait_condition(
                lambda: (
                    self._has_something_to_do() or seen != (self._file.changes, self._beside.ended)
                ),
                timeout=timeout,
                timeout_summary=summary,
            )
        except TimeoutError:
            return False
        return True

    async def _attend(self) -> None:
        """Books what arrived, then does what people asked for, then begins the next charge."""
        if self._arrived:
            await self._take_in()
        while self._instructions:
            first = min(self._instructions)
            self._instructions.remove(first)
            await self._carry_out(first)
        self._cards.begin_next()

    def _ask(self, instruction: int) -> None:
        """What was asked before, and whose signal was lost, is done before: it is looked for."""
        self._instructions.append(instruction)
        self._arrived = True

    async def _take_in(self) -> None:
        self._arrived = False
        case = await self._file.record(
            contract.take_in, self._file.occasion, "has something to book"
        )
        self._file.take_over(case)
        self._instructions.extend(i for i in case.instructions if i not in self._instructions)
        if case.card_waiting and case.may_be_charged:
            self._cards.order_for_all()

    async def _carry_out(self, instruction: int) -> None:
        """One that is told twice, by its signal and by what is stored, is carried out once."""
        if instruction in self._carried_out:
            return
        order = InstructionOrder(self._file.number, instruction, self._clock.today())
        done = await self._file.record(contract.carry_out, order, "has an instruction to carry out")
        self._carried_out.add(instruction)
        self._file.take_over(done.case)
        if not done.case.on_hold:
            self._clock.start(workflow.now())  # a release whose signal was lost
        if done.resend:
            self._mail.resend(instruction)
        if done.charge:
            self._cards.order(ChargeErrand())

    async def _take(self, due: Due) -> None:
        """The next step of dunning, or the overdue mark."""
        file, case = self._file, self._file.case
        if due.step is None:
            file.take_over(await file.record(contract.mark_overdue, file.occasion, "is overdue"))
        elif due.step.notice is EmailKind.REVIEW_NOTICE:
            order = ReviewOrder(file.number, self._clock.today(), due.place)
            file.take_over(await file.record(contract.begin_review, order, "needs a person"))
        else:
            file.steps_taken = due.place
            if due.step.retry and (case.worth_retrying or case.charge_pending):
                self._cards.order(ChargeErrand(place=due.place))
            else:
                self._mail.remind(due.place)

    # --- what follows from the case

    def _make_contact(self) -> None:
        """The customer hears of the invoice: by its receipt, its e-mail, or why it was declined.

        A charge that a lost workflow left on its way is brought to its end; where a step is due
        that charges anyhow, by that step.
        """
        case = self._file.case
        if case.charge_pending:
            if not self._charges_today():
                self._cards.order(ChargeErrand())
        elif case.contacted or self._mail.on_its_way:
            return
        elif case.is_settled:
            if case.state is CollectionState.PAID:
                self._mail.tell(EmailKind.RECEIPT if case.amount_paid else EmailKind.INVOICE, 0)
        elif case.may_be_charged and case.attempts == 0:
            self._cards.order(ChargeErrand())
        else:
            self._mail.tell_outcome()

    def _charges_today(self) -> bool:
        due = self._next_due()
        return bool(due and due.step and due.step.retry and due.on <= self._clock.today())

    def _follow_up(self, before: Case | None, case: Case) -> None:
        """Begins what follows from a case beside the steps; an e-mail of a change is numbered by
        the case's revision.
        """
        if before is not None:
            self._tell_of_changes(before, case)
        for credit in case.unfinished_credits:
            self._credits.finish(credit)
        if case.is_settled and case.open_checkouts:
            self._cards.close_pages()

    def _tell_of_changes(self, before: Case, case: Case) -> None:
        if case.state is CollectionState.PAID is not before.state and case.amount_paid > 0:
            self._mail.tell(EmailKind.RECEIPT, case.revision)
        if case.state is CollectionState.MANUAL_REVIEW is not before.state:
            last = case.policy.steps[-1] if case.policy.steps else None
            cc = last.cc if last and last.notice is EmailKind.REVIEW_NOTICE else ()
            self._mail.tell(EmailKind.REVIEW_NOTICE, case.revision, cc=cc)
        elif case.disputed and not before.disputed:
            reason = "The customer disputes the payment with their bank."
            self._mail.tell(EmailKind.REVIEW_NOTICE, case.revision, reason)

    # --- one run after another

    async def _continue_as_new(self) -> None:
        """A history stays short, however often an open invoice is looked after."""
        await self._beside.put_down()
        self._beside.raise_what_broke()
        await workflow.wait_condition(workflow.all_handlers_finished)
        position = InvoicePosition(
            counted_from=self._clock.counted_from,
            clock_started=self._clock.started_at,
            steps_taken=self._file.steps_taken,
            notices=tuple(self._mail.on_its_way.values()),
            errands=self._cards.errands,
        )
        workflow.continue_as_new(replace(self._order, case=self._file.case, position=position))

    def _continue(self, position: InvoicePosition | None) -> None:
        if position is not None:
            for notice in position.notices:
                self._mail.send(notice)
            for errand in position.errands:
                self._cards.order(errand)
