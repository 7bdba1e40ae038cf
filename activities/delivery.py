"""The invoice by e-mail, with its PDF."""

import smtplib
from email.header import Header
from email.message import Message
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formataddr, formatdate
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Engine
from temporalio import activity

from activities.formatting import format_amount, format_day
from activities.issuing import PayerLinks
from activities.mailer import Mailer
from domain.errors import Conflict
from domain.parties import PaymentMethod, Seller
from storage import emails
from storage.documents import fetch_document
from storage.emails import EmailKey
from storage.engine import transaction
from storage.invoices import Invoice, load_invoice
from storage.sellers import seller_version
from workflows.contracts.lifecycle import Occasion

_TEMPLATES = Path(__file__).resolve().parent.parent / "templates" / "email"
ACTOR = "invoice-lifecycle"


class DeliveryActivities:
    def __init__(self, engine: Engine, *, mailer: Mailer, links: PayerLinks) -> None:
        self._engine = engine
        self._mailer = mailer
        self._links = links

    @activity.defn
    def deliver_invoice(self, occasion: Occasion) -> None:
        """Written down, sent, recorded: killed between the last two, the same Message-ID goes
        once more, which mail programs show as one.
        """
        key = EmailKey(occasion.number, "invoice", 0)
        with transaction(self._engine) as connection:
            invoice = load_invoice(connection, occasion.number)
            seller = seller_version(connection, invoice.seller_version)
            if invoice.pdf_sha256 is None:
                raise Conflict(f"{occasion.number} has no document yet; issue it first.")
            pdf = fetch_document(connection, invoice.pdf_sha256)
            message = invoice_message(
                key,
                invoice,
                seller,
                self._links.pay(occasion.number, invoice.link_version),
                pdf,
                sender=self._mailer.sender,
            )
            to_send = emails.prepare_email(
                connection,
                key,
                recipients=invoice.customer.billing_emails,
                subject=_subject(occasion.number, seller),
                business_date=occasion.business_date,
            )
        if not to_send:
            return
        try:
            self._mailer.send(message)
        except smtplib.SMTPRecipientsRefused as refusal:
            if not _for_good(refusal):
                raise
            with transaction(self._engine) as connection:
                emails.record_refused(
                    connection,
                    key,
                    reason=_reasons(refusal),
                    business_date=occasion.business_date,
                    actor=ACTOR,
                )
            return
        with transaction(self._engine) as connection:
            emails.record_sent(connection, key, business_date=occasion.business_date, actor=ACTOR)


def invoice_message(
    key: EmailKey, invoice: Invoice, seller: Seller, pay_url: str, pdf: bytes, *, sender: str
) -> Message:
    """The e-mail that delivers an invoice: text, HTML, and the PDF attached."""
    printed = {
        "number": key.number,
        "customer": invoice.customer.name,
        "seller": seller,
        "period": f"{invoice.period.start:%B %Y}",
        "total": f"{invoice.currency} {format_amount(invoice.total, invoice.currency)}",
        "due_on": format_day(invoice.due_on),
        "nothing_to_pay": invoice.total <= 0,
        "by_card": invoice.customer.payment_method is PaymentMethod.CARD,
        "pay_url": pay_url,
    }
    # the MIME classes of old: those of EmailMessage parse every header again, three times the CPU
    body = MIMEMultipart("alternative")
    for name, subtype in (("invoice.txt.j2", "plain"), ("invoice.html.j2", "html")):
        text = _templates().get_template(name).render(printed)
        body.attach(MIMEText(text, subtype, "utf-8"))
    document = MIMEApplication(pdf, "pdf", name=f"{key.number}.pdf")
    document.add_header("Content-Disposition", "attachment", filename=f"{key.number}.pdf")
    message = MIMEMultipart("mixed", _subparts=[body, document])
    message["Subject"] = Header(_subject(key.number, seller), "utf-8").encode()
    message["From"] = formataddr((seller.name, sender))
    message["To"] = ", ".join(invoice.customer.billing_emails)
    message["Reply-To"] = seller.email
    message["Message-ID"] = key.message_id
    message["Date"] = formatdate()
    return message


def _subject(number: str, seller: Seller) -> str:
    return f"Invoice {number} from {seller.name}"


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _for_good(refusal: smtplib.SMTPRecipientsRefused) -> bool:
    return all(code >= 500 for code, _ in refusal.recipients.values())


def _reasons(refusal: smtplib.SMTPRecipientsRefused) -> str:
    return "; ".join(
        f"{address}: {code} {reason.decode(errors='replace')}"
        for address, (code, reason) in refusal.recipients.items()
    )
