"""The credit notes of one invoice: document, refund and e-mail, beside the loop."""

from temporalio import workflow

from domain.dunning import UnfinishedCredit
from domain.emails import EmailKind
from workflows import policies
from workflows.contracts import lifecycle as contract
from workflows.contracts.lifecycle import CreditNoteOrder, NoticeOrder
from workflows.invoice_desks.beside import Beside
from workflows.invoice_desks.case_file import CaseFile
from workflows.invoice_desks.mail import MailDesk


class CreditDesk:
    """Finishes what is booked: a credit note counts from its booking, whatever is still to do."""

    def __init__(self, file: CaseFile, beside: Beside, mail: MailDesk) -> None:
        self._file = file
        self._beside = beside
        self._mail = mail
        self._begun: set[int] = set()

    def finish(self, credit: UnfinishedCredit) -> None:
        """Begins what is left to do for `credit`, once."""
        is_mailed = (EmailKind.CREDIT_NOTE, credit.id) in self._mail.on_its_way
        if credit.id not in self._begun and not is_mailed:
            self._begun.add(credit.id)
            self._beside.start(self._finish(credit))

    async def _finish(self, credit: UnfinishedCredit) -> None:
        number = credit.number

        def order() -> CreditNoteOrder:
            return CreditNoteOrder(self._file.number, number, self._file.clock.today())

        await self._file.patiently(
            lambda: self._file.once(
                lambda: workflow.execute_local_activity(
                    contract.render_credit_note,
                    order(),
                    summary=f"Render {number}",
                    **policies.RENDER,
                ),
                f"has {number} to render",
            )
        )
        refunded = await self._file.ask_processor(
            contract.refund_credit_note,
            order,
            summary=f"Refund {number}",
            what=f"has {number} to refund",
        )
        self._file.take_over(refunded)
        self._mail.send(
            NoticeOrder(
                self._file.number,
                EmailKind.CREDIT_NOTE,
                credit.id,
                self._file.clock.today(),
                credit_note=number,
            )
        )
