"""Positions in a list as opaque text."""

import base64
import json
from datetime import date
from typing import Annotated

from pydantic import Field, TypeAdapter

from domain.errors import InvalidValue
from storage.invoices import Invoice, ListPosition

_POSITION = TypeAdapter(tuple[date, str, Annotated[int, Field(ge=1, lt=2**63)]])


def write_cursor(invoice: Invoice) -> str:
    """The cursor of the page behind `invoice`."""
    position = [invoice.period.start.isoformat(), invoice.account_number, invoice.id]
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def read_cursor(cursor: str) -> ListPosition:
    """Raises InvalidValue for a cursor that `write_cursor` could not have made."""
    try:
        position = _POSITION.validate_json(base64.urlsafe_b64decode(cursor), strict=True)
    except ValueError as error:
        raise InvalidValue("cursor: not one of ours; take next_cursor of a page.") from error
    return ListPosition(*position)
