"""The collection of an invoice: its states, what moves it, and what is due when.

Three rules, all pure: `after` is the table of every (state, event); `next_due` says which step
comes next and on which day; a `DunningPolicy` says what the steps are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from domain.declines import DeclineClass
from domain.emails import EmailKind
from domain.errors import InvalidValue
from domain.invoice import InvoiceStatus, overdue_from


class CollectionState(StrEnum):
    """How far the collection of an issued invoice has come; the last three are its ends."""

    ISSUED = "issued"
    PAYMENT_ATTEMPTED = "payment_attempted"
    RETRY_SCHEDULED = "retry_scheduled"
    REMINDER_SENT = "reminder_sent"
    URGENT_NOTICE = "urgent_notice"
    MANUAL_REVIEW = "manual_review"
    PAID = "paid"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"

    @property
    def is_end(self) -> bool:
        return self in _ENDS


class Event(StrEnum):
    """What happens to an invoice in collection, in the past tense."""

    CHARGE_BEGUN = "charge_begun"
    CHARGE_DECLINED = "charge_declined"
    """The card may be tried again."""
    CHARGE_REFUSED = "charge_refused"
    """Trying the same card again is of no use or not allowed."""
    PART_PAID = "part_paid"
    SETTLED = "settled"
    """Nothing is open any more: paid, or credited."""
    FELL_OVERDUE = "overdue"
    REMINDER_SENT = "reminder_sent"
    URGENT_NOTICE_SENT = "urgent_notice_sent"
    REVIEW_DUE = "review_due"
    WIRE_REVERSED = "wire_reversed"
    MONEY_RETURNED = "money_returned"
    """A refund that we did not order, or a dispute that was lost."""
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_WON = "dispute_won"
    HELD = "held"
    RELEASED = "released"
    PAID_ELSEWHERE = "paid_elsewhere"
    CHARGE_AGAIN = "charge_again"
    EXTENDED = "extended"
    WRITTEN_OFF = "written_off"
    VOIDED = "voided"
    CREDITED = "credited"
    """A credit note was issued, and something is still open or nothing was."""


@dataclass(frozen=True)
class Moved:
    """The event moves the invoice to `to`."""

    to: CollectionState


@dataclass(frozen=True)
class Recorded:
    """The event is noted in the audit log and moves nothing."""


@dataclass(frozen=True)
class Refused:
    """The event makes no sense in this state, and `reason` says why."""

    reason: str


Verdict = Moved | Recorded | Refused

_S = CollectionState
_ENDS = (_S.PAID, _S.VOID, _S.UNCOLLECTIBLE)
_OPEN = tuple(state for state in CollectionState if state not in _ENDS)
_BEFORE_REVIEW = tuple(state for state in _OPEN if state is not _S.MANUAL_REVIEW)
_UNREMINDED = (_S.ISSUED, _S.PAYMENT_ATTEMPTED, _S.RETRY_SCHEDULED)

_ALL_RECORDED: Mapping[CollectionState, Verdict] = dict.fromkeys(CollectionState, Recorded())
_OVER: Mapping[CollectionState, Verdict] = {
    _S.PAID: Refused("it is paid"),
    _S.VOID: Refused("it is void"),
    _S.UNCOLLECTIBLE: Refused("it is written off"),
}
_ONLY_OPEN = {**_ALL_RECORDED, **_OVER}


def _to(to: CollectionState, *states: CollectionState) -> Mapping[CollectionState, Verdict]:
    return dict.fromkeys(states, Moved(to))


def _resolution(verdict: Verdict) -> Mapping[CollectionState, Verdict]:
    """A resolution belongs to manual review and to nothing else."""
    too_early = Refused("it is not in manual review")
    return {**dict.fromkeys(_OPEN, too_early), **_OVER, _S.MANUAL_REVIEW: verdict}


TRANSITIONS: Mapping[Event, Mapping[CollectionState, Verdict]] = {
    Event.CHARGE_BEGUN: {**_ONLY_OPEN, **_to(_S.PAYMENT_ATTEMPTED, _S.ISSUED)},
    Event.CHARGE_DECLINED: {
        **_ALL_RECORDED,
        **_to(_S.RETRY_SCHEDULED, _S.ISSUED, _S.PAYMENT_ATTEMPTED),
    },
    Event.CHARGE_REFUSED: {**_ALL_RECORDED, **_to(_S.PAYMENT_ATTEMPTED, _S.ISSUED)},
    Event.PART_PAID: _ALL_RECORDED,
    Event.SETTLED: {**_ALL_RECORDED, **_to(_S.PAID, *_OPEN, _S.UNCOLLECTIBLE)},
    Event.FELL_OVERDUE: _ONLY_OPEN,
    # an e-mail that was on its way when something else happened is noted, never a step back
    Event.REMINDER_SENT: {**_ALL_RECORDED, **_to(_S.REMINDER_SENT, *_UNREMINDED)},
    Event.URGENT_NOTICE_SENT: {
        **_ALL_RECORDED,
        **_to(_S.URGENT_NOTICE, *_UNREMINDED, _S.REMINDER_SENT),
    },
    Event.REVIEW_DUE: {**_ONLY_OPEN, **_to(_S.MANUAL_REVIEW, *_BEFORE_REVIEW)},
    Event.WIRE_REVERSED: {**_ALL_RECORDED, **_to(_S.ISSUED, _S.PAID)},
    Event.MONEY_RETURNED: {**_ALL_RECORDED, **_to(_S.MANUAL_REVIEW, *_BEFORE_REVIEW, _S.PAID)},
    Event.DISPUTE_OPENED: _ALL_RECORDED,
    Event.DISPUTE_WON: _ALL_RECORDED,
    Event.HELD: _ONLY_OPEN,
    # a hold outlives the payment, and must not wake with a reversal after its release
    Event.RELEASED: _ALL_RECORDED,
    Event.PAID_ELSEWHERE: _resolution(Moved(_S.PAID)),
    Event.CHARGE_AGAIN: _resolution(Recorded()),
    Event.EXTENDED: _resolution(Moved(_S.ISSUED)),
    Event.WRITTEN_OFF: _resolution(Moved(_S.UNCOLLECTIBLE)),
    Event.VOIDED: {
        **_to(_S.VOID, *_OPEN, _S.PAID, _S.UNCOLLECTIBLE),
        _S.VOID: Refused("it is void"),
    },
    Event.CREDITED: {**_ALL_RECORDED, _S.VOID: Refused("it is void")},
}
"""Every event in every state. An event that an end records without change is one that may arrive
late, doubled or out of order, such as the bank's word on a charge."""


def after(state: CollectionState, event: Event) -> Verdict:
    """What `event` does to an invoice in `state`."""
    return TRANSITIONS[event][state]


def status_of(state: CollectionState, *, due_on: date, business_date: date) -> InvoiceStatus:
    """The invoice's status that belongs to its collection state; `due_on` is inclusive."""
    if state.is_end:
        return InvoiceStatus(state.value)
    late = business_date >= overdue_from(due_on)
    return InvoiceStatus.OVERDUE if late else InvoiceStatus.ISSUED


@dataclass(frozen=True)
class DunningStep:
    """One step against a late payer.

    Attributes:
        after_days: whole days after the first failed charge, the due date, the release or the
            extension, whichever came last.
        retry: whether a card is tried again first, where that is of use.
        notice: the e-mail that goes out if something is still open. REVIEW_NOTICE hands the case
            to a person and ends the steps.
        cc: who gets a copy.
    """

    after_days: int
    notice: EmailKind
    retry: bool = False
    cc: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.notice not in _NOTICES:
            raise InvalidValue(f"{self.notice} is no dunning notice; use one of {list(_NOTICES)}.")
        if self.after_days < 0:
            raise InvalidValue(f"A step {self.after_days} days after cannot be; give 0 or more.")


_NOTICES = (EmailKind.REMINDER, EmailKind.URGENT_NOTICE, EmailKind.REVIEW_NOTICE)

EVENT_OF_NOTICE: Mapping[EmailKind, Event] = {
    EmailKind.REMINDER: Event.REMINDER_SENT,
    EmailKind.URGENT_NOTICE: Event.URGENT_NOTICE_SENT,
}
"""What the sending of a notice does to the invoice."""


@dataclass(frozen=True)
class DunningPolicy:
    """The steps by day. Raises InvalidValue unless they rise and only the last hands over."""

    steps: tuple[DunningStep, ...]

    def __post_init__(self) -> None:
        days = [step.after_days for step in self.steps]
        if days != sorted(set(days)):
            raise InvalidValue(
                f"The steps fall on days {days}; each must come later than the last."
            )
        handed_over = [step.notice is EmailKind.REVIEW_NOTICE for step in self.steps]
        if any(handed_over[:-1]):
            raise InvalidValue("Manual review ends the steps; put it last.")


STANDARD_POLICY = DunningPolicy(
    (
        DunningStep(3, EmailKind.REMINDER, retry=True),
        DunningStep(7, EmailKind.URGENT_NOTICE, retry=True),
        DunningStep(14, EmailKind.REVIEW_NOTICE),
    )
)


@dataclass(frozen=True)
class UnfinishedCredit:
    """A credit note without its document, refund or e-mail."""

    id: int
    number: str


@dataclass(frozen=True)
class Case:
    """An invoice in collection, as PostgreSQL has it at one moment.

    Attributes:
        revision: grows with every change, so that of two cases the later one is known.
        open_amount: in the invoice's currency; zero once settled.
        by_card: whether the customer pays by card.
        due_on: last day for payment, inclusive.
        contacted: whether the customer was ever told of the invoice.
        policy: the steps against late payment.
        dunning_from: the day from which the steps count; None: they do not count yet.
        steps_taken: how many steps of this round are behind it.
        round: how often the steps began anew, after a reversal or an extension.
        attempts: how many charges were begun; `charge_pending`: the last has no outcome yet.
        first_failed_on: business date of the first failed charge.
        decline: why the last charge failed; None where it did not or there was none.
        card_waiting: a card is on file that no attempt has used yet.
        chargeable_amount: whether a card can be charged exactly what is open.
        open_checkouts: whether the payer may still complete a page of the card processor.
        unfinished_credits: credit notes without their document, refund or e-mail.
        instructions: what people asked for and is not decided, in the order they asked.
        to_wake: the customer's other invoices for which something arrived here, oldest first.
    """

    number: str
    revision: int
    state: CollectionState
    status: InvoiceStatus
    total: Decimal
    open_amount: Decimal
    amount_paid: Decimal
    by_card: bool
    due_on: date
    contacted: bool = False
    policy: DunningPolicy = STANDARD_POLICY
    dunning_from: date | None = None
    steps_taken: int = 0
    round: int = 0
    attempts: int = 0
    charge_pending: bool = False
    first_failed_on: date | None = None
    decline: DeclineClass | None = None
    card_waiting: bool = False
    chargeable_amount: bool = True
    on_hold: bool = False
    disputed: bool = False
    open_checkouts: bool = False
    unfinished_credits: tuple[UnfinishedCredit, ...] = ()
    instructions: tuple[int, ...] = ()
    to_wake: tuple[str, ...] = ()

    @property
    def is_settled(self) -> bool:
        return self.state.is_end

    @property
    def may_be_charged(self) -> bool:
        """Whether a charge of the card on file is possible and something is open."""
        return not self.is_settled and self.by_card and self.chargeable_amount

    @property
    def steps_stopped(self) -> bool:
        """Whether a hold, a dispute or manual review stops the steps."""
        return self.on_hold or self.disputed or self.state is CollectionState.MANUAL_REVIEW

    @property
    def worth_retrying(self) -> bool:
        """Whether a card may be tried again without the customer."""
        return self.may_be_charged and (
            self.card_waiting or (self.decline is not None and self.decline.may_be_retried)
        )


def days_late(case: Case, business_date: date) -> int:
    """Days since the first failed charge, or else the due date; 0 before it."""
    since = case.first_failed_on if case.by_card and case.first_failed_on else case.due_on
    return max((business_date - since).days, 0)


def counting_from(
    *, by_card: bool, first_failed_on: date | None, due_on: date, resumed_on: date | None = None
) -> date | None:
    """The day from which the steps count, or None while a card was not yet refused.

    A card's count from its first failed charge, everybody else's from the due date, and never
    from before `resumed_on`, the day of a release or a reversal.
    """
    begun = first_failed_on if by_card else due_on
    if begun is None or resumed_on is None:
        return begun
    return max(begun, resumed_on)


@dataclass(frozen=True)
class Due:
    """What comes next. `step` is None for the overdue mark; `place` counts the steps from 1."""

    on: date
    step: DunningStep | None = None
    place: int = 0


def next_due(case: Case, *, steps_taken: int) -> Due | None:
    """The next thing that happens by itself; None: nothing until somebody acts.

    A hold, a dispute and manual review stop the steps, and never the overdue mark.
    `steps_taken` is the caller's count, which runs ahead of the case's while an e-mail waits for
    the mail server.
    """
    if case.is_settled:
        return None
    found = []
    if case.status is InvoiceStatus.ISSUED:
        found.append(Due(overdue_from(case.due_on)))
    steps = case.policy.steps
    if case.dunning_from is not None and not case.steps_stopped and steps_taken < len(steps):
        step = steps[steps_taken]
        day = case.dunning_from + timedelta(days=step.after_days)
        found.append(Due(day, step, steps_taken + 1))
    return min(found, key=lambda due: due.on, default=None)


def email_after_decline(decline: DeclineClass) -> EmailKind:
    """The e-mail that tells a customer of a charge that failed outside the steps."""
    match decline:
        case DeclineClass.INSUFFICIENT_FUNDS | DeclineClass.DECLINED:
            return EmailKind.INVOICE
        case DeclineClass.AUTHENTICATION_REQUIRED:
            return EmailKind.AUTHENTICATE
        case _:
            return EmailKind.UPDATE_PAYMENT_METHOD


def step_number(round: int, place: int) -> int:
    """The number under which an e-mail of a dunning step is sent once: 1 to 99 in round 0."""
    return round * 100 + place
