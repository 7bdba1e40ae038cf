"""Positions in a list as opaque text."""

import base64
import json
from datetime import date
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter

from domain.errors import InvalidValue
from storage.invoices import Invoice, ListPosition

Position = TypeVar("Position")
_INVOICE = TypeAdapter(tuple[date, str, Annotated[int, Field(ge=1, lt=2**63)]])


def write_cursor(invoice: Invoice) -> str:
    """The cursor of the page behind `invoice`."""
    return write_position(invoice.period.start, invoice.account_number, invoice.id)


def read_cursor(cursor: str) -> ListPosition:
    """Raises InvalidValue for a cursor that `write_cursor` could not have made."""
    return ListPosition(*read_position(cursor, _INVOICE))


def write_position(*parts: str | int | date) -> str:
    """The cursor of the page behind what `parts` sort."""
    position = [part.isoformat() if isinstance(part, date) else part for part in parts]
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def read_position(cursor: str, kind: TypeAdapter[Position]) -> Position:
    """The parts of a cursor. Raises InvalidValue for one whose parts are not of `kind`."""
    try:
        return kind.validate_json(base64.urlsafe_b64decode(cursor), strict=True)
    except ValueError as error:
        raise InvalidValue("cursor: not one of ours; take next_cursor of a page.") from error
