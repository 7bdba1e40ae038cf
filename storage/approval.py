"""A plan approved from its preview, and what is issued held against what was approved.

What waits to be approved are the drafts that would be issued and are not approved as they stand,
and the credits that the plan gives. A digest names exactly these.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text, update

from domain.errors import (
    Conflict,
    InvalidField,
    NotApproved,
    NotAsApproved,
    PlanChanged,
    PlanNotApproved,
)
from domain.periods import BillingPeriod
from storage import audit
from storage.cycles import load_cycle
from storage.drafts import Cycle
from storage.tables import (
    approved_drafts,
    audit_log,
    billing_cycles,
    cycle_approvals,
    planned_credits,
)

CODES_OF_APPROVAL = (NotApproved.code, NotAsApproved.code)
"""Why a draft was not issued that will be once it is approved, and retried."""

_DIGEST = """
    encode(sha256(convert_to(ROW(
        invoice.number, invoice.customer_id, invoice.customer - 'billing_emails', invoice.kind,
        invoice.service_month, invoice.due_on - invoice.issued_on,
        (SELECT CASE WHEN NOT dated_by_issue THEN invoice.issued_on END
         FROM billing_cycles WHERE id = invoice.cycle_id), invoice.currency,
        invoice.subtotal, invoice.tax, invoice.total, invoice.tax_lines,
        (SELECT string_agg(ROW(line.kind, line.description, line.quantity, line.unit_price,
                line.amount, line.plan_code, line.plan_version, line.service_month)::text, ''
            ORDER BY line.position)
         FROM invoice_line_items line WHERE line.invoice_id = invoice.id)
    )::text, 'UTF8')), 'hex')
"""
"""Of all that a draft charges, to whom, for what and when; not of where it is sent, nor of a date
that only the issue gives it.
"""
_LAST_APPROVAL = """
    LEFT JOIN LATERAL (
        SELECT currency, total, digest FROM approved_drafts
        WHERE invoice_id = invoice.id ORDER BY approval_id DESC LIMIT 1
    ) approved ON true
"""
_WAITING = text(f"""
    WITH draft AS MATERIALIZED (
        SELECT invoice.id, invoice.number, invoice.currency, invoice.total, {_DIGEST} AS digest,
               approved.digest AS approved
        FROM billing_cycle_items item
        JOIN invoices invoice ON invoice.id = item.invoice_id AND invoice.status = 'draft'
        {_LAST_APPROVAL}
        WHERE item.cycle_id = :cycle AND invoice.number IS NOT NULL
            AND (item.outcome = 'drafted' OR item.reason_code = ANY (:codes))
    )
    SELECT id, number, currency, total, digest FROM draft
    WHERE approved IS DISTINCT FROM digest ORDER BY number COLLATE "C"
""")  # noqa: S608 - constants of ours, here and below
_NOT_GIVEN_BACK = """
    FROM planned_credits planned JOIN invoices invoice ON invoice.id = planned.invoice_id
    LEFT JOIN LATERAL (
        SELECT sum(amount) AS amount FROM prepaid_returns
        WHERE planned_credit_id = planned.id AND returned_at IS NULL
    ) returned ON true
    JOIN customers customer ON customer.id = planned.customer_id
    WHERE planned.cycle_id = :cycle AND planned.instruction_id IS NULL
        AND planned.approval_id IS NULL AND (planned.net > 0 OR returned.amount > 0)
"""
"""Credits that wait to be approved: by a credit note, or to prepaid credit."""
_WAITING_CREDITS = text(f"""
    SELECT planned.id, invoice.currency, planned.net + coalesce(returned.amount, 0) AS net,
           jsonb_build_array(invoice.number, planned.month, planned.credit, planned.net,
               planned.reason, returned.amount)::text AS content
    {_NOT_GIVEN_BACK}
    ORDER BY invoice.number COLLATE "C", planned.month, content
""")
_ONE = text(f"""
    SELECT cycle.approval_required, {_DIGEST} AS digest, approved.digest AS approved,
           approved.currency AS approved_currency, approved.total AS approved_total
    FROM invoices invoice JOIN billing_cycles cycle ON cycle.id = invoice.cycle_id
    {_LAST_APPROVAL}
    WHERE invoice.id = :invoice
""")  # noqa: S608
_DEVIATIONS = text(f"""
    SELECT customer.account_number, invoice.number, approved.currency AS approved_currency,
           approved.total AS approved_total,
           CASE WHEN invoice.status = 'draft' THEN invoice.currency END AS currency,
           CASE WHEN invoice.status = 'draft' THEN invoice.total END AS total,
           coalesce(item.reason, '') AS why
    FROM invoices invoice
    JOIN customers customer ON customer.id = invoice.customer_id
    LEFT JOIN billing_cycle_items item ON item.cycle_id = invoice.cycle_id
        AND item.customer_id = invoice.customer_id
        AND item.part = coalesce(to_char(invoice.service_month, 'YYYY-MM'), '')
    {_LAST_APPROVAL}
    WHERE invoice.cycle_id = :cycle AND invoice.period_start = :period_start
        AND invoice.issued_at IS NULL AND invoice.number IS NOT NULL
        AND (approved.digest IS NOT NULL OR invoice.status = 'draft')
        AND (invoice.status <> 'draft' OR item.outcome IS DISTINCT FROM 'drafted')
    ORDER BY invoice.number COLLATE "C"
""")  # noqa: S608


_CREDITS_LEFT = text(f"""
    SELECT customer.account_number, invoice.number, CAST(NULL AS text), CAST(NULL AS numeric),
           invoice.currency, -planned.net - coalesce(returned.amount, 0), planned.reason
    {_NOT_GIVEN_BACK}
    ORDER BY planned.id
""")


@dataclass(frozen=True)
class ToApprove:
    """What waits to be approved; `digest` names it, and is empty where that is nothing.

    `totals`: by currency, of the drafts; `credited`: of the credits, before tax.
    """

    drafts: int
    totals: dict[str, Decimal]
    credits: int
    credited: dict[str, Decimal]
    digest: str


@dataclass(frozen=True)
class Approval:
    """Who let how many drafts be issued, when, and what they noted."""

    digest: str
    drafts: int
    person: str
    note: str
    business_date: date
    approved_at: datetime


@dataclass(frozen=True)
class Deviation:
    """A draft that is not issued as it was approved. `approved_total` None: it was not at all.

    `total` None: there is nothing to issue any more. Below zero, before tax, it is a credit on the
    invoice `number` that a retry planned.
    """

    account_number: str
    number: str
    approved_currency: str | None
    approved_total: Decimal | None
    currency: str | None
    total: Decimal | None
    why: str


def to_approve(connection: Connection, cycle_id: int) -> ToApprove:
    """What of the cycle waits to be approved; of one that nobody has to approve, all its drafts."""
    return _Waiting.read(connection, cycle_id).summed()


def approve(
    connection: Connection,
    period: BillingPeriod,
    *,
    digest: str,
    note: str,
    person: str,
    business_date: date,
    by_another: bool = False,
    note_required: bool = False,
) -> Approval:
    """Approves what waits to be approved, which is what `digest` names.

    The last approval is answered again where it is asked for again. `by_another`: who started the
    cycle, or had it retried, may not. Raises NotFound, InvalidField for a note that is missing, and
    Conflict with the reason: PlanChanged for another digest.
    """
    cycle = load_cycle(connection, period, for_update=True)
    row = connection.execute(select(billing_cycles).where(billing_cycles.c.id == cycle.id)).one()
    if not row.approval_required:
        raise Conflict(f"The plan of {period} needs no approval; resume issues it.")
    if row.status == "planning":
        raise Conflict(f"The plan of {period} is still being made; approve it once it is planned.")
    found = _Waiting.read(connection, cycle.id)
    waiting = found.summed()
    made = list_approvals(connection, cycle.id)
    if not waiting.digest:
        if made and made[-1].digest == digest:
            return made[-1]
        raise Conflict(f"Nothing of {period} waits to be approved.")
    if digest != waiting.digest:
        raise PlanChanged(str(period), _in_words(digest), _in_words(waiting.digest))
    if by_another and person in _planners(connection, period):
        raise Conflict(
            f"{person} had the plan of {period} made; somebody else is to approve it "
            "(BILLWRIGHT_APPROVAL_BY_ANOTHER)."
        )
    note = note.strip()
    if note_required and not note:
        raise InvalidField("note", "say why the plan is right although it stands out as a whole.")
    approval_id = connection.execute(
        insert(cycle_approvals)
        .values(
            cycle_id=cycle.id,
            digest=digest,
            drafts=waiting.drafts,
            person=person,
            note=note,
            business_date=business_date,
        )
        .returning(cycle_approvals.c.id)
    ).scalar_one()
    found.keep(connection, approval_id)
    audit.record(
        connection,
        audit.AuditEntry(
            business_date,
            person,
            "cycle",
            str(period),
            "approved",
            reason=note,
            details={"digest": digest, "drafts": waiting.drafts, "credits": waiting.credits}
            | {"totals": {unit: f"{total:f}" for unit, total in waiting.totals.items()}},
        ),
    )
    return list_approvals(connection, cycle.id)[-1]


def require_approved(connection: Connection, cycle: Cycle) -> None:
    """Raises PlanNotApproved where the issue of the cycle may not begin yet.

    Once it has begun, each draft answers for itself.
    """
    if not cycle.approval_required or cycle.issue_began:
        return
    waiting = _Waiting.read(connection, cycle.id)
    if waiting.drafts or waiting.credits:
        raise PlanNotApproved(str(cycle.period), len(waiting.drafts))


def require_as_approved(connection: Connection, draft: Row[Any]) -> None:
    """Holds a draft, a locked row of `invoices`, against what was approved of it.

    Raises NotApproved and NotAsApproved.
    """
    if draft.cycle_id is None:
        return
    row = connection.execute(_ONE, {"invoice": draft.id}).one()
    if not row.approval_required or row.digest == row.approved:
        return
    if row.approved is None:
        raise NotApproved(draft.number, draft.total, draft.currency)
    raise NotAsApproved(
        draft.number,
        f"{row.approved_total:f} {row.approved_currency}",
        f"{draft.total:f} {draft.currency}",
    )


def list_approvals(connection: Connection, cycle_id: int) -> list[Approval]:
    """The cycle's approvals, the first one first."""
    made = cycle_approvals.c
    rows = connection.execute(
        select(
            made.digest,
            made.drafts,
            made.person,
            made.note,
            made.business_date,
            made.approved_at,
        )
        .where(made.cycle_id == cycle_id)
        .order_by(made.id)
    )
    return [Approval(*row) for row in rows]


def list_deviations(connection: Connection, cycle: Cycle) -> list[Deviation]:
    """What of an approved cycle is not issued as it was approved, by number; empty before the
    first approval.
    """
    if not cycle.approval_required or not list_approvals(connection, cycle.id):
        return []
    values = {"cycle": cycle.id, "period_start": cycle.period.start}
    drafts = connection.execute(_DEVIATIONS, values).all()
    credits = connection.execute(_CREDITS_LEFT, {"cycle": cycle.id}).all()
    return [Deviation(*row) for row in (*drafts, *credits)]


@dataclass(frozen=True)
class _Waiting:
    """The rows of the drafts and of the planned credits that are not approved as they stand."""

    drafts: Sequence[Row[Any]]
    credits: Sequence[Row[Any]]

    @classmethod
    def read(cls, connection: Connection, cycle_id: int) -> "_Waiting":
        codes = list(CODES_OF_APPROVAL)
        drafts = connection.execute(_WAITING, {"cycle": cycle_id, "codes": codes}).all()
        return cls(drafts, connection.execute(_WAITING_CREDITS, {"cycle": cycle_id}).all())

    def summed(self) -> ToApprove:
        """The sums stand in the digest for a refusal to tell what changed since it was read."""
        totals = _by_currency((row.currency, row.total) for row in self.drafts)
        contents = [row.digest for row in self.drafts] + [row.content for row in self.credits]
        hashed = hashlib.sha256("\n".join(contents).encode()).hexdigest()
        sums = "+".join(f"{total:f}{currency}" for currency, total in totals.items())
        return ToApprove(
            len(self.drafts),
            totals,
            len(self.credits),
            _by_currency((row.currency, row.net) for row in self.credits),
            f"{len(self.drafts)}:{len(self.credits)}:{sums}:{hashed}" if contents else "",
        )

    def keep(self, connection: Connection, approval_id: int) -> None:
        """Writes down that this is what was approved."""
        if self.drafts:
            connection.execute(
                insert(approved_drafts),
                [
                    {
                        "invoice_id": row.id,
                        "approval_id": approval_id,
                        "currency": row.currency,
                        "total": row.total,
                        "digest": row.digest,
                    }
                    for row in self.drafts
                ],
            )
        connection.execute(
            update(planned_credits)
            .where(planned_credits.c.id.in_([row.id for row in self.credits]))
            .values(approval_id=approval_id)
        )


def _by_currency(amounts: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for currency, amount in amounts:
        sums[currency] = sums.get(currency, Decimal(0)) + amount
    return dict(sorted(sums.items()))


def _planners(connection: Connection, period: BillingPeriod) -> set[str]:
    """Who had the present cycle opened, or taken up again by a retry."""
    log = audit_log.c
    of_cycle = (log.subject_kind == "cycle", log.subject == str(period))
    opened = (
        select(log.id)
        .where(*of_cycle, log.event == "opened")
        .order_by(log.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return set(
        connection.execute(
            select(log.actor).where(
                *of_cycle, log.event.in_(("opened", "planning", "retry_asked")), log.id >= opened
            )
        ).scalars()
    )


def _in_words(digest: str) -> str:
    """`2:0:337.90USD:…` as `2 drafts over 337.90 USD`."""
    parts = digest.split(":")
    if len(parts) != 4 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        return "something else"
    drafts = f"{int(parts[0]):,} draft{'' if parts[0] == '1' else 's'}"
    sums = ", ".join(f"{part[:-3]} {part[-3:]}" for part in parts[2].split("+") if part)
    credits = f" and {int(parts[1]):,} to credit" if parts[1] != "0" else ""
    return f"{drafts}{f' over {sums}' if sums else ''}{credits}"
