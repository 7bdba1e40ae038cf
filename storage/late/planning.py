"""What a page of a plan has to charge, or to give back, of months that were billed before."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from domain.invoice import InvoiceDraft, PriceList
from domain.lines import sum_of
from domain.periods import BillingPeriod
from domain.prepaid import PrepaidGrant, after_draws
from domain.true_up import (
    Bill,
    DrawnCredit,
    GivenBack,
    Settlement,
    Terms,
    falls_short,
    invoice_of_its_own,
    settle,
    settle_with,
    with_late_months,
)
from storage.billed_usage import forget_unasked
from storage.customers import billed_customer
from storage.drafts import Cycle
from storage.late.billed import terms_of
from storage.late.months import months_to_rate
from storage.late.rating import FailedMonth, LateOfCustomer, RatedMonth, rate_past_months
from storage.prepaid import drawn_by
from storage.tables import billing_cycle_items, invoices


@dataclass(frozen=True)
class LatePart:
    """An outcome that the cycle has for a customer's late month already.

    `draft_id`: its draft, None where it has none or it was issued; `is_final`: an invoice of the
    month was issued or is on its way, so that what else comes for it waits for the next cycle.
    """

    customer_id: int
    period: BillingPeriod
    has_failed: bool
    is_final: bool
    draft_id: int | None
    number: str | None


@dataclass
class CustomersLate:
    """Where each of a customer's late months goes, and those that cannot be rated.

    Attributes:
        free: nothing is to be charged or given back.
        left_over: parts that the cycle had and that are not needed any more.
        held: by month, the drafts that it had of the others.
        regular: the regular invoice with its late lines.
        drafts: by month, the invoices of `on_its_own`.
        given: by month, what each of the invoices that billed it gives back.
    """

    on_regular: list[RatedMonth] = field(default_factory=list)
    on_its_own: list[RatedMonth] = field(default_factory=list)
    given_back: list[RatedMonth] = field(default_factory=list)
    free: list[RatedMonth] = field(default_factory=list)
    failed: list[FailedMonth] = field(default_factory=list)
    left_over: list[LatePart] = field(default_factory=list)
    held: dict[BillingPeriod, int] = field(default_factory=dict)
    regular: InvoiceDraft | None = None
    drafts: dict[BillingPeriod, InvoiceDraft] = field(default_factory=dict)
    given: dict[BillingPeriod, list[GivenBack]] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    """A customer of the page: their row, whether their regular invoice is planned now, and what
    that is; `can_be_rated` is false where it failed, and what is late waits with it. `grants`: all
    their prepaid credit.
    """

    row: Row[Any]
    is_due: bool
    draft: InvoiceDraft | None = None
    grants: Sequence[PrepaidGrant] = ()
    can_be_rated: bool = True


def plan_late_months(
    connection: Connection,
    cycle: Cycle,
    page: Sequence[Planned],
    rules: PriceList,
    *,
    parts: Sequence[LatePart],
) -> dict[int, CustomersLate]:
    """By customer id, of those who have something late. Reads, and takes back what the cycle had
    found without charging it; nothing else is written.

    `parts`: the page's, where the cycle has planned it before. Who is planned only because a late
    month failed has that month planned alone: their regular invoice is on its way.
    """
    planned = {entry.row.id: entry for entry in page if entry.can_be_rated}
    open_parts = [part for part in parts if part.customer_id in planned and _is_open(part, planned)]
    held = [part.draft_id for part in open_parts if part.draft_id is not None]
    held += [
        entry.row.held_id
        for entry in planned.values()
        if entry.is_due and entry.row.held_id is not None
    ]
    due = [id for id, entry in planned.items() if entry.is_due]
    forget_unasked(connection, cycle.id, due)
    wanted = _wanted(
        months_to_rate(connection, cycle.period, list(planned), held), planned, parts, open_parts
    )
    rated = rate_past_months(
        connection,
        wanted,
        {id: billed_customer(planned[id].row) for id in wanted},
        rules,
        held=held,
    )
    kept = _draws_kept(connection, rated, open_parts)
    found = {
        id: _settled(late, planned[id], cycle.period, kept.get(id, ()))
        for id, late in rated.items()
    }
    for part in open_parts:
        _take_up(found.setdefault(part.customer_id, CustomersLate()), part)
    return found


def late_parts(connection: Connection, cycle: Cycle, customer_ids: Sequence[int]) -> list[LatePart]:
    """What the cycle has of the customers' late months."""
    item = billing_cycle_items
    rows = connection.execute(
        select(
            item.c.customer_id,
            item.c.part,
            item.c.outcome,
            invoices.c.id,
            invoices.c.number,
        )
        .outerjoin(invoices, and_(invoices.c.id == item.c.invoice_id, invoices.c.status == "draft"))
        .where(
            item.c.cycle_id == cycle.id,
            item.c.part != "",
            item.c.customer_id.in_(customer_ids),
        )
    )
    return [
        LatePart(
            row.customer_id,
            BillingPeriod.parse(row.part),
            has_failed=row.outcome == "failed",
            is_final=row.outcome == "issued" or (row.outcome == "drafted" and cycle.issue_began),
            draft_id=row.id,
            number=row.number,
        )
        for row in rows
    ]


def _draws_kept(
    connection: Connection, rated: Mapping[int, LateOfCustomer], parts: Sequence[LatePart]
) -> dict[int, list[DrawnCredit]]:
    """By customer id, what their drafts draw of months that cannot be rated again."""
    failed = {(id, month.period) for id, late in rated.items() for month in late.failed}
    drafts = {
        part.draft_id: part.customer_id
        for part in parts
        if part.draft_id is not None and (part.customer_id, part.period) in failed
    }
    kept: dict[int, list[DrawnCredit]] = defaultdict(list)
    for draft_id, drawn in drawn_by(connection, list(drafts)).items():
        kept[drafts[draft_id]] += drawn
    return kept


def _is_open(part: LatePart, planned: Mapping[int, Planned]) -> bool:
    """Whether the cycle decides about the month once more."""
    return not part.is_final and (planned[part.customer_id].is_due or part.has_failed)


def _wanted(
    months: Mapping[int, Sequence[BillingPeriod]],
    planned: Mapping[int, Planned],
    parts: Collection[LatePart],
    open_parts: Collection[LatePart],
) -> dict[int, list[BillingPeriod]]:
    final = {(part.customer_id, part.period) for part in parts if part.is_final}
    once_more = {(part.customer_id, part.period) for part in open_parts}
    wanted = {
        id: [
            period
            for period in periods
            if (id, period) not in final and (planned[id].is_due or (id, period) in once_more)
        ]
        for id, periods in months.items()
    }
    return {id: periods for id, periods in wanted.items() if periods}


def _settled(
    late: LateOfCustomer,
    planned: Planned,
    period: BillingPeriod,
    kept: Collection[DrawnCredit],
) -> CustomersLate:
    """`kept`: what drafts draw that stay as they are, since their month failed."""
    draft, grants = planned.draft, after_draws(planned.grants, kept)
    regular = None
    if draft is not None:
        terms = terms_of(billed_customer(planned.row), draft.currency, draft.treatment)
        regular = terms, sum_of(draft.undrawn)
    months = {month.period: month for month in late.rated}
    settled, given = _placed(months, regular)
    if draft is not None:
        draft = with_late_months(draft, settled.on_regular, period, grants)
        grants = after_draws(grants, draft.draws)
    drafts = {}
    for month in settled.on_its_own:
        drafts[month.period] = own = invoice_of_its_own(month, grants)
        grants = after_draws(grants, own.draws)
    return CustomersLate(
        [months[month.period] for month in settled.on_regular],
        [months[month.period] for month in settled.on_its_own],
        [months[month.period] for month in settled.given_back],
        [month for month in late.rated if month.late is None],
        late.failed,
        regular=draft,
        drafts=drafts,
        given=given,
    )


def _placed(
    months: Mapping[BillingPeriod, RatedMonth], regular: tuple[Terms, Decimal] | None
) -> tuple[Settlement, dict[BillingPeriod, list[GivenBack]]]:
    """Where each month goes, and what the invoices of those that are given back give of them: one
    month after the other, since they may stand on the same invoice.
    """
    late = {period: month.late for period, month in months.items() if month.late is not None}
    while True:
        settled = settle(late.values(), regular)
        taken: dict[int, list[GivenBack]] = defaultdict(list)
        given: dict[BillingPeriod, list[GivenBack]] = {}
        for month in settled.given_back:
            invoices = months[month.period].billed.invoices
            bills = [_less(invoice.bill, taken[invoice.id]) for invoice in invoices]
            if falls_short(bills, month):
                late[month.period] = replace(month, below_zero=True)
                break
            given[month.period] = settle_with(bills, month)
            for invoice, part in zip(invoices, given[month.period], strict=True):
                taken[invoice.id].append(part)
        else:
            return settled, given


def _less(bill: Bill, taken: Iterable[GivenBack]) -> Bill:
    for part in taken:
        bill = bill.less(part)
    return bill


def _take_up(late: CustomersLate, part: LatePart) -> None:
    """A draft that the cycle has of the month is written anew, stays as it was beside the reason
    why it failed, or is not needed any more.
    """
    decided = {month.period for month in late.on_its_own}
    decided |= {month.period for month in late.failed}
    if part.period not in decided:
        late.left_over.append(part)
    elif part.draft_id is not None:
        late.held[part.period] = part.draft_id
