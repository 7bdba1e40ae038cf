"""One customer's invoice: rendered, posted, or failed with the reason."""

from dataclasses import dataclass
from datetime import date

from temporalio import activity

from domain.dunning import Case
from domain.periods import BusinessCalendar


@dataclass(frozen=True)
class CustomerOrder:
    """Issue the draft `number` of `account_number`."""

    period: str
    account_number: str
    number: str
    calendar: BusinessCalendar
    reminders_held: bool
    actor: str


@dataclass(frozen=True)
class CustomerOutcome:
    """`issued`, or the reason why not."""

    account_number: str
    number: str
    issued: bool
    reason: str = ""


@dataclass(frozen=True)
class RenderOrder:
    number: str


@dataclass(frozen=True)
class RenderedInvoice:
    """`pdf_sha256` is the stored document's hash in hex; `issued_on`: the date that it bears."""

    pdf_sha256: str
    issued_on: date | None = None


@dataclass(frozen=True)
class PostOrder:
    """`on_hold`: no reminder goes out until the invoice is released. `issued_on`: the date that the
    document bears; None: it is not told.
    """

    number: str
    pdf_sha256: str
    actor: str
    on_hold: bool = False
    issued_on: date | None = None


@dataclass(frozen=True)
class PostedInvoice:
    """What the invoice's own workflow runs by; `due_on` is inclusive."""

    issued_on: date
    due_on: date
    case: Case


@dataclass(frozen=True)
class FailureReport:
    """`code` is stable and meant for programs, `reason` says what is wrong and the remedy."""

    number: str
    code: str
    reason: str
    actor: str = "billing-cycle"


@dataclass(frozen=True)
class FailureRecorded:
    """`posted` where the invoice was issued after all, though its activity failed behind that."""

    posted: PostedInvoice | None = None


@activity.defn
def render_invoice(order: RenderOrder) -> RenderedInvoice:
    """Renders the draft's PDF and stores it by its hash."""
    raise NotImplementedError


@activity.defn
def post_invoice(order: PostOrder) -> PostedInvoice:
    """Posts the draft unchanged, with its document, in one transaction; again changes nothing."""
    raise NotImplementedError


@activity.defn
def record_failure(report: FailureReport) -> FailureRecorded:
    """Marks the customer as failed, for a person to mend and to retry, unless it was issued."""
    raise NotImplementedError
