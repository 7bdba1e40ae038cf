"""What people ask of an invoice: stored first, carried out once under the invoice's lock."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from domain.crediting import RefundTo
from domain.dunning import CollectionState, Event
from domain.errors import BillwrightError, Conflict, InvalidValue, NotFound
from domain.instructions import EVENT_OF_RESOLUTION, InstructionKind, why_not
from domain.periods import BillingPeriod
from storage import allocation, crediting
from storage.collection import LockedInvoice, load_case
from storage.late.reopening import reopen_month_of_credit
from storage.tables import billing_cycle_items, billing_cycles, instructions, invoices

Read = TypeVar("Read")


@dataclass(frozen=True)
class Asked:
    """An instruction as it stands. `outcome` None: not decided yet; `answer`: the refusal's
    reason, or what came of it, such as the number of a credit note.
    """

    id: int
    number: str
    kind: InstructionKind
    details: Mapping[str, Any]
    note: str
    person: str
    asked_at: datetime
    outcome: str | None
    answer: str


def ask(
    connection: Connection,
    number: str,
    kind: InstructionKind,
    *,
    note: str,
    person: str,
    details: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> int:
    """Stores what `person` asks for and returns its id.

    Asked again under its `idempotency_key`, it is the one that was stored. Raises NotFound,
    Conflict for a draft and for a key under which something else was asked of the invoice, and
    InvalidValue for a resolution without a note.
    """
    if kind.is_resolution and not note.strip():
        raise InvalidValue("A resolution needs a note that says why; write one.")
    row = connection.execute(
        select(invoices.c.id, invoices.c.collection_state).where(invoices.c.number == number)
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no invoice {number}.")
    if row.collection_state is None:
        raise Conflict(f"{number} is a draft; issue it first.")
    asked: int | None = connection.execute(
        insert(instructions)
        .values(
            invoice_id=row.id,
            kind=kind.value,
            note=note,
            person=person,
            details=details or {},
            idempotency_key=idempotency_key,
        )
        .on_conflict_do_nothing(index_elements=["invoice_id", "idempotency_key"])
        .returning(instructions.c.id)
    ).scalar_one_or_none()
    if asked is not None:
        return asked
    before = connection.execute(
        select(instructions).where(
            instructions.c.invoice_id == row.id,
            instructions.c.idempotency_key == idempotency_key,
        )
    ).one()
    if (before.kind, before.note, before.details) != (kind.value, note, dict(details or {})):
        raise Conflict(
            f"The Idempotency-Key {idempotency_key!r} was used for another request about {number}; "
            "give each request a key of its own."
        )
    return int(before.id)


def find_instruction(connection: Connection, instruction: int) -> Asked:
    """Raises NotFound."""
    row = connection.execute(
        select(instructions, invoices.c.number)
        .join(invoices, invoices.c.id == instructions.c.invoice_id)
        .where(instructions.c.id == instruction)
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no instruction {instruction}.")
    return Asked(
        id=row.id,
        number=row.number,
        kind=InstructionKind(row.kind),
        details=row.details,
        note=row.note,
        person=row.person,
        asked_at=row.asked_at,
        outcome=row.outcome,
        answer=row.answer,
    )


def ask_release_of_cycle(
    connection: Connection,
    period: BillingPeriod,
    *,
    after: str,
    limit: int,
    note: str,
    person: str,
) -> list[tuple[str, int]]:
    """Asks for the release of the next `limit` invoices on hold of a cycle, behind number `after`:
    (number, instruction) each. One whose release was asked for already is answered again.

    The cycle itself is released with the first page: what it bills later starts without a hold,
    and what is settled already stays without one, should its money go back.
    """
    cycle = (
        update(billing_cycles)
        .where(billing_cycles.c.period_start == period.start)
        .values(hold_reminders=False)
        .returning(billing_cycles.c.id)
    )
    cycle_id = connection.execute(cycle).scalar_one_or_none()
    connection.execute(
        update(invoices)
        .where(
            invoices.c.cycle_id == cycle_id,
            invoices.c.on_hold,
            invoices.c.status.in_(("paid", "void", "uncollectible")),
        )
        .values(on_hold=False)
    )
    waiting = (
        select(instructions.c.id)
        .where(
            instructions.c.invoice_id == invoices.c.id,
            instructions.c.kind == InstructionKind.RELEASE.value,
            instructions.c.decided_at.is_(None),
        )
        .limit(1)
    )
    held = connection.execute(
        select(invoices.c.number, waiting.scalar_subquery().label("asked"))
        .join(billing_cycles, billing_cycles.c.id == invoices.c.cycle_id)
        .where(
            billing_cycles.c.period_start == period.start,
            invoices.c.on_hold,
            invoices.c.status.in_(("issued", "overdue")),
            invoices.c.number > after,
        )
        .order_by(invoices.c.number)
        .limit(limit)
    ).all()
    release = InstructionKind.RELEASE
    return [
        (row.number, row.asked or ask(connection, row.number, release, note=note, person=person))
        for row in held
    ]


def carry_out(
    connection: Connection, number: str, instruction: int, *, business_date: date
) -> Asked:
    """Does what was asked, or refuses it; one that was decided is answered as it was.

    A refusal leaves the invoice as it is and is written into the audit log with the reason.
    """
    connection.execute(
        select(invoices.c.id).where(invoices.c.number == number).with_for_update(key_share=True)
    )
    asked = find_instruction(connection, instruction)
    if asked.outcome is not None:
        return asked
    try:
        with connection.begin_nested():
            locked = LockedInvoice(
                connection, number, business_date=business_date, actor=asked.person
            )
            answer = _CARRY_OUT[asked.kind](locked, asked)
        outcome = "done"
    except BillwrightError as refusal:
        locked = LockedInvoice(connection, number, business_date=business_date, actor=asked.person)
        locked.note(f"{asked.kind.value}_refused", refusal.message, note=asked.note)
        reopen_month_of_credit(connection, instruction, person=asked.person)
        outcome, answer = "refused", refusal.message
    connection.execute(
        update(instructions)
        .where(instructions.c.id == instruction)
        .values(decided_at=func.now(), outcome=outcome, answer=answer)
    )
    return find_instruction(connection, instruction)


def _hold(locked: LockedInvoice, asked: Asked) -> str:
    locked.move(Event.HELD, asked.note)
    locked.change(on_hold=True)
    return ""


def _release(locked: LockedInvoice, asked: Asked) -> str:
    if not locked.row.on_hold:
        raise Conflict(f"{locked.number} is not on hold.")
    locked.move(Event.RELEASED, asked.note)
    locked.change(on_hold=False)
    if not locked.state.is_end:
        locked.restart_steps(resumed_on=locked.business_date, new_round=False)
    return ""


def _resend(locked: LockedInvoice, asked: Asked) -> str:
    if locked.state is CollectionState.VOID:
        raise Conflict(f"{locked.number} is void; there is nothing to send.")
    locked.note("resend_asked", asked.note)
    return ""


def _renew_links(locked: LockedInvoice, asked: Asked) -> str:
    """Links are derived from the version: those of before open nothing, later e-mails have new
    ones.
    """
    locked.note("links_renewed", asked.note)
    locked.change(link_version=locked.row.link_version + 1)
    return ""


def _credit(locked: LockedInvoice, asked: Asked) -> str:
    return crediting.credit_invoice(locked, _read(asked, _credit_request))


def _void(locked: LockedInvoice, asked: Asked) -> str:
    number = crediting.void_invoice(locked, reason=asked.note)
    if asked.details.get("reissue"):
        _bill_again(locked, asked.note)
    return number


def _bill_again(locked: LockedInvoice, note: str) -> None:
    """The customer failed, as far as the cycle goes: its retry bills them under the next number."""
    if locked.row.cycle_id is None:
        raise Conflict(
            f"{locked.number} came from an older system and no cycle can issue it anew; void it "
            "without."
        )
    later = locked.connection.execute(_BILLS_THE_MONTH_TOO, {"id": locked.row.id}).scalars().first()
    if later is not None:
        raise Conflict(
            f"{locked.number} sold prepaid credit, and {later} bills a part of its month, so that "
            "no cycle would bill the price again; void it without, let the credit lapse and sell "
            "it anew."
        )
    locked.connection.execute(
        update(billing_cycle_items)
        .where(billing_cycle_items.c.invoice_id == locked.row.id)
        .values(
            outcome="failed",
            reason_code="voided",
            reason=f"{locked.number} was voided to be issued anew: {note}",
        )
    )


_BILLS_THE_MONTH_TOO = text("""
    SELECT coalesce(later.number, 'a draft')
    FROM invoices own
    JOIN invoices later ON later.customer_id = own.customer_id AND later.status <> 'void'
        AND later.period_start > own.period_start
    WHERE own.id = :id
      AND EXISTS (SELECT FROM invoice_line_items
                  WHERE invoice_id = own.id AND kind = 'prepaid_purchase')
      AND EXISTS (SELECT FROM invoice_line_items
                  WHERE invoice_id = later.id AND service_month = own.period_start)
    ORDER BY later.period_start, later.id
""")
"""Of an invoice that sold credit, those that have late lines of its month: its retry skips it."""


def _void_in_review(locked: LockedInvoice, asked: Asked) -> str:
    _require_possible(locked, asked.kind)
    return crediting.void_invoice(locked, reason=asked.note)


def _paid_elsewhere(locked: LockedInvoice, asked: Asked) -> str:
    key = f"instruction/{asked.id}"
    locked.move(Event.PAID_ELSEWHERE, asked.note)
    allocation.book_receipt(
        locked, allocation.Receipt("other", locked.uncovered, key, note=asked.note)
    )
    return ""


def _charge_again(locked: LockedInvoice, asked: Asked) -> str:
    _require_possible(locked, asked.kind)
    locked.move(EVENT_OF_RESOLUTION[asked.kind], asked.note)
    return ""


def _require_possible(locked: LockedInvoice, resolution: InstructionKind) -> None:
    """Raises Conflict with the reason of `domain.instructions.why_not`."""
    reason = why_not(
        resolution,
        load_case(locked.connection, locked.number),
        card_on_file=bool(locked.row.stripe_payment_method_id),
    )
    if reason is not None:
        raise Conflict(reason)


def _extend(locked: LockedInvoice, asked: Asked) -> str:
    until = _read(asked, lambda asked: date.fromisoformat(asked.details["until"]))
    if until <= locked.business_date:
        raise Conflict(
            f"{until} is not after {locked.business_date}; give a day that is still to come."
        )
    locked.move(Event.EXTENDED, asked.note, until=until.isoformat())
    locked.restart_steps(resumed_on=until, new_round=True)
    return ""


def _write_off(locked: LockedInvoice, asked: Asked) -> str:
    locked.move(Event.WRITTEN_OFF, asked.note, amount=f"{locked.uncovered:f}")
    return ""


def _read(asked: Asked, read: Callable[[Asked], Read]) -> Read:
    """What `read` makes of the details. Raises InvalidValue where it cannot."""
    try:
        return read(asked)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidValue(
            f"The details of this {asked.kind.value} cannot be read ({error!r}); ask for it again."
        ) from error


def _credit_request(asked: Asked) -> crediting.CreditRequest:
    return crediting.CreditRequest(
        amount=_decimal(asked.details.get("amount")),
        lines={
            int(position): _decimal(amount)
            for position, amount in (asked.details.get("lines") or {}).items()
        },
        refund_to=RefundTo(asked.details.get("refund_to") or RefundTo.CREDIT),
        reason=asked.note,
    )


def _decimal(text: Any) -> Decimal | None:
    return None if text is None else Decimal(text)


_CARRY_OUT = {
    InstructionKind.HOLD: _hold,
    InstructionKind.RELEASE: _release,
    InstructionKind.RESEND: _resend,
    InstructionKind.RENEW_LINKS: _renew_links,
    InstructionKind.CREDIT_NOTE: _credit,
    InstructionKind.VOID: _void,
    InstructionKind.PAID_ELSEWHERE: _paid_elsewhere,
    InstructionKind.CHARGE_AGAIN: _charge_again,
    InstructionKind.EXTEND: _extend,
    InstructionKind.WRITE_OFF: _write_off,
    InstructionKind.VOID_BY_CREDIT_NOTE: _void_in_review,
}
