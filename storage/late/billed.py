"""What was billed of past months: by which invoices, on whose terms, and what is left to credit."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, text

from domain.lines import LineKind
from domain.parties import BilledCustomer
from domain.periods import BillingPeriod
from domain.plans import PlanKind
from domain.tax import TaxTreatment
from domain.true_up import (
    About,
    Bill,
    BilledLine,
    CreditableLine,
    Credited,
    DrawnCredit,
    Terms,
)
from storage.prepaid import drawn_by
from storage.snapshots import customer_from_json, tax_lines_from_json

CustomerMonth = tuple[int, BillingPeriod]


@dataclass(frozen=True)
class BillingInvoice:
    """An invoice that is not void, with lines of the month; `bill`: what is left of all its own.

    `is_draft`: of a plan whose issue waits, so that nothing can be given back of it.
    """

    id: int
    number: str | None
    is_draft: bool
    bill: Bill


@dataclass
class BilledMonth:
    """What was billed of a customer's month.

    Attributes:
        lines: of the month on all invoices, and what planned credits take back of them.
        invoices: that have such lines, the month's own first, then the oldest.
        terms, customer: of the first of these, which the month keeps; None without any.
        usage: the quantity accounted for, by metric.
        credited: by plan, what people's credit notes took back of the lines and no difference has
            counted; `drawn_credited`: what they did of lines of prepaid credit, below zero.
    """

    lines: list[BilledLine] = field(default_factory=list)
    invoices: list[BillingInvoice] = field(default_factory=list)
    terms: Terms | None = None
    customer: BilledCustomer | None = None
    usage: dict[str, Decimal] = field(default_factory=dict)
    credited: dict[tuple[About, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    drawn_credited: Decimal = Decimal(0)

    @property
    def credited_by_people(self) -> Credited:
        usage = sum(
            (amount for (about, _), amount in self.credited.items() if about is About.USAGE),
            self.drawn_credited,
        )
        return Credited({code: amount for (_, code), amount in self.credited.items()}, usage)

    @property
    def waits(self) -> bool:
        """A part of it is charged by a plan that may still be discarded."""
        return any(invoice.is_draft for invoice in self.invoices)


def billed_months(
    connection: Connection, months: Sequence[CustomerMonth], held: Sequence[int]
) -> Mapping[CustomerMonth, BilledMonth]:
    """Of each of `months`; `held`: drafts that are about to be written anew do not count."""
    values = {
        "customers": [customer_id for customer_id, _ in months],
        "months": [period.start for _, period in months],
        "held": list(held),
    }
    found: dict[CustomerMonth, BilledMonth] = defaultdict(BilledMonth)
    by_invoice: dict[tuple[CustomerMonth, int], list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(BILLED_LINES, values):
        by_invoice[_month_of(row), row.id].append(row)
    drawn = drawn_by(connection, sorted({id for _, id in by_invoice}))
    for (month, id), rows in by_invoice.items():
        _add_invoice(found[month], rows, month[1].start, drawn.get(id, ()))
    for row in connection.execute(_GIVEN_BACK, values):
        line = _line(row)
        found[_month_of(row)].lines.append(line)
        if row.credited_before:
            found[_month_of(row)].credited[line.about, line.plan_code] += line.amount
    for row in connection.execute(_ACCOUNTED_FOR, values):
        found[_month_of(row)].usage[row.metric] = row.quantity
    return found


def terms_of(customer: BilledCustomer, currency: str, treatment: TaxTreatment) -> Terms:
    """On which an invoice of `customer` is made."""
    return Terms(currency, treatment, customer.address.country, customer.address.region)


def _month_of(row: Row[Any]) -> CustomerMonth:
    return row.customer_id, BillingPeriod.of(row.month)


def _about(row: Row[Any]) -> About:
    return About.USAGE if row.plan_kind == PlanKind.USAGE else About.CONTRACT


def _line(row: Row[Any]) -> BilledLine:
    counts_units = row.kind in (LineKind.USAGE, LineKind.LATE)
    units = row.quantity if counts_units else Decimal(0)
    return BilledLine(_about(row), row.plan_code, units, row.amount)


def _add_invoice(
    billed: BilledMonth, rows: Sequence[Row[Any]], month: date, drawn: Sequence[DrawnCredit]
) -> None:
    """One invoice's `rows`, which are all its lines."""
    first = rows[0]
    if billed.terms is None:
        customer = customer_from_json(first.customer)
        (tax,) = tax_lines_from_json(first.tax_lines)
        billed.terms = terms_of(customer, first.currency, tax.treatment)
        billed.customer = customer
    of_month = [
        row for row in rows if row.service_month == month and not LineKind(row.kind).is_prepaid
    ]
    billed.lines += [_line(row) for row in of_month]
    for row in of_month:
        billed.credited[_about(row), row.plan_code] += row.credited - row.planned
    billed.drawn_credited += sum(
        row.credited - row.planned for row in rows if row.kind == LineKind.PREPAID_DRAW
    )
    billed.invoices.append(
        BillingInvoice(
            first.id,
            first.number,
            first.status == "draft",
            Bill(
                [
                    CreditableLine(
                        row.position, row.plan_code, row.amount - row.credited, row in of_month
                    )
                    for row in rows
                ],
                drawn,
            ),
        )
    )


BILLED_LINES = text("""
    WITH wanted AS (
        SELECT * FROM unnest(CAST(:customers AS bigint[]), CAST(:months AS date[]))
                      AS month (customer_id, month)
    ), planned AS (
        SELECT planned.invoice_id, key::int AS position, value::numeric AS net, asked.outcome
        FROM planned_credits planned
        LEFT JOIN instructions asked ON asked.id = planned.instruction_id,
             jsonb_each_text(planned.credit)
        WHERE planned.customer_id = ANY(:customers) AND asked.outcome IS DISTINCT FROM 'refused'
    ), credited AS (
        -- by its credit notes, and by those that were planned and are not decided
        SELECT invoice_id, line.position, line.amount AS net
        FROM credit_notes, jsonb_to_recordset(lines) AS line (position int, amount numeric)
        WHERE invoice_id IN (SELECT id FROM invoices JOIN wanted USING (customer_id))
        UNION ALL
        SELECT invoice_id, position, net FROM planned WHERE outcome IS NULL
    )
    SELECT wanted.customer_id, wanted.month, invoice.id, invoice.number, invoice.status,
           invoice.currency, invoice.customer, invoice.tax_lines, line.position, line.plan_code,
           line.kind, line.quantity, line.amount, line.service_month, plan.kind AS plan_kind,
           coalesce((SELECT sum(net) FROM credited
                     WHERE credited.invoice_id = invoice.id
                       AND credited.position = line.position), 0) AS credited,
           coalesce((SELECT sum(net) FROM planned
                     WHERE planned.invoice_id = invoice.id
                       AND planned.position = line.position), 0) AS planned
    FROM wanted
    JOIN invoices invoice ON invoice.customer_id = wanted.customer_id
        AND invoice.period_start >= wanted.month AND invoice.status <> 'void'
        AND invoice.cycle_id IS NOT NULL AND invoice.id <> ALL(:held)
    JOIN invoice_line_items line ON line.invoice_id = invoice.id
    LEFT JOIN pricing_plans plan ON plan.code = line.plan_code
    WHERE EXISTS (SELECT FROM invoice_line_items of_month
                  WHERE of_month.invoice_id = invoice.id
                    AND of_month.service_month = wanted.month
                    AND of_month.kind NOT LIKE 'prepaid%')
    ORDER BY wanted.customer_id, wanted.month, invoice.period_start, invoice.id, line.position
""")
"""All lines of the invoices that have one of the months, with what was taken back of each."""

_GIVEN_BACK = text("""
    SELECT planned.customer_id, planned.month, 'late' AS kind, line.plan_code, line.quantity,
           line.amount, plan.kind AS plan_kind, planned.credited_before
    FROM unnest(CAST(:customers AS bigint[]), CAST(:months AS date[]))
         AS wanted (customer_id, month)
    JOIN planned_credits planned USING (customer_id, month)
    JOIN invoices ON invoices.id = planned.invoice_id
    LEFT JOIN instructions asked ON asked.id = planned.instruction_id,
         jsonb_to_recordset(planned.lines)
             AS line (plan_code text, quantity numeric, amount numeric)
         LEFT JOIN pricing_plans plan ON plan.code = line.plan_code
    WHERE invoices.status <> 'void' AND asked.outcome IS DISTINCT FROM 'refused'
""")
_ACCOUNTED_FOR = text("""
    SELECT billed.customer_id, billed.month, billed.metric, sum(billed.quantity) AS quantity
    FROM unnest(CAST(:customers AS bigint[]), CAST(:months AS date[]))
         AS wanted (customer_id, month)
    JOIN billed_usage billed USING (customer_id, month)
    LEFT JOIN invoices ON invoices.id = billed.invoice_id
    WHERE billed.invoice_id IS NULL
       OR (invoices.status <> 'void' AND billed.invoice_id <> ALL(:held))
    GROUP BY 1, 2, 3
""")
