"""An issued invoice's standing: payments counted, overdue set."""

from sqlalchemy import Engine
from temporalio import activity

from activities.delivery import ACTOR
from storage import posting
from storage.engine import transaction
from workflows.contracts.lifecycle import InvoiceStanding, Occasion


class SettlementActivities:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @activity.defn
    def settle_invoice(self, occasion: Occasion) -> InvoiceStanding:
        with transaction(self._engine) as connection:
            standing = posting.settle_if_paid(
                connection, occasion.number, business_date=occasion.business_date, actor=ACTOR
            )
        return InvoiceStanding(standing.status, standing.open_amount, standing.settled)

    @activity.defn
    def mark_overdue(self, occasion: Occasion) -> InvoiceStanding:
        with transaction(self._engine) as connection:
            standing = posting.mark_overdue(
                connection, occasion.number, business_date=occasion.business_date, actor=ACTOR
            )
        return InvoiceStanding(standing.status, standing.open_amount, standing.settled)
