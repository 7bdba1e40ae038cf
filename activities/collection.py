"""An invoice's collection: what arrived is booked, what people ask for is carried out."""

from sqlalchemy import Connection, Engine
from temporalio import activity

from domain.dunning import Case
from domain.instructions import InstructionKind
from storage import arrivals, collection, instructions
from storage.collection import LockedInvoice
from storage.engine import transaction
from workflows.contracts.lifecycle import (
    CarriedOut,
    InstructionOrder,
    Occasion,
    ReviewOrder,
)

ACTOR = "invoice-lifecycle"
"""The audit log's actor for what an invoice's workflow does by itself."""


def lock(connection: Connection, occasion: Occasion) -> LockedInvoice:
    """The invoice of `occasion` under its row lock, changed in the name of its workflow."""
    return LockedInvoice(
        connection, occasion.number, business_date=occasion.business_date, actor=ACTOR
    )


class CollectionActivities:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @activity.defn
    def load_case(self, occasion: Occasion) -> Case:
        with transaction(self._engine) as connection:
            return collection.load_case(connection, occasion.number)

    @activity.defn
    def take_in(self, occasion: Occasion) -> Case:
        with transaction(self._engine) as connection:
            arrivals.take_in(lock(connection, occasion))
            return collection.load_case(connection, occasion.number)

    @activity.defn
    def carry_out(self, order: InstructionOrder) -> CarriedOut:
        with transaction(self._engine) as connection:
            asked = instructions.carry_out(
                connection, order.number, order.instruction, business_date=order.business_date
            )
            done = asked.outcome == "done"
            return CarriedOut(
                case=collection.load_case(connection, order.number),
                done=done,
                charge=done and asked.kind is InstructionKind.CHARGE_AGAIN,
                resend=done and asked.kind is InstructionKind.RESEND,
            )

    @activity.defn
    def mark_overdue(self, occasion: Occasion) -> Case:
        with transaction(self._engine) as connection:
            collection.mark_overdue(lock(connection, occasion))
            return collection.load_case(connection, occasion.number)

    @activity.defn
    def begin_review(self, order: ReviewOrder) -> Case:
        with transaction(self._engine) as connection:
            collection.begin_review(
                lock(connection, Occasion(order.number, order.business_date)),
                place=order.place,
            )
            return collection.load_case(connection, order.number)
