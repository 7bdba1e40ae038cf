"""Positions in a list as opaque text."""

import base64
import json
from datetime import date

from domain.errors import InvalidValue
from storage.invoices import Invoice, ListPosition


def write_cursor(invoice: Invoice) -> str:
    """The cursor of the page behind `invoice`."""
    position = [invoice.period.start.isoformat(), invoice.account_number, invoice.id]
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def read_cursor(cursor: str) -> ListPosition:
    """Raises InvalidValue for a cursor that was not made by `write_cursor`."""
    try:
        start, account, invoice_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        return ListPosition(date.fromisoformat(start), str(account), int(invoice_id))
    except (ValueError, TypeError) as error:
        raise InvalidValue("cursor: not one of ours; take next_cursor of a page.") from error
