"""The finance team hears of a month that does not balance, once."""

import asyncio
import smtplib
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal

import pytest

from activities.mailer import Mailer
from activities.proof_notice import ProofNoticeActivities
from domain.proof import Entry, Equation, Proof, weigh
from storage.engine import transaction
from storage.proof.records import record_proof
from tests.activities.conftest import Books, Plan
from tests.activities.mail_server import MailServer, mail_server, text_of
from tests.builders import ACTOR, FEBRUARY
from workflows.contracts.proof import ProofOrder

FINANCE = "finance@meridian-api.example"
RIGHT = Proof((), ())


@pytest.fixture
async def mailbox() -> AsyncIterator[MailServer]:
    async with mail_server() as server:
        yield server


def wrong(customers: int = 1) -> Proof:
    """A proof by which each of `customers` was billed 9.00 in place of 10.00."""
    entries = [
        Entry("USD", str(1001 + n), Decimal("10.00"), Decimal("9.00"), "api-calls")
        for n in range(customers)
    ]
    return weigh(Equation.RATED_AGAIN, entries)


async def tell(books: Books, mailbox: MailServer, *proofs: Proof) -> None:
    """Keeps each of `proofs` and sends what there is to tell of it, in a thread as the worker."""
    office = ProofNoticeActivities(
        books.engine,
        mailer=Mailer("127.0.0.1", mailbox.port, sender="billing@billwright.example"),
        finance_email=FINANCE,
        public_url="https://billing.example/",
    )
    for proof in proofs:
        with transaction(books.engine) as connection:
            record_proof(connection, FEBRUARY, proof, as_of=date(2026, 3, 9), made_by=ACTOR)
        await asyncio.to_thread(office.send_alarm, ProofOrder(str(FEBRUARY)))


async def test_an_alarm_names_what_differs_and_leads_to_the_page(
    plan: Plan, mailbox: MailServer
) -> None:
    await tell(plan(), mailbox, wrong(customers=12))
    (mail,) = mailbox.mails
    assert mailbox.recipients == [[FINANCE]]
    assert mail["Subject"] == "Alarm: the proof of 2026-02 does not balance"
    words = text_of(mail, "plain").replace("\r\n", "\n")
    assert "The proof of 2026-02 as of 9 March 2026 found\n12 differences." in words
    assert "1001, api-calls: 9.00 USD instead of 10.00" in words
    assert "And 2 more." in words
    assert "https://billing.example/console/billing/2026-02/proof" in words


async def test_an_alarm_is_told_once_and_anew_once_the_month_had_balanced(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan()
    await tell(books, mailbox, wrong(), wrong(2))
    assert len(mailbox.mails) == 1
    await tell(books, mailbox, RIGHT)
    assert len(mailbox.mails) == 1
    await tell(books, mailbox, wrong())
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == len(mailbox.mails) == 2
    assert books.told(str(FEBRUARY)).count("alarm_email_sent") == 2


async def test_what_no_mail_server_took_is_told_by_the_next_round(
    plan: Plan, mailbox: MailServer
) -> None:
    books = plan()
    mailbox.answer = "451 try later"
    with pytest.raises(smtplib.SMTPDataError):
        await tell(books, mailbox, wrong())
    mailbox.answer = "250 kept"
    await tell(books, mailbox, wrong())
    assert len(mailbox.mails) == 1
