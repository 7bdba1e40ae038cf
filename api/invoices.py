"""Invoices over HTTP: list, read, fetch the PDF, see what happened, was paid and was sent."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy import Connection

from api.collection_schemas import EmailOut, PaymentOut
from api.cursors import read_cursor, write_cursor
from api.dependencies import App, Services, Viewer
from api.documents import PDF_RESPONSES, pdf_response
from api.schemas import (
    InvoiceDetail,
    InvoiceOut,
    LineOut,
    NextStep,
    Page,
    Period,
    TaxLineOut,
    TimelineOut,
    page_of,
)
from api.web_ui import web_ui_url
from domain.dunning import Case, CollectionState, days_late, next_due
from domain.errors import NotFound
from domain.invoice import InvoiceStatus, TaxLine
from domain.periods import BillingPeriod
from storage.audit import present_business_date
from storage.collection import load_case
from storage.documents import fetch_document
from storage.engine import transaction
from storage.invoices import (
    Invoice,
    InvoiceFilter,
    InvoiceLine,
    Overdue,
    list_invoices,
    load_invoice,
    load_lines,
    load_timeline,
)
from storage.records import emails_of, payments_of
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
    q: Annotated[
        str,
        Query(
            description="An invoice number or its beginning, an account number, or a part of the "
            "customer's name, in capitals or not.",
            examples=["INV-2026-02", "1047", "brandt"],
            max_length=200,
        ),
    ] = "",
    collection_state: Annotated[CollectionState | None, Query()] = None,
    open: Annotated[
        bool | None, Query(description="Whether something is still to be paid.")
    ] = None,
    overdue: Annotated[
        bool | None, Query(description="Whether that was due before the present business date.")
    ] = None,
    on_hold: Annotated[bool | None, Query()] = None,
    disputed: Annotated[bool | None, Query()] = None,
    cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Page[InvoiceOut]:
    """The newest period first, then by account. Drafts are those of a plan not yet issued."""
    after = read_cursor(cursor) if cursor is not None else None
    with transaction(app.engine) as connection:
        wanted = InvoiceFilter(
            period=BillingPeriod.parse(period) if period is not None else None,
            status=status,
            account_number=account_number,
            sought=q,
            collection_state=collection_state,
            open=open,
            overdue=None if overdue is None else Overdue(overdue, business_date(app, connection)),
            on_hold=on_hold,
            disputed=disputed,
        )
        found = list_invoices(connection, wanted, after=after, limit=limit + 1)
    return page_of(found, limit, lambda invoice: InvoiceOut(**_fields(invoice)), write_cursor)


@router.get("/{number}", summary="Read an invoice")
def show(number: NumberPath, app: App, caller: Viewer) -> InvoiceDetail:
    """The invoice with its lines and taxes."""
    with transaction(app.engine) as connection:
        return invoice_detail(connection, number, app)


@router.get(
    "/{number}/pdf",
    summary="Fetch an invoice's PDF",
    response_class=Response,
    responses=PDF_RESPONSES,
)
def pdf(number: NumberPath, app: App, caller: Viewer) -> Response:
    """The document that was stored when the invoice was issued, byte for byte."""
    with transaction(app.engine) as connection:
        invoice = load_invoice(connection, number)
        if invoice.pdf_sha256 is None:
            raise NotFound(f"{number} has no PDF yet; it gets one when it is issued.")
        content = fetch_document(connection, invoice.pdf_sha256)
    return pdf_response(number, invoice.pdf_sha256, content)


@router.get("/{number}/timeline", summary="What happened to an invoice")
def timeline(number: NumberPath, app: App, caller: Viewer) -> list[TimelineOut]:
    """Everything that the audit log has of it, in order."""
    with transaction(app.engine) as connection:
        load_invoice(connection, number)
        return [TimelineOut.model_validate(entry) for entry in load_timeline(connection, number)]


@router.get("/{number}/payments", summary="What was paid on an invoice")
def list_payments(number: NumberPath, app: App, caller: Viewer) -> list[PaymentOut]:
    """Money received and charges tried, in order, with what went back."""
    with transaction(app.engine) as connection:
        invoice = load_invoice(connection, number)
        return [PaymentOut.model_validate(p) for p in payments_of(connection, invoice.id)]


@router.get("/{number}/emails", summary="What was sent about an invoice")
def list_emails(number: NumberPath, app: App, caller: Viewer) -> list[EmailOut]:
    """Every e-mail, in the order in which they were prepared."""
    with transaction(app.engine) as connection:
        invoice = load_invoice(connection, number)
        return [EmailOut.model_validate(mail) for mail in emails_of(connection, invoice.id)]


def business_date(app: Services, connection: Connection) -> date:
    """The present business date: today's, or in a demonstration that of what was billed last."""
    return present_business_date(connection, app.calendar, app.now())


def invoice_detail(connection: Connection, number: str, app: Services) -> InvoiceDetail:
    """The invoice as it stands now. Raises NotFound."""
    invoice = load_invoice(connection, number)
    case = load_case(connection, number) if invoice.collection_state is not None else None
    is_open = case is not None and not case.is_settled
    return InvoiceDetail(
        **_fields(invoice),
        settled_on=invoice.settled_on,
        days_late=days_late(case, business_date(app, connection)) if case and is_open else 0,
        next_step=_next_step(case) if case and is_open else None,
        lines=[invoice_line(line) for line in load_lines(connection, invoice.id)],
        tax_lines=[tax_line(line) for line in invoice.tax_lines],
        pdf_url=f"{router.prefix}/{invoice.number}/pdf" if invoice.pdf_sha256 else None,
        workflow_url=web_ui_url(app, invoice_id(invoice.number or "")),
    )


def invoice_line(line: InvoiceLine) -> LineOut:
    shown = {name: getattr(line, name) for name in LineOut.model_fields}
    return LineOut(**shown | {"service_month": str(line.service_month)})


def tax_line(line: TaxLine) -> TaxLineOut:
    return TaxLineOut(
        rule=line.treatment.rule,
        name=line.treatment.name,
        rate_percent=line.treatment.rate_percent,
        taxable=line.taxable,
        amount=line.amount,
    )


def _next_step(case: Case) -> NextStep | None:
    due = next_due(case, steps_taken=case.steps_taken)
    if due is None:
        return None
    return NextStep(
        on=due.on,
        what=due.step.notice if due.step else "overdue",
        charges_card=bool(due.step and due.step.retry and case.worth_retrying),
    )


def _fields(invoice: Invoice) -> dict[str, object]:
    shown = {name: getattr(invoice, name) for name in InvoiceOut.model_fields}
    months = {"period": str(invoice.period), "service_month": str(invoice.service_month)}
    return {**shown, "customer": invoice.customer.name, **months}
