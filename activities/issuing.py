"""A draft becomes an invoice: its document made, then posted unchanged."""

from collections.abc import Callable

from sqlalchemy import Connection, Engine
from temporalio import activity

from activities.invoice_document import DocumentLine, InvoiceDocument
from activities.payer_links import PayerLinks
from domain.parties import Seller
from storage import cycles, posting
from storage.documents import store_document
from storage.engine import transaction
from storage.invoices import Invoice, load_invoice, load_lines
from storage.sellers import seller_version
from workflows.contracts.customer import (
    FailureRecorded,
    FailureReport,
    PostedInvoice,
    PostOrder,
    RenderedInvoice,
    RenderOrder,
)


class IssuingActivities:
    """`render` turns a document into the bytes of its PDF."""

    def __init__(
        self, engine: Engine, *, render: Callable[[InvoiceDocument], bytes], links: PayerLinks
    ) -> None:
        self._engine = engine
        self._render = render
        self._links = links
        self._sellers: dict[int, Seller] = {}

    @activity.defn
    def render_invoice(self, order: RenderOrder) -> RenderedInvoice:
        with transaction(self._engine) as connection:
            document = self.document(connection, load_invoice(connection, order.number))
        pdf = self._render(document)
        with transaction(self._engine) as connection:
            return RenderedInvoice(store_document(connection, pdf), document.issued_on)

    @activity.defn
    def post_invoice(self, order: PostOrder) -> PostedInvoice:
        with transaction(self._engine) as connection:
            posted = posting.issue_invoice(
                connection,
                order.number,
                order.pdf_sha256,
                actor=order.actor,
                on_hold=order.on_hold,
                dated=order.issued_on,
            )
        return _posted(posted)

    @activity.defn
    def record_failure(self, report: FailureReport) -> FailureRecorded:
        with transaction(self._engine) as connection:
            posted = posting.posted_invoice(connection, report.number)
            if posted is not None:
                return FailureRecorded(_posted(posted))
            cycles.fail_item(
                connection,
                report.number,
                code=report.code,
                reason=report.reason,
                actor=report.actor,
            )
        return FailureRecorded()

    def document(self, connection: Connection, invoice: Invoice) -> InvoiceDocument:
        assert invoice.number is not None  # it was looked up by its number
        return InvoiceDocument(
            number=invoice.number,
            currency=invoice.currency,
            period_start=invoice.service_month.start,
            period_last_day=invoice.service_month.last_day,
            issued_on=invoice.issued_on,
            due_on=invoice.due_on,
            terms_days=(invoice.due_on - invoice.issued_on).days,
            seller=self._seller(connection, invoice.seller_version),
            customer=invoice.customer,
            lines=tuple(
                DocumentLine(
                    line.kind, line.description, line.quantity, line.unit_price, line.amount
                )
                for line in load_lines(connection, invoice.id)
            ),
            tax_lines=invoice.tax_lines,
            subtotal=invoice.subtotal,
            total=invoice.total,
            payment_url=self._links.pay(invoice.number, invoice.link_version),
        )

    def _seller(self, connection: Connection, version: int) -> Seller:
        """Versions never change, so each is read once."""
        if version not in self._sellers:
            self._sellers[version] = seller_version(connection, version)
        return self._sellers[version]


def _posted(posted: posting.Posted) -> PostedInvoice:
    return PostedInvoice(posted.issued_on, posted.due_on, posted.case)
