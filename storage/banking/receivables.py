"""What payments are matched against: the open invoices, less what waits to be booked."""

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import Connection, text

from domain.open_invoices import OpenInvoice, OpenInvoices, SettledInvoice
from domain.references import plain_text, read_references
from storage.banking.likeness import name_likeness


def load_open_invoices(connection: Connection, texts: Iterable[str]) -> OpenInvoices:
    """All open invoices, and those of the settled ones that `texts` of payments name."""
    ibans: dict[int, list[str]] = defaultdict(list)
    for row in connection.execute(_KNOWN_IBANS):
        ibans[row.customer_id].append(row.payer_iban)
    open_ones: list[OpenInvoice] = []
    settled: list[SettledInvoice] = []
    for row in connection.execute(_OPEN):
        if row.open_amount > 0:
            open_ones.append(
                OpenInvoice(
                    number=row.number,
                    account_number=row.account_number,
                    customer_name=row.name,
                    currency=row.currency,
                    open_amount=row.open_amount,
                    due_on=row.due_on,
                    known_ibans=tuple(ibans.get(row.customer_id, ())),
                )
            )
        else:
            settled.append(SettledInvoice(row.number, row.account_number, row.name, "paid"))
    named = {
        number
        for text_ in texts
        for reading in read_references(plain_text(text_))
        for number in reading.numbers
    }
    rows = connection.execute(_SETTLED, {"numbers": sorted(named)})
    settled += [
        SettledInvoice(row.number, row.account_number, row.name, row.status) for row in rows
    ]
    return OpenInvoices(open_ones, settled=settled, likeness=name_likeness)


_OPEN = text("""
    SELECT invoices.number, invoices.customer_id, customers.account_number, customers.name,
           invoices.currency, invoices.due_on,
           invoices.total - invoices.amount_paid - invoices.amount_credited
               - coalesce(waiting.amount, 0) AS open_amount
    FROM invoices
    JOIN customers ON customers.id = invoices.customer_id
    LEFT JOIN (
        SELECT invoice_id, sum(amount) AS amount FROM bank_matches
        WHERE booked_at IS NULL GROUP BY invoice_id
    ) AS waiting ON waiting.invoice_id = invoices.id
    WHERE invoices.status IN ('issued', 'overdue')
    ORDER BY invoices.id
""")
_SETTLED = text("""
    SELECT invoices.number, customers.account_number, customers.name, invoices.status
    FROM invoices
    JOIN customers ON customers.id = invoices.customer_id
    WHERE invoices.number = ANY(:numbers)
      AND invoices.status IN ('paid', 'void', 'uncollectible')
""")
# a wire that was taken back tells nothing of its payer
_KNOWN_IBANS = text("""
    SELECT DISTINCT invoices.customer_id, wires.payer_iban
    FROM bank_matches
    JOIN bank_transactions AS wires ON wires.id = bank_matches.bank_transaction_id
    JOIN invoices ON invoices.id = bank_matches.invoice_id
    WHERE wires.status = 'matched' AND wires.amount > 0 AND wires.payer_iban <> ''
""")
