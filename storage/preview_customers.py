"""A plan customer by customer: what each is billed for, beside what they were billed last."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, select

from domain.invoice import InvoiceKind, TaxLine
from domain.periods import BillingPeriod
from storage.cycles import CycleOutcome, cycle_outcomes
from storage.invoices import InvoiceLine, lines_of
from storage.preview import load_planned, months_before
from storage.snapshots import tax_lines_from_json
from storage.tables import customers, invoices


@dataclass(frozen=True)
class Before:
    """A customer's regular invoice of the month that the plan is held against."""

    number: str | None
    currency: str
    total: Decimal


@dataclass(frozen=True)
class PlannedCustomer:
    """`outcome`: of the plan; `before`: None where there is no invoice."""

    outcome: CycleOutcome
    before: Before | None
    lines: Sequence[InvoiceLine]
    tax_lines: Sequence[TaxLine]


def planned_customers(
    connection: Connection,
    period: BillingPeriod,
    *,
    outcome: str | None,
    account_number: str | None,
    after: tuple[str, str],
    limit: int,
) -> list[PlannedCustomer]:
    """As `cycle_outcomes`, with the lines of each; raises Conflict while the plan is being made."""
    load_planned(connection, period)
    found = cycle_outcomes(
        connection,
        period,
        outcome=outcome,
        after=after,
        limit=limit,
        account_number=account_number,
    )
    drafts = {
        row.number: row
        for row in connection.execute(
            select(invoices.c.id, invoices.c.number, invoices.c.tax_lines).where(
                invoices.c.number.in_([it.number for it in found if it.number])
            )
        )
    }
    lines: dict[int, list[InvoiceLine]] = defaultdict(list)
    for invoice_id, line in lines_of(connection, [row.id for row in drafts.values()]):
        lines[invoice_id].append(line)
    before = _before(connection, period, {it.account_number for it in found})
    return [
        PlannedCustomer(
            it,
            before.get(it.account_number) if it.late_month is None else None,
            lines[draft.id] if (draft := drafts.get(it.number)) else (),
            tax_lines_from_json(draft.tax_lines) if draft else (),
        )
        for it in found
    ]


def customer_names(connection: Connection, account_numbers: Iterable[str]) -> dict[str, str]:
    """Present names by account number."""
    rows = connection.execute(
        select(customers.c.account_number, customers.c.name).where(
            customers.c.account_number.in_(list(account_numbers))
        )
    )
    return {row.account_number: row.name for row in rows}


def _before(
    connection: Connection, period: BillingPeriod, account_numbers: set[str]
) -> dict[str, Before]:
    months = months_before(connection, period)
    if not months:
        return {}
    rows = connection.execute(
        select(customers.c.account_number, invoices.c.number, invoices.c.currency, invoices.c.total)
        .join(customers, customers.c.id == invoices.c.customer_id)
        .where(
            customers.c.account_number.in_(account_numbers),
            invoices.c.period_start == months[0].start,
            invoices.c.kind == InvoiceKind.REGULAR.value,
            invoices.c.status != "void",
        )
    )
    return {account: Before(*rest) for account, *rest in rows}
