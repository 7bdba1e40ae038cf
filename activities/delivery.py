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
from activities.mailer import Mailer, Refusals
from domain.errors import Conflict
from domain.invoice import nothing_to_pay
from domain.parties import PaymentMethod, Seller
from storage import emails
from storage.documents import fetch_document
from storage.emails import EmailKey
from storage.engine import transaction
from storage.invoices import Invoice, load_invoice
from storage.sellers import seller_version
from workflows.contracts.lifecycle import Occasion, UndeliveredReport

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
        key = _key(occasion.number)
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
        refused, sent = "", False
        try:
            refused, sent = _reasons(self._mailer.send(message)), True
        except smtplib.SMTPException as trouble:
            refused = _refused_for_good(trouble)
            if not refused:
                raise
        on = occasion.business_date
        with transaction(self._engine) as connection:
            if sent:
                emails.record_sent(connection, key, business_date=on, actor=ACTOR)
            if refused:
                emails.record_refused(
                    connection, key, reason=refused, business_date=on, actor=ACTOR
                )

    @activity.defn
    def record_undelivered(self, report: UndeliveredReport) -> None:
        with transaction(self._engine) as connection:
            emails.record_refused(
                connection,
                _key(report.number),
                reason=report.reason,
                business_date=report.business_date,
                actor=ACTOR,
            )


def _key(number: str) -> EmailKey:
    return EmailKey(number, "invoice", 0)


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
        "nothing_to_pay": nothing_to_pay(invoice.total),
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
    message["Subject"] = Header(
        _subject(key.number, seller), "utf-8", header_name="Subject"
    ).encode()
    message["From"] = formataddr((_one_line(seller.name), sender))
    message["To"] = ", ".join(_ascii_domain(to) for to in invoice.customer.billing_emails)
    message["Reply-To"] = _one_line(seller.email)
    message["Message-ID"] = key.message_id
    message["Date"] = formatdate()
    return message


def _subject(number: str, seller: Seller) -> str:
    return f"Invoice {number} from {_one_line(seller.name)}"


def _one_line(text: str) -> str:
    """No line of a name ever begins a header of its own."""
    return " ".join(text.split())


def _ascii_domain(address: str) -> str:
    """The address as every mail server takes it, where only its domain is beyond ASCII."""
    local, at, domain = address.rpartition("@")
    try:
        return address if domain.isascii() else local + at + domain.encode("idna").decode()
    except UnicodeError:
        return address  # no domain at all; the mailer refuses it


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _refused_for_good(trouble: smtplib.SMTPException) -> str:
    """Why this e-mail will never be taken; empty for trouble that may pass.

    What is wrong with the server's side, such as a login that it refuses, may pass.
    """
    match trouble:
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            return _reasons(refused) if all(code >= 500 for code, _ in refused.values()) else ""
        case smtplib.SMTPDataError(smtp_code=code, smtp_error=reason) if code >= 500:
            return f"{code} {_text(reason)}"
        case smtplib.SMTPNotSupportedError():
            return str(trouble)
    return ""


def _reasons(refused: Refusals) -> str:
    return "; ".join(f"{to}: {code} {_text(reason)}" for to, (code, reason) in refused.items())


def _text(reason: bytes | str) -> str:
    return reason.decode(errors="replace") if isinstance(reason, bytes) else reason
