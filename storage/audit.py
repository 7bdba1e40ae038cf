"""The audit log: append-only, written in the transaction of the change that it tells of."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Connection, insert

from storage.tables import audit_log


@dataclass(frozen=True)
class AuditEntry:
    """One thing that happened.

    Attributes:
        business_date: the day on which it counts, which in a demonstration is not today.
        actor: a person's name, or the process that acted, such as "billing-cycle".
        subject: the business key, such as "INV-2026-02-0047".
        event: past tense, such as "issued".
    """

    business_date: date
    actor: str
    subject_kind: str
    subject: str
    event: str
    from_state: str | None = None
    to_state: str | None = None
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def record(connection: Connection, *entries: AuditEntry) -> None:
    """Appends `entries` in the caller's transaction."""
    if entries:
        connection.execute(insert(audit_log), [vars(entry) for entry in entries])
