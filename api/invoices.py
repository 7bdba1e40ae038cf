"""Invoices over HTTP: list, read, fetch the PDF, see the timeline."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy import Connection

from api.cursors import read_cursor, write_cursor
from api.dependencies import App, Services, Viewer
from api.schemas import (
    InvoiceDetail,
    InvoiceOut,
    LineOut,
    Page,
    Period,
    TaxLineOut,
    TimelineOut,
)
from api.web_ui import web_ui_url
from domain.errors import NotFound
from domain.invoice import InvoiceStatus
from domain.periods import BillingPeriod
from storage.documents import PDF, fetch_document
from storage.engine import transaction
from storage.invoices import (
    Invoice,
    InvoiceFilter,
    list_invoices,
    load_invoice,
    load_lines,
    load_timeline,
)
from workflows.ids import invoice_id

router = APIRouter(prefix="/api/billing/invoices", tags=["invoices"])

NumberPath = Annotated[str, Path(description="Invoice number.", examples=["INV-2026-02-0047"])]


@router.get("", summary="List invoices")
def list_page(
    app: App,
    caller: Viewer,
    period: Annotated[Period | None, Query(description="The month, YYYY-MM.")] = None,
    status: Annotated[InvoiceStatus | None, Query()] = None,
    account_number: Annotated[str | None, Query()] = None,
    cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Page[InvoiceOut]:
    """The newest period first, then by account. Drafts are those of a plan not yet issued."""
    wanted = InvoiceFilter(
        period=BillingPeriod.parse(period) if period is not None else None,
        status=status,
        account_number=account_number,
    )
    after = read_cursor(cursor) if cursor is not None else None
    with transaction(app.engine) as connection:
        found = list_invoices(connection, wanted, after=after, limit=limit + 1)
    return Page(
        items=[InvoiceOut(**_fields(invoice)) for invoice in found[:limit]],
        next_cursor=write_cursor(found[limit - 1]) if len(found) > limit else None,
    )


@router.get("/{number}", summary="Read an invoice")
def show(number: NumberPath, app: App, caller: Viewer) -> InvoiceDetail:
    """The invoice with its lines and taxes."""
    with transaction(app.engine) as connection:
        return _detail(load_invoice(connection, number), connection, app)


@router.get(
    "/{number}/pdf",
    summary="Fetch an invoice's PDF",
    response_class=Response,
    responses={200: {"content": {PDF: {}}, "description": "The document as it was sent."}},
)
def pdf(number: NumberPath, app: App, caller: Viewer) -> Response:
    """The document that was stored when the invoice was issued, byte for byte."""
    with transaction(app.engine) as connection:
        invoice = load_invoice(connection, number)
        if invoice.pdf_sha256 is None:
            raise NotFound(f"{number} has no PDF yet; it gets one when it is issued.")
        content = fetch_document(connection, invoice.pdf_sha256)
    return Response(
        content,
        media_type=PDF,
        headers={
            "Content-Disposition": f'inline; filename="{invoice.number}.pdf"',
            "ETag": f'"{invoice.pdf_sha256}"',
        },
    )


@router.get("/{number}/timeline", summary="What happened to an invoice")
def timeline(number: NumberPath, app: App, caller: Viewer) -> list[TimelineOut]:
    """Every transition and e-mail from the audit log, in order."""
    with transaction(app.engine) as connection:
        load_invoice(connection, number)
        return [TimelineOut.model_validate(entry) for entry in load_timeline(connection, number)]


def _detail(invoice: Invoice, connection: Connection, app: Services) -> InvoiceDetail:
    return InvoiceDetail(
        **_fields(invoice),
        lines=[
            LineOut(**{name: getattr(line, name) for name in LineOut.model_fields})
            for line in load_lines(connection, invoice.id)
        ],
        tax_lines=[
            TaxLineOut(
                rule=line.treatment.rule,
                name=line.treatment.name,
                rate_percent=line.treatment.rate_percent,
                taxable=line.taxable,
                amount=line.amount,
            )
            for line in invoice.tax_lines
        ],
        pdf_url=f"{router.prefix}/{invoice.number}/pdf" if invoice.pdf_sha256 else None,
        workflow_url=web_ui_url(app, invoice_id(invoice.number or "")),
    )


def _fields(invoice: Invoice) -> dict[str, object]:
    shown = {name: getattr(invoice, name) for name in InvoiceOut.model_fields}
    return {**shown, "customer": invoice.customer.name, "period": str(invoice.period)}
