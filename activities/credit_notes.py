"""A credit note's document, made from what is kept of it and of its invoice."""

from collections.abc import Callable

from sqlalchemy import Engine
from temporalio import activity

from activities.credit_document import CreditNoteDocument
from activities.issuing import IssuingActivities
from storage.credit_notes import load_credit_note, set_credit_note_pdf
from storage.documents import store_document
from storage.engine import transaction
from storage.invoices import load_invoice
from workflows.contracts.lifecycle import CreditNoteOrder


class CreditNoteActivities:
    """`render` turns a document into the bytes of its PDF; `issuing` knows what invoices print."""

    def __init__(
        self,
        engine: Engine,
        *,
        render: Callable[[CreditNoteDocument], bytes],
        issuing: IssuingActivities,
    ) -> None:
        self._engine = engine
        self._render = render
        self._issuing = issuing

    @activity.defn
    def render_credit_note(self, order: CreditNoteOrder) -> None:
        with transaction(self._engine) as connection:
            note = load_credit_note(connection, order.credit_note)
            if note.pdf_sha256 is not None:
                return
            invoice = load_invoice(connection, order.number)
            document = CreditNoteDocument(
                number=note.number,
                credited_on=note.business_date,
                invoice=self._issuing.document(connection, invoice),
                reason=note.reason,
                credit=note.draft,
                returned=note.returned_amount,
                refund_to=note.refund_to,
                voids=note.voids,
            )
        pdf = self._render(document)
        with transaction(self._engine) as connection:
            set_credit_note_pdf(connection, order.credit_note, store_document(connection, pdf))
