"""E-mails about an invoice: what they carry, that each goes out once, and what a refusal does."""

import asyncio
import smtplib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from email.message import EmailMessage, Message

import pytest
from sqlalchemy import text, update

from activities.delivery import DeliveryActivities, Office
from activities.mailer import Mailer, Refusals
from domain.dunning import Case
from domain.emails import EmailKind
from domain.errors import Conflict
from storage.allocation import Receipt, book_receipt
from storage.collection import LockedInvoice, begin_review
from storage.engine import transaction
from storage.tables import invoices
from tests.activities.conftest import FIRST, LINKS, Books, Plan
from tests.activities.mail_server import MailServer, attached_pdf, mail_server, text_of
from tests.builders import ACTOR, ISSUED_ON, KNOWN_ANSWER, Subscriber
from workflows.contracts.lifecycle import NoticeOrder, UndeliveredReport

SENDER = "billing@billwright.example"
OFFICE = Office(
    "finance@meridian-api.example",
    case_url=lambda number: f"https://temporal.example/{number}",
    card_link_days=14,
    today=lambda: ISSUED_ON,
)
INVOICE = NoticeOrder(FIRST, EmailKind.INVOICE, 0, ISSUED_ON)
LATE = date(2026, 4, 3)
REMINDER = NoticeOrder(FIRST, EmailKind.REMINDER, 1, LATE, place=1, while_open=True)
MESSAGE_ID = f"<{FIRST}.invoice.0@billwright.invalid>"
UNSENT = "SELECT count(*) FROM emails WHERE sent_at IS NULL"
REFUSED = "SELECT reason FROM audit_log WHERE event = 'invoice_email_refused'"


@pytest.fixture
async def mailbox() -> AsyncIterator[MailServer]:
    async with mail_server() as server:
        yield server


def delivery(books: Books, mailer: Mailer) -> DeliveryActivities:
    return DeliveryActivities(books.engine, mailer=mailer, links=LINKS, office=OFFICE)


async def deliver(
    books: Books, mailbox: MailServer, mailer: Mailer | None = None, order: NoticeOrder = INVOICE
) -> Case:
    """Runs the activity in a thread, as the worker does."""
    used = mailer or Mailer("127.0.0.1", mailbox.port, sender=SENDER)
    return await asyncio.to_thread(delivery(books, used).send_notice, order)


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


def pay(books: Books, amount: str, method: str = "bank_transfer") -> None:
    """Money for the first invoice, booked as it arrives."""
    with transaction(books.engine) as connection:
        locked = LockedInvoice(connection, FIRST, business_date=ISSUED_ON, actor=ACTOR)
        book_receipt(locked, Receipt(method, Decimal(amount), f"{method} of {amount}"))


# --- what they carry


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
            LINKS.pay(FIRST, 1),
            "DE89 3704 0044 0532 0130 00",
            "COBADEFFXXX",
        ):
            assert expected in body


async def test_a_receipt_says_what_was_paid_and_how(plan: Plan, mailbox: MailServer) -> None:
    books = plan(KNOWN_ANSWER)
    books.issue()
    pay(books, "312.91", "card")
    await deliver(books, mailbox, order=replace(INVOICE, kind=EmailKind.RECEIPT))
    (mail,) = mailbox.mails
    assert mail["Subject"] == f"Receipt for invoice {FIRST} from Meridian API GmbH"
    assert "USD 312.91" in text_of(mail, "plain")
    assert "card" in text_of(mail, "plain")
    assert attached_pdf(mail)


async def test_the_review_notice_goes_to_the_finance_team_with_what_was_tried(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan()
    books.issue()
    await deliver(books, mailbox, order=REMINDER)
    await deliver(books, mailbox, order=replace(INVOICE, kind=EmailKind.REVIEW_NOTICE, step=99))
    mail = mailbox.mails[-1]
    assert mailbox.recipients[-1] == [OFFICE.finance_email]
    assert "3 April 2026: reminder sent" in text_of(mail, "plain")
    assert f"https://temporal.example/{FIRST}" in text_of(mail, "plain")
    assert list(mail.iter_attachments()) == []


async def test_a_copy_goes_to_whom_the_step_names(plan: Plan, mailbox: MailServer) -> None:
    books = plan()
    books.issue()
    await deliver(books, mailbox, order=replace(REMINDER, cc=("sales@meridian-api.example",)))
    (mail,) = mailbox.mails
    assert mail["Cc"] == "sales@meridian-api.example"
    assert mailbox.recipients == [["accounts@1047.example", "sales@meridian-api.example"]]


async def test_a_credit_note_without_its_document_is_not_sent(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan()
    books.issue()
    note = books.credit("99.00")
    order = replace(INVOICE, kind=EmailKind.CREDIT_NOTE, step=1, credit_note=note)
    with pytest.raises(Conflict, match="no document yet"):
        await deliver(books, mailbox, order=order)
    books.render_credit(note)
    await deliver(books, mailbox, order=order)
    (mail,) = mailbox.mails
    assert [part.get_filename() for part in mail.iter_attachments()] == [f"{note}.pdf"]


# --- addresses


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
        (MESSAGE_ID, ISSUED_ON)
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
    activities = delivery(books, KilledAfterSending("127.0.0.1", mailbox.port, sender=SENDER))

    def killed() -> bool:
        try:
            activities.send_notice(INVOICE)
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
    with pytest.raises(Conflict, match="is a draft"):
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


# --- the steps of dunning that they are


async def test_a_reminder_is_recorded_with_its_step(plan: Plan, mailbox: MailServer) -> None:
    books = plan()
    books.issue()
    for _ in range(2):
        case = await deliver(books, mailbox, order=REMINDER)
        assert (case.state, case.steps_taken) == ("reminder_sent", 1)
    assert len(mailbox.mails) == 1
    assert books.told() == ["issued", "reminder_email_sent", "reminder_sent"]


async def test_a_reminder_of_what_was_paid_meanwhile_is_not_sent(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan()
    books.issue()
    pay(books, "195.10")
    case = await deliver(books, mailbox, order=REMINDER)
    assert case.state == "paid"
    assert mailbox.mails == []
    assert books.ask("SELECT count(*) FROM emails") == [(0,)]


async def test_a_reminder_that_is_refused_for_good_is_a_step_all_the_same(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan()
    books.issue()
    mailbox.answer = "554 looks like spam"
    case = await deliver(books, mailbox, order=REMINDER)
    assert (case.state, case.steps_taken) == ("reminder_sent", 1)
    assert books.told() == ["issued", "reminder_email_refused", "reminder_sent"]


async def test_an_earlier_reminder_never_takes_a_later_step_back(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan()
    books.issue()
    urgent = replace(REMINDER, kind=EmailKind.URGENT_NOTICE, step=2, place=2)
    await deliver(books, mailbox, order=urgent)
    case = await deliver(books, mailbox, order=REMINDER)
    assert (case.state, case.steps_taken) == ("urgent_notice", 2)


@pytest.mark.parametrize("times", [1, 2])
async def test_an_email_that_was_given_up_is_told_once_and_counts_as_a_step(
    plan: Plan, mailbox: MailServer, times: int
) -> None:
    books = plan()
    books.issue()
    report = UndeliveredReport(REMINDER, "the server was away for good")
    activities = delivery(books, Mailer("127.0.0.1", mailbox.port, sender=SENDER))
    for _ in range(times):
        case = activities.record_undelivered(report)
    assert (case.state, case.steps_taken) == ("reminder_sent", 1)
    assert books.told() == ["issued", "reminder_email_refused", "reminder_sent"]


async def test_an_email_that_was_taken_is_recorded_though_the_steps_stopped_meanwhile(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan()
    books.issue()
    dying = delivery(books, KilledAfterSending("127.0.0.1", mailbox.port, sender=SENDER))

    def killed() -> bool:
        try:
            dying.send_notice(REMINDER)
        except KeyboardInterrupt:
            return True
        return False

    assert await asyncio.to_thread(killed)
    with transaction(books.engine) as connection:
        begin_review(LockedInvoice(connection, FIRST, business_date=LATE, actor=ACTOR), place=3)
    await deliver(books, mailbox, order=REMINDER)
    assert books.ask(UNSENT) == [(0,)]
