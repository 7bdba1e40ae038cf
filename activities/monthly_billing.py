"""The month whose turn it is to be billed by itself."""

from datetime import date
from typing import Any

from sqlalchemy import Engine
from temporalio import activity

from storage.engine import transaction
from storage.monthly_billing import NextMonth, next_month
from storage.sellers import current_seller
from workflows.contracts.cycle import CycleOrder
from workflows.contracts.monthly_billing import DueMonth, DueMonthOrder, MonthlyBillingOrder

ACTOR = "monthly-billing"
"""The audit log's, of cycles that nobody started."""


class MonthlyBillingActivities:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @activity.defn
    def find_due_month(self, order: DueMonthOrder) -> DueMonth:
        with transaction(self._engine) as connection:
            month = next_month(connection, order.order.rule)
            is_due = month.cycle or order.order.rule.due_on(month.period) <= order.today
            if not is_due or month.waits:
                return DueMonth(waits=month.waits)
            current_seller(connection)
        return DueMonth(_cycle_order(month, order.order, order.today))


def _cycle_order(month: NextMonth, order: MonthlyBillingOrder, today: date) -> CycleOrder:
    """The invoices are dated `today`, or later by the day on which their issue begins: after an
    outage the customers have their whole time to pay. A cycle that was begun keeps its own terms.
    """
    begun = month.cycle
    terms: dict[str, Any] = (
        {
            "issued_on": today,
            "dated_by_issue": True,
            "terms_days": order.terms_days,
            "pause_before_issue": order.pause_before_issue or order.approval_required,
            "approval_required": order.approval_required,
        }
        if begun is None
        else {
            "issued_on": begun.issued_on,
            "terms_days": begun.terms_days,
            "hold_reminders": begun.hold_reminders,
            "pause_before_issue": begun.pause_before_issue and not begun.issue_began,
            "approval_required": begun.approval_required,
        }
    )
    return CycleOrder(
        period=str(month.period),
        calendar=order.calendar,
        customers_in_flight=order.customers_in_flight,
        customers_per_page=order.customers_per_page,
        requested_by=ACTOR,
        **terms,
    )
