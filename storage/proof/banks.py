"""Bank transfers in a month's time: the statements' own words, what was kept of them, what was
booked of that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from domain.proof import Entry, Equation, Proof, not_checked, weigh
from storage.documents import fetch_document
from storage.importing.statements import Statement, StatementRefused, read_statement
from storage.proof.sides import Span

_NOTHING = Decimal(0)
_PARTS = {
    "booked": "booked to invoices",
    "waiting": "matched, and being booked",
    "unmatched": "waits for a person",
    "ignored": "for no invoice",
    "taken_back": "taken back by the bank before it paid anything",
}


def bank_transfers(connection: Connection, span: Span) -> Proof:
    """Of the statements that were uploaded in the month's time.

    The files are read again, each by itself; one that cannot be read any more is not checked.
    """
    proof = weigh(Equation.BANK_PAYMENTS, _booked(connection, span))
    try:
        files = list(_files(connection, span))
    except StatementRefused as refusal:
        reason = f"a statement cannot be read any more: {refusal.message}"
        for equation in (Equation.BANK_STATEMENTS, Equation.BANK_BALANCES):
            proof += not_checked(equation, reason)
        return proof
    kept = _kept(connection, span, files)
    return (
        proof
        + weigh(Equation.BANK_STATEMENTS, _as_they_stand(files, kept))
        + weigh(Equation.BANK_BALANCES, _balances(files, kept))
    )


def _booked(connection: Connection, span: Span) -> Iterator[Entry]:
    for row in connection.execute(_BOOKED, span.parameters):
        parts = tuple((words, getattr(row, name)) for name, words in _PARTS.items())
        found = sum((amount for _, amount in parts), _NOTHING)
        differs = "its parts for invoices do not come to the transaction"
        explanation = "" if found == row.amount else differs
        account = row.account_number or ""
        yield Entry(row.currency, account, row.amount, found, row.subject, parts, explanation)
    for row in connection.execute(_UNBACKED, span.parameters):
        yield Entry(
            row.currency,
            row.account_number,
            _NOTHING,
            row.amount,
            f"payment of {row.number}",
            ((_PARTS["booked"], row.amount),),
            "counts as paid by bank transfer, and no transaction of the bank brought it",
        )


@dataclass(frozen=True)
class _File:
    """A statement as it was uploaded, read again."""

    id: int
    name: str
    statement: Statement


@dataclass
class _Kept:
    """What was kept of the entries, by their reference."""

    amounts: dict[str, Decimal] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    without_entry: list[Any] = field(default_factory=list)


def _files(connection: Connection, span: Span) -> Iterator[_File]:
    for row in connection.execute(_STATEMENTS, span.parameters):
        statement = read_statement(fetch_document(connection, row.document_sha256))
        name = f"statement {row.statement_number or row.id} of {row.account_iban or 'a file'}"
        yield _File(row.id, name, statement)


def _kept(connection: Connection, span: Span, files: list[_File]) -> _Kept:
    references = {entry.bank_reference for file in files for entry in file.statement.entries}
    kept = _Kept()
    for row in connection.execute(_KEPT, {"references": sorted(references)}):
        kept.amounts[row.bank_reference] = row.amount
        kept.accounts[row.bank_reference] = row.account_number or ""
    for row in connection.execute(_STORED, span.parameters):
        if row.bank_reference not in references:
            kept.without_entry.append(row)
    return kept


def _as_they_stand(files: list[_File], kept: _Kept) -> Iterator[Entry]:
    """Each entry once, however many files have it."""
    seen: set[str] = set()
    for file in files:
        for entry in file.statement.entries:
            reference = entry.bank_reference
            if reference in seen:
                continue
            seen.add(reference)
            found = kept.amounts.get(reference, _NOTHING)
            explanation = ""
            if found != entry.amount:
                known = reference in kept.amounts
                explanation = "kept with another amount" if known else "the entry is not kept"
            account = kept.accounts.get(reference, "")
            subject = f"{reference}, {file.name}"
            yield Entry(entry.currency, account, entry.amount, found, subject, (), explanation)
    for row in kept.without_entry:
        stranger = "no statement of the bank has this entry"
        yield Entry(row.currency, "", _NOTHING, row.amount, row.bank_reference, (), stranger)


def _balances(files: list[_File], kept: _Kept) -> Iterator[Entry]:
    for file in files:
        moved: dict[str, Decimal] = {}
        for balance in file.statement.balances:
            change = balance.closing - balance.opening
            moved[balance.currency] = moved.get(balance.currency, _NOTHING) + change
        for currency, change in moved.items():
            found = sum(
                (
                    kept.amounts.get(entry.bank_reference, _NOTHING)
                    for entry in file.statement.entries
                    if entry.currency == currency
                ),
                _NOTHING,
            )
            differs = "entries of it are missing or changed"
            yield Entry(currency, "", change, found, file.name, explanation=differs)


_INSIDE = ">= :since AND (CAST(:until AS timestamptz) IS NULL OR {0} < :until)"
_ACCOUNTS = """
    (SELECT string_agg(DISTINCT account_number, ', ')
     FROM bank_matches match JOIN invoices ON invoices.id = match.invoice_id
     JOIN customers ON customers.id = invoices.customer_id
     WHERE match.bank_transaction_id = wire.id)
"""
_BOOKED = text(f"""
    SELECT wire.currency, {_ACCOUNTS} AS account_number,
           wire.bank_reference || CASE WHEN wire.payer_name <> '' THEN ' from ' || wire.payer_name
                                       ELSE '' END AS subject,
           wire.amount,
           coalesce(matched.booked, 0) AS booked, coalesce(matched.waiting, 0) AS waiting,
           CASE WHEN wire.status = 'unmatched' THEN wire.amount ELSE 0 END AS unmatched,
           CASE WHEN wire.status = 'ignored' THEN wire.amount ELSE 0 END AS ignored,
           CASE WHEN wire.status = 'reversed' AND matched.parts = 0 THEN wire.amount
                ELSE 0 END AS taken_back
    FROM bank_transactions wire
    LEFT JOIN LATERAL (
        SELECT count(*) AS parts,
               sum(CASE WHEN match.amount > 0 THEN payment.amount ELSE match.amount END)
                   FILTER (WHERE match.booked_at IS NOT NULL) AS booked,
               sum(match.amount) FILTER (WHERE match.booked_at IS NULL) AS waiting
        FROM bank_matches match LEFT JOIN payments payment ON payment.id = match.payment_id
        WHERE match.bank_transaction_id = wire.id
    ) matched ON true
    WHERE wire.received_at {_INSIDE.format("wire.received_at")}
    ORDER BY wire.id
""")  # noqa: S608 - of constants
_UNBACKED = text(f"""
    SELECT payment.currency, customer.account_number, payment.amount, invoice.number
    FROM payments payment
    JOIN invoices invoice ON invoice.id = payment.invoice_id
    JOIN customers customer ON customer.id = invoice.customer_id
    WHERE payment.method = 'bank_transfer' AND payment.status IN ('succeeded', 'reversed')
      AND payment.created_at {_INSIDE.format("payment.created_at")}
      AND invoice.cycle_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM bank_matches WHERE payment_id = payment.id)
    ORDER BY payment.id
""")  # noqa: S608 - of constants
_STATEMENTS = text(f"""
    SELECT id, document_sha256, statement_number, account_iban FROM bank_statements
    WHERE uploaded_at {_INSIDE.format("uploaded_at")} ORDER BY id
""")  # noqa: S608 - of constants
_KEPT = text(f"""
    SELECT wire.bank_reference, wire.amount, {_ACCOUNTS} AS account_number
    FROM bank_transactions wire WHERE wire.bank_reference = ANY(:references)
""")  # noqa: S608 - of constants
_STORED = text(f"""
    SELECT wire.bank_reference, wire.amount, wire.currency FROM bank_transactions wire
    WHERE wire.received_at {_INSIDE.format("wire.received_at")} ORDER BY wire.id
""")  # noqa: S608 - of constants
