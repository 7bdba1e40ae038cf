"""Bank transactions as they are read, with proposals for what waits."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, select

from domain.errors import NotFound
from domain.matching import Candidate, MatchResult, match_payment
from domain.open_invoices import IncomingPayment
from storage.banking.receivables import load_open_invoices
from storage.tables import bank_matches, bank_transactions, invoices

_wires = bank_transactions


@dataclass(frozen=True)
class Booking:
    """A part of a transaction and its invoice; below zero where it is taken back.

    `booked`: the invoice's workflow has counted it.
    """

    number: str
    amount: Decimal
    booked: bool


@dataclass(frozen=True)
class BankTransaction:
    """One entry of a statement as it stands.

    Attributes:
        amount: above zero is money in.
        status: unmatched (waits for a person), matched, reversed, ignored.
        match_kind: "reference" where it matched by itself, "person", or "".
        note: why it waits or was ignored, or what the person said.
        decided_at: None until a person decided.
        candidates: the likeliest first; only for money in that waits.
        why_not: why it did not match by itself, as of now; only where it waits.
    """

    id: int
    statement_id: int | None
    bank_reference: str
    booked_on: date
    amount: Decimal
    currency: str
    payer_name: str
    payer_iban: str
    remittance: str
    end_to_end_id: str
    status: str
    match_kind: str
    note: str
    decided_by: str
    decided_at: datetime | None
    reversal_of: int | None
    received_at: datetime
    allocations: tuple[Booking, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    why_not: str = ""


def list_transactions(
    connection: Connection, status: str | None = None, cursor: int | None = None, limit: int = 100
) -> list[BankTransaction]:
    """The next `limit` transactions, the last one stored first.

    `status`: None means any. `cursor`: the id of the last one seen.
    """
    query = select(_wires).order_by(_wires.c.id.desc()).limit(limit)
    if status is not None:
        query = query.where(_wires.c.status == status)
    if cursor is not None:
        query = query.where(_wires.c.id < cursor)
    return _read(connection, connection.execute(query).all())


def load_transaction(connection: Connection, id: int) -> BankTransaction:
    """Raises NotFound."""
    rows = connection.execute(select(_wires).where(_wires.c.id == id)).all()
    if not rows:
        raise NotFound(f"There is no bank transaction {id}.")
    return _read(connection, rows)[0]


def _read(connection: Connection, rows: Sequence[Row[Any]]) -> list[BankTransaction]:
    bookings: dict[int, list[Booking]] = defaultdict(list)
    matches = connection.execute(
        select(bank_matches, invoices.c.number)
        .join(invoices, invoices.c.id == bank_matches.c.invoice_id)
        .where(bank_matches.c.bank_transaction_id.in_([row.id for row in rows]))
        .order_by(invoices.c.number)
    )
    for match in matches:
        bookings[match.bank_transaction_id].append(
            Booking(match.number, match.amount, match.booked_at is not None)
        )
    proposed = _proposals(connection, rows)
    return [
        BankTransaction(
            **row._mapping,
            allocations=tuple(bookings[row.id]),
            candidates=proposed[row.id].candidates if row.id in proposed else (),
            why_not=_why_not(row, proposed),
        )
        for row in rows
    ]


def _why_not(row: Row[Any], proposed: dict[int, MatchResult]) -> str:
    """What the matching says now; what it said at the upload where it finds nothing against it."""
    if row.status != "unmatched":
        return ""
    note: str = row.note
    return (proposed[row.id].why_not or note) if row.id in proposed else note


def _proposals(connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, MatchResult]:
    """By transaction. What became certain since it was stored is the first candidate."""
    waiting = [row for row in rows if row.status == "unmatched" and row.amount > 0]
    if not waiting:
        return {}
    known = load_open_invoices(
        connection, [f"{row.remittance} {row.end_to_end_id}" for row in waiting]
    )
    results: dict[int, MatchResult] = {}
    for row in waiting:
        payment = IncomingPayment(
            row.amount,
            row.currency,
            row.payer_name,
            row.payer_iban,
            row.remittance,
            row.end_to_end_id,
        )
        result = match_payment(payment, known)
        if result.certain:
            sure = "reference, amount and payer agree"
            result = MatchResult(
                candidates=tuple(Candidate(part.number, 100, (sure,)) for part in result.certain)
            )
        results[row.id] = result
    return results
