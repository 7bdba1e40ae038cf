"""A month proved: our books at one instant, then the card processor's, then both held together."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Engine
from temporalio import activity

from activities.card_gateway import CardGateway, CardGatewayUnavailable
from domain.card_movements import BookedMovement, compare, sums_by_id, unmatched
from domain.errors import BillwrightError
from domain.periods import BillingPeriod
from domain.proof import Equation, Proof, not_checked, weigh
from storage.audit import present_business_date
from storage.cycles import load_cycle
from storage.engine import snapshot, transaction
from storage.proof import records
from storage.proof.cards import card_books, strangers
from storage.proof.due import due_proofs
from storage.proof.gathering import begin_proof, prove_books
from storage.proof.sides import Span, span_of
from workflows.contracts.proof import (
    DueProofs,
    MadeProof,
    NoProof,
    ProofOrder,
    ReconciliationOrder,
)

_EARLIER = timedelta(days=30)
"""By so much a charge may be older than what our books have of it: Stripe tells an event anew for
three days by itself, and on request for as long as it keeps it.
"""


class ProofActivities:
    """`now` gives the present instant; `currency`: of the reports, where invoices have several."""

    def __init__(
        self,
        engine: Engine,
        *,
        gateway: CardGateway,
        now: Callable[[], datetime],
        time_zone: str,
        currency: str,
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._now = now
        self._time_zone = time_zone
        self._currency = currency

    @activity.defn(no_thread_cancel_exception=True)
    def prove_cycle(self, order: ProofOrder) -> MadeProof:
        period = BillingPeriod.parse(order.period)
        now = self._now()
        with snapshot(self._engine) as connection:
            scope = begin_proof(
                connection,
                period,
                as_of=present_business_date(connection, order.calendar, now),
                time_zone=self._time_zone,
                currency=self._currency,
            )
            span = span_of(connection, scope)
            proof = prove_books(connection, scope)
            booked = card_books(connection, span)
        proof += self._card_payments(booked, span, now)
        with transaction(self._engine) as connection:
            id = records.record_proof(
                connection, period, proof, as_of=scope.as_of, made_by=order.actor
            )
        return MadeProof(id, proof.status.value, len(proof.differences))

    @activity.defn
    def record_no_proof(self, report: NoProof) -> MadeProof:
        period, order = BillingPeriod.parse(report.order.period), report.order
        with transaction(self._engine) as connection:
            today = present_business_date(connection, order.calendar, self._now())
            as_of = max(today, load_cycle(connection, period).issued_on)
            id = records.record_no_proof(
                connection, period, report.reason, as_of=as_of, made_by=order.actor
            )
        return MadeProof(id, "incomplete")

    @activity.defn
    def find_due_proofs(self, order: ReconciliationOrder) -> DueProofs:
        with transaction(self._engine) as connection:
            return DueProofs(tuple(str(period) for period in due_proofs(connection)))

    def _card_payments(
        self, booked: tuple[BookedMovement, ...], span: Span, now: datetime
    ) -> Proof:
        """Asks the processor behind our own books, so that it has all that these have."""
        try:
            theirs = sums_by_id(self._gateway.list_movements(span.since - _EARLIER))
        except (CardGatewayUnavailable, BillwrightError) as failure:
            reason = f"the card processor could not be asked: {failure}"
            return not_checked(Equation.CARD_PAYMENTS, reason)
        with transaction(self._engine) as connection:
            unknown = strangers(connection, unmatched(booked, theirs))
        entries = compare(booked, theirs, unknown, since=span.since, until=span.until, now=now)
        return weigh(Equation.CARD_PAYMENTS, entries)
