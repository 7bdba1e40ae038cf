"""What happens to February's invoices until day 14, told as the database has it."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import httpx
from rich.console import Console
from sqlalchemy import Engine, text

from demo.answers import checked
from demo.behaviour import CardPayer, Inbox, billing_emails, card_payers, leave_card
from demo.wires import wires_of, write_statement
from domain.periods import BillingPeriod
from stack.errors import StackError
from storage.engine import transaction
from storage.sellers import current_seller

LAST_DAY = 14
STATEMENT_DAY = 9
_PATIENCE_SECONDS = 180
_TOLD = (
    "charge_declined",
    "charge_refused",
    "payment_method_updated",
    "reminder_sent",
    "urgent_notice_sent",
    "review_due",
    "settled",
)


@dataclass(frozen=True)
class Stage:
    """Where the story plays: the database, the API as the finance team calls it, the mailbox.

    `day_seconds`: how long a business day lasts once the reminders are released.
    """

    engine: Engine
    api: httpx.Client
    mail_dir: Path
    period: str
    issued_on: date
    day_seconds: int
    out: Console

    @property
    def month(self) -> date:
        """First day of the period; old invoices have another."""
        return BillingPeriod.parse(self.period).start


def wait_for_first_contact(stage: Stage) -> None:
    """Until every invoice's first e-mail is sent: behind the charge of its card, if it has one."""
    _until(
        stage,
        "every invoice's first e-mail",
        """SELECT count(*) = 0 FROM invoices
           WHERE period_start = :month AND status <> 'void' AND NOT EXISTS (
               SELECT FROM emails WHERE invoice_id = invoices.id AND sent_at IS NOT NULL)""",
    )


def tell_the_fortnight(stage: Stage) -> None:
    """Releases the reminders and follows what customers and reminders do, day by day."""
    narrator = _Narrator(stage)
    answering = [payer for payer in card_payers() if payer.answers]
    with ThreadPoolExecutor(len(answering)) as customers:
        checked(stage.api.post(f"/api/billing/cycles/{stage.period}/release"))
        released = time.monotonic()
        answers = [customers.submit(_answer, stage, payer, released) for payer in answering]
        _sleep_until(released + STATEMENT_DAY * stage.day_seconds, narrator.tell)
        _upload_statement(stage)
        for answer in answers:
            answer.result()
    _until(
        stage,
        "the steps of day 14",
        """SELECT count(*) = 0 FROM invoices
           WHERE period_start = :month AND status IN ('issued', 'overdue')
             AND first_failed_on IS NOT NULL AND collection_state <> 'manual_review'""",
        narrator.tell,
    )
    _until(
        stage,
        "every wire booked and every e-mail of the steps sent",
        """SELECT NOT EXISTS (SELECT FROM bank_matches WHERE booked_at IS NULL)
              AND NOT EXISTS (SELECT FROM emails WHERE sent_at IS NULL)
              AND NOT EXISTS (
               SELECT FROM invoices
               WHERE period_start = :month AND collection_state = 'manual_review'
                 AND NOT EXISTS (SELECT FROM emails
                                 WHERE invoice_id = invoices.id AND kind = 'review_notice'))""",
        narrator.tell,
    )
    narrator.tell()


def _answer(stage: Stage, payer: CardPayer, released: float) -> None:
    """The customer waits for the e-mail, then for the day, and leaves the card."""
    inbox = Inbox(stage.mail_dir, billing_emails()[payer.account_number])
    link = inbox.link_in(payer.answers, "payment-method")
    _sleep_until(released + payer.day * stage.day_seconds, lambda: None)
    leave_card(link, payer.new_card)


def _upload_statement(stage: Stage) -> None:
    with transaction(stage.engine) as connection:
        _, seller = current_seller(connection)
    statement = write_statement(wires_of(stage.mail_dir, stage.issued_on), iban=seller.iban)
    answer = checked(
        stage.api.post(
            "/api/billing/bank-statements",
            files={"file": ("statement.xml", statement, "application/xml")},
        )
    )
    stage.out.print(
        f"  {stage.issued_on + timedelta(days=STATEMENT_DAY)}  bank statement uploaded: "
        f"{answer['new']} wires, {answer['matched']} matched by reference, "
        f"{answer['waiting']} wait for a person",
        soft_wrap=True,
    )


class _Narrator:
    """Prints what the audit log says of the invoices by card, each entry once."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seen = 0

    def tell(self) -> None:
        with transaction(self._stage.engine) as connection:
            rows = connection.execute(
                _NEWS,
                {"seen": self._seen, "told": list(_TOLD), "month": self._stage.month},
            ).all()
        for row in rows:
            self._seen = row.id
            reason = f" ({row.reason})" if row.reason else ""
            self._stage.out.print(
                f"  {row.business_date}  {row.account_number}  {row.subject}  "
                f"{row.event.replace('_', ' ')}{reason}",
                highlight=False,
                soft_wrap=True,
            )


_NEWS = text("""
    SELECT log.id, log.business_date, log.subject, log.event, log.reason, customers.account_number
    FROM audit_log log
    JOIN invoices ON invoices.number = log.subject
    JOIN customers ON customers.id = invoices.customer_id
    WHERE log.id > :seen AND log.subject_kind = 'invoice' AND log.event = ANY(:told)
      AND invoices.period_start = :month AND invoices.first_failed_on IS NOT NULL
    ORDER BY log.id
""")


def _until(
    stage: Stage, what: str, condition: str, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Waits until `condition` is true in the database; `:month` is the first day of the stage's."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with transaction(stage.engine) as connection:
            if connection.execute(text(condition), {"month": stage.month}).scalar_one():
                return
        meanwhile()
        time.sleep(0.2)
    raise StackError(f"{what}: not within {_PATIENCE_SECONDS} s; see the worker's log.")


def _sleep_until(instant: float, meanwhile: Callable[[], None]) -> None:
    while (left := instant - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))
        meanwhile()
