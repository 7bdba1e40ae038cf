"""Billing cycles: opened once a period, followed, closed."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, case, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from domain.errors import NotFound
from domain.periods import BillingPeriod
from storage import audit
from storage.drafts import Cycle
from storage.tables import billing_cycle_items, billing_cycles, customers, invoices


@dataclass(frozen=True)
class CycleTotals:
    """Sums in one currency over what was issued and is about to be; failed and void ones not."""

    currency: str
    invoices: int
    usage: Decimal
    subscriptions: Decimal
    proration: Decimal
    discounts: Decimal
    late: Decimal
    subtotal: Decimal
    tax: Decimal
    total: Decimal


@dataclass(frozen=True)
class CycleFailure:
    """A customer who could not be billed, and why. `number` is the draft's, if it has one.

    `late_month`: the past month ("2026-01") for which that is so; None for the cycle's own.
    """

    account_number: str
    reason_code: str
    reason: str
    number: str | None
    late_month: str | None


@dataclass(frozen=True)
class CycleOutcome:
    """What a cycle did for one customer, whose present name and payment method it has.

    `late_month`: the past month ("2026-01") that has an invoice of its own; None for the regular
    one, of which each customer has an outcome.
    `outcome`: drafted, issued, skipped or failed. `number`, `invoice_status` and `total` are None
    where there is no invoice, as there is none for one who was skipped; `currency` is the
    customer's then.
    """

    account_number: str
    customer: str
    payment_method: str
    outcome: str
    reason_code: str
    reason: str
    number: str | None
    invoice_status: str | None
    currency: str
    total: Decimal | None
    late_month: str | None


@dataclass(frozen=True)
class CycleSummary:
    """A cycle as it stands. `planned_at`, `closed_at` None: not yet.

    `customers` counts those who have an outcome; its parts are drafted (waiting to be issued),
    issued, skipped and failed. Past months with an invoice of their own are counted beside them:
    `late_drafted`, `late_issued`, and `late_failed`, of which there is none.
    """

    period: str
    status: str
    issued_on: date
    dated_by_issue: bool
    hold_reminders: bool
    started_at: datetime
    planned_at: datetime | None
    closed_at: datetime | None
    customers: int
    drafted: int
    issued: int
    skipped: int
    failed: int
    late_drafted: int
    late_issued: int
    late_failed: int


def open_cycle(
    connection: Connection,
    period: BillingPeriod,
    *,
    issued_on: date,
    terms_days: int,
    hold_reminders: bool,
    pause_before_issue: bool = False,
    approval_required: bool = False,
    dated_by_issue: bool = False,
    actor: str,
) -> Cycle:
    """The period's cycle, made if there is none; one that was closed is opened again, for a retry.

    Its dates and terms stay as they were. A plan that is to be approved waits to be read.
    `dated_by_issue`: where its issue begins behind `issued_on`, that day counts.
    """
    opened = connection.execute(
        insert(billing_cycles)
        .values(
            period_start=period.start,
            status="planning",
            issued_on=issued_on,
            terms_days=terms_days,
            hold_reminders=hold_reminders,
            pause_before_issue=pause_before_issue or approval_required,
            approval_required=approval_required,
            dated_by_issue=dated_by_issue,
        )
        .on_conflict_do_nothing(index_elements=["period_start"])
        .returning(billing_cycles.c.id)
    ).one_or_none()
    if opened is not None:
        audit.record(
            connection,
            audit.AuditEntry(issued_on, actor, "cycle", str(period), "opened", None, "planning"),
        )
        return load_cycle(connection, period)
    return take_up_cycle(connection, period, actor=actor)


def take_up_cycle(connection: Connection, period: BillingPeriod, *, actor: str) -> Cycle:
    """The period's cycle, opened again if it was closed. Raises NotFound if there is none."""
    if _cycle_row(connection, period).status == "closed":
        move_cycle(connection, period, "planning", actor=actor)
    return load_cycle(connection, period)


def find_cycle(connection: Connection, period: BillingPeriod) -> Cycle | None:
    """The period's cycle; None if nobody started it, or its plan was discarded."""
    try:
        return load_cycle(connection, period)
    except NotFound:
        return None


def load_cycle(connection: Connection, period: BillingPeriod, *, for_update: bool = False) -> Cycle:
    """Raises NotFound if there is none. `for_update`: others wait for this transaction."""
    row = _cycle_row(connection, period, for_update=for_update)
    return Cycle(
        row.id,
        period,
        row.issued_on,
        row.terms_days,
        row.hold_reminders,
        row.pause_before_issue,
        issue_began=row.issue_began_at is not None,
        approval_required=row.approval_required,
        dated_by_issue=row.dated_by_issue,
    )


def move_cycle(connection: Connection, period: BillingPeriod, to: str, *, actor: str) -> None:
    """Sets the cycle's status, with the time of planning, issue and closing, and tells the audit
    log. The issue has begun for good, so its time is the first one.

    A cycle that has the status already is left alone, so that a retried step changes nothing.
    """
    row = _cycle_row(connection, period, for_update=True)
    if row.status == to:
        return
    stamps: dict[str, Any] = {
        "planned": {"planned_at": func.now()},
        "issuing": {"issue_began_at": func.coalesce(billing_cycles.c.issue_began_at, func.now())},
        "closed": {"closed_at": func.now()},
    }
    connection.execute(
        update(billing_cycles)
        .where(billing_cycles.c.id == row.id)
        .values(status=to, **stamps.get(to, {}))
    )
    audit.record(
        connection,
        audit.AuditEntry(row.issued_on, actor, "cycle", str(period), to, row.status, to),
    )


def summarize_cycle(connection: Connection, period: BillingPeriod) -> CycleSummary:
    """Status and counts of the period's cycle. Raises NotFound."""
    row = _cycle_row(connection, period)
    return _summary(row, _outcome_counts(connection, row.id))


def list_cycles(
    connection: Connection, *, before: BillingPeriod | None, limit: int
) -> list[CycleSummary]:
    """The next `limit` cycles of periods `before` another one, the newest first."""
    query = select(billing_cycles).order_by(billing_cycles.c.period_start.desc()).limit(limit)
    if before is not None:
        query = query.where(billing_cycles.c.period_start < before.start)
    rows = connection.execute(query).all()
    return [_summary(row, _outcome_counts(connection, row.id)) for row in rows]


def cycle_totals(connection: Connection, period: BillingPeriod) -> list[CycleTotals]:
    """Sums by currency over what the cycle issued and is about to issue."""
    row = _cycle_row(connection, period)
    item = billing_cycle_items
    sums = connection.execute(
        select(
            invoices.c.currency,
            func.count(),
            func.sum(invoices.c.usage_amount),
            func.sum(invoices.c.subscription_amount),
            func.sum(invoices.c.proration_amount),
            func.sum(invoices.c.discount_amount),
            func.sum(invoices.c.late_amount),
            func.sum(invoices.c.subtotal),
            func.sum(invoices.c.tax),
            func.sum(invoices.c.total),
        )
        .join(item, item.c.invoice_id == invoices.c.id)
        .where(
            item.c.cycle_id == row.id,
            item.c.outcome.in_(("drafted", "issued")),
            invoices.c.status != "void",
        )
        .group_by(invoices.c.currency)
        .order_by(invoices.c.currency)
    )
    return [CycleTotals(*sum_row) for sum_row in sums]


@dataclass(frozen=True)
class ToCollect:
    """What the cycle asks for in one way, in one currency; what is settled is not in it.

    `by`: card, card_missing where the customer has none on file now, or bank_transfer. Credit of
    the customers, which a draft uses when it is issued, is not taken off.
    """

    by: str
    currency: str
    invoices: int
    total: Decimal


def cycle_to_collect(connection: Connection, period: BillingPeriod) -> list[ToCollect]:
    """What is open on the drafts and invoices of the cycle, by means of payment and currency."""
    item = billing_cycle_items
    method = invoices.c.customer["payment_method"].astext
    by = case(
        (method != "card", method),
        (customers.c.stripe_payment_method_id.is_(None), "card_missing"),
        else_="card",
    )
    open_amount = invoices.c.total - invoices.c.amount_paid - invoices.c.amount_credited
    sums = connection.execute(
        select(by, invoices.c.currency, func.count(), func.sum(open_amount))
        .join(item, item.c.invoice_id == invoices.c.id)
        .join(customers, customers.c.id == invoices.c.customer_id)
        .where(
            item.c.cycle_id == _cycle_row(connection, period).id,
            item.c.outcome.in_(("drafted", "issued")),
            invoices.c.status.in_(("draft", "issued", "overdue")),
            open_amount > 0,
        )
        .group_by(by, invoices.c.currency)
        .order_by(invoices.c.currency, by)
    )
    return [ToCollect(*row) for row in sums]


def cycle_failures(connection: Connection, period: BillingPeriod) -> list[CycleFailure]:
    """The customers who could not be billed, or not for a past month, in account order."""
    item = billing_cycle_items
    rows = connection.execute(
        select(
            item.c.account_number,
            item.c.reason_code,
            item.c.reason,
            invoices.c.number,
            func.nullif(item.c.part, ""),
        )
        .outerjoin(invoices, invoices.c.id == item.c.invoice_id)
        .where(item.c.cycle_id == load_cycle(connection, period).id, item.c.outcome == "failed")
        .order_by(item.c.account_number, item.c.part)
    )
    return [CycleFailure(*row) for row in rows]


def cycle_outcomes(
    connection: Connection,
    period: BillingPeriod,
    *,
    outcome: str | None,
    after: tuple[str, str],
    limit: int,
    account_number: str | None = None,
) -> list[CycleOutcome]:
    """The next `limit` outcomes behind `after`, an account number and a late month or nothing, in
    that order; `outcome`, `account_number` None: any. Raises NotFound.
    """
    item = billing_cycle_items
    conditions = [
        item.c.cycle_id == load_cycle(connection, period).id,
        tuple_(item.c.account_number, item.c.part) > after,
    ]
    if outcome is not None:
        conditions.append(item.c.outcome == outcome)
    if account_number is not None:
        conditions.append(item.c.account_number == account_number)
    rows = connection.execute(
        select(
            item.c.account_number,
            customers.c.name.label("customer"),
            customers.c.payment_method,
            item.c.outcome,
            item.c.reason_code,
            item.c.reason,
            invoices.c.number,
            invoices.c.status.label("invoice_status"),
            func.coalesce(invoices.c.currency, customers.c.currency).label("currency"),
            invoices.c.total,
            func.nullif(item.c.part, "").label("late_month"),
        )
        .join(customers, customers.c.id == item.c.customer_id)
        .outerjoin(invoices, invoices.c.id == item.c.invoice_id)
        .where(*conditions)
        .order_by(item.c.account_number, item.c.part)
        .limit(limit)
    )
    return [CycleOutcome(**row._mapping) for row in rows]


def fail_item(connection: Connection, number: str, *, code: str, reason: str, actor: str) -> None:
    """Marks the customer of draft `number` as failed. An invoice that was issued stays issued."""
    failed = connection.execute(
        update(billing_cycle_items)
        .where(
            billing_cycle_items.c.invoice_id == invoices.c.id,
            invoices.c.number == number,
            invoices.c.status == "draft",
        )
        .values(outcome="failed", reason_code=code, reason=reason)
        .returning(invoices.c.issued_on)
    ).one_or_none()
    if failed is not None:
        audit.record(
            connection,
            audit.AuditEntry(
                failed.issued_on, actor, "invoice", number, "failed", "draft", "draft", reason
            ),
        )


def _cycle_row(
    connection: Connection, period: BillingPeriod, *, for_update: bool = False
) -> Row[Any]:
    query = select(billing_cycles).where(billing_cycles.c.period_start == period.start)
    row = connection.execute(query.with_for_update() if for_update else query).one_or_none()
    if row is None:
        raise NotFound(f"There is no billing cycle for {period}; start it first.")
    return row


def _outcome_counts(connection: Connection, cycle_id: int) -> dict[str, int]:
    """By outcome; of past months with "late_" before it."""
    item = billing_cycle_items
    late = item.c.part != ""
    rows = connection.execute(
        select(item.c.outcome, late, func.count())
        .where(item.c.cycle_id == cycle_id)
        .group_by(item.c.outcome, late)
    )
    return {f"late_{outcome}" if is_late else outcome: count for outcome, is_late, count in rows}


_OUTCOMES = ("drafted", "issued", "skipped", "failed")
_LATE_OUTCOMES = ("late_drafted", "late_issued", "late_failed")


def _summary(row: Row[Any], counts: dict[str, int]) -> CycleSummary:
    return CycleSummary(
        period=str(BillingPeriod.of(row.period_start)),
        status=row.status,
        issued_on=row.issued_on,
        dated_by_issue=row.dated_by_issue,
        hold_reminders=row.hold_reminders,
        started_at=row.started_at,
        planned_at=row.planned_at,
        closed_at=row.closed_at,
        customers=sum(counts.get(name, 0) for name in _OUTCOMES),
        **{name: counts.get(name, 0) for name in (*_OUTCOMES, *_LATE_OUTCOMES)},
    )
