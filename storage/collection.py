"""An issued invoice in collection: what moves it, and the case as its workflow sees it.

Every change is made under the invoice's row lock by `LockedInvoice`, with its audit entry.
"""

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, func, select, text, update

from domain import card_amounts
from domain.declines import DeclineClass
from domain.dunning import (
    STANDARD_POLICY,
    Case,
    CollectionState,
    DunningPolicy,
    Event,
    Moved,
    Refused,
    UnfinishedCredit,
    after,
    counting_from,
    status_of,
)
from domain.errors import Conflict, NotFound
from domain.invoice import InvoiceStatus, open_amount, overdue_from
from domain.parties import PaymentMethod
from storage import audit, receivables
from storage.snapshots import policy_from_json, policy_to_json
from storage.tables import customers, dunning_policies, invoices

STANDARD = "standard"
"""The code of the policy of customers who have none of their own."""


class LockedInvoice:
    """One issued invoice under its row lock, for one transaction.

    Who only refers to the invoice, such as a webhook that is being stored, does not wait for it.
    Locks are taken in whatever order the invoices come; two transactions that wait for each other
    are told apart by PostgreSQL, and the activity that loses is tried again.
    Raises NotFound, and Conflict for a draft.
    """

    def __init__(
        self, connection: Connection, number: str, *, business_date: date, actor: str
    ) -> None:
        self.connection = connection
        self.business_date = business_date
        self.actor = actor
        row = connection.execute(
            select(
                invoices,
                customers.c.payment_method,
                customers.c.stripe_customer_id,
                customers.c.stripe_payment_method_id,
            )
            .join(customers, customers.c.id == invoices.c.customer_id)
            .where(invoices.c.number == number)
            .with_for_update(of=invoices, key_share=True)
        ).one_or_none()
        if row is None:
            raise NotFound(f"There is no invoice {number}.")
        if row.collection_state is None:
            raise Conflict(f"{number} is a draft; issue it first.")
        self.row: Row[Any] = row
        self.number: str = number
        self.currency: str = row.currency
        self.total: Decimal = row.total
        self.state = CollectionState(row.collection_state)
        self.amount_paid: Decimal = row.amount_paid
        self.amount_credited: Decimal = row.amount_credited
        self.first_failed_on: date | None = row.first_failed_on
        self.status = InvoiceStatus(row.status)
        self._receivable = self._open_now()

    @property
    def by_card(self) -> bool:
        return PaymentMethod(self.row.payment_method) is PaymentMethod.CARD

    @property
    def uncovered(self) -> Decimal:
        """What no payment and no credit note covers, also of an invoice that was written off."""
        if self.state is CollectionState.VOID:
            return self.total * 0
        return max(self.total, Decimal(0)) - self.amount_paid - self.amount_credited

    def move(self, event: Event, reason: str = "", **details: Any) -> None:
        """What `event` does by `domain.dunning.after`, with its audit entry.

        Raises Conflict where the table refuses it.
        """
        verdict = after(self.state, event)
        if isinstance(verdict, Refused):
            raise Conflict(
                f"{self.number}: {event.value.replace('_', ' ')} is refused, {verdict.reason}."
            )
        before = self.state
        if isinstance(verdict, Moved):
            self.state = verdict.to
        self._write_state(before, event)
        audit.record(
            self.connection,
            audit.AuditEntry(
                self.business_date,
                self.actor,
                "invoice",
                self.number,
                event.value,
                before.value,
                self.state.value,
                reason,
                details,
            ),
        )

    def note(self, event: str, reason: str = "", **details: Any) -> None:
        """Tells the audit log of something that is no event of collection."""
        audit.record(
            self.connection,
            audit.AuditEntry(
                self.business_date,
                self.actor,
                "invoice",
                self.number,
                event,
                reason=reason,
                details=details,
            ),
        )

    def change(self, **values: Any) -> None:
        """Writes columns of the invoice, and by how much that changes what is open."""
        for name in ("amount_paid", "amount_credited", "first_failed_on"):
            if name in values:
                setattr(self, name, values[name])
        if "status" in values:
            self.status = InvoiceStatus(values["status"])
        self.connection.execute(update(invoices).where(invoices.c.id == self.row.id).values(values))
        before, self._receivable = self._receivable, self._open_now()
        receivables.enter(
            self.connection,
            self.row.id,
            on=self.business_date,
            amount=self._receivable - before,
        )

    def _open_now(self) -> Decimal:
        """What the customer owes on it; nothing where the invoice itself is a credit."""
        still_open = open_amount(
            self.status, self.total, paid=self.amount_paid, credited=self.amount_credited
        )
        return max(still_open, Decimal(0))

    def restart_steps(self, *, resumed_on: date | None, new_round: bool) -> None:
        """The steps count anew: from the first failed charge or the due date, and not from before
        `resumed_on`. In a new round they all come again.
        """
        begun = counting_from(
            by_card=self.by_card and self.first_failed_on is not None,
            first_failed_on=self.first_failed_on,
            due_on=self.row.due_on,
            resumed_on=resumed_on,
        )
        self.change(dunning_from=begun)
        if new_round:
            self.change(dunning_round=invoices.c.dunning_round + 1, steps_taken=0)

    def begin_steps(self) -> None:
        """The steps count from today, the day of the first failed charge; they stay behind a day
        after the due date that a release or an extension has set.
        """
        set_to = self.row.dunning_from
        resumed_on = set_to if set_to is not None and set_to > self.row.due_on else None
        begun = counting_from(
            by_card=True,
            first_failed_on=self.business_date,
            due_on=self.row.due_on,
            resumed_on=resumed_on,
        )
        self.change(first_failed_on=self.business_date, dunning_from=begun)

    def count_from_due_date(self) -> None:
        """What is left of a card's invoice may be too little for a card: then it is dunned like
        any other, from its due date.
        """
        too_little = not card_amounts.chargeable(self.uncovered, self.currency)
        if self.by_card and too_little and self.row.dunning_from is None:
            self.change(dunning_from=self.row.due_on)

    def _write_state(self, before: CollectionState, event: Event) -> None:
        values: dict[str, Any] = {"collection_state": self.state.value}
        if self.state.is_end or before.is_end or event is Event.FELL_OVERDUE:
            values["status"] = status_of(
                self.state, due_on=self.row.due_on, business_date=self.business_date
            ).value
        if before is not self.state and (before.is_end or self.state.is_end):
            values["settled_on"] = self.business_date if self.state.is_end else None
        self.change(**values)


def load_case(connection: Connection, number: str) -> Case:
    """The invoice as its workflow sees it. Raises NotFound, and Conflict for a draft."""
    row = connection.execute(_CASE, {"number": number}).one_or_none()
    if row is None:
        raise NotFound(f"There is no invoice {number}.")
    if row.collection_state is None:
        raise Conflict(f"{number} is a draft; issue it first.")
    still_open = open_amount(
        InvoiceStatus(row.status), row.total, paid=row.amount_paid, credited=row.amount_credited
    )
    failed = row.last_status == "failed" and row.failure_code
    card = row.stripe_payment_method_id
    return Case(
        number=number,
        revision=row.revision or 0,
        state=CollectionState(row.collection_state),
        status=InvoiceStatus(row.status),
        total=row.total,
        open_amount=still_open,
        amount_paid=row.amount_paid,
        by_card=PaymentMethod(row.payment_method) is PaymentMethod.CARD,
        due_on=row.due_on,
        contacted=row.contacted,
        policy=policy_from_json(row.dunning_policy) if row.dunning_policy else STANDARD_POLICY,
        dunning_from=row.dunning_from,
        steps_taken=row.steps_taken,
        round=row.dunning_round,
        attempts=row.attempts,
        charge_pending=row.last_status == "pending",
        first_failed_on=row.first_failed_on,
        decline=DeclineClass(row.failure_code) if failed else None,
        card_waiting=bool(row.attempts and card and card != row.last_card),
        chargeable_amount=card_amounts.chargeable(still_open, row.currency),
        on_hold=row.on_hold,
        disputed=row.disputed,
        open_checkouts=row.open_checkouts,
        unfinished_credits=tuple(
            UnfinishedCredit(int(id), note)
            for id, note in (credit.split() for credit in row.unfinished_credits)
        ),
        instructions=tuple(row.waiting_instructions),
        to_wake=tuple(row.others_to_wake),
    )


_CASE = text("""
    SELECT invoice.*, customer.payment_method, customer.stripe_payment_method_id,
           coalesce(last.attempt, 0) AS attempts, last.status AS last_status,
           last.failure_code, last.payment_method_id AS last_card,
           (SELECT max(id) FROM audit_log
            WHERE subject_kind = 'invoice' AND subject = invoice.number) AS revision,
           invoice.cycle_id IS NULL
               OR EXISTS (SELECT FROM emails WHERE invoice_id = invoice.id) AS contacted,
           EXISTS (SELECT FROM checkout_sessions
                   WHERE invoice_id = invoice.id AND status = 'open'
                     AND mode = 'payment') AS open_checkouts,
           ARRAY(SELECT note.id || ' ' || note.number FROM credit_notes note
                 WHERE note.invoice_id = invoice.id AND NOT EXISTS (
                     SELECT FROM emails
                     WHERE invoice_id = invoice.id AND kind = 'credit_note' AND step = note.id)
                 ORDER BY note.id) AS unfinished_credits,
           ARRAY(SELECT id FROM instructions
                 WHERE invoice_id = invoice.id AND decided_at IS NULL
                 ORDER BY id) AS waiting_instructions,
           ARRAY(SELECT other.number FROM invoices other
                 WHERE other.customer_id = invoice.customer_id AND other.to_wake
                   AND other.id <> invoice.id
                 ORDER BY other.issued_on, other.id) AS others_to_wake
    FROM invoices invoice
    JOIN customers customer ON customer.id = invoice.customer_id
    LEFT JOIN LATERAL (
        SELECT attempt, status, failure_code, payment_method_id FROM payments
        WHERE invoice_id = invoice.id AND attempt IS NOT NULL
        ORDER BY attempt DESC LIMIT 1
    ) last ON true
    WHERE invoice.number = :number
""")


def policy_for(connection: Connection, customer_id: int) -> DunningPolicy:
    """The customer's own policy, else the installation's `standard`, else the built-in one."""
    steps = connection.execute(
        select(dunning_policies.c.steps)
        .join(
            customers,
            dunning_policies.c.code == func.coalesce(customers.c.dunning_policy, STANDARD),
        )
        .where(customers.c.id == customer_id)
    ).scalar_one_or_none()
    return STANDARD_POLICY if steps is None else policy_from_json(steps)


def begin_collection(locked: LockedInvoice, *, on_hold: bool) -> None:
    """Gives an invoice that is being posted its snapshot of the policy, and its first clock."""
    policy = policy_for(locked.connection, locked.row.customer_id)
    charged = locked.by_card and card_amounts.chargeable(locked.uncovered, locked.currency)
    locked.change(
        on_hold=on_hold,
        dunning_from=counting_from(by_card=charged, first_failed_on=None, due_on=locked.row.due_on),
        dunning_policy=None if policy == STANDARD_POLICY else policy_to_json(policy),
    )


def mark_overdue(locked: LockedInvoice) -> None:
    """Sets `overdue` once the due date (inclusive) has passed; one that is settled or marked is
    left alone. Raises Conflict before that.
    """
    if locked.row.status == "issued":
        if locked.business_date < overdue_from(locked.row.due_on):
            raise Conflict(
                f"{locked.number} is due on {locked.row.due_on} and not overdue on "
                f"{locked.business_date}."
            )
        locked.move(Event.FELL_OVERDUE, f"due on {locked.row.due_on}")


def begin_review(locked: LockedInvoice, *, place: int) -> None:
    """Hands an open invoice to a person; one that is settled or handed over is left alone."""
    if not locked.state.is_end and locked.state is not CollectionState.MANUAL_REVIEW:
        locked.move(Event.REVIEW_DUE)
        locked.change(steps_taken=place)
