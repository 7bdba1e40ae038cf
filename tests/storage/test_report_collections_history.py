"""What the reminders achieve, against a record that is kept beside a random history."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, text

from domain.declines import DeclineClass
from domain.dunning import Event
from domain.instructions import InstructionKind
from domain.periods import BillingPeriod
from domain.reporting import RecoveryStep
from storage.charges import begin_attempt, record_decline, record_success
from storage.collection import begin_review, mark_overdue
from storage.reports.collections import CollectedMonth, collections
from tests.builders import ISSUED_ON
from tests.storage.collecting import FIRST, TOTAL, add_draft, instruct, issue, lock, take_in, wire

NUMBERS = (FIRST, "INV-2026-03-0001", "INV-2026-04-0001")
NOTHING = Decimal(0)
INVOICE = st.sampled_from(NUMBERS)


@dataclass
class Known:
    """What the record knows of one invoice."""

    step: RecoveryStep = RecoveryStep.BEFORE_REMINDERS
    was_case: bool = False
    attempts: int = 0
    cards: set[str] = field(default_factory=set)


class History(RuleBasedStateMachine):
    """Three invoices over months. What happens is written down as a person would who watches the
    invoices; `evenings`: open cases, what is open on them and on everything, day by day.
    """

    connection: ClassVar[Connection]

    @initialize()
    def begin(self) -> None:
        self.savepoint = self.connection.begin_nested()
        self.today = ISSUED_ON
        self.invoices = {number: Known() for number in NUMBERS}
        self.opened: list[date] = []
        self.settled: list[tuple[date, RecoveryStep]] = []
        self.recovered: list[tuple[date, RecoveryStep, Decimal]] = []
        self.evenings: dict[date, tuple[int, Decimal, Decimal]] = {}
        self.issued: list[date] = [ISSUED_ON]
        self.wires: list[tuple[str, int, Decimal]] = []
        self.card, self.keys = 1, 0
        for months, number in enumerate(NUMBERS[1:], start=1):
            add_draft(self.connection, number, date(2026, 2 + months, 1))
            day = date(2026, 3 + months, 1)
            self.connection.execute(
                text("UPDATE invoices SET issued_on = :day, due_on = :due WHERE number = :number"),
                {"day": day, "due": day + timedelta(30), "number": number},
            )

    # --- what is seen

    def look(self, number: str) -> Any:
        return self.connection.execute(
            text("SELECT * FROM invoices WHERE number = :number"), {"number": number}
        ).one()

    def is_open(self, number: str) -> bool:
        return self.look(number).status in ("issued", "overdue")

    def left(self, number: str) -> Decimal:
        row = self.look(number)
        left: Decimal = row.total - row.amount_paid - row.amount_credited
        return left if self.is_open(number) else NOTHING

    def watch(
        self,
        number: str,
        act: Callable[[], object],
        *,
        step: RecoveryStep | None = None,
        fails: bool = False,
        money: bool = False,
    ) -> None:
        known, before = self.invoices[number], self.look(number)
        was_open = self.is_open(number)
        act()
        after, is_open = self.look(number), self.is_open(number)
        late = (fails and is_open) or (is_open and not was_open and self.today > after.due_on)
        reopened = is_open and not was_open and known.was_case
        if (late and not known.was_case) or reopened:
            self.opened.append(self.today)
        known.was_case |= late
        on = step or known.step
        if known.was_case and money and after.amount_paid > before.amount_paid:
            self.recovered.append((self.today, on, after.amount_paid - before.amount_paid))
        if known.was_case and after.status == "paid" != before.status:
            self.settled.append((self.today, on))
        if is_open and not was_open:
            known.step = RecoveryStep.BEFORE_REMINDERS

    # --- what happens

    @rule(days=st.integers(1, 15))
    def pass_days(self, days: int) -> None:
        for _ in range(days):
            cases = [n for n in NUMBERS if self.invoices[n].was_case and self.is_open(n)]
            owed = [self.left(n) for n in NUMBERS]
            self.evenings[self.today] = (len(cases), sum(map(self.left, cases), NOTHING), sum(owed))
            self.today += timedelta(1)
            for number in NUMBERS[1:]:
                if self.look(number).issued_on == self.today:
                    issue(self.connection, number)
                    self.issued.append(self.today)
            for number in NUMBERS:
                row = self.look(number)
                if row.status == "issued" and self.today > row.due_on:
                    self.watch(number, lambda n=number: mark_overdue(self.on(n)), fails=True)

    def on(self, number: str) -> Any:
        return lock(self.connection, number, on=self.today)

    @rule()
    def get_a_new_card(self) -> None:
        self.card += 1
        self.connection.execute(
            text("UPDATE customers SET stripe_payment_method_id = :card"),
            {"card": f"pm_{self.card}"},
        )

    @rule(number=INVOICE, succeeds=st.booleans())
    def charge_the_card(self, number: str, succeeds: bool) -> None:
        if not self.is_open(number):
            return
        known = self.invoices[number]
        attempt = begin_attempt(self.on(number), known.attempts + 1)
        if attempt is None:
            return
        known.attempts += 1
        step = known.step
        if step is RecoveryStep.BEFORE_REMINDERS and attempt.payment_method_id in known.cards:
            step = RecoveryStep.RETRY
        known.cards.add(attempt.payment_method_id)
        if succeeds:
            pay = lambda: record_success(self.on(number), attempt.id)  # noqa: E731
            self.watch(number, pay, step=step, money=True)
        else:
            decline = DeclineClass.INSUFFICIENT_FUNDS
            fail = lambda: record_decline(self.on(number), attempt.id, decline, "")  # noqa: E731
            self.watch(number, fail, fails=True)

    @rule(number=INVOICE, percent=st.sampled_from([1, 40, 100]))
    def receive_a_wire(self, number: str, percent: int) -> None:
        amount = (self.left(number) * percent / 100).quantize(Decimal("0.01"))
        if amount > 0:
            self.keys += 1
            id_ = wire(self.connection, f"w{self.keys}", {number: amount}, on=self.today)
            self.watch(number, lambda: take_in(self.connection, number, on=self.today), money=True)
            self.wires.append((number, id_, amount))

    @precondition(lambda self: self.wires)
    @rule()
    def reverse_the_last_wire(self) -> None:
        number, id_, amount = self.wires.pop()
        self.keys += 1
        key = f"w{self.keys}"
        wire(self.connection, key, {number: -amount}, reversal_of=id_, on=self.today)
        self.watch(number, lambda: take_in(self.connection, number, on=self.today))

    @rule(number=INVOICE, step=st.sampled_from(["reminder", "urgent_notice", "manual_review"]))
    def take_a_step(self, number: str, step: str) -> None:
        """A notice that is late is no step back."""
        order, known = list(RecoveryStep), self.invoices[number]
        to = RecoveryStep(step)
        if not self.is_open(number) or order.index(to) <= order.index(known.step):
            return
        if to is RecoveryStep.MANUAL_REVIEW:
            begin_review(self.on(number), place=3)
        else:
            sent = {"reminder": Event.REMINDER_SENT, "urgent_notice": Event.URGENT_NOTICE_SENT}
            self.on(number).move(sent[step])
        known.step = to

    @rule(number=INVOICE, percent=st.sampled_from([10, 100]))
    def credit_what_is_open(self, number: str, percent: int) -> None:
        amount = (self.left(number) * percent / 100).quantize(Decimal("0.01"))
        if amount > 0:
            kind = InstructionKind.CREDIT_NOTE
            self.watch(number, lambda: self.ask(number, kind, amount=f"{amount:f}"))

    @rule(number=INVOICE, how=st.sampled_from(["write_off", "paid_elsewhere", "void"]))
    def end_it(self, number: str, how: str) -> None:
        """In manual review; a void only of what nobody paid, else it becomes credit."""
        if self.invoices[number].step is not RecoveryStep.MANUAL_REVIEW:
            return
        if how != "void" or not self.look(number).amount_paid:
            self.watch(number, lambda: self.ask(number, InstructionKind(how)), money=True)

    def ask(self, number: str, kind: InstructionKind, **details: str) -> None:
        instruct(self.connection, kind, number=number, on=self.today, **details)

    # --- and the comparison

    def teardown(self) -> None:
        if hasattr(self, "savepoint"):
            self.pass_days(1)
            ends = {BillingPeriod.of(day).last_day for day in self.evenings}
            last = self.today - timedelta(1)
            for day in {*(end for end in ends if end in self.evenings), last, ISSUED_ON}:
                found = collections(self.connection, as_of=day, currency="USD", months=5)
                for month in found.months:
                    assert month.until == min(month.month.last_day, day)
                    self.compare(month)
            self.savepoint.rollback()

    def compare(self, month: CollectedMonth) -> None:
        def within(day: date) -> bool:
            return month.month.start <= day <= month.until

        assert month.opened == sum(map(within, self.opened)), month
        settled = Counter(step for day, step in self.settled if within(day))
        money: Counter[RecoveryStep] = Counter()
        for day, step, amount in self.recovered:
            if within(day):
                money[step] += amount  # type: ignore[assignment]
        assert {row.step: (row.settled, row.recovered) for row in month.steps} == {
            step: (settled[step], money[step]) for step in RecoveryStep
        }, month
        standing = (month.open_cases, month.open_amount, month.receivables)
        assert standing == self.evenings.get(month.until, (0, 0, 0)), month
        first = month.month.previous().previous().start
        if month.until == month.month.last_day:
            days = [day for day in self.issued if first <= day <= month.until]
            assert month.billed == TOTAL * len(days), month


def test_the_figures_are_those_of_whoever_watched(by_card: Connection) -> None:
    History.connection = by_card
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        History, settings=settings(max_examples=25, stateful_step_count=30)
    )
