"""The invoice by e-mail: what it says, that it goes out once, and what a refusal does."""

import asyncio
import re
import smtplib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from email.message import EmailMessage, Message

import pytest
from sqlalchemy import text, update

from activities.delivery import DeliveryActivities, invoice_message
from activities.mailer import Mailer, Refusals
from domain.errors import Conflict
from storage.emails import EmailKey
from storage.engine import transaction
from storage.invoices import load_invoice
from storage.sellers import seller_version
from storage.tables import invoices
from tests.activities.conftest import FIRST, LINKS, Books, Plan
from tests.activities.mail_server import MailServer, attached_pdf, mail_server, text_of
from tests.builders import KNOWN_ANSWER, Subscriber
from workflows.contracts.lifecycle import Occasion

SENDER = "billing@billwright.example"
OCCASION = Occasion(FIRST, date(2026, 3, 1))
MESSAGE_ID = f"<{FIRST}.invoice.0@billwright.invalid>"
UNSENT = "SELECT count(*) FROM emails WHERE sent_at IS NULL"
REFUSED = "SELECT reason FROM audit_log WHERE event = 'invoice_email_refused'"


@pytest.fixture
async def mailbox() -> AsyncIterator[MailServer]:
    async with mail_server() as server:
        yield server


async def deliver(books: Books, mailbox: MailServer, mailer: Mailer | None = None) -> None:
    """Runs the activity in a thread, as the worker does."""
    used = mailer or Mailer("127.0.0.1", mailbox.port, sender=SENDER)
    activities = DeliveryActivities(books.engine, mailer=used, links=LINKS)
    await asyncio.to_thread(activities.deliver_invoice, OCCASION)


async def delivered(
    plan: Plan, mailbox: MailServer, customer: Subscriber = KNOWN_ANSWER, **seller: str
) -> EmailMessage:
    """The one e-mail that the customer's invoice makes."""
    books = plan(customer, **seller)
    books.issue()
    await deliver(books, mailbox)
    (mail,) = mailbox.mails
    return mail


def bodies(mail: EmailMessage) -> tuple[str, str]:
    return text_of(mail, "plain"), text_of(mail, "html")


# --- what it says


async def test_it_carries_text_html_and_the_document(plan: Plan, mailbox: MailServer) -> None:
    books = plan(KNOWN_ANSWER)
    sha256 = books.issue()
    await deliver(books, mailbox)
    (mail,) = mailbox.mails
    ((content,),) = books.ask(f"SELECT content FROM documents WHERE sha256 = '{sha256}'")  # noqa: S608
    assert attached_pdf(mail) == bytes(content)
    assert [part.get_filename() for part in mail.iter_attachments()] == [f"{FIRST}.pdf"]
    assert mail["Message-ID"] == MESSAGE_ID
    assert mail["Subject"] == f"Invoice {FIRST} from Meridian API GmbH"
    assert mail["From"] == f"Meridian API GmbH <{SENDER}>"
    assert mail["To"] == "accounts@1047.example"
    assert mail["Reply-To"] == "billing@meridian-api.example"
    assert mail["Date"].datetime


async def test_both_bodies_name_amount_day_link_and_bank(plan: Plan, mailbox: MailServer) -> None:
    mail = await delivered(plan, mailbox)
    for body in bodies(mail):
        for expected in (
            FIRST,
            "USD 312.91",
            "31 March 2026",
            "February 2026",
            LINKS.pay(FIRST, 1),
            "DE89 3704 0044 0532 0130 00",
            "COBADEFFXXX",
        ):
            assert expected in body


async def test_an_invoice_of_nothing_says_that_there_is_nothing_to_pay(
    plan: Plan, mailbox: MailServer
) -> None:
    mail = await delivered(plan, mailbox, Subscriber("1001", 500))
    for body in bodies(mail):
        assert "USD 0.00" in body
        assert "There is nothing to pay." in body
        assert "IBAN" not in body
        assert "31 March" not in body


async def test_a_card_customer_reads_that_the_card_is_charged(
    plan: Plan, mailbox: MailServer
) -> None:
    card = Subscriber("1001", columns={"payment_method": "card"})
    mail = await delivered(plan, mailbox, card)
    for body in bodies(mail):
        assert "We charge USD 195.10 to your card on file" in body
        assert LINKS.pay(FIRST, 1) in body
        assert "IBAN" not in body


async def test_a_hostile_name_stays_text(plan: Plan, mailbox: MailServer) -> None:
    hostile = Subscriber("1001", columns={"name": "<img src=x onerror=alert(1)> & Söhne"})
    text, html = bodies(await delivered(plan, mailbox, hostile))
    assert "Hello <img src=x onerror=alert(1)> & Söhne," in text
    assert "<img" not in html
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; Söhne" in html


async def test_names_beyond_ascii_arrive_as_they_are(plan: Plan, mailbox: MailServer) -> None:
    name = "Bäckerei „Łódź“ 株式会社"
    mail = await delivered(plan, mailbox, name=name)
    assert mail["Subject"] == f"Invoice {FIRST} from {name}"
    assert mail["From"].addresses[0].display_name == name
    assert mail["From"].addresses[0].addr_spec == SENDER
    assert all(name in body for body in bodies(mail))
    (raw,) = mailbox.raw
    assert raw.isascii()


@pytest.mark.parametrize("name", ['Quote " and, comma <x@y.example>', "a" * 300, "ü" * 200])
async def test_an_awkward_name_adds_no_address(plan: Plan, mailbox: MailServer, name: str) -> None:
    mail = await delivered(plan, mailbox, name=name)
    assert [address.addr_spec for address in mail["From"].addresses] == [SENDER]
    assert mail["From"].addresses[0].display_name == name


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x85", "\u2028", "\n\n"])
async def test_a_name_cannot_begin_a_header(plan: Plan, mailbox: MailServer, end: str) -> None:
    # the import refuses control characters; the mail does not rely on it
    books = plan(KNOWN_ANSWER)
    books.issue()
    seller = f"Evil{end}Bcc: thief@evil.example{end}Subject: lies"
    replaced = Mailer("127.0.0.1", mailbox.port, sender=SENDER)
    await deliver_as(books, replaced, seller)
    (mail,) = mailbox.mails
    assert mail.get_all("Bcc") is None
    assert mail.get_all("Subject") == [
        f"Invoice {FIRST} from Evil Bcc: thief@evil.example Subject: lies"
    ]
    assert len(mail.get_all("From") or []) == 1
    assert mailbox.recipients == [["accounts@1047.example"]]


async def deliver_as(books: Books, mailer: Mailer, seller_name: str) -> None:
    """Sends the invoice's message as if the seller had that name."""
    with transaction(books.engine) as connection:
        invoice = load_invoice(connection, FIRST)
        seller = seller_version(connection, invoice.seller_version)
    message = invoice_message(
        EmailKey(FIRST, "invoice", 0),
        invoice,
        replace(seller, name=seller_name, email=seller_name),
        LINKS.pay(FIRST, 1),
        b"%PDF",
        sender=SENDER,
    )
    await asyncio.to_thread(mailer.send, message)


async def test_several_addresses_get_one_mail(plan: Plan, mailbox: MailServer) -> None:
    customer = Subscriber("1001", columns={"billing_email": "a@x.example; b@y.example"})
    mail = await delivered(plan, mailbox, customer)
    assert mail["To"] == "a@x.example, b@y.example"
    assert mailbox.recipients == [["a@x.example", "b@y.example"]]


# --- once


async def test_twice_sends_one_mail(plan: Plan, mailbox: MailServer) -> None:
    books = plan()
    books.issue()
    for _ in range(2):
        await deliver(books, mailbox)
    assert len(mailbox.mails) == 1
    assert books.told() == ["issued", "invoice_email_sent"]
    assert books.ask("SELECT message_id, business_date FROM emails WHERE sent_at IS NOT NULL") == [
        (MESSAGE_ID, OCCASION.business_date)
    ]


class KilledAfterSending(Mailer):
    """The process dies between the server's 250 and the record."""

    def send(self, message: Message) -> Refusals:
        super().send(message)
        raise KeyboardInterrupt


async def test_killed_before_the_record_the_same_mail_goes_once_more(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan()
    books.issue()
    activities = DeliveryActivities(
        books.engine,
        mailer=KilledAfterSending("127.0.0.1", mailbox.port, sender=SENDER),
        links=LINKS,
    )

    def killed() -> bool:
        try:
            activities.deliver_invoice(OCCASION)
        except KeyboardInterrupt:
            return True
        return False

    assert await asyncio.to_thread(killed)
    assert books.ask(UNSENT) == [(1,)]
    for _ in range(2):
        await deliver(books, mailbox)

    assert [mail["Message-ID"] for mail in mailbox.mails] == [MESSAGE_ID] * 2
    first, second = mailbox.mails
    assert bodies(first) == bodies(second)
    assert attached_pdf(first) == attached_pdf(second)
    assert books.told() == ["issued", "invoice_email_sent"]
    assert books.ask("SELECT count(*) FROM emails") == [(1,)]


async def test_nothing_is_sent_before_the_invoice_is_issued(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan()
    with pytest.raises(Conflict, match="no document"):
        await deliver(books, mailbox)
    assert mailbox.mails == []
    assert books.ask("SELECT count(*) FROM emails") == [(0,)]


# --- refusals


async def test_recipients_refused_for_good_are_recorded_for_a_person(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan()
    books.issue()
    mailbox.refused = {"accounts@1047.example": "550 no such user"}
    await deliver(books, mailbox)
    assert books.told() == ["issued", "invoice_email_refused"]
    assert books.ask(REFUSED) == [("accounts@1047.example: 550 no such user",)]
    assert books.ask(UNSENT) == [(1,)]


async def test_one_of_two_recipients_refused_is_sent_and_recorded(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan(Subscriber("1001", columns={"billing_email": "a@x.example; b@y.example"}))
    books.issue()
    mailbox.refused = {"b@y.example": "550 gone"}
    await deliver(books, mailbox)
    assert mailbox.recipients == [["a@x.example"]]
    assert books.told() == ["issued", "invoice_email_sent", "invoice_email_refused"]
    assert books.ask(REFUSED) == [("b@y.example: 550 gone",)]


async def test_a_message_refused_for_good_is_recorded_and_not_tried_for_ever(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan()
    books.issue()
    mailbox.answer = "554 looks like spam"
    await deliver(books, mailbox)
    assert books.told() == ["issued", "invoice_email_refused"]
    assert books.ask(REFUSED) == [("554 looks like spam",)]


async def test_an_address_that_no_mail_can_carry_is_recorded(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan()  # the import refuses such an address; a draft may hold one from elsewhere
    with transaction(books.engine) as connection:
        connection.execute(
            update(invoices).values(
                customer=text("jsonb_set(customer, '{billing_emails}', '[\"büro@x.example\"]')")
            )
        )
    books.issue()
    await deliver(books, mailbox)
    assert mailbox.mails == []
    assert books.told() == ["issued", "invoice_email_refused"]
    assert books.ask(REFUSED) == [("büro@x.example: only ASCII can be delivered to",)]


async def test_a_domain_beyond_ascii_is_written_as_the_dns_knows_it(
    plan: Plan, mailbox: MailServer
) -> None:
    customer = Subscriber("1001", columns={"billing_email": "buero@söhne.example"})
    mail = await delivered(plan, mailbox, customer)
    assert mail["To"] == "buero@xn--shne-5qa.example"
    assert mailbox.recipients == [["buero@xn--shne-5qa.example"]]


@pytest.mark.parametrize("answer", ["450 mailbox busy", "421 closing"])
async def test_recipients_refused_for_now_are_tried_again(
    plan: Plan, mailbox: MailServer, answer: str
) -> None:
    books = plan()
    books.issue()
    mailbox.refused = {"accounts@1047.example": answer}
    mailer = Mailer("127.0.0.1", mailbox.port, sender=SENDER)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await deliver(books, mailbox, mailer)
    assert books.told() == ["issued"]
    mailbox.refused = {}
    await deliver(books, mailbox, mailer)
    assert books.told() == ["issued", "invoice_email_sent"]


async def test_a_message_refused_for_now_is_tried_again(plan: Plan, mailbox: MailServer) -> None:
    books = plan()
    books.issue()
    mailbox.answer = "451 disk full"
    with pytest.raises(smtplib.SMTPDataError):
        await deliver(books, mailbox)
    mailbox.answer = "250 kept"
    await deliver(books, mailbox)
    assert books.told() == ["issued", "invoice_email_sent"]


async def test_a_mail_server_that_is_away_is_an_outage(plan: Plan) -> None:
    books = plan()
    books.issue()
    async with mail_server() as server:
        pass
    with pytest.raises(OSError, match="refused"):
        await deliver(books, server)
    assert books.told() == ["issued"]


async def test_the_html_loads_nothing_from_elsewhere(plan: Plan, mailbox: MailServer) -> None:
    _, html = bodies(await delivered(plan, mailbox))
    assert re.findall(r"(?:src|href)=\"([^\"]+)\"", html) == [LINKS.pay(FIRST, 1)]
