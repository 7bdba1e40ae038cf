"""Which wire a reversal takes back."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, select

from domain.payer_names import name_key
from storage.importing.statements import StatementEntry
from storage.tables import bank_matches, bank_transactions, invoices

_wires = bank_transactions
_TAKEN_BACK = select(_wires.c.reversal_of).where(_wires.c.reversal_of.is_not(None))


def find_originals(connection: Connection, reversal: StatementEntry) -> Sequence[Row[Any]]:
    """Stored entries of the opposite amount that no reversal has taken back yet.

    By the reference that the bank tells; where that finds none, by payer and the payer's id.
    """
    possible = connection.execute(
        select(_wires)
        .where(
            _wires.c.amount == -reversal.amount,
            _wires.c.currency == reversal.currency,
            _wires.c.booked_on <= reversal.booked_on,
            _wires.c.id.not_in(_TAKEN_BACK),
        )
        .order_by(_wires.c.id)
    ).all()
    told = [row for row in possible if row.bank_reference == reversal.reverses]
    return told or [
        row
        for row in possible
        if same_payer(row, reversal) and row.end_to_end_id == reversal.end_to_end_id
    ]


def find_wires_that_paid(
    connection: Connection, amounts: Sequence[tuple[str, Decimal]]
) -> Sequence[Row[Any]]:
    """Entries that paid each invoice at least its amount, and that no reversal has taken back."""
    possible: dict[int, Row[Any]] = {}
    for place, (number, amount) in enumerate(amounts):
        rows = connection.execute(
            select(_wires)
            .join(bank_matches, bank_matches.c.bank_transaction_id == _wires.c.id)
            .join(invoices, invoices.c.id == bank_matches.c.invoice_id)
            .where(
                invoices.c.number == number,
                bank_matches.c.amount >= amount,
                _wires.c.id.not_in(_TAKEN_BACK),
            )
        )
        found = {row.id: row for row in rows}
        possible = {id: row for id, row in found.items() if place == 0 or id in possible}
    return list(possible.values())


def same_payer(one: Row[Any], other: Row[Any] | StatementEntry) -> bool:
    """By account; by name where one of the two has no account."""
    if one.payer_iban and other.payer_iban:
        return bool(one.payer_iban == other.payer_iban)
    return name_key(one.payer_name) == name_key(other.payer_name) != ""
