"""What waits for the finance manager: cases of manual review, and payments that are disputed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, select, text

from domain.dunning import CollectionState, days_late
from domain.instructions import RESOLUTIONS, InstructionKind, why_not
from storage.collection import load_case
from storage.tables import emails, payments


@dataclass(frozen=True)
class ReviewPosition:
    """The last case that a reader of the queue has seen: since when, by audit entry; its id."""

    since: int
    invoice_id: int


@dataclass(frozen=True)
class ChargeTried:
    """A charge of the card on file. `decline` is a `DeclineClass`, `words` the bank's own."""

    attempt: int
    business_date: date
    amount: Decimal
    status: str
    decline: str
    words: str


@dataclass(frozen=True)
class EmailSent:
    """An e-mail of the case; `sent_at` is None while the mail server has not taken it."""

    kind: str
    business_date: date
    sent_at: datetime | None


@dataclass(frozen=True)
class PossibleResolution:
    """A way to resolve the case; `why_not` is None where it is possible now."""

    resolution: InstructionKind
    why_not: str | None


@dataclass(frozen=True)
class ReviewCase:
    """An invoice that needs a person.

    Attributes:
        open_amount: in `currency`; zero for one that is paid and disputed.
        since: instant from which the case waits, and `since_on` its business date; None where
            the audit log does not tell.
        reason: what made it one, as the audit log has it.
    """

    position: ReviewPosition
    number: str
    account_number: str
    customer: str
    state: CollectionState
    currency: str
    total: Decimal
    open_amount: Decimal
    due_on: date
    days_late: int
    on_hold: bool
    disputed: bool
    since: datetime | None
    since_on: date | None
    reason: str
    charges: tuple[ChargeTried, ...]
    emails: tuple[EmailSent, ...]
    resolutions: tuple[PossibleResolution, ...]


def review_queue(
    connection: Connection, *, business_date: date, after: ReviewPosition | None, limit: int
) -> list[ReviewCase]:
    """The next `limit` cases behind `after`, those that wait longest first."""
    place = after or ReviewPosition(-1, 0)
    rows = connection.execute(
        _QUEUE, {"since": place.since, "id": place.invoice_id, "limit": limit}
    ).all()
    ids = [row.id for row in rows]
    charges, mails = _charges(connection, ids), _emails(connection, ids)
    return [
        _case(connection, row, business_date, charges=charges[row.id], mails=mails[row.id])
        for row in rows
    ]


def _case(
    connection: Connection,
    row: Row[Any],
    business_date: date,
    *,
    charges: Iterable[ChargeTried],
    mails: Iterable[EmailSent],
) -> ReviewCase:
    case = load_case(connection, row.number)
    return ReviewCase(
        position=ReviewPosition(row.since, row.id),
        number=row.number,
        account_number=row.account_number,
        customer=row.customer_name,
        state=case.state,
        currency=row.currency,
        total=case.total,
        open_amount=case.open_amount,
        due_on=case.due_on,
        days_late=0 if case.is_settled else days_late(case, business_date),
        on_hold=case.on_hold,
        disputed=case.disputed,
        since=row.at,
        since_on=row.business_date,
        reason=row.reason or (row.event or "").replace("_", " "),
        charges=tuple(charges),
        emails=tuple(mails),
        resolutions=tuple(
            PossibleResolution(resolution, why_not(resolution, case, card_on_file=row.card_on_file))
            for resolution in RESOLUTIONS
        ),
    )


def _charges(connection: Connection, ids: Sequence[int]) -> dict[int, list[ChargeTried]]:
    found: dict[int, list[ChargeTried]] = defaultdict(list)
    for row in connection.execute(
        select(payments)
        .where(payments.c.invoice_id.in_(ids), payments.c.attempt.is_not(None))
        .order_by(payments.c.attempt)
    ):
        found[row.invoice_id].append(
            ChargeTried(
                row.attempt,
                row.business_date,
                row.amount,
                row.status,
                row.failure_code,
                row.note,
            )
        )
    return found


def _emails(connection: Connection, ids: Sequence[int]) -> dict[int, list[EmailSent]]:
    found: dict[int, list[EmailSent]] = defaultdict(list)
    for row in connection.execute(
        select(emails).where(emails.c.invoice_id.in_(ids)).order_by(emails.c.id)
    ):
        found[row.invoice_id].append(EmailSent(row.kind, row.business_date, row.sent_at))
    return found


_QUEUE = text("""
    WITH cases AS (
        SELECT id FROM invoices WHERE collection_state = 'manual_review'
        UNION
        SELECT id FROM invoices WHERE disputed
    )
    SELECT invoice.id, invoice.number, invoice.currency,
           invoice.customer ->> 'name' AS customer_name, customer.account_number,
           customer.stripe_payment_method_id IS NOT NULL AS card_on_file,
           coalesce(begun.id, 0) AS since, begun.at, begun.business_date, begun.event, begun.reason
    FROM cases
    JOIN invoices invoice ON invoice.id = cases.id
    JOIN customers customer ON customer.id = invoice.customer_id
    LEFT JOIN LATERAL (
        SELECT id, at, business_date, event, reason FROM audit_log
        WHERE subject_kind = 'invoice' AND subject = invoice.number
          AND CASE WHEN invoice.collection_state = 'manual_review'
              THEN to_state = 'manual_review' AND from_state IS DISTINCT FROM to_state
              ELSE event = 'dispute_opened' END
        ORDER BY id DESC LIMIT 1
    ) begun ON true
    WHERE (coalesce(begun.id, 0), invoice.id) > (:since, :id)
    ORDER BY since, invoice.id
    LIMIT :limit
""")
