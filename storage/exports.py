"""Tables as people and spreadsheets want them: fixed columns, plain numbers, ISO dates."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import date
from decimal import Decimal
from typing import IO, Any

from sqlalchemy import Connection, Engine, text

from domain.periods import BillingPeriod
from storage.audit import AuditFilter, RecordedEntry, last_entry, list_entries
from storage.engine import transaction

_ENTRIES_AT_ONCE = 1_000

_INVOICES = """
    SELECT invoice.number, customer.account_number,
           to_char(invoice.period_start, 'YYYY-MM') AS period, invoice.currency,
           invoice.usage_amount AS usage, invoice.subscription_amount AS subscriptions,
           invoice.proration_amount AS proration, invoice.subtotal, invoice.tax, invoice.total,
           invoice.amount_paid, invoice.status, invoice.collection_state, invoice.issued_on,
           invoice.due_on, invoice.discount_amount AS discounts, invoice.late_amount AS late,
           to_char(coalesce(invoice.service_month, invoice.period_start), 'YYYY-MM')
               AS service_month
    FROM invoices invoice JOIN customers customer ON customer.id = invoice.customer_id
    WHERE CAST(:period AS date) IS NULL OR invoice.period_start = :period
    ORDER BY invoice.period_start, invoice.number
"""
_LINES = """
    SELECT invoice.number, line.position, line.kind, line.description, line.quantity,
           line.unit_price, line.amount,
           to_char(line.service_month, 'YYYY-MM') AS service_month
    FROM invoice_line_items line JOIN invoices invoice ON invoice.id = line.invoice_id
    WHERE CAST(:period AS date) IS NULL OR invoice.period_start = :period
    ORDER BY invoice.period_start, invoice.number, line.position
"""
_PAYMENTS = """
    SELECT invoice.number, payment.method, payment.status, payment.amount, payment.currency,
           payment.provider_id, payment.failure_code, payment.business_date, payment.allocated,
           payment.returned, payment.attempt
    FROM payments payment JOIN invoices invoice ON invoice.id = payment.invoice_id
    WHERE CAST(:period AS date) IS NULL OR invoice.period_start = :period
    ORDER BY payment.id
"""
_CREDIT_NOTES = """
    SELECT note.number, invoice.number AS invoice, note.currency, note.subtotal, note.tax,
           note.total, note.reason, note.business_date, note.refund_to, note.returned_amount,
           note.voids
    FROM credit_notes note JOIN invoices invoice ON invoice.id = note.invoice_id
    WHERE CAST(:period AS date) IS NULL OR invoice.period_start = :period
    ORDER BY note.number
"""
_AUDIT = """
    SELECT entry.id, entry.at, entry.business_date, entry.actor, entry.subject_kind,
           entry.subject, entry.event, entry.from_state, entry.to_state, entry.reason,
           entry.details
    FROM audit_log entry
    LEFT JOIN invoices invoice ON entry.subject_kind = 'invoice'
        AND invoice.number = entry.subject
    WHERE CAST(:period AS date) IS NULL OR invoice.period_start = :period
        OR (entry.subject_kind = 'cycle'
            AND entry.subject = to_char(CAST(:period AS date), 'YYYY-MM'))
    ORDER BY entry.id
"""
_CYCLE_ITEMS = """
    SELECT item.account_number, item.outcome, item.reason, invoice.number,
           item.part AS late_month
    FROM billing_cycle_items item
    JOIN billing_cycles cycle ON cycle.id = item.cycle_id
    LEFT JOIN invoices invoice ON invoice.id = item.invoice_id
    WHERE CAST(:period AS date) IS NULL OR cycle.period_start = :period
    ORDER BY cycle.period_start, item.account_number, item.part
"""
_EMAILS = """
    SELECT invoice.number, email.kind, email.step, email.message_id,
           array_to_string(email.recipients, '; ') AS recipients, email.subject,
           email.business_date, email.created_at AS prepared_at, email.sent_at
    FROM emails email JOIN invoices invoice ON invoice.id = email.invoice_id
    WHERE CAST(:period AS date) IS NULL OR invoice.period_start = :period
    ORDER BY email.id
"""
_INSTRUCTIONS = """
    SELECT asked.id, invoice.number, asked.kind, asked.details, asked.note, asked.person,
           asked.asked_at, asked.decided_at, asked.outcome, asked.answer
    FROM instructions asked JOIN invoices invoice ON invoice.id = asked.invoice_id
    WHERE CAST(:period AS date) IS NULL OR invoice.period_start = :period
    ORDER BY asked.id
"""
_BANK_TRANSACTIONS = """
    SELECT wire.bank_reference, wire.booked_on, wire.amount, wire.currency, wire.payer_name,
           wire.payer_iban, wire.remittance, wire.end_to_end_id, wire.status, wire.match_kind,
           string_agg(invoice.number, '; ' ORDER BY invoice.number) AS invoices,
           wire.note, wire.decided_by
    FROM bank_transactions wire
    LEFT JOIN bank_matches match ON match.bank_transaction_id = wire.id
    LEFT JOIN invoices invoice ON invoice.id = match.invoice_id
    GROUP BY wire.id
    HAVING CAST(:period AS date) IS NULL OR bool_or(invoice.period_start = :period)
    ORDER BY wire.id
"""

EXPORTS = {
    "invoices": _INVOICES,
    "lines": _LINES,
    "payments": _PAYMENTS,
    "credit-notes": _CREDIT_NOTES,
    "audit": _AUDIT,
    "cycle-items": _CYCLE_ITEMS,
    "emails": _EMAILS,
    "instructions": _INSTRUCTIONS,
    "bank-transactions": _BANK_TRANSACTIONS,
}
"""What can be exported, by name; the query's columns are the file's."""


def write_export(
    connection: Connection, name: str, period: BillingPeriod | None, target: IO[str]
) -> int:
    """Writes one export as CSV and returns the number of its rows; `period` None means all."""
    rows = connection.execute(
        text(EXPORTS[name]),
        {"period": period.start if period else None},
        execution_options={"yield_per": 5_000},
    )
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(rows.keys())
    count = 0
    for row in rows:
        writer.writerow([_cell(value) for value in row])
        count += 1
    return count


def stream_audit(engine: Engine, wanted: AuditFilter) -> Iterator[str]:
    """The audit log as CSV, page by page: with the entries that there were at the beginning.

    No connection is held between two pages, however slowly they are read. The first page is read
    before the header is given, so that a filter which PostgreSQL refuses is refused in time.
    """
    with transaction(engine) as connection:
        last = last_entry(connection)
        page = list_entries(connection, wanted, up_to=last, limit=_ENTRIES_AT_ONCE)
    yield _csv([[column.name for column in fields(RecordedEntry)]])
    while page:
        yield _csv([[_cell(value) for value in vars(entry).values()] for entry in page])
        after = page[-1].id
        with transaction(engine) as connection:
            page = list_entries(connection, wanted, after=after, up_to=last, limit=_ENTRIES_AT_ONCE)


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """A table as CSV, line by line, for programs that show tables.

    They take UTF-8 for what it is only where it begins with the mark of it.
    """
    yield "\ufeff" + _csv([header])
    for row in rows:
        yield _csv([[_cell(value) for value in row]])


def _csv(rows: Iterable[Iterable[str]]) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue()


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case dict():
            return json.dumps(value, ensure_ascii=False)
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
