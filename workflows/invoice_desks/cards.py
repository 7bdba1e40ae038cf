"""The card of one invoice: charged beside the loop, one charge at a time, and the payer's pages."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

from workflows import ids, policies
from workflows.contracts import lifecycle as contract
from workflows.contracts.lifecycle import (
    ChargeErrand,
    ChargeOrder,
    PageOrder,
    PageRequest,
    PaymentMethodUpdated,
)
from workflows.invoice_desks.beside import Beside
from workflows.invoice_desks.case_file import CaseFile
from workflows.invoice_desks.mail import MailDesk


class CardDesk:
    """Carries out the charges that the loop orders, and gives out pages of the card processor.

    `in_hand`: the errand that is being carried out; until it is over, its outcome decides what
    falls due, and nothing else does.
    """

    def __init__(self, file: CaseFile, beside: Beside, mail: MailDesk) -> None:
        self._file = file
        self._beside = beside
        self._mail = mail
        self._ordered: deque[ChargeErrand] = deque()
        self._at_the_processor = asyncio.Lock()
        self._closing_pages = False
        self.in_hand: ChargeErrand | None = None

    @property
    def can_begin(self) -> bool:
        return bool(self._ordered) and self.in_hand is None

    @property
    def errands(self) -> tuple[ChargeErrand, ...]:
        """What is in hand and what is ordered, in this order."""
        return (*([self.in_hand] if self.in_hand else []), *self._ordered)

    def order(self, errand: ChargeErrand) -> None:
        """To be begun when it is its turn; one that waits already is not ordered twice."""
        if errand not in self._ordered:
            self._ordered.append(errand)

    def order_for_all(self) -> None:
        """A new card charges all open invoices of the customer, the oldest first: each charges and
        passes on to the next.
        """
        first, *then = sorted([self._file.number, *self._file.case.to_wake])
        if first == self._file.number:
            self.order(ChargeErrand(new_card=True, then=tuple(then)))
        else:
            self._beside.start(self._pass_on((first, *then)))

    def begin_next(self) -> None:
        if self.can_begin:
            self.in_hand = self._ordered.popleft()
            self._beside.start(self._carry_out())

    def close_pages(self) -> None:
        """So that nobody pays a settled invoice on a page that is still open."""
        if not self._closing_pages:
            self._closing_pages = True
            self._beside.start(self._close_pages())

    async def open_checkout(self, request: PageRequest) -> str:
        """Refused while the card on file is being charged: nobody pays twice at one moment."""
        if self.in_hand is not None:
            raise ApplicationError(
                f"{self._file.number} is being charged at this moment; look again in a minute.",
                type="conflict",
                non_retryable=True,
            )
        async with self._at_the_processor:
            return await self._page(contract.open_checkout, request)

    async def open_card_setup(self, request: PageRequest) -> str:
        return await self._page(contract.open_card_setup, request)

    async def _carry_out(self) -> None:
        errand = self.in_hand
        assert errand is not None, "begun with one in hand"
        of_use = self._is_of_use(errand)
        if of_use:
            await self._charge(errand)
        if not self._file.case.is_settled:
            if errand.place:
                self._remind(errand.place)
            elif of_use:
                self._mail.tell_outcome()
        await self._pass_on(errand.then)
        self.in_hand = None

    def _is_of_use(self, errand: ChargeErrand) -> bool:
        """What was begun must be known the end of, also of an invoice that is settled by now."""
        case = self._file.case
        if errand.attempt or case.charge_pending:
            return True
        if errand.new_card:
            return case.card_waiting and case.may_be_charged
        return case.worth_retrying if errand.place else case.may_be_charged

    async def _charge(self, errand: ChargeErrand) -> None:
        case = self._file.case
        attempt = errand.attempt or (case.attempts if case.charge_pending else case.attempts + 1)
        self.in_hand = replace(errand, attempt=attempt)
        number = self._file.number
        async with self._at_the_processor:
            charged = await self._file.ask_processor(
                contract.charge_invoice,
                lambda: ChargeOrder(number, attempt, self._file.clock.today()),
                summary=f"Charge {number}, attempt {attempt}",
                what="cannot be charged",
            )
        self._file.take_over(charged)

    def _remind(self, place: int) -> None:
        """A step that was stopped meanwhile, or begins anew, comes again and reminds then."""
        if self._file.steps_taken == place and not self._file.case.steps_stopped:
            self._mail.remind(place)

    async def _pass_on(self, turn: tuple[str, ...]) -> None:
        """Tells the next invoice that it is its turn. One that has no workflow is taken up by the
        sweep, and passed over.
        """
        for place, number in enumerate(turn):
            update = PaymentMethodUpdated(turn[place + 1 :])
            try:
                await workflow.get_external_workflow_handle(ids.invoice_id(number)).signal(
                    "payment_method_updated", update
                )
            except FailureError as failure:
                if is_cancelled_exception(failure):
                    raise
                workflow.logger.info("%s has no workflow; the sweep takes it up", number)
            else:
                return

    async def _close_pages(self) -> None:
        closed = await self._file.ask_processor(
            contract.close_checkouts,
            lambda: self._file.occasion,
            summary=f"Close the payment pages of {self._file.number}",
            what="has payment pages to close",
        )
        self._closing_pages = False
        self._file.take_over(closed)

    async def _page(self, page: Callable[[PageOrder], str], request: PageRequest) -> str:
        return await workflow.execute_activity(
            page,
            PageOrder(
                self._file.number,
                self._file.clock.today(),
                request.return_url,
                request.cancel_url,
            ),
            task_queue=ids.card_queue(self._file.task_queue),
            summary=f"Page for the payer of {self._file.number}",
            **policies.OPEN_PAGE,
        )
