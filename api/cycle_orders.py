"""A request to bill a month, checked and completed into what the workflow is started with.

The HTTP route and the command both come through here.
"""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from domain.errors import InvalidValue
from domain.periods import BillingPeriod, BusinessCalendar
from settings import Settings
from storage import cycles
from storage.engine import transaction
from storage.sellers import current_seller
from workflows.contracts.cycle import CycleOrder

_AHEAD = timedelta(days=366)


def order_cycle(
    engine: Engine,
    settings: Settings,
    period: BillingPeriod,
    *,
    now: datetime,
    requested_by: str,
    issued_on: date | None = None,
    hold_reminders: bool = False,
    pause_before_issue: bool = False,
) -> CycleOrder:
    """The order for a new cycle; `issued_on` None means the date of `now` in the seller's zone.

    Raises PeriodNotOver, InvalidValue for invoices dated inside their period or more than a year
    ahead, and Conflict while there is no seller data.
    """
    period.require_over(now, settings.seller_time_zone)
    today = now.astimezone(ZoneInfo(settings.seller_time_zone)).date()
    date_of_issue = issued_on or today
    if date_of_issue < period.end:
        raise InvalidValue(f"issued_on: {date_of_issue} lies before the end of {period}.")
    if date_of_issue - today > _AHEAD:
        raise InvalidValue(f"issued_on: {date_of_issue} is over a year ahead; check the year.")
    with transaction(engine) as connection:
        current_seller(connection)
    return CycleOrder(
        period=str(period),
        issued_on=date_of_issue,
        terms_days=settings.payment_terms_days,
        hold_reminders=hold_reminders,
        pause_before_issue=pause_before_issue,
        requested_by=requested_by,
        **_ways_of_work(settings),
    )


def order_retry(
    engine: Engine, settings: Settings, period: BillingPeriod, *, requested_by: str
) -> CycleOrder:
    """The order that bills the rest of a cycle, on its own terms. Raises NotFound."""
    with transaction(engine) as connection:
        cycle = cycles.load_cycle(connection, period)
        held = cycles.summarize_cycle(connection, period).hold_reminders
    return CycleOrder(
        period=str(period),
        issued_on=cycle.issued_on,
        terms_days=cycle.terms_days,
        hold_reminders=held,
        requested_by=requested_by,
        **_ways_of_work(settings),
    )


def _ways_of_work(settings: Settings) -> dict[str, Any]:
    return {
        "calendar": BusinessCalendar(settings.seller_time_zone, settings.day_seconds),
        "customers_in_flight": settings.customers_in_flight,
        "customers_per_page": settings.customers_per_page,
    }
