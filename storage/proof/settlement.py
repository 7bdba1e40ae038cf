"""What pays the invoices of a cycle, what is open on them, and what is the customers' credit."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from domain.proof import Entry, Equation, Proof, weigh
from storage.proof.sides import Scope, entries


def payments_in_themselves(connection: Connection, scope: Scope) -> Proof:
    """Of the cycle's invoices whoever paid them; the credit is that of all customers."""
    receivables = entries(
        connection,
        _RECEIVABLES,
        scope.parameters,
        explanation="what is reported as outstanding is not what is open on the invoice",
    )
    credit = entries(
        connection,
        _CREDIT,
        {},
        explanation="the credit is not what payments left over",
    )
    return (
        weigh(Equation.SETTLED, _settled(connection, scope))
        + weigh(Equation.RECEIVABLES, receivables)
        + weigh(Equation.CREDIT, credit)
    )


_PART_WORDS = {
    "card": "paid by card",
    "bank_transfer": "paid by bank transfer",
    "credit": "paid from credit",
    "other": "paid elsewhere",
    "credited": "credit notes",
}


def _settled(connection: Connection, scope: Scope) -> Iterator[Entry]:
    for row in connection.execute(_SETTLED, scope.parameters):
        parts = [(words, getattr(row, name)) for name, words in _PART_WORDS.items()]
        found = sum(amount for _, amount in parts)
        yield Entry(
            row.currency,
            row.account_number,
            row.settled,
            found,
            row.number,
            tuple(parts),
            "" if found == row.settled else "its payments do not come to what counts as paid",
        )


_SETTLED = text("""
    WITH paid AS (
        SELECT invoice_id,
               sum(allocated) FILTER (WHERE method = 'card') AS card,
               sum(allocated) FILTER (WHERE method = 'bank_transfer') AS bank_transfer,
               sum(allocated) FILTER (WHERE method = 'credit') AS credit,
               sum(allocated) FILTER (WHERE method = 'other') AS other
        FROM payments
        WHERE invoice_id IN (SELECT id FROM invoices WHERE cycle_id = :cycle)
        GROUP BY invoice_id
    ), credited AS (
        SELECT invoice_id, sum(total) AS credited FROM credit_notes
        WHERE invoice_id IN (SELECT id FROM invoices WHERE cycle_id = :cycle)
        GROUP BY invoice_id
    )
    SELECT invoice.currency, customer.account_number, invoice.number,
           invoice.amount_paid + invoice.amount_credited AS settled,
           coalesce(card, 0) AS card, coalesce(bank_transfer, 0) AS bank_transfer,
           coalesce(credit, 0) AS credit, coalesce(other, 0) AS other,
           coalesce(credited.credited, 0) AS credited
    FROM invoices invoice
    JOIN customers customer ON customer.id = invoice.customer_id
    LEFT JOIN paid ON paid.invoice_id = invoice.id
    LEFT JOIN credited ON credited.invoice_id = invoice.id
    WHERE invoice.cycle_id = :cycle AND invoice.status <> 'draft' AND invoice.number IS NOT NULL
    ORDER BY invoice.number
""")
_RECEIVABLES = """
    SELECT invoice.currency AS unit, customer.account_number, invoice.number AS subject,
           CASE WHEN invoice.status IN ('issued', 'overdue')
                THEN greatest(invoice.total, 0) - invoice.amount_paid - invoice.amount_credited
                ELSE 0 END AS expected,
           coalesce((SELECT sum(amount) FROM receivable_entries
                     WHERE invoice_id = invoice.id), 0) AS found
    FROM invoices invoice JOIN customers customer ON customer.id = invoice.customer_id
    WHERE invoice.cycle_id = :cycle AND invoice.status <> 'draft' AND invoice.number IS NOT NULL
"""
_CREDIT = """
    WITH left_over AS (
        SELECT invoice.customer_id, payment.currency,
               sum(CASE WHEN payment.method = 'credit' THEN -payment.allocated
                        WHEN payment.status IN ('succeeded', 'reversed')
                        THEN payment.amount - payment.allocated - payment.returned
                        ELSE 0 END) AS amount
        FROM payments payment JOIN invoices invoice ON invoice.id = payment.invoice_id
        GROUP BY invoice.customer_id, payment.currency
    ), below_zero AS (
        SELECT customer_id, currency, -sum(total) AS amount FROM invoices
        WHERE total < 0 AND cycle_id IS NOT NULL AND status NOT IN ('draft', 'void')
        GROUP BY customer_id, currency
    ), entered AS (
        SELECT customer_id, currency, sum(amount) AS amount FROM credit_entries
        GROUP BY customer_id, currency
    ), sides AS (
        SELECT customer_id, currency,
               coalesce(left_over.amount, 0) + coalesce(below_zero.amount, 0) AS expected,
               coalesce(balance, 0) AS found, coalesce(entered.amount, 0) AS entered
        FROM left_over
        FULL JOIN below_zero USING (customer_id, currency)
        FULL JOIN credit_balances USING (customer_id, currency)
        FULL JOIN entered USING (customer_id, currency)
    )
    SELECT sides.currency AS unit, account_number, 'credit' AS subject, expected, found
    FROM sides JOIN customers ON customers.id = customer_id
    UNION ALL
    SELECT sides.currency, account_number, 'the entries of the credit', entered, found
    FROM sides JOIN customers ON customers.id = customer_id
    WHERE entered <> found
"""
