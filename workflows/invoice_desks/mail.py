"""The e-mails of one invoice: sent beside the loop, since a mail server may be away for days."""

import asyncio
from datetime import date

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from domain.dunning import email_after_decline, next_due, step_number
from domain.emails import EmailKind
from workflows import ids, policies
from workflows.contracts import lifecycle as contract
from workflows.contracts.lifecycle import NoticeOrder, UndeliveredReport
from workflows.invoice_desks.beside import Beside
from workflows.invoice_desks.case_file import CaseFile

_RESENT = 100_000
"""Steps of what is sent again begin here, behind the attempts that number other e-mails."""


class MailDesk:
    """`on_its_way`: by kind and step, what is written and was not taken by the mail server yet."""

    def __init__(self, file: CaseFile, beside: Beside) -> None:
        self._file = file
        self._beside = beside
        self.on_its_way: dict[tuple[EmailKind, int], NoticeOrder] = {}

    def send(self, order: NoticeOrder) -> None:
        """Begins to send; what is on its way already is not sent twice."""
        key = (order.kind, order.step)
        if key not in self.on_its_way:
            self.on_its_way[key] = order
            self._beside.start(self._deliver(order))

    def tell(
        self, kind: EmailKind, step: int, reason: str = "", *, cc: tuple[str, ...] = ()
    ) -> None:
        self.send(NoticeOrder(self._file.number, kind, step, self._today(), reason=reason, cc=cc))

    def remind(self, place: int) -> None:
        """The e-mail of the dunning step at `place`; recorded with it, the step is taken."""
        case = self._file.case
        step = case.policy.steps[place - 1]
        self.send(
            NoticeOrder(
                self._file.number,
                step.notice,
                step_number(case.round, place),
                self._today(),
                place=place,
                while_open=True,
                cc=step.cc,
            )
        )

    def tell_outcome(self) -> None:
        """Why the card was declined and when it is tried again; or the invoice, where it was not
        charged.
        """
        case = self._file.case
        if case.decline is None:
            if not case.contacted:
                self.tell(EmailKind.INVOICE, 0)
            return
        again = None
        if case.worth_retrying:
            again = next_due(case, steps_taken=self._file.steps_taken)
        retried = again is not None and again.step is not None and again.step.retry
        self.send(
            NoticeOrder(
                self._file.number,
                email_after_decline(case.decline),
                case.attempts,
                self._today(),
                while_open=True,
                next_attempt_on=again.on if again is not None and retried else None,
                reason=case.decline.reason,
            )
        )

    def resend(self, instruction: int) -> None:
        """The invoice, or its receipt, once more."""
        case = self._file.case
        settled = case.is_settled and case.amount_paid > 0
        self.tell(EmailKind.RECEIPT if settled else EmailKind.INVOICE, _RESENT + instruction)

    async def _deliver(self, order: NoticeOrder) -> None:
        try:
            case = await workflow.execute_activity(
                contract.send_notice,
                order,
                task_queue=ids.mail_queue(self._file.task_queue),
                summary=f"E-mail {order.kind.value.replace('_', ' ')} {order.number}",
                **policies.SEND_MAIL,
            )
        except ActivityError as failure:
            if is_cancelled_exception(failure):
                raise
            if self._beside.is_put_down:
                raise asyncio.CancelledError from failure
            report = UndeliveredReport(order, str(failure.cause))
            case = await self._file.patiently(
                lambda: self._file.record(
                    contract.record_undelivered, report, "could not be e-mailed"
                )
            )
        del self.on_its_way[order.kind, order.step]
        self._file.take_over(case)

    def _today(self) -> date:
        return self._file.clock.today()
