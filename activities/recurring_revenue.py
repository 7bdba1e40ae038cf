"""The days of the present report are looked for, and those that are missing worked out."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine
from temporalio import activity

from storage.audit import present_business_date
from storage.engine import transaction
from storage.recurring import missing_days, work_out_in_advance
from storage.reports.mrr import report_days
from workflows.contracts.recurring_revenue import DayOrder, MissingDays, RecurringRevenueOrder


class RecurringRevenueActivities:
    """`now` gives the present instant."""

    def __init__(self, engine: Engine, *, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._now = now

    @activity.defn
    def find_missing_days(self, order: RecurringRevenueOrder) -> MissingDays:
        with transaction(self._engine) as connection:
            today = present_business_date(connection, order.calendar, self._now())
            return MissingDays(tuple(missing_days(connection, report_days(today))))

    @activity.defn
    def work_out_day(self, order: DayOrder) -> None:
        with transaction(self._engine) as connection:
            work_out_in_advance(connection, order.day)
