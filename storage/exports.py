"""Tables as people and spreadsheets want them: fixed columns, plain numbers, ISO dates."""

import csv
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import IO, Any

from sqlalchemy import Connection, text

from domain.periods import BillingPeriod

_INVOICES = """
    SELECT invoice.number, customer.account_number,
           to_char(invoice.period_start, 'YYYY-MM') AS period, invoice.currency,
           invoice.usage_amount AS usage, invoice.subscription_amount AS subscriptions,
           invoice.proration_amount AS proration, invoice.subtotal, invoice.tax, invoice.total,
           invoice.amount_paid, invoice.status, invoice.collection_state, invoice.issued_on,
           invoice.due_on
    FROM invoices invoice JOIN customers customer ON customer.id = invoice.customer_id
    WHERE CAST(:period AS date) IS NULL OR invoice.period_start = :period
    ORDER BY invoice.period_start, invoice.number
"""
_LINES = """
    SELECT invoice.number, line.position, line.kind, line.description, line.quantity,
           line.unit_price, line.amount
    FROM invoice_line_items line JOIN invoices invoice ON invoice.id = line.invoice_id
    WHERE CAST(:period AS date) IS NULL OR invoice.period_start = :period
    ORDER BY invoice.period_start, invoice.number, line.position
"""
_PAYMENTS = """
    SELECT invoice.number, payment.method, payment.status, payment.amount, payment.currency,
           payment.provider_id, payment.failure_code, payment.business_date
    FROM payments payment JOIN invoices invoice ON invoice.id = payment.invoice_id
    WHERE CAST(:period AS date) IS NULL OR invoice.period_start = :period
    ORDER BY payment.id
"""
_CREDIT_NOTES = """
    SELECT note.number, invoice.number AS invoice, note.currency, note.subtotal, note.tax,
           note.total, note.reason, note.business_date
    FROM credit_notes note JOIN invoices invoice ON invoice.id = note.invoice_id
    WHERE CAST(:period AS date) IS NULL OR invoice.period_start = :period
    ORDER BY note.number
"""
_AUDIT = """
    SELECT entry.id, entry.at, entry.business_date, entry.actor, entry.subject_kind,
           entry.subject, entry.event, entry.from_state, entry.to_state, entry.reason
    FROM audit_log entry
    LEFT JOIN invoices invoice ON entry.subject_kind = 'invoice'
        AND invoice.number = entry.subject
    WHERE CAST(:period AS date) IS NULL OR invoice.period_start = :period
        OR (entry.subject_kind = 'cycle'
            AND entry.subject = to_char(CAST(:period AS date), 'YYYY-MM'))
    ORDER BY entry.id
"""
_CYCLE_ITEMS = """
    SELECT item.account_number, item.outcome, item.reason, invoice.number
    FROM billing_cycle_items item
    JOIN billing_cycles cycle ON cycle.id = item.cycle_id
    LEFT JOIN invoices invoice ON invoice.id = item.invoice_id
    WHERE CAST(:period AS date) IS NULL OR cycle.period_start = :period
    ORDER BY cycle.period_start, item.account_number
"""

EXPORTS = {
    "invoices": _INVOICES,
    "lines": _LINES,
    "payments": _PAYMENTS,
    "credit-notes": _CREDIT_NOTES,
    "audit": _AUDIT,
    "cycle-items": _CYCLE_ITEMS,
}
"""What can be exported, by name; the query's columns are the file's."""


def write_export(
    connection: Connection, name: str, period: BillingPeriod | None, target: IO[str]
) -> int:
    """Writes one export as CSV and returns the number of its rows; `period` None means all."""
    rows = connection.execution_options(yield_per=5_000).execute(
        text(EXPORTS[name]), {"period": period.start if period else None}
    )
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(rows.keys())
    count = 0
    for row in _cells(rows):
        writer.writerow(row)
        count += 1
    return count


def _cells(rows: Any) -> Iterator[list[str]]:
    for row in rows:
        yield [_cell(value) for value in row]


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case Decimal():
            return f"{value:f}"
        case date():
            return value.isoformat()
        case str():
            return harmless(value)
        case _:
            return str(value)


def harmless(cell: str) -> str:
    """Text that a spreadsheet would read as a formula, marked as text."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
