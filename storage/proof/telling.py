"""Which alarms the finance team was told of; the audit log knows."""

from sqlalchemy import Connection, text

from domain.periods import BillingPeriod
from domain.proof import ProofStatus
from storage import audit
from storage.proof.records import Reconciliation, last_reconciliation


def alarm_to_tell(connection: Connection, period: BillingPeriod) -> Reconciliation | None:
    """The month's last proof, if that is an alarm and nobody was told since it became one; a proof
    that broke down in between says nothing.

    Raises NotFound if there is no proof of the month.
    """
    last = last_reconciliation(connection, period)
    if last.status is not ProofStatus.ALARM:
        return None
    told = connection.execute(_TOLD, {"month": period.start, "period": str(period)}).scalar_one()
    return None if told else last


def record_told(
    connection: Connection, alarm: Reconciliation, *, recipient: str, actor: str
) -> None:
    """Notes that the mail server took the e-mail."""
    audit.record(
        connection,
        audit.AuditEntry(
            alarm.as_of,
            actor,
            "reconciliation",
            alarm.period,
            "alarm_email_sent",
            details={"reconciliation": alarm.id, "recipients": [recipient]},
        ),
    )


_TOLD = text("""
    SELECT EXISTS (
        SELECT FROM audit_log
        WHERE subject_kind = 'reconciliation' AND subject = :period AND event = 'alarm_email_sent'
          AND (details ->> 'reconciliation')::bigint > (
              SELECT coalesce(max(id), 0) FROM reconciliations
              WHERE period = :month AND status <> 'alarm' AND reason = ''))
""")
