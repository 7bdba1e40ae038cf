"""Collection beyond one invoice: what was left waiting, and a cycle's hold released."""

from dataclasses import dataclass, field
from datetime import datetime

from temporalio import activity

from domain.periods import BusinessCalendar
from workflows.contracts.lifecycle import InvoiceOrder


@dataclass(frozen=True)
class SweepOrder:
    """Look for what has waited longer than `older_than_seconds`, `limit` invoices at a time.

    Attributes:
        after: the number behind which to look.
        woken: how many invoices the runs before this one woke.
    """

    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)
    older_than_seconds: int = 60
    limit: int = 500
    after: str = ""
    woken: int = 0


@dataclass(frozen=True)
class Swept:
    """The invoices for which something waited, ready to be taken up.

    `after`: the number behind which there may be more; None: these are all. `unmailed`: invoices
    whose workflow may never have started; one that runs waits for the mail server.
    """

    invoices: tuple[InvoiceOrder, ...]
    after: str | None = None
    unmailed: tuple[InvoiceOrder, ...] = ()


@dataclass(frozen=True)
class ReleaseOrder:
    """Release the reminders of the cycle of `period`, as `requested_by` asks.

    Attributes:
        page_size: invoices released by one activity.
        pages_per_run: pages released before the workflow continues as new.
        position: where a run that was continued as new goes on.
    """

    period: str
    requested_by: str
    note: str = ""
    page_size: int = 200
    pages_per_run: int = 10
    position: "ReleasePosition | None" = None


@dataclass(frozen=True)
class ReleasePosition:
    """What a run hands to the one that continues it.

    `released_at`: the instant from which the steps of all count; `told`: how many invoices were
    told so far; `after`: the number of the last.
    """

    released_at: datetime
    told: int = 0
    after: str = ""


@dataclass(frozen=True)
class ReleasePageOrder:
    """The next `limit` invoices on hold of the cycle, behind number `after`."""

    order: ReleaseOrder
    after: str = ""
    limit: int = 200


@dataclass(frozen=True)
class ReleaseAsked:
    """The release of one invoice was stored as `instruction`."""

    number: str
    instruction: int


@dataclass(frozen=True)
class ReleasePage:
    released: tuple[ReleaseAsked, ...]


@activity.defn
def find_waiting(order: SweepOrder) -> Swept:
    """Finds what was stored for invoices and not dealt with, such as behind a lost signal."""
    raise NotImplementedError


@activity.defn
def release_page(order: ReleasePageOrder) -> ReleasePage:
    """Stores the release of a page of the cycle's held invoices; again answers the same."""
    raise NotImplementedError
