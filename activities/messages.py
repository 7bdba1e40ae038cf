"""The e-mails about an invoice: what each says, as text and as HTML.

The words of an e-mail are written once, in `templates/email/<kind>.j2`; how a paragraph, a button
or a table looks is said by the kit of the part that is made, `html/kit.j2` or `text/kit.j2`.
"""

import re
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from email.header import Header
from email.message import Message
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formataddr, formatdate
from functools import cache
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from activities.formatting import format_amount, format_day
from domain.emails import EmailKind
from domain.errors import InvalidValue
from domain.parties import Seller

Part = Literal["text", "html"]

_PARTS: tuple[Part, ...] = ("text", "html")  # a mail program shows the last one that it can

_TEMPLATES = Path(__file__).resolve().parent.parent / "templates" / "email"
_WIDTH = 72
_NO_BREAK = "\u00a0"
_BIDI_CONTROLS = dict.fromkeys(
    [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"


@dataclass(frozen=True)
class Notice:
    """Everything that an e-mail about an invoice may say.

    Attributes:
        period: as people read it, "February 2026".
        paid: what payments have settled of the total, with the one that a receipt is for.
        credited: what credit has settled of the total.
        due_on: inclusive.
        days_late: since the payment was due or, by card, since the first charge failed; 0 if none.
        by_card: whether the customer pays by card.
        paid_by: how the payments of a receipt came: "card", "bank transfer", or empty where they
            came in several ways or in another.
        pay_url, card_url: where the payer pays, and changes the card; empty: no such link.
        reason: a sentence: why the charge was declined, or why a person has to look at the case.
        next_step: a sentence: what happens next, and when; "We will try the card again on 4 March
            2026." Empty: nothing is planned.
        history: what was tried, one line each; for the review notice.
        case_url: where the case's whole history is read; for the review notice.
        credit_note: number of the credit note, and what it is for; for the e-mail that brings it.
    """

    kind: EmailKind
    number: str
    account_number: str
    customer: str
    seller: Seller
    period: str
    currency: str
    total: Decimal
    paid: Decimal
    credited: Decimal
    open_amount: Decimal
    issued_on: date
    due_on: date
    days_late: int
    by_card: bool
    pay_url: str
    card_url: str
    reason: str = ""
    next_step: str = ""
    history: tuple[str, ...] = ()
    case_url: str = ""
    paid_by: str = ""
    credit_note: str = ""
    credit_note_amount: Decimal = Decimal(0)

    @property
    def is_late(self) -> bool:
        return self.days_late > 0


def subject(notice: Notice) -> str:
    """One line, whatever the names in it hold."""
    invoice = f"invoice {notice.number} from {_isolated(notice.seller.name)}"
    match notice.kind:
        case EmailKind.INVOICE if notice.reason and notice.open_amount > 0:
            line = f"I{invoice[1:]}: your payment did not go through"
        case EmailKind.INVOICE:
            line = f"I{invoice[1:]}"
        case EmailKind.RECEIPT:
            line = f"Receipt for {invoice}"
        case EmailKind.UPDATE_PAYMENT_METHOD:
            line = f"Please update your card for {invoice}"
        case EmailKind.AUTHENTICATE:
            line = f"Please confirm your payment for {invoice}"
        case EmailKind.REMINDER:
            line = f"A reminder of {invoice}"
        case EmailKind.URGENT_NOTICE:
            late = f" is {days(notice.days_late)} late" if notice.is_late else ""
            line = f"Urgent: {invoice}{late}"
        case EmailKind.REVIEW_NOTICE:
            amount = f"{notice.currency} {format_amount(notice.open_amount, notice.currency)}"
            line = f"For review: {notice.number}, {_isolated(notice.customer)}, {amount} open"
        case EmailKind.CREDIT_NOTE:
            line = f"Credit note {notice.credit_note} for {invoice}"
    return " ".join(line.split())


def compose(
    notice: Notice,
    *,
    message_id: str,
    sender: str,
    recipients: Sequence[str],
    cc: Sequence[str] = (),
    attachments: Sequence[tuple[str, bytes]] = (),
) -> Message:
    """The whole message: text, HTML and the attachments, PDFs with the names of their files.

    `message_id` is the same whenever the same e-mail is sent again. Raises InvalidValue for a
    recipient that would be read as several.
    """
    # the MIME classes of old: those of EmailMessage parse every header again, three times the CPU
    body = MIMEMultipart("alternative")
    for part in _PARTS:
        said = _render(part, notice, bool(attachments))
        body.attach(MIMEText(said, "html" if part == "html" else "plain", "utf-8"))
    message = MIMEMultipart("mixed", _subparts=[body]) if attachments else body
    for name, content in attachments:
        document = MIMEApplication(content, "pdf", name=_one_line(name))
        document.add_header("Content-Disposition", "attachment", filename=_one_line(name))
        message.attach(document)
    message["Subject"] = _encoded(subject(notice))
    message["From"] = formataddr((_one_line(notice.seller.name), sender))
    message["To"] = _addresses(recipients)
    if cc:
        message["Cc"] = _addresses(cc)
    message["Reply-To"] = _one_line(notice.seller.email)
    message["Message-ID"] = message_id
    message["Date"] = formatdate()
    message["Auto-Submitted"] = "auto-generated"
    return message


def days(count: int) -> str:
    """1 day, 2 days"""
    return f"{count} day" if count == 1 else f"{count} days"


def _render(part: Part, notice: Notice, attached: bool) -> str:
    def money(amount: Decimal) -> str:
        return f"{notice.currency}{_NO_BREAK}{format_amount(amount, notice.currency)}"

    facts = {**vars(notice), "is_late": notice.is_late, "subject": subject(notice)}
    facts["customer"] = _one_line(notice.customer)
    facts["seller"] = replace(notice.seller, name=_one_line(notice.seller.name))
    rendered = _templates(part).get_template(f"{notice.kind}.j2")
    said = rendered.render(facts, money=money, attached=attached).replace(_NO_BREAK, " ")
    return said if part == "html" else re.sub(r"\n{3,}", "\n\n", said).strip() + "\n"


@cache
def _templates(part: Part) -> Environment:
    templates = Environment(
        loader=FileSystemLoader([_TEMPLATES / part, _TEMPLATES]),
        autoescape=part == "html",
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "day": format_day,
        "days": days,
        "isolated": _isolated,
        "iban": _iban,
        "paragraph": _paragraph,
        "rows": _rows,
    }
    return templates


def _paragraph(text: str, indent: str = "", first: str = "") -> str:
    """`text` in lines of at most 72 characters, the first behind `first`, the others `indent`ed."""
    return textwrap.fill(
        re.sub(r"[ \t\r\n]+", " ", text).strip(" "),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _rows(table: Sequence[tuple[str, str]]) -> str:
    """Labels and values in two columns; a long value goes on below itself."""
    column = 4 + max(len(label) for label, _ in table)
    return "\n".join(
        _paragraph(_isolated(value), indent=" " * column, first=f"  {label}".ljust(column))
        for label, value in table
    )


def _iban(iban: str) -> str:
    """In groups of four, as it is printed and typed."""
    digits = iban.replace(" ", "")
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def _one_line(text: str) -> str:
    """No line of a name ever begins a header of its own, and none turns the text around it."""
    return " ".join(text.translate(_BIDI_CONTROLS).split())


def _isolated(name: str) -> str:
    """A name in one line; one that is written from right to left leaves the words around it."""
    line = _one_line(name)
    if not line.isascii() and any(unicodedata.bidirectional(c) in ("R", "AL") for c in line):
        return f"{_ISOLATE}{line}{_END_ISOLATE}"
    return line


def _encoded(line: str) -> str:
    """As RFC 2047 wants it; a name that looks encoded itself is not taken at its word."""
    plain = line.isascii() and "=?" not in line
    return Header(line, "us-ascii" if plain else "utf-8", header_name="Subject").encode()


def _addresses(addresses: Sequence[str]) -> str:
    for address in addresses:
        if any(character in ",;<>" or character.isspace() for character in address):
            raise InvalidValue(
                f"{address!r} is not one e-mail address; correct it with the customer's data."
            )
    return ", ".join(_ascii_domain(address) for address in addresses)


def _ascii_domain(address: str) -> str:
    """The address as every mail server takes it, where only its domain is beyond ASCII."""
    local, at, domain = address.rpartition("@")
    try:
        return address if domain.isascii() else local + at + domain.encode("idna").decode()
    except UnicodeError:
        return address  # no domain at all; the mailer refuses it
