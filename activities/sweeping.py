"""What waits for its invoice's workflow is found; a cycle's hold is released page by page."""

from dataclasses import asdict

from sqlalchemy import Engine
from temporalio import activity

from domain.periods import BillingPeriod
from storage import arrivals, instructions
from storage.engine import transaction
from workflows.contracts.collection import (
    ReleaseAsked,
    ReleasePage,
    ReleasePageOrder,
    SweepOrder,
    Swept,
)
from workflows.contracts.lifecycle import InvoiceOrder


class SweepingActivities:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @activity.defn
    def find_waiting(self, order: SweepOrder) -> Swept:
        with transaction(self._engine) as connection:
            waiting = arrivals.find_waiting(
                connection,
                older_than_seconds=order.older_than_seconds,
                after=order.after,
                limit=order.limit,
            )
            told = {found.number for found in waiting if found.is_told}
            orders = [
                InvoiceOrder(calendar=order.calendar, **asdict(found))
                for found in arrivals.resumptions(connection, [found.number for found in waiting])
            ]
        return Swept(
            tuple(invoice for invoice in orders if invoice.number in told),
            after=waiting[-1].number if len(waiting) == order.limit else None,
            unmailed=tuple(invoice for invoice in orders if invoice.number not in told),
        )

    @activity.defn
    def release_page(self, order: ReleasePageOrder) -> ReleasePage:
        with transaction(self._engine) as connection:
            asked = instructions.ask_release_of_cycle(
                connection,
                BillingPeriod.parse(order.order.period),
                after=order.after,
                limit=order.limit,
                note=order.order.note,
                person=order.order.requested_by,
            )
        return ReleasePage(tuple(ReleaseAsked(*pair) for pair in asked))
