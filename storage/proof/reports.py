"""What reports, exports and the cycle's page say, against the invoices that they are about."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, text

from domain.proof import Entry, Equation, Proof, not_checked, weigh
from domain.reporting import AGING_BUCKETS, MissingExchangeRate
from storage.cycles import cycle_totals
from storage.exports import write_export
from storage.proof.sides import Scope
from storage.reports.currencies import INVOICED_CURRENCIES, Conversion, load_rates
from storage.reports.outstanding import outstanding
from storage.reports.revenue import revenue_by_customer

_NOTHING = Decimal(0)


def reports_against_invoices(connection: Connection, scope: Scope) -> Proof:
    """As of the day of the proof; a report that lacks an exchange rate is not checked."""
    return (
        weigh(Equation.CYCLE_TOTALS, _cycle_totals(connection, scope))
        + _report(Equation.REVENUE_REPORT, _revenue, connection, scope)
        + _report(Equation.OUTSTANDING_REPORT, _outstanding, connection, scope)
        + weigh(Equation.INVOICE_EXPORT, _exported_invoices(connection, scope))
        + weigh(Equation.LINE_EXPORT, _exported_lines(connection, scope))
    )


def _report(
    equation: Equation,
    read: Callable[[Connection, Scope], Iterator[Entry]],
    connection: Connection,
    scope: Scope,
) -> Proof:
    try:
        return weigh(equation, read(connection, scope))
    except MissingExchangeRate as refusal:
        return not_checked(equation, refusal.message)


def _cycle_totals(connection: Connection, scope: Scope) -> Iterator[Entry]:
    shown = {sums.currency: sums.total for sums in cycle_totals(connection, scope.period)}
    rows = connection.execute(_TOTALS, scope.parameters)
    billed: dict[str, Decimal] = {row.currency: row.total for row in rows}
    for currency in sorted(shown.keys() | billed.keys()):
        yield Entry(
            currency,
            "",
            billed.get(currency, _NOTHING),
            shown.get(currency, _NOTHING),
            "totals of the cycle",
            explanation="an invoice of the cycle is nobody's outcome, or the other way round",
        )


def _revenue(connection: Connection, scope: Scope) -> Iterator[Entry]:
    """By customer; an amount in another currency at the rate that the report shows."""
    report = revenue_by_customer(
        connection, scope.period, as_of=scope.as_of, currency=scope.currency, limit=None
    )
    shown = {row.account_number: row.revenue for row in report.customers if row.revenue}
    conversion = _conversion(connection, scope)
    expected: dict[str, Decimal] = {}
    for row in connection.execute(_REVENUE, scope.parameters):
        amount = conversion.of(row.amount, row.currency)
        expected[row.account_number] = expected.get(row.account_number, _NOTHING) + amount
    yield from _by_account(scope.currency, expected, shown, "the report says something else")


def _outstanding(connection: Connection, scope: Scope) -> Iterator[Entry]:
    """By customer; the report rounds each age of theirs by itself."""
    report = outstanding(connection, as_of=scope.as_of, currency=scope.currency, limit=None)
    shown = {row.account_number: row.amount for row in report.debtors}
    conversion = _conversion(connection, scope)
    first_days = [bucket.from_day for bucket in AGING_BUCKETS if bucket.from_day is not None]
    aged: dict[tuple[str, int, str], Decimal] = {}
    for row in connection.execute(_OPEN, scope.parameters):
        age = sum(row.days >= first for first in first_days)
        key = (row.account_number, age, row.currency)
        aged[key] = aged.get(key, _NOTHING) + row.amount
    expected: dict[str, Decimal] = {}
    for (account, _, currency), amount in aged.items():
        expected[account] = expected.get(account, _NOTHING) + conversion.of(amount, currency)
    yield from _by_account(scope.currency, expected, shown, "the report says something else")


def _conversion(connection: Connection, scope: Scope) -> Conversion:
    rates = load_rates(connection, scope.currency, scope.as_of)
    return Conversion(rates, connection.execute(INVOICED_CURRENCIES).scalars())


def _by_account(
    unit: str, expected: dict[str, Decimal], shown: dict[str, Decimal], explanation: str
) -> Iterator[Entry]:
    for account in sorted(expected.keys() | shown.keys()):
        yield Entry(
            unit,
            account,
            expected.get(account, _NOTHING),
            shown.get(account, _NOTHING),
            explanation=explanation,
        )


def _exported_invoices(connection: Connection, scope: Scope) -> Iterator[Entry]:
    exported = _sums(_export(connection, "invoices", scope), "total")
    yield from _against(list(connection.execute(_INVOICES, scope.parameters)), "total", exported)


def _exported_lines(connection: Connection, scope: Scope) -> Iterator[Entry]:
    exported = _sums(_export(connection, "lines", scope), "amount")
    rows = connection.execute(_INVOICES, scope.parameters)
    with_lines = [row for row in rows if row.has_lines]
    yield from _against(with_lines, "subtotal", exported)


def _export(connection: Connection, name: str, scope: Scope) -> Iterator[dict[str, str]]:
    file = io.StringIO()
    write_export(connection, name, scope.period, file)
    file.seek(0)
    return csv.DictReader(file)


def _sums(rows: Iterator[dict[str, str]], column: str) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for row in rows:
        if row["number"]:
            sums[row["number"]] = sums.get(row["number"], _NOTHING) + Decimal(row[column])
    return sums


def _against(
    rows: Sequence[Row[Any]], column: str, exported: dict[str, Decimal]
) -> Iterator[Entry]:
    for row in rows:
        found = exported.pop(row.number, _NOTHING)
        yield Entry(
            row.currency,
            row.account_number,
            getattr(row, column),
            found,
            row.number,
            explanation="the file says something else than the invoice",
        )
    for number, amount in exported.items():
        stranger = "the file has an invoice that the month has not"
        yield Entry("", "", _NOTHING, amount, number, explanation=stranger)


_TOTALS = text("""
    SELECT invoice.currency, sum(invoice.total) AS total
    FROM invoices invoice
    WHERE invoice.cycle_id = :cycle AND invoice.status <> 'void'
      AND (invoice.status <> 'draft' OR EXISTS (
           SELECT FROM billing_cycle_items
           WHERE cycle_id = :cycle AND invoice_id = invoice.id AND outcome = 'drafted'))
    GROUP BY invoice.currency
""")
_REVENUE = text("""
    SELECT customer.account_number, invoice.currency,
           sum(invoice.total - invoice.tax - coalesce(note.subtotal, 0)) AS amount
    FROM invoices invoice
    JOIN customers customer ON customer.id = invoice.customer_id
    LEFT JOIN LATERAL (
        SELECT sum(total - tax) AS subtotal FROM credit_notes
        WHERE invoice_id = invoice.id AND business_date <= :as_of
    ) note ON true
    WHERE invoice.period_start = :month AND invoice.issued_on <= :as_of
      AND invoice.status <> 'draft'
      AND (invoice.status <> 'void' OR invoice.settled_on IS NOT NULL)
    GROUP BY customer.account_number, invoice.currency
""")
_OPEN = text("""
    SELECT customer.account_number, invoice.currency, CAST(:as_of AS date) - invoice.due_on AS days,
           invoice.total - invoice.amount_paid - invoice.amount_credited AS amount
    FROM invoices invoice JOIN customers customer ON customer.id = invoice.customer_id
    WHERE invoice.status IN ('issued', 'overdue') AND invoice.issued_on <= :as_of
      AND invoice.total > invoice.amount_paid + invoice.amount_credited
""")
_INVOICES = text("""
    SELECT invoice.number, customer.account_number, invoice.currency, invoice.subtotal,
           invoice.total,
           EXISTS (SELECT FROM invoice_line_items WHERE invoice_id = invoice.id) AS has_lines
    FROM invoices invoice JOIN customers customer ON customer.id = invoice.customer_id
    WHERE invoice.period_start = :month AND invoice.number IS NOT NULL
    ORDER BY invoice.number
""")
