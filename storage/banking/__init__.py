"""Wires: statements stored and matched, what waits for a person listed and decided."""

from storage.banking.decisions import assign_transaction, ignore_transaction
from storage.banking.transactions import (
    BankTransaction,
    Booking,
    list_transactions,
    load_transaction,
)
from storage.banking.uploads import StatementStored, store_statement

__all__ = [
    "BankTransaction",
    "Booking",
    "StatementStored",
    "assign_transaction",
    "ignore_transaction",
    "list_transactions",
    "load_transaction",
    "store_statement",
]
