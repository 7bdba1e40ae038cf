"""The plan of a cycle: every customer rated into a draft, skipped, or failed with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.errors import CustomerCannotBeBilled
from domain.invoice import (
    NOTHING_TO_BILL,
    InvoiceDraft,
    InvoiceKind,
    PriceList,
    draft_invoice,
    due_date,
    invoice_number,
    parse_invoice_number,
)
from domain.lines import InvoiceSum
from domain.money import Money
from domain.periods import BillingPeriod
from domain.prepaid import PrepaidGrant
from domain.rating import Contract, DailyUsage
from storage import audit
from storage.customers import billed_customer, discounts_of, subscriptions_of, usage_of
from storage.prepaid import lock_grants, write_draws
from storage.sellers import current_seller
from storage.snapshots import customer_to_json, tax_lines_to_json
from storage.tables import (
    billing_cycle_items,
    billing_cycles,
    customers,
    invoice_line_items,
    invoices,
)

PLANNER = "billing-cycle"
"""The audit log's actor for what planning decides by itself."""


@dataclass(frozen=True)
class Cycle:
    """A row of `billing_cycles`. `issue_began`: once, whatever its status is since."""

    id: int
    period: BillingPeriod
    issued_on: date
    terms_days: int
    hold_reminders: bool
    pause_before_issue: bool
    issue_began: bool


@dataclass(frozen=True)
class PageOfPlan:
    """What rating one page of customers gave; `last_account` is None when none were left."""

    last_account: str | None
    drafted: int = 0
    skipped: int = 0
    failed: int = 0


@dataclass(frozen=True)
class _Verdict:
    """One customer's outcome: a draft, or the reason why there is none."""

    customer: Row[Any]
    draft: InvoiceDraft | None
    outcome: str
    code: str = ""
    reason: str = ""


def plan_page(
    connection: Connection,
    cycle: Cycle,
    rules: PriceList,
    *,
    time_zone: str,
    after_account: str,
    limit: int,
    failed_again: bool,
) -> PageOfPlan:
    """Rates the next `limit` customers behind `after_account` who have no outcome yet.

    With `failed_again` those who failed or were skipped are rated anew; a draft that they hold is
    replaced and keeps its number. Pages follow the account number, compared as text. The caller
    holds the cycle's row, so that an attempt that was given up cannot write behind a later one.
    """
    page = _customers_to_plan(connection, cycle, after_account, limit, failed_again)
    if not page:
        return PageOfPlan(None)
    ids = [row.id for row in page]
    subscribed = subscriptions_of(connection, ids, cycle.period)
    discounts = discounts_of(connection, ids)
    used = usage_of(connection, ids, cycle.period, time_zone)
    held = [row.held_id for row in page if row.held_id is not None]
    grants = lock_grants(connection, ids, but_for=held)
    verdicts = [
        _rate(
            row,
            Contract(
                row.currency,
                tuple(subscribed.get(row.id, ())),
                tuple(discounts.get(row.id, ())),
            ),
            used.get(row.id, ()),
            grants.get(row.id, ()),
            rules,
            cycle.period,
        )
        for row in page
    ]
    _write(connection, cycle, verdicts)
    outcomes = [verdict.outcome for verdict in verdicts]
    return PageOfPlan(
        last_account=page[-1].account_number,
        drafted=outcomes.count("drafted"),
        skipped=outcomes.count("skipped"),
        failed=outcomes.count("failed"),
    )


def number_drafts(connection: Connection, cycle_id: int) -> int:
    """Numbers the cycle's drafts that have none, in account order, and returns how many.

    Continues behind the last number given, so that the month has no gaps, and behind those of the
    month that were brought along from an older system.
    """
    cycle = connection.execute(
        select(billing_cycles.c.period_start, billing_cycles.c.last_sequence)
        .where(billing_cycles.c.id == cycle_id)
        .with_for_update()
    ).one()
    item = billing_cycle_items
    drafts = (
        connection.execute(
            select(invoices.c.id)
            .join(item, item.c.invoice_id == invoices.c.id)
            .where(item.c.cycle_id == cycle_id, invoices.c.number.is_(None))
            .order_by(item.c.account_number)
        )
        .scalars()
        .all()
    )
    period = BillingPeriod.of(cycle.period_start)
    last = max(cycle.last_sequence, _last_sequence_elsewhere(connection, cycle_id, period))
    numbers = [
        invoice_number(period, sequence) for sequence in range(last + 1, last + 1 + len(drafts))
    ]
    connection.execute(
        text(
            "UPDATE invoices SET number = given.number "
            "FROM unnest(CAST(:ids AS bigint[]), CAST(:numbers AS text[])) AS given(id, number) "
            "WHERE invoices.id = given.id"
        ),
        {"ids": list(drafts), "numbers": numbers},
    )
    connection.execute(
        update(billing_cycles)
        .where(billing_cycles.c.id == cycle_id)
        .values(last_sequence=last + len(drafts))
    )
    return len(drafts)


def _last_sequence_elsewhere(connection: Connection, cycle_id: int, period: BillingPeriod) -> int:
    """The highest number of `period` on an invoice that is not of this cycle; 0 for none."""
    numbers = connection.execute(
        select(invoices.c.number).where(
            invoices.c.number.startswith(f"INV-{period}-"),
            invoices.c.cycle_id.is_distinct_from(cycle_id),
        )
    ).scalars()
    return max((parse_invoice_number(number)[1] for number in numbers), default=0)


def _customers_to_plan(
    connection: Connection, cycle: Cycle, after_account: str, limit: int, failed_again: bool
) -> Sequence[Row[Any]]:
    item = billing_cycle_items
    unplanned = item.c.outcome.is_(None)
    again = item.c.outcome.in_(("failed", "skipped"))
    wanted = or_(unplanned, again) if failed_again else unplanned
    held, other = invoices.alias("held"), invoices.alias("other")
    elsewhere = (
        select(other.c.number)
        .where(
            other.c.customer_id == customers.c.id,
            other.c.period_start == cycle.period.start,
            other.c.kind == InvoiceKind.REGULAR.value,
            other.c.status != "void",
            other.c.cycle_id.is_distinct_from(cycle.id),
        )
        .scalar_subquery()
    )
    return connection.execute(
        select(
            customers,
            held.c.id.label("held_id"),
            held.c.number.label("held_number"),
            elsewhere.label("invoiced_as"),
        )
        .outerjoin(item, and_(item.c.customer_id == customers.c.id, item.c.cycle_id == cycle.id))
        .outerjoin(held, and_(held.c.id == item.c.invoice_id, held.c.status == "draft"))
        .where(customers.c.account_number > after_account, wanted)
        .order_by(customers.c.account_number)
        .limit(limit)
    ).all()


def _rate(
    row: Row[Any],
    contract: Contract,
    used: Sequence[DailyUsage],
    grants: Sequence[PrepaidGrant],
    rules: PriceList,
    period: BillingPeriod,
) -> _Verdict:
    if row.invoiced_as is not None:
        return _Verdict(
            row, None, "skipped", "already_invoiced", f"already invoiced as {row.invoiced_as}"
        )
    customer = billed_customer(row)
    try:
        draft = draft_invoice(customer.tax_subject, contract, used, rules, period, grants=grants)
    except CustomerCannotBeBilled as refusal:
        return _Verdict(row, None, "failed", refusal.code, refusal.message)
    except Exception as defect:  # of ours, met by one customer: the others are billed
        reason = f"{type(defect).__name__}: {defect}; this is a defect, report it."
        return _Verdict(row, None, "failed", "defect", reason)
    if draft is None:
        return _Verdict(row, None, "skipped", "nothing_to_bill", NOTHING_TO_BILL)
    return _Verdict(row, draft, "drafted")


def _write(connection: Connection, cycle: Cycle, verdicts: list[_Verdict]) -> None:
    seller_version, _ = current_seller(connection)
    invoice_ids = _write_new_drafts(connection, cycle, seller_version, verdicts)
    for verdict in verdicts:
        if verdict.customer.held_id is not None:
            _replace_draft(connection, cycle, seller_version, verdict)
            invoice_ids[verdict.customer.id] = verdict.customer.held_id
    lines = [
        _line_values(invoice_ids[verdict.customer.id], position, line)
        for verdict in verdicts
        if verdict.draft is not None
        for position, line in enumerate(verdict.draft.lines, start=1)
    ]
    if lines:
        connection.execute(insert(invoice_line_items), lines)
    write_draws(
        connection,
        (
            (invoice_ids[verdict.customer.id], verdict.draft.draws)
            for verdict in verdicts
            if verdict.draft is not None
        ),
    )
    item = upsert(billing_cycle_items)
    connection.execute(
        item.on_conflict_do_update(
            index_elements=["cycle_id", "account_number"],
            set_={
                name: item.excluded[name]
                for name in ("outcome", "reason_code", "reason", "invoice_id")
            },
            where=billing_cycle_items.c.outcome != "issued",
        ),
        [
            {
                "cycle_id": cycle.id,
                "customer_id": verdict.customer.id,
                "account_number": verdict.customer.account_number,
                "outcome": verdict.outcome,
                "reason_code": verdict.code,
                "reason": verdict.reason,
                "invoice_id": invoice_ids.get(verdict.customer.id),
            }
            for verdict in verdicts
        ],
    )


def _write_new_drafts(
    connection: Connection, cycle: Cycle, seller_version: int, verdicts: list[_Verdict]
) -> dict[int, int]:
    """Inserts the drafts of customers who hold none; invoice id by customer id."""
    new = [
        {
            "customer_id": verdict.customer.id,
            "cycle_id": cycle.id,
            "period_start": cycle.period.start,
            "kind": InvoiceKind.REGULAR.value,
            "status": "draft",
            **_draft_values(cycle, seller_version, verdict.customer, verdict.draft),
        }
        for verdict in verdicts
        if verdict.draft is not None and verdict.customer.held_id is None
    ]
    if not new:
        return {}
    rows = connection.execute(
        insert(invoices).returning(invoices.c.customer_id, invoices.c.id), new
    )
    return {row.customer_id: row.id for row in rows}


def _replace_draft(
    connection: Connection, cycle: Cycle, seller_version: int, verdict: _Verdict
) -> None:
    """Empties the draft that a customer held and fills it anew; its number stays.

    Where nothing can be billed any more, a draft that failed stays as it was beside its reason,
    and one that is skipped becomes void: its number was given and is not given again.
    """
    invoice_id = verdict.customer.held_id
    this = invoices.c.id == invoice_id
    if verdict.draft is not None:
        connection.execute(
            delete(invoice_line_items).where(invoice_line_items.c.invoice_id == invoice_id)
        )
        values = _draft_values(cycle, seller_version, verdict.customer, verdict.draft)
        connection.execute(update(invoices).where(this).values(values))
    elif verdict.outcome == "skipped":
        connection.execute(
            update(invoices).where(this).values(status="void", collection_state="void")
        )
        audit.record(
            connection,
            audit.AuditEntry(
                cycle.issued_on,
                PLANNER,
                "invoice",
                verdict.customer.held_number,
                "void",
                "draft",
                "void",
                verdict.reason,
            ),
        )


def _draft_values(
    cycle: Cycle, seller_version: int, customer: Row[Any], draft: InvoiceDraft
) -> dict[str, Any]:
    return {
        "currency": draft.currency,
        "usage_amount": draft.amount_of(InvoiceSum.USAGE),
        "subscription_amount": draft.amount_of(InvoiceSum.SUBSCRIPTIONS),
        "proration_amount": draft.amount_of(InvoiceSum.PRORATION),
        "discount_amount": draft.amount_of(InvoiceSum.DISCOUNTS),
        "subtotal": draft.subtotal,
        "tax": draft.tax,
        "total": draft.total,
        **dict.fromkeys(("amount_paid", "amount_credited"), Money.zero(draft.currency).amount),
        "tax_lines": tax_lines_to_json(draft.tax_lines),
        "segment": customer.segment,
        "customer": customer_to_json(billed_customer(customer)),
        "seller_version": seller_version,
        "issued_on": cycle.issued_on,
        "due_on": due_date(cycle.issued_on, cycle.terms_days),
    }


def _line_values(invoice_id: int, position: int, line: Any) -> dict[str, Any]:
    return {"invoice_id": invoice_id, "position": position, **vars(line), "kind": line.kind.value}
