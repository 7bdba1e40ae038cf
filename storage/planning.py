"""The plan of a cycle: every customer rated into a draft, skipped, or failed with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    ScalarSelect,
    Select,
    and_,
    func,
    or_,
    select,
    text,
    true,
    update,
)

from domain.errors import CustomerCannotBeBilled
from domain.invoice import (
    NOTHING_TO_BILL,
    InvoiceKind,
    PriceList,
    draft_invoice,
    invoice_number,
    parse_invoice_number,
)
from domain.periods import BillingPeriod
from domain.prepaid import PrepaidGrant
from domain.rating import Contract, DailyUsage
from storage.billed_usage import last_reopenings
from storage.customers import billed_customer, discounts_of, subscriptions_of, usage_of
from storage.drafts import Cycle
from storage.late.planning import Planned, late_parts, plan_late_months
from storage.plan_pages import FoundOfPage, Verdict, write_page
from storage.prepaid import lock_grants
from storage.tables import (
    billing_cycle_items,
    billing_cycles,
    customers,
    invoice_line_items,
    invoices,
)

__all__ = ["Cycle", "PageOfPlan", "number_drafts", "plan_page"]

_ONE_PAGE_AT_A_TIME = 0x504C414E  # "PLAN": a retry and a later month do not bill the same usage


@dataclass(frozen=True)
class PageOfPlan:
    """What rating one page of customers gave; `last_account` is None when none were left.

    `late`: the drafts of months of their own that were billed before, beside those drafted.
    """

    last_account: str | None
    drafted: int = 0
    skipped: int = 0
    failed: int = 0
    late: int = 0


def plan_page(
    connection: Connection,
    cycle: Cycle,
    rules: PriceList,
    *,
    after_account: str,
    limit: int,
    failed_again: bool,
) -> PageOfPlan:
    """Rates the next `limit` customers behind `after_account` who have no outcome yet.

    With `failed_again` those who failed or were skipped are rated anew; a draft that they hold is
    replaced and keeps its number. Pages follow the account number, compared as text. The caller
    holds the cycle's row, so that an attempt that was given up cannot write behind a later one.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_PAGE_AT_A_TIME})
    page = connection.execute(
        _customers_to_plan(cycle, after_account, limit, failed_again=failed_again)
    ).all()
    if not page:
        return PageOfPlan(None)
    reopened = last_reopenings(connection, [row.id for row in page])
    due = [row for row in page if row.is_due]
    ids = [row.id for row in due]
    subscribed = subscriptions_of(connection, ids, cycle.period)
    used = usage_of(connection, ids, cycle.period)
    discounts = discounts_of(connection, ids)
    parts = late_parts(connection, cycle, [row.id for row in page]) if failed_again else []
    held = [part.draft_id for part in parts if part.draft_id is not None and not part.is_final]
    held += [row.held_id for row in due if row.held_id is not None]
    grants = lock_grants(connection, [row.id for row in page], but_for=held)
    verdicts = {
        row.id: _rate(
            row,
            Contract(
                row.currency,
                tuple(subscribed.get(row.id, ())),
                tuple(discounts.get(row.id, ())),
            ),
            used[row.id].days if row.id in used else (),
            grants.get(row.id, ()),
            rules,
            cycle.period,
        )
        for row in due
    }
    late = plan_late_months(
        connection,
        cycle,
        [_planned(row, verdicts.get(row.id), grants.get(row.id, ())) for row in page],
        rules,
        parts=parts,
    )
    found = FoundOfPage(list(verdicts.values()), used, late, reopened)
    write_page(connection, cycle, found, {row.id: row.account_number for row in page})
    outcomes = [verdict.outcome for verdict in verdicts.values()]
    return PageOfPlan(
        last_account=page[-1].account_number,
        drafted=outcomes.count("drafted"),
        skipped=outcomes.count("skipped"),
        failed=outcomes.count("failed"),
        late=sum(len(entry.on_its_own) for entry in late.values()),
    )


def number_drafts(connection: Connection, cycle_id: int) -> int:
    """Numbers the cycle's drafts that have none, in account order, each customer's regular one
    before those of late months, and returns how many.

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
            .order_by(item.c.account_number, item.c.part)
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
    cycle: Cycle, after_account: str, limit: int, *, failed_again: bool
) -> Select[Any]:
    """The next customers of the plan, each with what is known of their invoice of the month.

    `is_due`: the regular invoice is planned; one who has it may have a late month that failed.
    """
    item = _item_of(cycle)
    held = invoices.alias("held")
    due: ColumnElement[bool] = item.c.outcome.is_(None)
    wanted = due
    if failed_again:
        due = or_(due, item.c.outcome.in_(("failed", "skipped")))
        late = billing_cycle_items.alias("late")
        wanted = or_(
            due,
            select(late.c.part)
            .where(
                late.c.account_number == customers.c.account_number,
                late.c.cycle_id == cycle.id,
                late.c.part != "",
                late.c.outcome == "failed",
            )
            .offset(0)
            .exists(),
        )
    return (
        select(
            customers,
            due.label("is_due"),
            held.c.id.label("held_id"),
            held.c.number.label("held_number"),
            _invoiced_elsewhere(cycle).label("invoiced_as"),
            _billed_late(cycle).label("billed_late_as"),
        )
        .select_from(customers)
        .outerjoin(item, true())
        .outerjoin(held, and_(held.c.id == item.c.invoice_id, held.c.status == "draft"))
        .where(customers.c.account_number > after_account, wanted)
        .order_by(customers.c.account_number)
        .limit(limit)
    )


def _item_of(cycle: Cycle) -> FromClause:
    """The outcome of a customer's regular invoice.

    Looked up by its key for each customer of the page: PostgreSQL expects hardly anybody without an
    outcome, and would read all outcomes for every page. OFFSET keeps it from doing so.
    """
    item = billing_cycle_items
    return (
        select(item.c.outcome, item.c.invoice_id)
        .where(
            item.c.account_number == customers.c.account_number,
            item.c.cycle_id == cycle.id,
            item.c.part == "",
        )
        .offset(0)
        .lateral("item")
    )


def _invoiced_elsewhere(cycle: Cycle) -> ScalarSelect[str]:
    """The number under which an older system invoiced the month."""
    other = invoices.alias("other")
    return (
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


def _billed_late(cycle: Cycle) -> ScalarSelect[str]:
    """The number of an invoice of a later cycle with lines of the month; a draft has none yet."""
    later, line = invoices.alias("later"), invoice_line_items
    return (
        select(func.coalesce(later.c.number, "a draft"))
        .join(line, line.c.invoice_id == later.c.id)
        .where(
            later.c.customer_id == customers.c.id,
            later.c.period_start > cycle.period.start,
            later.c.status != "void",
            line.c.service_month == cycle.period.start,
        )
        .order_by(later.c.period_start, later.c.id)
        .limit(1)
        .scalar_subquery()
    )


def _planned(row: Row[Any], verdict: Verdict | None, grants: Sequence[PrepaidGrant]) -> Planned:
    if verdict is None:
        return Planned(row, is_due=False, grants=grants)
    return Planned(row, True, verdict.draft, grants, can_be_rated=verdict.outcome != "failed")


def _rate(
    row: Row[Any],
    contract: Contract,
    used: Sequence[DailyUsage],
    grants: Sequence[PrepaidGrant],
    rules: PriceList,
    period: BillingPeriod,
) -> Verdict:
    for number, reason in (
        (row.invoiced_as, "already invoiced as {}"),
        (row.billed_late_as, "billed late with {}; what else there is comes with a later cycle"),
    ):
        if number is not None:
            return Verdict(row, None, "skipped", "already_invoiced", reason.format(number))
    customer = billed_customer(row)
    try:
        draft = draft_invoice(customer.tax_subject, contract, used, rules, period, grants=grants)
    except CustomerCannotBeBilled as refusal:
        return Verdict(row, None, "failed", refusal.code, refusal.message)
    except Exception as defect:  # of ours, met by one customer: the others are billed
        reason = f"{type(defect).__name__}: {defect}; this is a defect, report it."
        return Verdict(row, None, "failed", "defect", reason)
    if draft is None:
        return Verdict(row, None, "skipped", "nothing_to_bill", NOTHING_TO_BILL)
    return Verdict(row, draft, "drafted")
