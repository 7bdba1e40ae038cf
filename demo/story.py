"""What happens to February's invoices until day 14, told as the database has it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import httpx
from rich.console import Console
from sqlalchemy import Engine, text

from demo.behaviour import Inbox, billing_emails, card_payers, leave_card
from demo.wires import wires_of, write_statement
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
    """Where the story plays: the database, the API as the finance team calls it, the mailbox."""

    engine: Engine
    api: httpx.Client
    mail_dir: Path
    period: str
    issued_on: date
    out: Console


def wait_for_first_contact(stage: Stage) -> None:
    """Until every invoice's first e-mail is sent: behind the charge of its card, if it has one."""
    _until(
        stage,
        "every invoice's first e-mail",
        """SELECT count(*) = 0 FROM invoices WHERE status <> 'void' AND NOT EXISTS (
               SELECT FROM emails WHERE invoice_id = invoices.id AND sent_at IS NOT NULL)""",
    )


def tell_the_fortnight(stage: Stage) -> None:
    """Releases the reminders and follows what customers and reminders do, day by day."""
    narrator = _Narrator(stage)
    _checked(stage.api.post(f"/api/billing/cycles/{stage.period}/release"))
    released = time.monotonic()
    for day, deed in _deeds(stage):
        _sleep_until(released + day, narrator.tell)
        if deed is not None:
            deed()
    _until(
        stage,
        "the steps of day 14",
        """SELECT count(*) = 0 FROM invoices
           WHERE status IN ('issued', 'overdue') AND first_failed_on IS NOT NULL
             AND collection_state <> 'manual_review'""",
        narrator.tell,
    )
    _until(
        stage,
        "the wires booked",
        "SELECT count(*) = 0 FROM bank_matches WHERE booked_at IS NULL",
        narrator.tell,
    )
    narrator.tell()


def _deeds(stage: Stage) -> Iterator[tuple[float, Callable[[], None] | None]]:
    """What is done from outside, by the day after the release."""
    emails = billing_emails()
    deeds: list[tuple[float, Callable[[], None] | None]] = [
        (STATEMENT_DAY, lambda: _upload_statement(stage)),
        (LAST_DAY, None),
    ]
    for payer in card_payers():
        if payer.day is not None:
            inbox = Inbox(stage.mail_dir, emails[payer.account_number])
            card = payer.new_card
            deeds.append((payer.day, lambda inbox=inbox, card=card: leave_card(inbox, card)))  # type: ignore[misc]
    yield from sorted(deeds, key=lambda deed: deed[0])


def _upload_statement(stage: Stage) -> None:
    with transaction(stage.engine) as connection:
        _, seller = current_seller(connection)
    statement = write_statement(wires_of(stage.mail_dir, stage.issued_on), iban=seller.iban)
    answer = _checked(
        stage.api.post(
            "/api/billing/bank-statements",
            files={"file": ("statement.xml", statement, "application/xml")},
        )
    )
    stage.out.print(
        f"  {stage.issued_on + timedelta(days=STATEMENT_DAY)}  bank statement uploaded: "
        f"{answer['new']} wires, {answer['matched']} matched by reference, "
        f"{answer['waiting']} wait for a person"
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
                {"seen": self._seen, "told": list(_TOLD), "start": f"{self._stage.period}-01"},
            ).all()
        for row in rows:
            self._seen = row.id
            reason = f" ({row.reason})" if row.reason else ""
            self._stage.out.print(
                f"  {row.business_date}  {row.account_number}  {row.subject}  "
                f"{row.event.replace('_', ' ')}{reason}",
                highlight=False,
            )


_NEWS = text("""
    SELECT log.id, log.business_date, log.subject, log.event, log.reason, customers.account_number
    FROM audit_log log
    JOIN invoices ON invoices.number = log.subject
    JOIN customers ON customers.id = invoices.customer_id
    WHERE log.id > :seen AND log.subject_kind = 'invoice' AND log.event = ANY(:told)
      AND invoices.period_start = CAST(:start AS date) AND invoices.first_failed_on IS NOT NULL
    ORDER BY log.id
""")


def _until(
    stage: Stage, what: str, condition: str, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Waits until `condition` is true in the database."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with transaction(stage.engine) as connection:
            if connection.execute(text(condition)).scalar_one():
                return
        meanwhile()
        time.sleep(0.2)
    raise StackError(f"{what}: not within {_PATIENCE_SECONDS} s; see the worker's log.")


def _sleep_until(instant: float, meanwhile: Callable[[], None]) -> None:
    while (left := instant - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))
        meanwhile()


def _checked(answer: httpx.Response) -> dict[str, int]:
    if answer.is_error:
        raise StackError(f"The API refused: {answer.text}")
    found: dict[str, int] = answer.json()
    return found
