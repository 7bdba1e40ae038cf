"""What is owed on an invoice, as a sum of dated entries, so that any day can be asked for.

`LockedInvoice` enters what it changes, and the two places that make an invoice enter its total.
"""

from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, and_, insert

from storage.tables import invoices, receivable_entries

OPEN_DAYS = """
    daterange(issued_on, CASE WHEN settled_on IS NOT NULL THEN greatest(issued_on, settled_on) END)
"""
"""The days on which something may be open on a row of `invoices`, written as the index
`invoices_by_open_days` has it, which leaves drafts out. Whether something is, its entries tell."""
MAY_BE_OPEN = f"status <> 'draft' AND {OPEN_DAYS} @> CAST(:as_of AS date)"
"""A condition that every invoice meets on which something is open at the end of `:as_of`."""
IS_OPEN = and_(
    invoices.c.status.in_(("issued", "overdue")),
    invoices.c.total > invoices.c.amount_paid + invoices.c.amount_credited,
)
"""Something is still to be paid now, as `domain.invoice.open_amount` has it."""
WAS_ISSUED = "collection_state IS NOT NULL AND (status <> 'void' OR settled_on IS NOT NULL)"
"""A condition on `invoices`: issued once, also where it was voided since. One that was void before
it was ever issued here has no credit note that takes it back."""


def enter(connection: Connection, invoice_id: int, *, on: date, amount: Decimal) -> None:
    """What is open on the invoice changes by `amount` on the business date; 0 is no change."""
    if amount:
        connection.execute(
            insert(receivable_entries).values(
                invoice_id=invoice_id, business_date=on, amount=amount
            )
        )
