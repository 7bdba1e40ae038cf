"""E-mails: written down before they are sent, once for each invoice, kind and step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from storage import audit
from storage.tables import audit_log, emails, invoices


@dataclass(frozen=True)
class EmailKey:
    """What makes an e-mail the same e-mail: the invoice, what it says, which step it belongs to."""

    number: str
    kind: str
    step: int

    @property
    def message_id(self) -> str:
        """The RFC 5322 Message-ID, the same whenever the e-mail is sent again."""
        return f"<{self.number}.{self.kind}.{self.step}@billwright.invalid>"


def prepare_email(
    connection: Connection,
    key: EmailKey,
    *,
    recipients: Sequence[str],
    subject: str,
    business_date: date,
) -> bool:
    """Writes the e-mail down unless it is; whether it still has to be sent.

    From here on it counts as offered to the mail server, until `record_not_taken`.
    """
    invoice_id = select(invoices.c.id).where(invoices.c.number == key.number).scalar_subquery()
    connection.execute(
        insert(emails)
        .values(
            invoice_id=invoice_id,
            kind=key.kind,
            step=key.step,
            message_id=key.message_id,
            recipients=list(recipients),
            subject=subject,
            business_date=business_date,
            offered=True,
        )
        .on_conflict_do_update(
            index_elements=["invoice_id", "kind", "step"], set_={"offered": True}
        )
    )
    sent_at = connection.execute(
        select(emails.c.sent_at).where(emails.c.message_id == key.message_id)
    ).scalar_one()
    return sent_at is None


def may_be_sent(connection: Connection, key: EmailKey) -> bool:
    """Whether the mail server may have taken the e-mail without our having recorded it."""
    return bool(
        connection.execute(
            select(emails.c.offered).where(
                emails.c.message_id == key.message_id, emails.c.sent_at.is_(None)
            )
        ).scalar_one_or_none()
    )


def record_not_taken(connection: Connection, key: EmailKey) -> None:
    """Notes that the mail server did not take the e-mail."""
    connection.execute(
        update(emails).where(emails.c.message_id == key.message_id).values(offered=False)
    )


def record_sent(connection: Connection, key: EmailKey, *, business_date: date, actor: str) -> None:
    """Notes that the mail server took the e-mail, with the audit entry, once."""
    sent = connection.execute(
        update(emails)
        .where(emails.c.message_id == key.message_id, emails.c.sent_at.is_(None))
        .values(sent_at=func.now())
        .returning(emails.c.recipients)
    ).scalar_one_or_none()
    if sent is not None:
        audit.record(
            connection,
            audit.AuditEntry(
                business_date,
                actor,
                "invoice",
                key.number,
                f"{key.kind}_email_sent",
                details={"step": key.step, "recipients": list(sent), "message_id": key.message_id},
            ),
        )


def record_refused(
    connection: Connection, key: EmailKey, *, reason: str, business_date: date, actor: str
) -> None:
    """Notes for a person that the mail server refused recipients for good, and why; once.

    The caller holds the invoice's row lock.
    """
    event = f"{key.kind}_email_refused"
    noted = connection.execute(
        select(func.count()).where(
            audit_log.c.subject_kind == "invoice",
            audit_log.c.subject == key.number,
            audit_log.c.event == event,
            audit_log.c.details["message_id"].as_string() == key.message_id,
        )
    ).scalar_one()
    if noted:
        return
    audit.record(
        connection,
        audit.AuditEntry(
            business_date,
            actor,
            "invoice",
            key.number,
            event,
            reason=reason,
            details={"step": key.step, "message_id": key.message_id},
        ),
    )
