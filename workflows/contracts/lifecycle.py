"""An invoice's life after issue: delivered, charged or waited for, dunned, settled."""

from dataclasses import dataclass, field
from datetime import date, datetime

from temporalio import activity

from domain.dunning import Case
from domain.emails import EmailKind
from domain.periods import BusinessCalendar


@dataclass(frozen=True)
class InvoiceOrder:
    """An issued invoice to be owned until it is settled.

    Attributes:
        due_on: last day for payment, inclusive.
        case: the invoice as it was posted; None where it is taken up from PostgreSQL.
        resumed_on: business date of the last thing that happened to it, where it is taken up.
        clock_held: demonstrations only: the business day stands still until the release.
        events_per_run: events of history after which the workflow continues as new.
        position: where a run that was continued as new goes on.
    """

    number: str
    account_number: str
    period: str
    issued_on: date
    due_on: date
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)
    case: Case | None = None
    resumed_on: date | None = None
    clock_held: bool = False
    events_per_run: int = 2_000
    position: "InvoicePosition | None" = None


@dataclass(frozen=True)
class Occasion:
    """Something is done with invoice `number`, and counts on `business_date`."""

    number: str
    business_date: date


@dataclass(frozen=True)
class ChargeOrder:
    """Charge `attempt` (1 is the first) of the card on file."""

    number: str
    attempt: int
    business_date: date


@dataclass(frozen=True)
class NoticeOrder:
    """An e-mail, sent once for invoice, kind and step.

    Attributes:
        step: which one of its kind; `domain.dunning.step_number` for those of the dunning steps.
        place: how many dunning steps are taken with it; 0: it is none of them.
        while_open: not sent once the invoice is settled.
        next_attempt_on: when the card is charged again.
        reason: what the e-mail explains.
        credit_note: the number of the credit note that it delivers.
        cc: who gets a copy.
    """

    number: str
    kind: EmailKind
    step: int
    business_date: date
    place: int = 0
    while_open: bool = False
    next_attempt_on: date | None = None
    reason: str = ""
    credit_note: str = ""
    cc: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChargeErrand:
    """A charge outside of what people do on a page.

    Attributes:
        attempt: which one is on its way; 0: it is not begun.
        place: the dunning step that it belongs to; 0: none.
        new_card: only to try a card that no attempt has used yet.
        then: the customer's other invoices that get their turn afterwards.
    """

    attempt: int = 0
    place: int = 0
    new_card: bool = False
    then: tuple[str, ...] = ()


@dataclass(frozen=True)
class InvoicePosition:
    """What a run hands to the one that continues it, beside the case.

    Attributes:
        counted_from: business date at the instant `clock_started`; None: the clock stands still.
        steps_taken: with those whose e-mail waits for the mail server.
        notices: e-mails on their way.
        errands: charges on their way or ordered.
    """

    counted_from: date
    clock_started: datetime | None
    steps_taken: int
    notices: tuple[NoticeOrder, ...] = ()
    errands: tuple[ChargeErrand, ...] = ()


@dataclass(frozen=True)
class UndeliveredReport:
    """An e-mail was given up for `reason`."""

    order: NoticeOrder
    reason: str


@dataclass(frozen=True)
class InstructionOrder:
    """What a person asked for is to be carried out, or refused with the reason."""

    number: str
    instruction: int
    business_date: date


@dataclass(frozen=True)
class CarriedOut:
    """What became of an instruction. `charge`, `resend`: what is still to be done for it."""

    case: Case
    done: bool
    charge: bool = False
    resend: bool = False


@dataclass(frozen=True)
class ReviewOrder:
    """The steps are over and a person takes the case. `place`: how many steps were taken."""

    number: str
    business_date: date
    place: int


@dataclass(frozen=True)
class CreditNoteOrder:
    """A credit note of the invoice is to get its document, or its refund."""

    number: str
    credit_note: str
    business_date: date


@dataclass(frozen=True)
class PageOrder:
    """A page of the card processor for the payer, with the addresses to which it returns."""

    number: str
    business_date: date
    return_url: str
    cancel_url: str


@dataclass(frozen=True)
class PageRequest:
    """Update: what the payer's page asks for. `return_url`, `cancel_url`: where it goes on."""

    return_url: str
    cancel_url: str


@dataclass(frozen=True)
class PaymentReceived:
    """Signal: something was stored for the invoice. `reference` names it for the history."""

    reference: str


@dataclass(frozen=True)
class PaymentMethodUpdated:
    """Signal: the customer has a new card. `then`: their other invoices to charge, in order."""

    then: tuple[str, ...] = ()


@dataclass(frozen=True)
class Instruction:
    """Signal: a person asked for something, stored as `id`.

    `clock_from`: demonstrations only: the instant from which business days pass again.
    """

    id: int
    clock_from: datetime | None = None


@activity.defn
def load_case(occasion: Occasion) -> Case:
    """The invoice as PostgreSQL has it."""
    raise NotImplementedError


@activity.defn
def take_in(occasion: Occasion) -> Case:
    """Books everything that was stored for the invoice: webhook events and matched wires."""
    raise NotImplementedError


@activity.defn
def carry_out(order: InstructionOrder) -> CarriedOut:
    """Does what a person asked for, or refuses it with the reason; once."""
    raise NotImplementedError


@activity.defn
def mark_overdue(occasion: Occasion) -> Case:
    """Sets `overdue` on an unpaid invoice whose due date has passed."""
    raise NotImplementedError


@activity.defn
def begin_review(order: ReviewOrder) -> Case:
    """Hands an unpaid invoice to the finance manager."""
    raise NotImplementedError


@activity.defn
def charge_invoice(order: ChargeOrder) -> Case:
    """Charges the card on file with what is open, once for each attempt. A decline is a result."""
    raise NotImplementedError


@activity.defn
def open_checkout(order: PageOrder) -> str:
    """The address of a page on which the payer pays what is open."""
    raise NotImplementedError


@activity.defn
def open_card_setup(order: PageOrder) -> str:
    """The address of a page on which the customer leaves a new card."""
    raise NotImplementedError


@activity.defn
def close_checkouts(occasion: Occasion) -> Case:
    """Closes the payment pages that are still open, so that nobody pays a settled invoice."""
    raise NotImplementedError


@activity.defn
def render_credit_note(order: CreditNoteOrder) -> None:
    """Makes and stores the credit note's document."""
    raise NotImplementedError


@activity.defn
def refund_credit_note(order: CreditNoteOrder) -> Case:
    """Returns to the card what the credit note owes it, once."""
    raise NotImplementedError


@activity.defn
def send_notice(order: NoticeOrder) -> Case:
    """Sends one e-mail, once, and records the step that it is."""
    raise NotImplementedError


@activity.defn
def record_undelivered(report: UndeliveredReport) -> Case:
    """Tells the audit log that an e-mail could not be sent, for a person to see."""
    raise NotImplementedError
