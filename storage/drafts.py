"""Drafts as they are written, new, filled anew under their number or void, and as they wait."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, insert, or_, select, update

from domain.invoice import InvoiceDraft, InvoiceKind, due_date
from domain.lines import InvoiceSum, LineKind
from domain.money import Money
from domain.parties import BilledCustomer
from domain.periods import BillingPeriod
from storage import audit
from storage.snapshots import customer_to_json, tax_lines_to_json
from storage.tables import (
    billed_usage,
    billing_cycle_items,
    emails,
    invoice_line_items,
    invoices,
    rated_months,
)

PLANNER = "billing-cycle"
"""The audit log's actor for what planning decides by itself."""


@dataclass(frozen=True)
class Cycle:
    """A row of `billing_cycles`.

    Attributes:
        issue_began: once, whatever its status is since.
        dated_by_issue: `issued_on` is the day on which the issue begins, where that is later.
    """

    id: int
    period: BillingPeriod
    issued_on: date
    terms_days: int
    hold_reminders: bool
    pause_before_issue: bool
    issue_began: bool
    approval_required: bool = False
    dated_by_issue: bool = False


@dataclass(frozen=True)
class DraftToWrite:
    """A customer's draft of a cycle.

    Attributes:
        held_id: the draft that it replaces and whose number it keeps; None for a new one.
        service_month: of an invoice of kind late, the month that it is about; None for a regular
            one, whose month is the cycle's.
        late: the months of the lines of kind late on a regular one, in their order.
    """

    customer_id: int
    customer: BilledCustomer
    draft: InvoiceDraft
    held_id: int | None = None
    service_month: BillingPeriod | None = None
    late: Sequence[BillingPeriod] = ()

    def months_of_lines(self, cycle: Cycle) -> list[date]:
        """The service month of each line, in their order."""
        late = iter(self.late)
        own = self.service_month or cycle.period
        is_regular = self.service_month is None
        return [
            (next(late) if is_regular and line.kind is LineKind.LATE else own).start
            for line in self.draft.lines
        ]


def write_drafts(
    connection: Connection, cycle: Cycle, seller_version: int, drafts: Sequence[DraftToWrite]
) -> list[int]:
    """Writes the drafts with their lines; the id of each, in their order."""
    held = [entry.held_id for entry in drafts if entry.held_id is not None]
    if held:
        empty_drafts(connection, held)
    for entry in drafts:
        if entry.held_id is not None:
            values = _values(cycle, seller_version, entry)
            connection.execute(
                update(invoices).where(invoices.c.id == entry.held_id).values(values)
            )
    new = iter(_insert(connection, cycle, seller_version, [d for d in drafts if d.held_id is None]))
    ids = [next(new) if entry.held_id is None else entry.held_id for entry in drafts]
    lines = [
        {
            "invoice_id": invoice_id,
            "position": position,
            **vars(line),
            "kind": line.kind.value,
            "service_month": month,
        }
        for invoice_id, entry in zip(ids, drafts, strict=True)
        for position, (line, month) in enumerate(
            zip(entry.draft.lines, entry.months_of_lines(cycle), strict=True), start=1
        )
    ]
    if lines:
        connection.execute(insert(invoice_line_items), lines)
    return ids


def empty_drafts(connection: Connection, invoice_ids: Iterable[int]) -> None:
    """Takes their lines, and what they account for, off drafts that are filled anew or void."""
    ids = list(invoice_ids)
    for table in (invoice_line_items, rated_months, billed_usage):
        connection.execute(delete(table).where(table.c.invoice_id.in_(ids)))


def void_draft(
    connection: Connection, cycle: Cycle, invoice_id: int, number: str | None, reason: str
) -> None:
    """A draft that is not needed any more: its number was given and is not given again, so it
    stays, as void. One that has none yet goes.

    What it accounted for counts no more.
    """
    this, item = invoices.c.id == invoice_id, billing_cycle_items
    if number is None:
        connection.execute(
            update(item).where(item.c.invoice_id == invoice_id).values(invoice_id=None)
        )
        connection.execute(delete(invoices).where(this))
        return
    for table in (rated_months, billed_usage):
        connection.execute(delete(table).where(table.c.invoice_id == invoice_id))
    connection.execute(update(invoices).where(this).values(status="void", collection_state="void"))
    audit.record(
        connection,
        audit.AuditEntry(
            cycle.issued_on, PLANNER, "invoice", number, "void", "draft", "void", reason
        ),
    )


@dataclass(frozen=True)
class DraftInLine:
    """A draft that waits to be issued; `part` is empty for a regular one, else its month."""

    account_number: str
    part: str
    number: str


def drafts_to_issue(
    connection: Connection,
    cycle_id: int,
    *,
    after_account: str,
    limit: int,
    unowned_too: bool = False,
) -> list[DraftInLine]:
    """The cycle's next `limit` drafts behind `after_account`, with all of the last one's account.

    `unowned_too`: also invoices that were issued and of which no e-mail was ever prepared. That is
    the first thing an invoice's own workflow does, so they may have none.
    """
    item = billing_cycle_items
    waiting = item.c.outcome == "drafted"
    if unowned_too:
        mailed = exists().where(emails.c.invoice_id == item.c.invoice_id)
        waiting = or_(waiting, and_(item.c.outcome == "issued", ~mailed))
    rows = connection.execute(
        select(item.c.account_number, item.c.part, invoices.c.number)
        .join(invoices, invoices.c.id == item.c.invoice_id)
        .where(
            item.c.cycle_id == cycle_id,
            waiting,
            item.c.account_number > after_account,
        )
        .order_by(item.c.account_number)
        .fetch(limit, with_ties=True)
    )
    drafts = [DraftInLine(row.account_number, row.part, row.number) for row in rows]
    return sorted(drafts, key=lambda draft: (draft.account_number, draft.part))


def _insert(
    connection: Connection, cycle: Cycle, seller_version: int, drafts: Sequence[DraftToWrite]
) -> list[int]:
    if not drafts:
        return []
    rows = connection.execute(
        insert(invoices).returning(invoices.c.id, sort_by_parameter_order=True),
        [
            {
                "customer_id": entry.customer_id,
                "cycle_id": cycle.id,
                "period_start": cycle.period.start,
                "kind": (InvoiceKind.LATE if entry.service_month else InvoiceKind.REGULAR).value,
                "service_month": entry.service_month and entry.service_month.start,
                "status": "draft",
                **_values(cycle, seller_version, entry),
            }
            for entry in drafts
        ],
    )
    return list(rows.scalars())


def _values(cycle: Cycle, seller_version: int, entry: DraftToWrite) -> dict[str, Any]:
    draft = entry.draft
    return {
        "currency": draft.currency,
        "usage_amount": draft.amount_of(InvoiceSum.USAGE),
        "subscription_amount": draft.amount_of(InvoiceSum.SUBSCRIPTIONS),
        "proration_amount": draft.amount_of(InvoiceSum.PRORATION),
        "discount_amount": draft.amount_of(InvoiceSum.DISCOUNTS),
        "late_amount": draft.amount_of(InvoiceSum.LATE),
        "subtotal": draft.subtotal,
        "tax": draft.tax,
        "total": draft.total,
        **dict.fromkeys(("amount_paid", "amount_credited"), Money.zero(draft.currency).amount),
        "tax_lines": tax_lines_to_json(draft.tax_lines),
        "segment": entry.customer.segment,
        "customer": customer_to_json(entry.customer),
        "seller_version": seller_version,
        "issued_on": cycle.issued_on,
        "due_on": due_date(cycle.issued_on, cycle.terms_days),
    }
