"""Credit notes over HTTP: read one, list an invoice's, fetch the PDF."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.collection_schemas import CreditLineOut, CreditNoteOut
from api.dependencies import App, Viewer
from api.documents import PDF_RESPONSES, pdf_response
from api.invoices import NumberPath, tax_line
from api.invoices import router as invoices_router
from domain.errors import NotFound
from storage.credit_notes import CreditNote, credit_notes_of, load_credit_note
from storage.documents import fetch_document
from storage.engine import transaction
from storage.invoices import load_invoice

router = APIRouter(prefix="/api/billing", tags=["credit notes"])

CreditNotePath = Annotated[
    str, Path(description="Credit note number.", examples=["CN-2026-03-0007"])
]
_OF_INVOICE = f"{invoices_router.prefix.removeprefix(router.prefix)}/{{number}}/credit-notes"


@router.get(_OF_INVOICE, summary="An invoice's credit notes")
def list_of_invoice(number: NumberPath, app: App, caller: Viewer) -> list[CreditNoteOut]:
    """In the order in which they were issued."""
    with transaction(app.engine) as connection:
        invoice = load_invoice(connection, number)
        return [_out(note) for note in credit_notes_of(connection, invoice.id)]


@router.get("/credit-notes/{number}", summary="Read a credit note")
def show(number: CreditNotePath, app: App, caller: Viewer) -> CreditNoteOut:
    """What it takes back, and where the money went."""
    with transaction(app.engine) as connection:
        return _out(load_credit_note(connection, number))


@router.get(
    "/credit-notes/{number}/pdf",
    summary="Fetch a credit note's PDF",
    response_class=Response,
    responses=PDF_RESPONSES,
)
def pdf(number: CreditNotePath, app: App, caller: Viewer) -> Response:
    """The document that was stored, byte for byte."""
    with transaction(app.engine) as connection:
        note = load_credit_note(connection, number)
        if note.pdf_sha256 is None:
            raise NotFound(f"{number} has no PDF yet; look again in a moment.")
        content = fetch_document(connection, note.pdf_sha256)
    return pdf_response(note.number, note.pdf_sha256, content)


def _out(note: CreditNote) -> CreditNoteOut:
    return CreditNoteOut(
        number=note.number,
        invoice_number=note.invoice_number,
        business_date=note.business_date,
        reason=note.reason,
        currency=note.draft.currency,
        subtotal=note.draft.subtotal,
        tax=note.draft.tax,
        total=note.draft.total,
        refund_to=note.refund_to,
        returned_amount=note.returned_amount,
        voids=note.voids,
        created_by=note.created_by,
        lines=[CreditLineOut.model_validate(line) for line in note.draft.lines],
        tax_lines=[tax_line(line) for line in note.draft.tax_lines],
        pdf_url=f"{router.prefix}/credit-notes/{note.number}/pdf" if note.pdf_sha256 else None,
    )
