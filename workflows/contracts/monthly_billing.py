"""Months billed by themselves."""

from dataclasses import dataclass, field
from datetime import date

from temporalio import activity

from domain.monthly_billing import MonthlyRule
from domain.periods import BusinessCalendar
from workflows.contracts.cycle import ClosedCycle, CycleOrder


@dataclass(frozen=True)
class MonthlyBillingOrder:
    """Bill each month that is due and has no cycle, in order.

    Attributes:
        rule: which months those are.
        calendar: real days; its zone is the seller's.
        terms_days, pause_before_issue, approval_required, customers_in_flight, customers_per_page:
            of the cycles, as in `CycleOrder`.
    """

    rule: MonthlyRule = field(default_factory=MonthlyRule)
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)
    terms_days: int = 30
    pause_before_issue: bool = False
    customers_in_flight: int = 10
    customers_per_page: int = 100
    approval_required: bool = False


@dataclass(frozen=True)
class DueMonthOrder:
    """Find the month whose turn it is on `today`, the seller's date."""

    order: MonthlyBillingOrder
    today: date


@dataclass(frozen=True)
class DueMonth:
    """The cycle whose turn it is; None: none is due, or `waits` says for what it waits.

    A cycle that was begun is ordered on its own terms.
    """

    cycle: CycleOrder | None = None
    waits: str = ""


@dataclass(frozen=True)
class BilledMonths:
    """The cycles that this run has seen closed, in order, and for what the next month waits."""

    closed: tuple[ClosedCycle, ...] = ()
    waits: str = ""


@activity.defn
def find_due_month(order: DueMonthOrder) -> DueMonth:
    """Finds the month whose turn it is; refused where nothing tells which is the first."""
    raise NotImplementedError
