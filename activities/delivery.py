"""E-mails about an invoice: written down, sent, and recorded with the step that they are."""

import smtplib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from email.message import Message

from sqlalchemy import Connection, Engine, select
from temporalio import activity

from activities.collection import ACTOR
from activities.formatting import format_day
from activities.mailer import Mailer, Refusals
from activities.messages import Notice, compose, subject
from activities.payer_links import PayerLinks
from domain.dunning import EVENT_OF_NOTICE, Case, days_late, step_number
from domain.emails import EmailKind
from domain.errors import Conflict
from storage import emails
from storage.collection import LockedInvoice, load_case
from storage.credit_notes import load_credit_note
from storage.documents import fetch_document
from storage.emails import EmailKey
from storage.engine import transaction
from storage.invoices import Invoice, load_invoice, load_timeline
from storage.sellers import seller_version
from storage.tables import payments
from workflows.contracts.lifecycle import NoticeOrder, UndeliveredReport

_WITH_INVOICE = (
    EmailKind.INVOICE,
    EmailKind.RECEIPT,
    EmailKind.UPDATE_PAYMENT_METHOD,
    EmailKind.AUTHENTICATE,
    EmailKind.REMINDER,
    EmailKind.URGENT_NOTICE,
)


@dataclass(frozen=True)
class Office:
    """Where people are reached: the finance team's address, and the page of a case by its number.

    `card_link_days`: for how long a link to change the card is good.
    Those are days of the world's calendar, `today`, also where a demonstration has its own.
    """

    finance_email: str
    case_url: Callable[[str], str]
    card_link_days: int
    today: Callable[[], date]


class DeliveryActivities:
    def __init__(
        self, engine: Engine, *, mailer: Mailer, links: PayerLinks, office: Office
    ) -> None:
        self._engine = engine
        self._mailer = mailer
        self._links = links
        self._office = office

    @activity.defn(no_thread_cancel_exception=True)
    def send_notice(self, order: NoticeOrder) -> Case:
        """Killed between the server's 250 and our record, the same Message-ID goes once more,
        which mail programs show as one.
        """
        key = _key(order)
        with transaction(self._engine) as connection:
            case = load_case(connection, order.number)
            if _comes_too_late(order, case) and not emails.may_be_sent(connection, key):
                return case
            invoice = load_invoice(connection, order.number)
            notice = self._notice(connection, order, invoice, case)
            recipients = self._recipients(order, invoice)
            to_send = emails.prepare_email(
                connection,
                key,
                recipients=[*recipients, *order.cc],
                subject=subject(notice),
                business_date=order.business_date,
            )
            attachments = _attachments(connection, order, invoice) if to_send else []
        if to_send:
            message = compose(
                notice,
                message_id=key.message_id,
                sender=self._mailer.sender,
                recipients=recipients,
                cc=order.cc,
                attachments=attachments,
            )
            refused, sent = self._send(key, message)
            with transaction(self._engine) as connection:
                self._record(connection, order, sent=sent, refused=refused)
        with transaction(self._engine) as connection:
            return load_case(connection, order.number)

    @activity.defn
    def record_undelivered(self, report: UndeliveredReport) -> Case:
        """The step counts as taken: the customer cannot be reached by e-mail, a person can see."""
        with transaction(self._engine) as connection:
            self._record(connection, report.order, sent=False, refused=report.reason)
            return load_case(connection, report.order.number)

    def _send(self, key: EmailKey, message: Message) -> tuple[str, bool]:
        """Why the server refuses it for good, for some or all; and whether anybody gets it.

        Where the server did not take it, that is written down: killed instead, the e-mail may be
        in a mailbox, and goes once more under its Message-ID whatever happened meanwhile.
        """
        try:
            return _reasons(self._mailer.send(message)), True
        except (smtplib.SMTPException, OSError) as trouble:
            refused = ""
            if isinstance(trouble, smtplib.SMTPException):
                refused = _refused_for_good(trouble)
            if not refused:
                with transaction(self._engine) as connection:
                    emails.record_not_taken(connection, key)
                raise
            return refused, False

    def _record(
        self, connection: Connection, order: NoticeOrder, *, sent: bool, refused: str
    ) -> None:
        """The e-mail, and the step of dunning that it is, in one transaction."""
        locked = LockedInvoice(
            connection, order.number, business_date=order.business_date, actor=ACTOR
        )
        key, on = _key(order), order.business_date
        if sent:
            emails.record_sent(connection, key, business_date=on, actor=ACTOR)
        if refused:
            emails.record_refused(connection, key, reason=refused, business_date=on, actor=ACTOR)
        event = EVENT_OF_NOTICE.get(order.kind)
        of_this_round = order.step == step_number(locked.row.dunning_round, order.place)
        if event is not None and of_this_round and order.place > locked.row.steps_taken:
            locked.move(event, refused and "the e-mail was refused")
            locked.change(steps_taken=order.place)

    def _recipients(self, order: NoticeOrder, invoice: Invoice) -> Sequence[str]:
        if order.kind is EmailKind.REVIEW_NOTICE:
            return (self._office.finance_email,)
        return invoice.customer.billing_emails

    def _notice(
        self, connection: Connection, order: NoticeOrder, invoice: Invoice, case: Case
    ) -> Notice:
        version = invoice.link_version
        expires_on = self._office.today() + timedelta(days=self._office.card_link_days)
        by_credit = _paid_by_credit(connection, invoice.id)
        in_review = order.kind is EmailKind.REVIEW_NOTICE
        credit_note = order.credit_note and load_credit_note(connection, order.credit_note)
        return Notice(
            kind=order.kind,
            number=order.number,
            account_number=invoice.account_number,
            customer=invoice.customer.name,
            seller=seller_version(connection, invoice.seller_version),
            period=f"{invoice.service_month.start:%B %Y}",
            currency=invoice.currency,
            total=invoice.total,
            paid=invoice.amount_paid - by_credit,
            credited=invoice.amount_credited + by_credit,
            open_amount=invoice.open_amount,
            issued_on=invoice.issued_on,
            due_on=invoice.due_on,
            days_late=days_late(case, order.business_date),
            by_card=case.by_card and (case.is_settled or case.chargeable_amount),
            pay_url=self._links.pay(order.number, version),
            card_url=self._links.card_setup(order.number, version, expires_on),
            reason=order.reason or _why_declined(order, case),
            next_step=_next_step(order.next_attempt_on),
            history=_history(connection, invoice) if in_review else (),
            case_url=self._office.case_url(order.number) if in_review else "",
            paid_by=_paid_by(connection, invoice.id),
            credit_note=order.credit_note,
            credit_note_amount=credit_note.draft.total if credit_note else Decimal(0),
        )


def _comes_too_late(order: NoticeOrder, case: Case) -> bool:
    """Nothing is open any more; or it is of a step, and the steps were stopped or began anew while
    the mail server was away.
    """
    if order.while_open and case.is_settled:
        return True
    in_time = order.step == step_number(case.round, order.place) and not case.steps_stopped
    return order.place > 0 and not in_time


def _key(order: NoticeOrder) -> EmailKey:
    return EmailKey(order.number, order.kind.value, order.step)


def _paid_by_credit(connection: Connection, invoice_id: int) -> Decimal:
    rows = connection.execute(
        select(payments.c.allocated).where(
            payments.c.invoice_id == invoice_id, payments.c.method == "credit"
        )
    )
    return sum(rows.scalars(), Decimal(0))


def _paid_by(connection: Connection, invoice_id: int) -> str:
    """How the invoice was paid, where all of it came the same way."""
    methods = connection.execute(
        select(payments.c.method)
        .distinct()
        .where(
            payments.c.invoice_id == invoice_id,
            payments.c.allocated > 0,
            payments.c.method != "credit",
        )
    ).scalars()
    words = {"card": "card", "bank_transfer": "bank transfer"}
    found = [words.get(method, "") for method in methods]
    return found[0] if len(found) == 1 else ""


def _why_declined(order: NoticeOrder, case: Case) -> str:
    """A late payer by card is told why it was declined."""
    late = order.kind in (EmailKind.REMINDER, EmailKind.URGENT_NOTICE)
    return case.decline.reason if late and case.by_card and case.decline else ""


def _next_step(next_attempt_on: date | None) -> str:
    if next_attempt_on is None:
        return ""
    return f"We will try the card again on {format_day(next_attempt_on)}."


def _history(connection: Connection, invoice: Invoice) -> tuple[str, ...]:
    """What was tried, one line each, the oldest first."""
    return tuple(
        f"{format_day(entry.business_date)}: {entry.event.replace('_', ' ')}"
        + (f" ({entry.reason})" if entry.reason else "")
        for entry in load_timeline(connection, invoice.number or "")
    )


def _attachments(
    connection: Connection, order: NoticeOrder, invoice: Invoice
) -> list[tuple[str, bytes]]:
    if order.kind is EmailKind.CREDIT_NOTE:
        note = load_credit_note(connection, order.credit_note)
        if note.pdf_sha256 is None:
            raise Conflict(f"{order.credit_note} has no document yet; render it first.")
        return [(f"{note.number}.pdf", fetch_document(connection, note.pdf_sha256))]
    if order.kind in _WITH_INVOICE and invoice.pdf_sha256 is not None:
        return [(f"{order.number}.pdf", fetch_document(connection, invoice.pdf_sha256))]
    return []


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
