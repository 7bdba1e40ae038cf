"""Statements stored: each entry once, what is certain matched, the rest left to a person."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    insert,
    not_,
    or_,
    select,
    text,
    true,
    tuple_,
    update,
)

from domain.errors import Conflict
from domain.matching import match_payment
from domain.open_invoices import IncomingPayment, OpenInvoices
from storage import audit
from storage.banking.receivables import load_open_invoices
from storage.banking.reversals import find_originals
from storage.documents import store_document
from storage.importing.statements import Statement, StatementEntry
from storage.tables import bank_matches, bank_statements, bank_transactions, invoices

_MEDIA_TYPES = {"camt.053": "application/xml", "mt940": "text/plain", "csv": "text/csv"}
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('billwright bank transactions'))")
_AT_ONCE = 5_000  # references asked for in one query

_IBAN = re.compile("[A-Z]{2}[0-9]{2}")

_wires = bank_transactions


class EntryDiffers(Conflict):
    """A bank reference that is stored came again with other content."""

    code = "entry_differs"


@dataclass(frozen=True)
class StatementStored:
    """What an upload came to.

    Attributes:
        new: entries stored; matched, waiting for a person, reversals carried out, and ignored.
        known_before: entries that an earlier upload had stored; nothing was changed.
        invoices: numbers whose workflows are to be told.
    """

    statement_id: int
    new: int
    known_before: int
    matched: int
    waiting: int
    reversed: int
    invoices: tuple[str, ...]


@dataclass
class _Verdict:
    """What becomes of one entry."""

    entry: StatementEntry
    status: str
    note: str = ""
    allocations: dict[str, Decimal] = field(default_factory=dict)
    original: int | None = None

    @property
    def matched(self) -> bool:
        return self.status == "matched"


def lock_transactions(connection: Connection) -> None:
    """Lets one transaction at a time store or decide bank transactions; held until its end."""
    connection.execute(_LOCK)


def store_statement(
    connection: Connection,
    statement: Statement,
    content: bytes,
    *,
    uploaded_by: str,
    business_date: date,
) -> StatementStored:
    """Stores what is new of `statement`, which was read from `content`.

    The same file again stores nothing. Raises EntryDiffers where a reference is known with other
    content; the caller's transaction is to be rolled back then.
    """
    lock_transactions(connection)
    sha256 = hashlib.sha256(content).hexdigest()
    before = connection.execute(
        select(bank_statements.c.id).where(bank_statements.c.sha256 == sha256)
    ).scalar_one_or_none()
    if before is not None:
        numbers = _waiting_to_be_booked(connection, before)
        return StatementStored(before, 0, len(statement.entries), 0, 0, 0, numbers)
    known = _known(connection, statement)
    new = [entry for entry in statement.entries if entry.bank_reference not in known]
    statement_id = connection.execute(
        insert(bank_statements)
        .values(
            sha256=sha256,
            document_sha256=store_document(connection, content, _MEDIA_TYPES[statement.format]),
            format=statement.format,
            account_iban=statement.account_iban,
            statement_number=statement.statement_number,
            entries=len(statement.entries),
            uploaded_by=uploaded_by,
        )
        .returning(bank_statements.c.id)
    ).scalar_one()
    recorder = _Recorder(connection, statement_id, uploaded_by, business_date)
    verdicts = _match(connection, statement, [entry for entry in new if not _takes_back(entry)])
    recorder.store(verdicts)
    reversals = []
    for entry in filter(_takes_back, new):  # one by one: an original is taken back once
        reversals.append(_reversal(connection, entry))
        recorder.store(reversals[-1:])
    audit.record(
        connection,
        audit.AuditEntry(
            business_date,
            uploaded_by,
            "bank_statement",
            str(statement_id),
            "uploaded",
            details={"format": statement.format, "new": len(new), "known_before": len(known)},
        ),
    )
    return StatementStored(
        statement_id=statement_id,
        new=len(new),
        known_before=len(statement.entries) - len(new),
        matched=sum(verdict.matched for verdict in verdicts),
        waiting=sum(verdict.status == "unmatched" for verdict in (*verdicts, *reversals)),
        reversed=sum(verdict.original is not None for verdict in reversals),
        invoices=tuple(sorted(recorder.touched)),
    )


def _takes_back(entry: StatementEntry) -> bool:
    return entry.is_reversal and entry.amount < 0


def _known(connection: Connection, statement: Statement) -> set[str]:
    """References of the statement that are stored. Raises EntryDiffers.

    Another format of statement may word an entry otherwise; its day and amount are the same.
    """
    found: set[str] = set()
    entries = {entry.bank_reference: entry for entry in statement.entries}
    for references in _chunks(list(entries)):
        rows = connection.execute(
            select(_wires, bank_statements.c.format)
            .outerjoin(bank_statements, bank_statements.c.id == _wires.c.statement_id)
            .where(_wires.c.bank_reference.in_(references))
        )
        for row in rows:
            entry = entries[row.bank_reference]
            names = ["booked_on", "amount", "currency"]
            if row.format == statement.format:
                names += ["payer_name", "payer_iban", "remittance", "end_to_end_id"]
            for name in names:
                if getattr(row, name) != getattr(entry, name):
                    raise EntryDiffers(
                        f"Bank reference {entry.bank_reference} is stored as {_shown(row)} and is "
                        f"{_shown(entry)} in this file, with another {name}; "
                        "ask the bank which of them is right. Nothing of the file was taken."
                    )
            found.add(row.bank_reference)
    return found


def _shown(entry: StatementEntry | Row[Any]) -> str:
    return f"{entry.amount:f} {entry.currency} of {entry.booked_on} from {entry.payer_name!r}"


def _match(
    connection: Connection, statement: Statement, entries: Sequence[StatementEntry]
) -> list[_Verdict]:
    """What becomes of the entries that take nothing back; each match counts for the next."""
    texts = [f"{entry.remittance} {entry.end_to_end_id}" for entry in entries if entry.amount > 0]
    known = load_open_invoices(connection, texts)
    twins = _twins(connection, statement, entries)
    return [_verdict(entry, known, twins) for entry in entries]


def _verdict(entry: StatementEntry, known: OpenInvoices, twins: dict[Any, str]) -> _Verdict:
    if entry.is_reversal:
        return _Verdict(entry, "ignored", "takes back money that had gone out")
    if entry.amount < 0:
        return _Verdict(entry, "ignored", "money that went out")
    if twin := twins.get(_twin_key(entry)):
        return _Verdict(entry, "unmatched", f"may be {twin} again, from another kind of statement")
    payment = IncomingPayment(
        entry.amount,
        entry.currency,
        entry.payer_name,
        entry.payer_iban,
        entry.remittance,
        entry.end_to_end_id,
    )
    result = match_payment(payment, known, propose=False)
    for allocation in result.certain:
        known.pay(allocation.number, allocation.amount)
    if not result.certain:
        return _Verdict(entry, "unmatched", result.why_not)
    amounts = {allocation.number: allocation.amount for allocation in result.certain}
    return _Verdict(entry, "matched", allocations=amounts)


def _twin_key(entry: StatementEntry) -> tuple[date, Decimal, str]:
    return entry.booked_on, entry.amount, entry.currency


def _twins(
    connection: Connection, statement: Statement, entries: Sequence[StatementEntry]
) -> dict[Any, str]:
    """References of stored entries that another format's statement of the account may repeat.

    The formats name one entry differently, so the same day uploaded in two of them would be booked
    twice. By day, amount and currency.
    """
    found: dict[Any, str] = {}
    own = statement.account_iban
    same_account = [bank_statements.c.account_iban == own] if _IBAN.match(own) else [true()]
    incoming = [entry for entry in entries if entry.amount > 0]
    for chunk in _chunks(incoming):
        rows = connection.execute(
            select(_wires.c.bank_reference, _wires.c.booked_on, _wires.c.amount, _wires.c.currency)
            .join(bank_statements, bank_statements.c.id == _wires.c.statement_id)
            .where(
                bank_statements.c.format != statement.format,
                or_(_is_no_iban(bank_statements.c.account_iban), *same_account),
                tuple_(_wires.c.booked_on, _wires.c.amount, _wires.c.currency).in_(
                    [_twin_key(entry) for entry in chunk]
                ),
            )
        )
        found |= {(row.booked_on, row.amount, row.currency): row.bank_reference for row in rows}
    return found


def _is_no_iban(account: ColumnElement[str]) -> ColumnElement[bool]:
    """An account that is not told, or in a form of its own, may be any account."""
    return not_(account.regexp_match(f"^{_IBAN.pattern}"))


def _reversal(connection: Connection, entry: StatementEntry) -> _Verdict:
    """The entry with the one that it takes back, whose invoices get the amounts back."""
    originals = find_originals(connection, entry)
    if len(originals) != 1:
        how_many = "several entries" if originals else "no entry that is known"
        return _Verdict(entry, "unmatched", f"takes back {how_many}; assign it to its invoice")
    original = originals[0]
    allocations = {
        row.number: -row.amount
        for row in connection.execute(
            select(invoices.c.number, bank_matches.c.amount)
            .join(invoices, invoices.c.id == bank_matches.c.invoice_id)
            .where(bank_matches.c.bank_transaction_id == original.id)
        )
    }
    note = f"takes back {original.bank_reference}"
    if not allocations:
        return _Verdict(entry, "ignored", f"{note}, which paid nothing", original=original.id)
    return _Verdict(entry, "matched", note, allocations, original.id)


@dataclass
class _Recorder:
    """Writes verdicts: the transaction, its matches, its audit entry."""

    connection: Connection
    statement_id: int
    actor: str
    business_date: date
    touched: set[str] = field(default_factory=set)

    def store(self, verdicts: Sequence[_Verdict]) -> None:
        if not verdicts:
            return
        ids = self.connection.execute(
            insert(_wires).returning(_wires.c.id, sort_by_parameter_order=True),
            [self._row(verdict) for verdict in verdicts],
        ).scalars()
        stored = list(zip(ids, verdicts, strict=True))
        numbers = sorted({number for verdict in verdicts for number in verdict.allocations})
        invoice_ids = ids_of_invoices(self.connection, numbers)
        matches = [
            {"bank_transaction_id": id_, "invoice_id": invoice_ids[number], "amount": amount}
            for id_, verdict in stored
            for number, amount in verdict.allocations.items()
        ]
        if matches:
            self.connection.execute(insert(bank_matches), matches)
        originals = [verdict.original for verdict in verdicts if verdict.original is not None]
        if originals:
            self.connection.execute(
                update(_wires).where(_wires.c.id.in_(originals)).values(status="reversed")
            )
        audit.record(self.connection, *(self._entry(verdict) for verdict in verdicts))
        self.touched.update(numbers)

    def _row(self, verdict: _Verdict) -> dict[str, Any]:
        entry = verdict.entry
        return {
            "bank_reference": entry.bank_reference,
            "booked_on": entry.booked_on,
            "amount": entry.amount,
            "currency": entry.currency,
            "payer_name": entry.payer_name,
            "payer_iban": entry.payer_iban,
            "remittance": entry.remittance,
            "end_to_end_id": entry.end_to_end_id,
            "status": verdict.status,
            "statement_id": self.statement_id,
            "reversal_of": verdict.original,
            "match_kind": "reference" if verdict.matched else "",
            "note": verdict.note,
        }

    def _entry(self, verdict: _Verdict) -> audit.AuditEntry:
        event = "reversal" if verdict.original is not None else verdict.status
        return audit.AuditEntry(
            self.business_date,
            self.actor,
            "bank_transaction",
            verdict.entry.bank_reference,
            event,
            None,
            verdict.status,
            verdict.note,
            {number: f"{amount:f}" for number, amount in verdict.allocations.items()},
        )


def ids_of_invoices(connection: Connection, numbers: Sequence[str]) -> dict[str, int]:
    rows = connection.execute(
        select(invoices.c.number, invoices.c.id).where(invoices.c.number.in_(numbers))
    )
    return {row.number: row.id for row in rows}


def _waiting_to_be_booked(connection: Connection, statement_id: int) -> tuple[str, ...]:
    rows = connection.execute(
        select(invoices.c.number)
        .distinct()
        .join(bank_matches, bank_matches.c.invoice_id == invoices.c.id)
        .join(_wires, _wires.c.id == bank_matches.c.bank_transaction_id)
        .where(_wires.c.statement_id == statement_id, bank_matches.c.booked_at.is_(None))
        .order_by(invoices.c.number)
    )
    return tuple(rows.scalars())


def _chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))
