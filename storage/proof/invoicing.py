"""The invoices of a cycle in themselves: lines, sums, tax, totals. Nothing of `domain/` computes
here; PostgreSQL rounds by itself, half away from zero.
"""

from sqlalchemy import Connection

from domain.proof import Equation, Proof, weigh
from storage.proof.sides import DIGITS, Scope, digits_of_currencies, entries


def invoices_in_themselves(connection: Connection, scope: Scope) -> Proof:
    """Drafts and void invoices too: what is wrong in them is wrong."""
    values = {**scope.parameters, **digits_of_currencies(connection)}
    proof = Proof((), ())
    for equation, (sides, explanation) in _SIDES.items():
        found = entries(connection, sides, values, explanation=explanation)
        proof += weigh(equation, found)
    return proof


_INVOICES = """
    invoices invoice
    JOIN customers customer ON customer.id = invoice.customer_id
"""
_NAME = "coalesce(invoice.number, 'draft ' || invoice.id)"
_LINES = f"""
    SELECT invoice.currency AS unit, customer.account_number,
           {_NAME} || ', line ' || line.position AS subject,
           round(line.quantity * line.unit_price, minor.digits) AS expected, line.amount AS found
    FROM {_INVOICES}
    JOIN {DIGITS} ON minor.currency = invoice.currency
    JOIN invoice_line_items line ON line.invoice_id = invoice.id
    WHERE invoice.cycle_id = :cycle AND line.unit_price IS NOT NULL
    UNION ALL
    SELECT invoice.currency, customer.account_number, {_NAME} || ', prepaid credit',
           -coalesce(drawn.total, 0), coalesce(line.total, 0)
    FROM {_INVOICES}
    LEFT JOIN (
        SELECT invoice_id, sum(amount) AS total FROM prepaid_draws GROUP BY invoice_id
    ) drawn ON drawn.invoice_id = invoice.id
    LEFT JOIN (
        SELECT invoice_id, sum(amount) AS total FROM invoice_line_items
        WHERE kind = 'prepaid_draw' GROUP BY invoice_id
    ) line ON line.invoice_id = invoice.id
    WHERE invoice.cycle_id = :cycle AND invoice.status <> 'void'
      AND coalesce(drawn.total, line.total) IS NOT NULL
"""  # noqa: S608 - of constants
_SUBTOTALS = f"""
    SELECT invoice.currency AS unit, customer.account_number, {_NAME} AS subject,
           coalesce(line.total, 0) AS expected, invoice.subtotal AS found
    FROM {_INVOICES}
    LEFT JOIN (
        SELECT invoice_id, sum(amount) AS total FROM invoice_line_items
        WHERE invoice_id IN (SELECT id FROM invoices WHERE cycle_id = :cycle)
        GROUP BY invoice_id
    ) line ON line.invoice_id = invoice.id
    WHERE invoice.cycle_id = :cycle
"""  # noqa: S608 - of constants
_TAXES = f"""
    WITH charged AS (
        SELECT invoice_id, sum(amount) AS total FROM invoice_line_items
        WHERE invoice_id IN (SELECT id FROM invoices WHERE cycle_id = :cycle)
        GROUP BY invoice_id
    ), taxed AS (
        SELECT invoice.id, count(*) AS rates,
               sum((rate.line ->> 'taxable')::numeric) AS taxable,
               sum(round((CASE WHEN jsonb_array_length(invoice.tax_lines) = 1
                               THEN charged.total ELSE (rate.line ->> 'taxable')::numeric END)
                         * (rate.line ->> 'rate_percent')::numeric / 100, minor.digits)) AS expected
        FROM invoices invoice
        JOIN {DIGITS} ON minor.currency = invoice.currency
        JOIN charged ON charged.invoice_id = invoice.id
        CROSS JOIN jsonb_array_elements(invoice.tax_lines) AS rate (line)
        WHERE invoice.cycle_id = :cycle
        GROUP BY invoice.id
    )
    SELECT invoice.currency AS unit, customer.account_number, {_NAME} AS subject,
           coalesce(taxed.expected, 0) AS expected, invoice.tax AS found
    FROM {_INVOICES} LEFT JOIN taxed ON taxed.id = invoice.id
    WHERE invoice.cycle_id = :cycle
    UNION ALL
    SELECT invoice.currency, customer.account_number, {_NAME} || ', what is taxed',
           charged.total, taxed.taxable
    FROM {_INVOICES}
    JOIN taxed ON taxed.id = invoice.id JOIN charged ON charged.invoice_id = invoice.id
    WHERE charged.total <> taxed.taxable
"""  # noqa: S608 - of constants
_TOTALS = f"""
    SELECT invoice.currency AS unit, customer.account_number, {_NAME} AS subject,
           invoice.subtotal + invoice.tax AS expected, invoice.total AS found
    FROM {_INVOICES}
    WHERE invoice.cycle_id = :cycle
"""  # noqa: S608 - of constants

_CHANGED = "an issued invoice does not change: somebody wrote into the database"
_SIDES = {
    Equation.LINES: (
        _LINES,
        "the amount is not the quantity times the unit price, or not what was drawn",
    ),
    Equation.SUBTOTALS: (_SUBTOTALS, _CHANGED),
    Equation.TAXES: (_TAXES, "the tax is not the rate on the lines"),
    Equation.TOTALS: (_TOTALS, _CHANGED),
}
