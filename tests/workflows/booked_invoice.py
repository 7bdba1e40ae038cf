"""A small invoice in memory that obeys the real rules: what moves it is `domain.dunning`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from domain.declines import DeclineClass
from domain.dunning import (
    EVENT_OF_NOTICE,
    STANDARD_POLICY,
    Case,
    CollectionState,
    DunningPolicy,
    Event,
    Moved,
    Refused,
    UnfinishedCredit,
    after,
    counting_from,
    status_of,
    step_number,
)
from domain.instructions import EVENT_OF_RESOLUTION, InstructionKind
from domain.invoice import InvoiceStatus
from workflows.contracts.lifecycle import NoticeOrder

TOTAL = Decimal("100.00")


@dataclass
class Attempt:
    card: str
    outcome: str = "pending"
    decline: DeclineClass | None = None


@dataclass
class Told:
    """An instruction of a person. `until` is for an extension."""

    kind: InstructionKind
    until: date | None = None
    outcome: str = ""


@dataclass
class BookedInvoice:
    """What PostgreSQL would hold of one invoice.

    `card`: the one on file; None for a customer who pays by wire. `waiting`: what was stored for
    the invoice and is not booked; each is called with the business date.
    """

    number: str
    account: str
    issued_on: date
    due_on: date
    card: str | None = None
    total: Decimal = TOTAL
    policy: DunningPolicy = STANDARD_POLICY
    state: CollectionState = CollectionState.ISSUED
    status: InvoiceStatus = InvoiceStatus.ISSUED
    paid: Decimal = Decimal("0.00")
    credited: Decimal = Decimal("0.00")
    attempts: list[Attempt] = field(default_factory=list)
    dunning_from: date | None = None
    first_failed_on: date | None = None
    steps_taken: int = 0
    round: int = 0
    on_hold: bool = False
    disputed: bool = False
    to_wake: bool = False
    pages_open: bool = False
    waiting: list[Callable[[date], None]] = field(default_factory=list)
    instructions: dict[int, Told] = field(default_factory=dict)
    credits: dict[int, str] = field(default_factory=dict)
    emails: set[tuple[str, int]] = field(default_factory=set)
    events: list[tuple[date, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.card is None:
            self.dunning_from = self.due_on

    @property
    def open(self) -> Decimal:
        if self.state in (CollectionState.VOID, CollectionState.UNCOLLECTIBLE):
            return Decimal("0.00")
        return max(self.total, Decimal(0)) - self.paid - self.credited

    def case(self, others: tuple[str, ...] = ()) -> Case:
        """`others`: the customer's other invoices for which something arrived here."""
        last = self.attempts[-1] if self.attempts else None
        return Case(
            number=self.number,
            revision=len(self.events),
            state=self.state,
            status=self.status,
            total=self.total,
            open_amount=self.open,
            amount_paid=self.paid,
            by_card=self.card is not None,
            due_on=self.due_on,
            contacted=bool(self.emails),
            policy=self.policy,
            dunning_from=self.dunning_from,
            steps_taken=self.steps_taken,
            round=self.round,
            attempts=len(self.attempts),
            charge_pending=last is not None and last.outcome == "pending",
            first_failed_on=self.first_failed_on,
            decline=last.decline if last else None,
            card_waiting=last is not None and last.card != self.card,
            on_hold=self.on_hold,
            disputed=self.disputed,
            open_checkouts=self.pages_open,
            unfinished_credits=tuple(
                UnfinishedCredit(id, number)
                for id, number in self.credits.items()
                if ("credit_note", id) not in self.emails
            ),
            instructions=tuple(id for id, told in self.instructions.items() if not told.outcome),
            to_wake=others,
        )

    def move(self, event: Event, on: date) -> None:
        """Raises Refusal where the table refuses it."""
        verdict = after(self.state, event)
        if isinstance(verdict, Refused):
            raise Refusal(verdict.reason)
        before = self.state
        if isinstance(verdict, Moved):
            self.state = verdict.to
        if self.state.is_end or before.is_end or event is Event.FELL_OVERDUE:
            self.status = status_of(self.state, due_on=self.due_on, business_date=on)
        self.events.append((on, event.value))

    def receive(self, amount: Decimal, on: date) -> None:
        self.paid += min(amount, self.open)
        self.move(Event.PART_PAID if self.open > 0 else Event.SETTLED, on)

    def restart_steps(self, on: date, *, new_round: bool) -> None:
        self.dunning_from = counting_from(
            by_card=self.card is not None and self.first_failed_on is not None,
            first_failed_on=self.first_failed_on,
            due_on=self.due_on,
            resumed_on=on,
        )
        if new_round:
            self.round, self.steps_taken = self.round + 1, 0

    def begin_charge(self, attempt: int, on: date) -> Attempt | None:
        """The attempt, begun once; None where nothing is open to charge."""
        if attempt > len(self.attempts):
            assert attempt == len(self.attempts) + 1, "attempts are numbered without gaps"
            if self.state.is_end or self.card is None:
                return None
            self.attempts.append(Attempt(self.card))
            self.move(Event.CHARGE_BEGUN, on)
        return self.attempts[attempt - 1]

    def end_charge(self, attempt: Attempt, decline: DeclineClass | None, on: date) -> None:
        """What the bank says; told twice, it counts once."""
        if attempt.outcome != "pending":
            return
        attempt.decline = decline
        attempt.outcome = "failed" if decline else "succeeded"
        if decline is None:
            self.receive(self.open, on)
            return
        again = decline.may_be_retried
        self.move(Event.CHARGE_DECLINED if again else Event.CHARGE_REFUSED, on)
        if self.first_failed_on is None:
            self.first_failed_on = self.dunning_from = on

    def send(self, notice: NoticeOrder) -> bool:
        """Whether it goes out: once, and not once it came too late."""
        stale = self.case().steps_stopped or notice.step != step_number(self.round, notice.place)
        key = (notice.kind.value, notice.step)
        if key in self.emails or (notice.place and stale) or (notice.while_open and self.settled):
            return False
        self.emails.add(key)
        self.record_notice(notice)
        return True

    def record_notice(self, notice: NoticeOrder) -> None:
        on = notice.business_date
        self.events.append((on, f"{notice.kind.value}_email"))
        event = EVENT_OF_NOTICE.get(notice.kind)
        if event is not None and notice.place > self.steps_taken:
            self.move(event, on)
            self.steps_taken = notice.place

    @property
    def settled(self) -> bool:
        return self.state.is_end

    def carry_out(self, instruction: int, on: date) -> Told:
        """Done or refused, once."""
        told = self.instructions[instruction]
        if not told.outcome:
            try:
                self._do(told, on)
                told.outcome = "done"
            except Refusal as refusal:
                self.events.append((on, f"{told.kind.value}_refused: {refusal}"))
                told.outcome = "refused"
        return told

    def _do(self, told: Told, on: date) -> None:
        match told.kind:
            case InstructionKind.HOLD:
                self.move(Event.HELD, on)
                self.on_hold = True
            case InstructionKind.RELEASE:
                self.move(Event.RELEASED, on)
                self.on_hold = False
                self.restart_steps(on, new_round=False)
            case InstructionKind.CREDIT_NOTE | InstructionKind.VOID_BY_CREDIT_NOTE:
                self._credit(on, voids=told.kind is not InstructionKind.CREDIT_NOTE)
            case InstructionKind.VOID:
                self._credit(on, voids=True)
            case InstructionKind.RESEND:
                self.events.append((on, "resend"))
            case resolution:
                self.move(EVENT_OF_RESOLUTION[resolution], on)
                self._resolve(told, on)

    def _resolve(self, told: Told, on: date) -> None:
        if told.kind is InstructionKind.PAID_ELSEWHERE:
            self.paid = self.total - self.credited
        elif told.kind is InstructionKind.EXTEND:
            assert told.until is not None
            self.restart_steps(told.until, new_round=True)

    def _credit(self, on: date, *, voids: bool) -> None:
        self.move(Event.VOIDED if voids else Event.CREDITED, on)
        id = len(self.credits) + 1
        self.credits[id] = f"CN-{self.number}-{id}"
        self.credited = self.total - self.paid
        if not self.settled:
            self.move(Event.SETTLED, on)


class Refusal(Exception):
    """What a person asked for makes no sense in this state."""
