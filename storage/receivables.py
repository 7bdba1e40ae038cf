"""What is owed on an invoice, as a sum of dated entries, so that any day can be asked for.

`LockedInvoice` enters what it changes, and the two places that make an invoice enter its total.
"""

from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, insert

from storage.tables import receivable_entries


def enter(connection: Connection, invoice_id: int, *, on: date, amount: Decimal) -> None:
    """What is open on the invoice changes by `amount` on the business date; 0 is no change."""
    if amount:
        connection.execute(
            insert(receivable_entries).values(
                invoice_id=invoice_id, business_date=on, amount=amount
            )
        )
