"""How a change of master data is told: by one audit entry, in the transaction of the change."""

from datetime import date
from typing import Any

from sqlalchemy import Connection

from storage import audit


def tell(
    connection: Connection,
    kind: str,
    subject: str,
    event: str,
    details: dict[str, Any],
    business_date: date,
    by: str,
) -> None:
    """`kind` and `subject`: of what changed, such as "tax_rate" and "US-NY"."""
    audit.record(
        connection, audit.AuditEntry(business_date, by, kind, subject, event, details=details)
    )


def written_day(day: date | None) -> str | None:
    """As the entry's details have it; None for no day."""
    return None if day is None else day.isoformat()
