"""The finance team told that a month's proof raised the alarm, once for each time that it does."""

from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import formatdate

from sqlalchemy import Engine
from temporalio import activity

from activities.formatting import format_day
from activities.mailer import Mailer
from domain.periods import BillingPeriod
from domain.proof import LAWS, Difference
from storage.engine import transaction
from storage.proof.records import Reconciliation, load_proof
from storage.proof.telling import alarm_to_tell, record_told
from workflows.contracts.proof import ProofOrder

_NAMED = 10
"""Differences in the e-mail; the page has all of them."""


class ProofNoticeActivities:
    """`public_url`: below which the console is."""

    def __init__(
        self, engine: Engine, *, mailer: Mailer, finance_email: str, public_url: str
    ) -> None:
        self._engine = engine
        self._mailer = mailer
        self._finance_email = finance_email
        self._public_url = public_url.rstrip("/")

    @activity.defn(no_thread_cancel_exception=True)
    def send_alarm(self, order: ProofOrder) -> None:
        """Killed between the server's 250 and our record, the same Message-ID goes once more."""
        period = BillingPeriod.parse(order.period)
        with transaction(self._engine) as connection:
            alarm = alarm_to_tell(connection, period)
            if alarm is None:
                return
            named = load_proof(connection, alarm.id, differences=_NAMED).differences
        message = EmailMessage()
        message["Message-ID"] = f"<proof.{period}.{alarm.id}@billwright.invalid>"
        message["Date"] = formatdate()
        message["From"] = self._mailer.sender
        message["To"] = self._finance_email
        message["Subject"] = f"Alarm: the proof of {period} does not balance"
        message.set_content("\n".join(self._says(alarm, named)))
        self._mailer.send(message)
        with transaction(self._engine) as connection:
            record_told(connection, alarm, recipient=self._finance_email, actor=order.actor)

    def _says(self, alarm: Reconciliation, named: tuple[Difference, ...]) -> Iterator[str]:
        plural = "" if alarm.difference_count == 1 else "s"
        yield f"The proof of {alarm.period} as of {format_day(alarm.as_of)} found"
        yield f"{alarm.difference_count:,} difference{plural}."
        for row in named:
            yield ""
            yield LAWS[row.equation].sentence
            about = ", ".join(filter(None, (row.account_number, row.subject)))
            unit = f" {row.unit}" if row.unit else ""
            yield f"{about}: {row.found:f}{unit} instead of {row.expected:f}".removeprefix(": ")
        if alarm.difference_count > len(named):
            yield ""
            yield f"And {alarm.difference_count - len(named):,} more."
        yield ""
        yield f"{self._public_url}/console/billing/{alarm.period}/proof"
        yield "No other e-mail about the month goes out before its proof agrees again."
