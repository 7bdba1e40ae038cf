"""A request to bill a month, checked and completed into what the workflow is started with.

The HTTP route and the command both come through here.
"""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from domain.errors import Conflict, InvalidField, InvalidValue
from domain.periods import BillingPeriod, BusinessCalendar
from settings import Settings
from storage import audit, cycles
from storage.discarding import plan_to_discard
from storage.engine import transaction
from storage.planning import Cycle
from storage.sellers import current_seller
from workflows.contracts.cycle import CycleOrder, DiscardOrder

_AHEAD = timedelta(days=366)


def order_cycle(
    engine: Engine,
    settings: Settings,
    period: BillingPeriod,
    *,
    now: datetime,
    requested_by: str,
    issued_on: date | None = None,
    hold_reminders: bool | None = None,
    pause_before_issue: bool | None = None,
    approval_required: bool | None = None,
) -> CycleOrder:
    """The order for a cycle. What is None is as the period's cycle has it, where there is one;
    else the day of the issue in the seller's zone, the setting for the approval, and False.

    Raises PeriodNotOver, InvalidValue for invoices dated inside their period or more than a year
    ahead and where the approval is waived that the setting requires, Conflict while there is no
    seller data and where a plan waits that was made otherwise.
    """
    period.require_over(now, settings.seller_time_zone)
    today = now.astimezone(ZoneInfo(settings.seller_time_zone)).date()
    with transaction(engine) as connection:
        cycle = cycles.find_cycle(connection, period)
        date_of_issue = issued_on or (cycle.issued_on if cycle else today)
        if date_of_issue < period.end:
            raise InvalidValue(f"issued_on: {date_of_issue} lies before the end of {period}.")
        if date_of_issue - today > _AHEAD:
            raise InvalidValue(f"issued_on: {date_of_issue} is over a year ahead; check the year.")
        current_seller(connection)
    if hold_reminders is None:
        hold_reminders = cycle is not None and cycle.hold_reminders
    if pause_before_issue is None:
        pause_before_issue = cycle is not None and cycle.pause_before_issue
    if approval_required is None:
        approval_required = cycle.approval_required if cycle else settings.approval_required
    elif settings.approval_required and not approval_required:
        raise InvalidField(
            "approval_required",
            "every plan is to be approved here (BILLWRIGHT_APPROVAL_REQUIRED); leave it out.",
        )
    order = CycleOrder(
        period=str(period),
        issued_on=date_of_issue,
        dated_by_issue=issued_on is None,
        terms_days=settings.payment_terms_days,
        hold_reminders=hold_reminders,
        pause_before_issue=pause_before_issue or approval_required,
        approval_required=approval_required,
        requested_by=requested_by,
        **_ways_of_work(settings),
    )
    if cycle is not None and not cycle.issue_began:
        _require_the_same(order, cycle)
    return order


def _require_the_same(order: CycleOrder, cycle: Cycle) -> None:
    """Raises Conflict where the waiting plan would not become what is ordered."""
    differences = [
        f"{name} is {_written(planned)}, not {_written(ordered)}"
        for name in ("issued_on", "hold_reminders", "pause_before_issue", "approval_required")
        if (ordered := getattr(order, name)) != (planned := getattr(cycle, name))
    ]
    if cycle.dated_by_issue and not order.dated_by_issue and order.issued_on == cycle.issued_on:
        differences.insert(0, f"issued_on is the day of the issue, not {order.issued_on}")
    if differences:
        raise Conflict(
            f"{order.period} is planned already, where {' and '.join(differences)}; "
            "discard the plan first, or issue it as it is."
        )


def _written(value: date | bool) -> str:
    """As JSON has it."""
    return str(value).lower()


def order_retry(
    engine: Engine, settings: Settings, period: BillingPeriod, *, requested_by: str
) -> CycleOrder:
    """The order that bills the rest of a cycle, on its own terms. Who wants it is told in the audit
    log: a cycle that runs makes another pass in the name of whoever started it.

    Raises NotFound, and Conflict for a plan that is to be read before it is issued.
    """
    with transaction(engine) as connection:
        cycle = cycles.load_cycle(connection, period)
        if cycle.pause_before_issue and not cycle.issue_began:
            raise plan_waits(period)
        audit.record(
            connection,
            audit.AuditEntry(cycle.issued_on, requested_by, "cycle", str(period), "retry_asked"),
        )
    return _taken_up(cycle, settings, requested_by)


def order_discard(
    engine: Engine, settings: Settings, period: BillingPeriod, *, requested_by: str
) -> tuple[CycleOrder, DiscardOrder]:
    """What a plan is discarded by, behind the order to start its workflow where that has ended.

    Raises NotFound, and Conflict with the reason once the issue has begun.
    """
    with transaction(engine) as connection:
        cycle_id = plan_to_discard(connection, period)
        cycle = cycles.load_cycle(connection, period)
    # whatever becomes of the discard, that run issues nothing by itself
    order = replace(_taken_up(cycle, settings, requested_by), pause_before_issue=True)
    return order, DiscardOrder(str(period), cycle_id, requested_by)


def plan_waits(period: BillingPeriod) -> Conflict:
    """Why a plan that nobody has issued yet is not retried."""
    return Conflict(
        f"The plan of {period} waits to be issued; resume issues it, discard throws it away."
    )


def _taken_up(cycle: Cycle, settings: Settings, requested_by: str) -> CycleOrder:
    return CycleOrder(
        period=str(cycle.period),
        issued_on=cycle.issued_on,
        terms_days=cycle.terms_days,
        hold_reminders=cycle.hold_reminders,
        requested_by=requested_by,
        opens=False,
        **_ways_of_work(settings),
    )


def _ways_of_work(settings: Settings) -> dict[str, Any]:
    return {
        "calendar": BusinessCalendar(settings.seller_time_zone, settings.day_seconds),
        "customers_in_flight": settings.customers_in_flight,
        "customers_per_page": settings.customers_per_page,
    }
