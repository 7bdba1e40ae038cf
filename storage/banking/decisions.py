"""What a person decides of a transaction that waits: which invoices it is for, or none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from domain.errors import Conflict, InvalidValue, NotFound
from domain.money import round_money
from storage import audit
from storage.banking.reversals import find_wires_that_paid, same_payer
from storage.banking.uploads import lock_transactions
from storage.tables import bank_matches, bank_transactions, invoices

_wires = bank_transactions

Wanted = Sequence[tuple[str, Decimal]]
"""Invoice numbers and what each is to get, in the transaction's currency and sign."""


class TransactionDecided(Conflict):
    """The transaction was matched, reversed or ignored before."""

    code = "transaction_decided"


class AllocationsDoNotFit(InvalidValue):
    """The allocations do not come to the transaction, or one of them is of no use."""

    code = "allocations_do_not_fit"


class NotPayable(Conflict):
    """An invoice that cannot take this money: another currency, a draft, void."""

    code = "not_payable"


class OriginalUnclear(Conflict):
    """Which wire a reversal takes back cannot be told from the invoices that were named."""

    code = "original_unclear"


def assign_transaction(
    connection: Connection,
    id: int,
    allocations: Wanted,
    *,
    by: str,
    note: str,
    business_date: date,
) -> tuple[str, ...]:
    """Matches the transaction with the invoices that a person names; their numbers.

    What exceeds an invoice's balance becomes its customer's credit when it is booked, so a paid
    invoice may be named too. A reversal takes negative amounts, and takes back the one wire that
    paid these invoices. Raises NotFound, TransactionDecided, AllocationsDoNotFit, NotPayable and
    OriginalUnclear.
    """
    lock_transactions(connection)
    wire = _load(connection, id)
    if wire.status in ("matched", "reversed"):
        raise TransactionDecided(
            f"Bank transaction {id} is {wire.status} already; only what waits can be assigned."
        )
    _check_amounts(wire, allocations)
    named = [_payable(connection, number, wire) for number, _ in allocations]
    original = _original(connection, wire, allocations) if wire.amount < 0 else None
    connection.execute(
        insert(bank_matches),
        [
            {"bank_transaction_id": id, "invoice_id": invoice_id, "amount": amount}
            for invoice_id, (_, amount) in zip(named, allocations, strict=True)
        ],
    )
    if original is not None and original.amount == -wire.amount:
        connection.execute(
            update(_wires).where(_wires.c.id == original.id).values(status="reversed")
        )
    _decide(
        connection,
        wire,
        _Decision("matched", "assigned", by, note, business_date),
        match_kind="person",
        reversal_of=original.id if original is not None else None,
        details={number: f"{amount:f}" for number, amount in allocations},
    )
    return tuple(number for number, _ in allocations)


def ignore_transaction(
    connection: Connection, id: int, *, by: str, note: str, business_date: date
) -> None:
    """Says that a transaction is for no invoice. `note`: why; required.

    Raises NotFound, TransactionDecided, and InvalidValue without a note.
    """
    lock_transactions(connection)
    wire = _load(connection, id)
    if wire.status != "unmatched":
        raise TransactionDecided(
            f"Bank transaction {id} is {wire.status} already; only what waits can be ignored."
        )
    if not note.strip():
        raise InvalidValue("note: is empty; say why the transaction is for no invoice.")
    _decide(connection, wire, _Decision("ignored", "ignored", by, note, business_date))


@dataclass(frozen=True)
class _Decision:
    status: str
    event: str
    by: str
    note: str
    business_date: date


def _decide(
    connection: Connection,
    wire: Row[Any],
    decision: _Decision,
    *,
    match_kind: str = "",
    reversal_of: int | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    connection.execute(
        update(_wires)
        .where(_wires.c.id == wire.id)
        .values(
            status=decision.status,
            match_kind=match_kind,
            reversal_of=reversal_of,
            note=decision.note,
            decided_by=decision.by,
            decided_at=func.now(),
        )
    )
    audit.record(
        connection,
        audit.AuditEntry(
            decision.business_date,
            decision.by,
            "bank_transaction",
            wire.bank_reference,
            decision.event,
            wire.status,
            decision.status,
            decision.note,
            details or {},
        ),
    )


def _load(connection: Connection, id: int) -> Row[Any]:
    wire = connection.execute(select(_wires).where(_wires.c.id == id)).one_or_none()
    if wire is None:
        raise NotFound(f"There is no bank transaction {id}.")
    return wire


def _check_amounts(wire: Row[Any], allocations: Wanted) -> None:
    """Raises AllocationsDoNotFit unless each has the wire's sign and they come to its amount."""
    if not allocations:
        raise AllocationsDoNotFit("allocations: is empty; name at least one invoice.")
    numbers = [number for number, _ in allocations]
    for number, amount in allocations:
        if numbers.count(number) > 1:
            raise AllocationsDoNotFit(f"allocations: {number} stands twice; add its amounts up.")
        if not amount.is_finite() or abs(amount) > abs(wire.amount):
            raise AllocationsDoNotFit(
                f"allocations: {number} cannot get more than the {wire.amount:f} {wire.currency} "
                "of the transaction; lower its amount."
            )
        if amount == 0 or (amount > 0) != (wire.amount > 0):
            side = "above" if wire.amount > 0 else "below"
            raise AllocationsDoNotFit(
                f"allocations: {number} gets {amount:f}; give an amount {side} zero."
            )
        if round_money(amount, wire.currency) != amount:
            raise AllocationsDoNotFit(
                f"allocations: {amount:f} has a fraction of a minor unit of {wire.currency}; "
                "round it."
            )
    total = sum((amount for _, amount in allocations), Decimal(0))
    if total != wire.amount:
        raise AllocationsDoNotFit(
            f"allocations: come to {total:f} and the transaction is {wire.amount:f} "
            f"{wire.currency}; give out all of it, what an invoice does not need becomes credit."
        )


def _payable(connection: Connection, number: str, wire: Row[Any]) -> int:
    """The id of an invoice that may get money of `wire`. Raises NotFound and NotPayable."""
    invoice = connection.execute(
        select(invoices.c.id, invoices.c.status, invoices.c.currency).where(
            invoices.c.number == number
        )
    ).one_or_none()
    if invoice is None:
        raise NotFound(f"allocations: there is no invoice {number}.")
    if invoice.status == "draft" or (invoice.status == "void" and wire.amount > 0):
        raise NotPayable(f"{number} is {invoice.status} and takes no payment; name another one.")
    if invoice.currency != wire.currency:
        raise NotPayable(
            f"{number} is in {invoice.currency} and the transaction in {wire.currency}; "
            "name an invoice in its currency."
        )
    return int(invoice.id)


def _original(connection: Connection, wire: Row[Any], allocations: Wanted) -> Row[Any]:
    """The wire that a reversal takes back. Raises OriginalUnclear.

    It paid every invoice that is named at least what is taken back of it, and no reversal has
    taken it back. Where several did, the payer tells which.
    """
    possible = find_wires_that_paid(
        connection, [(number, -amount) for number, amount in allocations]
    )
    same = [row for row in possible if same_payer(row, wire)]
    chosen = possible if len(possible) == 1 else same
    if len(chosen) != 1:
        how_many = "Several wires" if possible else "No wire"
        raise OriginalUnclear(
            f"{how_many} paid {', '.join(number for number, _ in allocations)} with as much as is "
            "taken back; name the invoices of one wire, each with at most what it got."
        )
    return chosen[0]
