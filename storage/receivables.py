"""What is owed on an invoice, as a sum of dated entries, so that any day can be asked for.

`LockedInvoice` enters what it changes, and the two places that make an invoice enter its total.
"""

from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, insert

from storage.tables import receivable_entries

MAY_BE_OPEN = """
    invoice.status <> 'draft'
    AND daterange(invoice.issued_on,
                  CASE WHEN invoice.settled_on IS NOT NULL
                       THEN greatest(invoice.issued_on, invoice.settled_on) END)
        @> CAST(:as_of AS date)
"""
"""A condition on `invoices invoice` that every invoice meets on which something is open on a day;
the index `invoices_by_open_days` serves it. Whether something is, its entries tell."""


def enter(connection: Connection, invoice_id: int, *, on: date, amount: Decimal) -> None:
    """What is open on the invoice changes by `amount` on the business date; 0 is no change."""
    if amount:
        connection.execute(
            insert(receivable_entries).values(
                invoice_id=invoice_id, business_date=on, amount=amount
            )
        )
