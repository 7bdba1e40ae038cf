"""A notice with sensible defaults, its e-mail, and what is to be read in it."""

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from activities.messages import Notice, compose
from domain.emails import EmailKind
from domain.parties import PostalAddress, Seller
from tests.activities.mail_server import text_of

NUMBER = "INV-2026-02-0047"
PAY = f"https://billing.example/pay/{NUMBER}.1.c2lnbmVk"
CARD = f"https://billing.example/payment-method/{NUMBER}.1.20260315.c2lnbmVk"
CASE = f"https://temporal.example/invoice/{NUMBER}"
MESSAGE_ID = f"<{NUMBER}.reminder.1@billwright.invalid>"
DECLINED = "The card has insufficient funds."
AGAIN = "We will try the card again on 4 March 2026."
DOCUMENT = (f"{NUMBER}.pdf", b"%PDF-1.7 the invoice")
OPEN = "USD 312.91"
NOTHING = Decimal("0.00")

SELLER = Seller(
    name="Meridian API GmbH",
    address=PostalAddress("Lindenstraße 12", "10969", "Berlin", "", "DE"),
    email="billing@meridian-api.example",
    phone="+49 30 5550 1840",
    website="meridian-api.example",
    tax_number="DE136695976",
    registration="",
    bank_name="Commerzbank Berlin",
    iban="DE89370400440532013000",
    bic="COBADEFFXXX",
)


def notice(kind: EmailKind = EmailKind.INVOICE, **changes: Any) -> Notice:
    """312.91 open of an invoice of a customer who pays by bank transfer; nothing is late."""
    usual = Notice(
        kind=kind,
        number=NUMBER,
        account_number="1047",
        customer="Brandt & Söhne GmbH",
        seller=SELLER,
        period="February 2026",
        currency="USD",
        total=Decimal("312.91"),
        paid=NOTHING,
        credited=NOTHING,
        open_amount=Decimal("312.91"),
        issued_on=date(2026, 3, 1),
        due_on=date(2026, 3, 31),
        days_late=0,
        by_card=False,
        pay_url=PAY,
        card_url=CARD,
        case_url=CASE,
        credit_note="CN-2026-0003",
        credit_note_amount=Decimal("99.00"),
    )
    return replace(usual, **changes)


def sent(said: Notice, **options: Any) -> EmailMessage:
    """The message as its reader's mail program has it."""
    defaults: dict[str, Any] = {
        "message_id": MESSAGE_ID,
        "sender": "billing@billwright.example",
        "recipients": ["accounts@1047.example"],
    }
    raw = compose(said, **{**defaults, **options}).as_bytes()
    assert raw.isascii()
    read = message_from_bytes(raw, policy=policy.default)
    assert isinstance(read, EmailMessage)
    return read


def words(said: Notice, **options: Any) -> tuple[str, str]:
    """Text and HTML as they are read: without tags, blanks and line ends squeezed."""
    mail = sent(said, **options)
    html = text_of(mail, "html").partition("</head>")[2]
    shown = re.sub(r"<[^>]*>", "", html.replace("</td>", " ").replace("</th>", " "))
    unescaped = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return " ".join(text_of(mail, "plain").split()), " ".join(unescaped.split())


def links(said: Notice) -> list[str]:
    """Where the HTML leads, in its order."""
    return re.findall(r'href="([^"]*)"', text_of(sent(said), "html"))


def assert_says(said: Notice, *expected: str, **options: Any) -> None:
    for part in words(said, **options):
        for phrase in expected:
            assert phrase in part


def assert_never_says(said: Notice, *unexpected: str, **options: Any) -> None:
    for part in words(said, **options):
        for phrase in unexpected:
            assert phrase not in part
