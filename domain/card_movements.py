"""What moved at the card processor, held against what our books say of it, one by one."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from domain.proof import Entry

BEING_TOLD = timedelta(hours=1)
"""For so long after its time a movement may be on its way into our books."""


class MovementKind(StrEnum):
    """A dispute takes its amount when it is opened and gives it back when it is won."""

    CHARGE = "charge"
    REFUND = "refund"
    DISPUTE = "dispute"


@dataclass(frozen=True)
class CardMovement:
    """Money that moved at the processor, before its fees.

    Attributes:
        id: of the payment, the refund or the dispute; one may move twice, and counts as the sum.
        amount: signed, below zero where it leaves the seller; in the currency of the payment.
        payment_id, invoice_number, customer_id: what the processor knows of whom it is about, or
            "".
    """

    kind: MovementKind
    id: str
    amount: Decimal
    currency: str
    made_at: datetime
    payment_id: str = ""
    invoice_number: str = ""
    customer_id: str = ""


@dataclass(frozen=True)
class BookedMovement:
    """A charge, refund or dispute as our books have it; `amount` signed as the processor's.

    `settled`: false while its outcome is not recorded yet, so that it may be there or not.
    """

    kind: MovementKind
    id: str
    amount: Decimal
    currency: str
    account_number: str
    number: str
    settled: bool = True


@dataclass(frozen=True)
class Stranger:
    """What our books say of a movement that is not among those compared.

    Attributes:
        elsewhere: it is booked, in another month's time.
        account_number: whose it seems to be, or "".
        number: of the invoice that it is about, which knows nothing of it, or "".
    """

    elsewhere: bool = False
    account_number: str = ""
    number: str = ""


Key = tuple[MovementKind, str]

_WORDS = {
    MovementKind.CHARGE: "charges",
    MovementKind.REFUND: "refunds",
    MovementKind.DISPUTE: "disputes",
}
_MISSING = "the card processor has no such {}; look for it there"
_UNKNOWN = "the card processor has a {} that is not in our books"
_DIFFERS = "the card processor has another amount"
_UNDERWAY = "on their way into our books"


def sums_by_id(movements: Iterable[CardMovement]) -> dict[Key, CardMovement]:
    """Each thing that moved once, with the sum of its movements and the time of the first."""
    sums: dict[Key, CardMovement] = {}
    for movement in movements:
        key = (movement.kind, movement.id)
        before = sums.get(key)
        if before is None:
            sums[key] = movement
        else:
            sums[key] = replace(
                before,
                amount=before.amount + movement.amount,
                made_at=min(before.made_at, movement.made_at),
            )
    return sums


def unmatched(
    ours: Iterable[BookedMovement], theirs: Mapping[Key, CardMovement]
) -> list[CardMovement]:
    """What moved there and is not among ours."""
    known = {(movement.kind, movement.id) for movement in ours}
    return [movement for key, movement in theirs.items() if key not in known]


def compare(
    ours: Collection[BookedMovement],
    theirs: Mapping[Key, CardMovement],
    strangers: Mapping[Key, Stranger],
    *,
    since: datetime,
    until: datetime | None,
    now: datetime,
) -> Iterator[Entry]:
    """An entry for each movement that either side has in `[since, until)`, whole seconds, in which
    the processor counts; None: until now.

    `theirs` may reach beyond it on both sides. What moved within `BEING_TOLD` before `now` and is
    on its way into our books counts on both sides.
    """
    for booked in ours:
        moved = theirs.get((booked.kind, booked.id))
        found = moved.amount if moved is not None else Decimal(0)
        if not booked.settled:
            if moved is not None and found:
                yield _underway(moved, booked.account_number, booked.number, now)
            continue
        explanation = ""
        if found != booked.amount:
            explanation = _DIFFERS if moved is not None else _MISSING.format(booked.kind.value)
        yield Entry(
            booked.currency,
            booked.account_number,
            booked.amount,
            found,
            f"{booked.kind.value} {booked.id} of {booked.number}",
            ((_WORDS[booked.kind], found),),
            explanation,
        )
    for moved in unmatched(ours, theirs):
        stranger = strangers.get((moved.kind, moved.id), Stranger())
        inside = since <= moved.made_at and (until is None or moved.made_at < until)
        if moved.amount and inside and not stranger.elsewhere:
            yield _underway(moved, stranger.account_number, stranger.number, now)


def _underway(moved: CardMovement, account: str, number: str, now: datetime) -> Entry:
    """Not in our books: about an invoice of ours that is as it must be, for a while."""
    subject = f"{moved.kind.value} {moved.id}" + (f" of {number}" if number else "")
    if number and moved.made_at >= now - BEING_TOLD:
        parts = ((_UNDERWAY, moved.amount),)
        return Entry(moved.currency, account, moved.amount, moved.amount, subject, parts)
    parts = ((_WORDS[moved.kind], moved.amount),)
    unknown = _UNKNOWN.format(moved.kind.value)
    return Entry(moved.currency, account, Decimal(0), moved.amount, subject, parts, unknown)
