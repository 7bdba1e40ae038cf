"""The billing cycle: plan, number, list, close."""

from dataclasses import dataclass, field
from datetime import date

from temporalio import activity

from domain.periods import BusinessCalendar


@dataclass(frozen=True)
class CycleOrder:
    """A billing cycle as it is started.

    Attributes:
        period: the month to bill, "2026-02".
        issued_on: business date of every invoice of the cycle.
        dated_by_issue: the day on which the issue begins is that date, where it is later.
        terms_days: days from `issued_on` to the due date, which is inclusive.
        hold_reminders: no collection step fires until the cycle is released.
        pause_before_issue: the plan waits to be read; `resume` issues it.
        approval_required: nothing is issued that was not approved; goes with pause_before_issue.
        customers_in_flight: customers billed at the same time, at most.
        customers_per_page: customers rated, or listed, by one activity.
        pages_per_run: pages issued before the workflow continues as new.
        requested_by: who pressed the button; the audit log's actor.
        opens: false for what takes up a cycle that there is, such as a retry.
        position: where a run that was continued as new goes on.
    """

    period: str
    issued_on: date
    terms_days: int = 30
    hold_reminders: bool = False
    pause_before_issue: bool = False
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)
    customers_in_flight: int = 10
    customers_per_page: int = 100
    pages_per_run: int = 10
    requested_by: str = "billing-cycle"
    opens: bool = True
    approval_required: bool = False
    dated_by_issue: bool = False
    position: "CyclePosition | None" = None


@dataclass(frozen=True)
class CyclePosition:
    """What a run hands to the one that continues it.

    `phase` is "plan", "issue", "close" or "prove"; `after_account` the last account of it done.
    """

    phase: str = "plan"
    after_account: str = ""
    failed_again: bool = False
    retry_requested: bool = False
    paused: bool = False
    counts: "CycleCounts" = field(default_factory=lambda: CycleCounts())


@dataclass(frozen=True)
class CycleCounts:
    """What this workflow has done so far, over all its runs."""

    drafted: int = 0
    skipped: int = 0
    failed: int = 0
    issued: int = 0
    failed_to_issue: int = 0


@dataclass(frozen=True)
class CycleProgress:
    """The answer to the query `progress`. `in_flight` names the accounts being billed now, with the
    month where it is a past one: "1047/late-2026-01".
    """

    phase: str
    paused: bool
    counts: CycleCounts
    in_flight: tuple[str, ...]


@dataclass(frozen=True)
class PlanPageOrder:
    """Rate the next `limit` customers behind `after_account`; see `CyclePosition`."""

    period: str
    after_account: str
    limit: int
    failed_again: bool = False


@dataclass(frozen=True)
class PlannedPage:
    """`last_account` is None when no customer was left. `late`: drafts about months that were
    billed before, beside those of the customers that were drafted.
    """

    last_account: str | None
    drafted: int = 0
    skipped: int = 0
    failed: int = 0
    late: int = 0


@dataclass(frozen=True)
class CycleStep:
    """A step of the whole cycle. `actor` is told to the audit log, `today` is the seller's date."""

    period: str
    actor: str
    today: date | None = None


@dataclass(frozen=True)
class DiscardOrder:
    """Update: throw the plan away. `cycle_id`: the one that was there when it was asked for."""

    period: str
    cycle_id: int
    actor: str


@dataclass(frozen=True)
class DiscardedPlan:
    """`drafts`: how many went with it."""

    drafts: int


@dataclass(frozen=True)
class DraftsOrder:
    """List the next `limit` drafts behind `after_account`.

    `unowned_too`: also issued invoices that have no workflow of their own.
    """

    period: str
    after_account: str
    limit: int
    unowned_too: bool = False


@dataclass(frozen=True)
class DraftToIssue:
    """`part` is empty for the customer's regular invoice, else the past month ("2026-01") that has
    an invoice of its own.
    """

    account_number: str
    number: str
    part: str = ""

    @property
    def subject(self) -> str:
        """What the cycle does it for, among all that it does: "1047", or "1047/late-2026-01"."""
        return f"{self.account_number}/late-{self.part}" if self.part else self.account_number


@dataclass(frozen=True)
class DraftsPage:
    """The drafts in account order, with all of an account where there is one of it; empty when none
    is left.
    """

    drafts: tuple[DraftToIssue, ...]


@dataclass(frozen=True)
class ClosedCycle:
    """The cycle's outcome: how many customers were issued an invoice, skipped, failed.

    `drafted`: those whose draft was neither issued nor marked as failed, which a retry takes up.
    `late_left`: invoices of past months that failed or are drafts still, beside these.
    """

    period: str
    issued: int
    skipped: int
    failed: int
    drafted: int = 0
    late_left: int = 0


@activity.defn
def open_cycle(order: CycleOrder) -> None:
    """Writes the cycle down, once; refused where the order opens none and there is none."""
    raise NotImplementedError


@activity.defn
def plan_page(order: PlanPageOrder) -> PlannedPage:
    """Rates one page of customers into drafts, skips and failures, in one transaction."""
    raise NotImplementedError


@activity.defn
def finish_plan(step: CycleStep) -> int:
    """Numbers the drafts in account order; how many were numbered. The plan can be read now."""
    raise NotImplementedError


@activity.defn
def begin_issue(step: CycleStep) -> None:
    """Marks the cycle as issuing, and asks for the credit notes that its plan gives back by.

    Refused while the plan is to be approved first.
    """
    raise NotImplementedError


@activity.defn
def discard_plan(order: DiscardOrder) -> DiscardedPlan:
    """Deletes the cycle with its drafts and outcomes; refused once the issue has begun."""
    raise NotImplementedError


@activity.defn
def list_drafts(order: DraftsOrder) -> DraftsPage:
    """One page of the drafts that wait to be issued."""
    raise NotImplementedError


@activity.defn
def close_cycle(step: CycleStep) -> ClosedCycle:
    """Closes the cycle and counts its outcomes."""
    raise NotImplementedError
