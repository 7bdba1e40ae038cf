"""Statements of a bank account, read whole or refused: CAMT.053, MT940, CSV."""

from storage.importing.statements.model import Statement, StatementEntry, StatementRefused
from storage.importing.statements.reading import read_statement

__all__ = ["Statement", "StatementEntry", "StatementRefused", "read_statement"]
