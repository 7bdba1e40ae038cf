"""An invoice's life after issue: delivered, waited for, settled."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from temporalio import activity

from domain.periods import BusinessCalendar


@dataclass(frozen=True)
class InvoiceOrder:
    """An issued invoice to be owned until it is settled.

    Attributes:
        due_on: last day for payment, inclusive.
        nothing_to_pay: an invoice of 0.00, settled when it was issued.
        reminders_held: the invoice starts on hold.
    """

    number: str
    account_number: str
    period: str
    issued_on: date
    due_on: date
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)
    nothing_to_pay: bool = False
    reminders_held: bool = False


@dataclass(frozen=True)
class Occasion:
    """Something is done with invoice `number`, and counts on `business_date`."""

    number: str
    business_date: date


@dataclass(frozen=True)
class UndeliveredReport:
    """The invoice's e-mail was given up for `reason`."""

    number: str
    business_date: date
    reason: str


@dataclass(frozen=True)
class InvoiceStanding:
    """Where the invoice stands. `open_amount` is in the invoice's currency."""

    status: str
    open_amount: Decimal
    settled: bool


@dataclass(frozen=True)
class PaymentReceived:
    """Signal: a payment for the invoice was stored. `reference` names it for the history."""

    reference: str


@activity.defn
def deliver_invoice(occasion: Occasion) -> None:
    """E-mails the invoice with its PDF, once."""
    raise NotImplementedError


@activity.defn
def record_undelivered(report: UndeliveredReport) -> None:
    """Tells the audit log that an e-mail could not be sent, for a person to see."""
    raise NotImplementedError


@activity.defn
def settle_invoice(occasion: Occasion) -> InvoiceStanding:
    """Counts the stored payments and settles the invoice once they cover it."""
    raise NotImplementedError


@activity.defn
def mark_overdue(occasion: Occasion) -> InvoiceStanding:
    """Sets `overdue` on an unpaid invoice whose due date has passed."""
    raise NotImplementedError
