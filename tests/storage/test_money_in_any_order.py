"""Whatever happens to three invoices of one customer, no money is lost and none is made."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, Engine

from domain.declines import DeclineClass
from domain.instructions import InstructionKind
from storage.charges import begin_attempt, record_decline, record_success
from storage.collection import begin_review, mark_overdue
from storage.instructions import ask, carry_out
from tests.storage.collecting import (
    FIRST,
    ON,
    add_draft,
    credit,
    dispute,
    event,
    everything,
    intent,
    issue,
    lock,
    receive,
    refund,
    rows,
    take_in,
    tell,
    wire,
    wrongs,
)

NUMBERS = [FIRST, "INV-2026-03-0001", "INV-2026-04-0001"]
EXAMPLES, STEPS = 25, 16

CENTS = st.integers(1, 45_000)
INVOICE = st.integers(0, 2)
PLACE = st.integers(0, 99)
"""Which of the things that are there; taken modulo their number."""


def money(units: int) -> Decimal:
    return Decimal(units) / 100


class Collecting(RuleBasedStateMachine):
    """Each rule does what it does twice, and the second time must change nothing.

    `received`: what came in so far, less what went back, as a bank would count it.
    """

    engine: ClassVar[Engine]

    @initialize()
    def begin(self) -> None:
        self.connection: Connection = self.engine.connect()
        for number in NUMBERS[1:]:
            add_draft(self.connection, number, date.fromisoformat(f"{number[4:11]}-01"))
        self.issued = [FIRST]
        self.count = 0
        self.received = Decimal(0)
        self.wires: list[tuple[int, dict[str, Decimal]]] = []
        self.card_refunds: list[tuple[str, str, int]] = []

    def teardown(self) -> None:
        if hasattr(self, "connection"):
            self.connection.rollback()
            self.connection.close()

    # --- rules

    @precondition(lambda self: len(self.issued) < len(NUMBERS))
    @rule()
    def issue_the_next(self) -> None:
        number = NUMBERS[len(self.issued)]
        self.twice(lambda connection: issue(connection, number))
        self.issued.append(number)

    @rule(place=INVOICE, units=CENTS)
    def receive_money(self, place: int, units: int) -> None:
        key = self.fresh("cash")
        self.twice(
            lambda c: receive(c, money(units), key, number=self.invoice(place), method="other")
        )
        self.received += money(units)

    @rule(places=st.lists(INVOICE, min_size=1, max_size=2), units=CENTS)
    def receive_a_wire(self, places: list[int], units: int) -> None:
        numbers = sorted({self.invoice(place) for place in places})
        parts = dict.fromkeys(numbers, money(units))
        id_ = wire(self.connection, self.fresh("wire"), parts)
        self.twice(lambda c: take_in(c, *numbers))
        self.wires.append((id_, parts))
        self.received += sum(parts.values(), Decimal(0))

    @precondition(lambda self: self.wires)
    @rule(place=PLACE)
    def reverse_a_wire(self, place: int) -> None:
        id_, parts = self.wires.pop(place % len(self.wires))
        back = {number: -amount for number, amount in parts.items()}
        wire(self.connection, self.fresh("reversal"), back, reversal_of=id_)
        self.twice(lambda c: take_in(c, *back))
        self.received -= sum(parts.values(), Decimal(0))

    @rule(place=INVOICE, declined=st.sampled_from([None, *DeclineClass]))
    def charge_the_card(self, place: int, declined: DeclineClass | None) -> None:
        number, provider = self.invoice(place), self.fresh("pi")
        ((attempts,),) = rows(
            self.connection,
            "SELECT count(*) FROM payments JOIN invoices ON invoices.id = invoice_id "
            "WHERE number = :n AND attempt IS NOT NULL",
            n=number,
        )
        begun = begin_attempt(lock(self.connection, number), attempts + 1)
        if begun is None:
            return
        self.know(begun.id, provider)
        if declined is not None:
            decline = declined
            self.twice(lambda c: record_decline(lock(c, number), begun.id, decline, ""))
            return
        self.twice(lambda c: record_success(lock(c, number), begun.id))
        self.received += begun.amount

    @rule(place=INVOICE, units=CENTS)
    def pay_on_a_page(self, place: int, units: int) -> None:
        number = self.invoice(place)
        paid = intent(self.fresh("pi"), units, number=number)
        self.hear("payment_intent.succeeded", paid, number)
        self.received += money(units)

    @precondition(lambda self: self.card_payments())
    @rule(place=PLACE, units=CENTS, status=st.sampled_from(["pending", "succeeded", "failed"]))
    def refund_in_the_dashboard(self, place: int, units: int, status: str) -> None:
        provider, number, left = self.card_payment(place)
        units = min(units, int(left * 100))
        id_ = self.fresh("re")
        self.hear("refund.created", refund(id_, provider, units, status), number)
        if status != "failed":
            self.received -= money(units)
            self.card_refunds.append((id_, provider, units))

    @precondition(lambda self: self.card_refunds)
    @rule(place=PLACE)
    def let_a_refund_fail(self, place: int) -> None:
        id_, provider, units = self.card_refunds.pop(place % len(self.card_refunds))
        self.hear("refund.failed", refund(id_, provider, units, "failed"), self.owner(provider))
        self.received += money(units)

    @precondition(lambda self: self.card_payments())
    @rule(place=PLACE, status=st.sampled_from(["won", "lost"]))
    def dispute_a_payment(self, place: int, status: str) -> None:
        provider, number, left = self.card_payment(place)
        id_, units = self.fresh("du"), int(left * 100)
        self.hear("charge.dispute.created", dispute(id_, provider, units), number)
        self.hear("charge.dispute.closed", dispute(id_, provider, units, status), number)
        if status == "lost":
            self.received -= left

    @rule(place=INVOICE, units=CENTS, to=st.sampled_from(["card", "credit"]))
    def issue_a_credit_note(self, place: int, units: int, to: str) -> None:
        asked = self.instruct(
            InstructionKind.CREDIT_NOTE, place, amount=f"{money(units):f}", refund_to=to
        )
        if asked == "refused":
            return
        for provider, amount, note in rows(self.connection, _OWED):
            id_ = self.fresh("re")
            returned = refund(id_, provider, int(amount * 100), credit_note=note)
            self.received -= amount
            self.hear("refund.created", returned, self.owner(provider))
            self.card_refunds.append((id_, provider, int(amount * 100)))

    @rule(
        place=INVOICE,
        kind=st.sampled_from([InstructionKind.VOID, InstructionKind.HOLD, InstructionKind.RELEASE]),
    )
    def ask_for(self, place: int, kind: InstructionKind) -> None:
        self.instruct(kind, place)

    @rule(
        place=INVOICE,
        kind=st.sampled_from(
            [
                InstructionKind.WRITE_OFF,
                InstructionKind.PAID_ELSEWHERE,
                InstructionKind.EXTEND,
                InstructionKind.VOID_BY_CREDIT_NOTE,
            ]
        ),
    )
    def resolve(self, place: int, kind: InstructionKind) -> None:
        number = self.invoice(place)
        self.twice(lambda c: begin_review(lock(c, number), place=3))
        before = self.paid_elsewhere()
        self.instruct(kind, place, until="2026-06-01")
        self.received += self.paid_elsewhere() - before

    @rule(place=INVOICE)
    def fall_overdue(self, place: int) -> None:
        number = self.invoice(place)
        self.twice(lambda c: mark_overdue(lock(c, number, on=date(2026, 4, 1))))

    # --- what is always so

    @invariant()
    def nothing_is_wrong(self) -> None:
        if hasattr(self, "connection"):
            assert wrongs(self.connection) == []

    @invariant()
    def no_money_is_lost_or_made(self) -> None:
        if hasattr(self, "connection"):
            ((paid,),) = rows(self.connection, "SELECT sum(amount_paid) FROM invoices")
            assert paid + credit(self.connection) == self.received

    # --- how it is done

    def twice(self, work: Callable[[Connection], object]) -> None:
        work(self.connection)
        before = everything(self.connection)
        work(self.connection)
        assert everything(self.connection) == before

    def hear(self, type_: str, thing: dict[str, Any], number: str) -> None:
        heard = event(type_, thing, self.fresh("evt"), created=self.count)
        self.twice(lambda c: tell(c, heard, number=number))

    def instruct(self, kind: InstructionKind, place: int, **details: str) -> str | None:
        number = self.invoice(place)
        id_ = ask(self.connection, number, kind, note="agreed", person="Ada", details=details)
        self.twice(lambda c: carry_out(c, number, id_, business_date=ON))
        return carry_out(self.connection, number, id_, business_date=ON).outcome

    def fresh(self, what: str) -> str:
        self.count += 1
        return f"{what}_{self.count}"

    def invoice(self, place: int) -> str:
        return self.issued[place % len(self.issued)]

    def know(self, payment_id: int, provider: str) -> None:
        rows(
            self.connection,
            "UPDATE payments SET provider_id = :provider WHERE id = :id RETURNING id",
            provider=provider,
            id=payment_id,
        )

    def card_payments(self) -> list[tuple[Any, ...]]:
        """Provider's id, invoice and what the processor can still give back."""
        return rows(self.connection, _CARD_PAYMENTS)

    def card_payment(self, place: int) -> tuple[str, str, Decimal]:
        found = self.card_payments()
        provider, number, left = found[place % len(found)]
        return provider, number, left

    def owner(self, provider: str) -> str:
        ((number,),) = rows(
            self.connection,
            "SELECT number FROM invoices JOIN payments ON invoices.id = invoice_id "
            "WHERE provider_id = :provider",
            provider=provider,
        )
        return str(number)

    def paid_elsewhere(self) -> Decimal:
        ((amount,),) = rows(
            self.connection,
            "SELECT coalesce(sum(amount), 0) FROM payments "
            "WHERE idempotency_key LIKE 'instruction/%'",
        )
        return Decimal(amount)


_CARD_PAYMENTS = """
    SELECT provider_id, number, amount - returned FROM payments
    JOIN invoices ON invoices.id = invoice_id
    WHERE provider_id IS NOT NULL AND payments.status = 'succeeded' AND amount > returned
    ORDER BY payments.id
"""
_OWED = """
    SELECT payments.provider_id, refunds.amount, credit_notes.number FROM refunds
    JOIN payments ON payments.id = payment_id JOIN credit_notes ON credit_notes.id = credit_note_id
    WHERE refunds.provider_id IS NULL
"""


def test_no_money_is_lost_or_made_whatever_happens(issued_by_card: Engine) -> None:
    class OnThisDatabase(Collecting):
        engine = issued_by_card

    run_state_machine_as_test(
        OnThisDatabase, settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS)
    )
