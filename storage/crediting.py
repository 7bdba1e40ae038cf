"""Credit notes and voids booked: what they take off an invoice, and where paid money goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from domain.apportioning import implied_rate
from domain.crediting import (
    CreditableInvoice,
    CreditNoteDraft,
    InvoicedLine,
    RefundTo,
    credit_amount,
    credit_in_full,
    credit_lines,
    split_credit,
)
from domain.dunning import Event
from domain.errors import Conflict, InvalidValue
from domain.invoice import TaxLine
from domain.tax import TaxRule, TaxTreatment
from storage.allocation import add_credit, credit_of, release_payment
from storage.collection import LockedInvoice
from storage.credit_notes import credited_so_far, write_credit_note
from storage.invoices import load_invoice, load_lines
from storage.late.reopening import reopen_months_of_invoice
from storage.refunds import owe_refund


@dataclass(frozen=True)
class CreditRequest:
    """What is to be credited: an `amount` with its tax, some `lines` (net, None for what is left
    of one), or everything where neither is given. `refund_to`: where paid money goes.
    """

    reason: str
    refund_to: RefundTo
    amount: Decimal | None = None
    lines: Mapping[int, Decimal | None] = field(default_factory=dict)


def credit_invoice(locked: LockedInvoice, request: CreditRequest) -> str:
    """Issues a credit note and books it; its number.

    First it reduces what is open. What was paid goes to the card that paid it, or becomes credit.
    Raises Conflict for a void invoice, and what `domain.crediting` refuses.
    """
    if not request.reason.strip():
        raise InvalidValue("A credit note needs its reason; the customer reads it.")
    if request.amount is not None and request.lines:
        raise InvalidValue("Credit an amount or lines, not both.")
    number = _book(locked, _draft(locked, request), request, voids=False)
    locked.move(Event.CREDITED, request.reason, credit_note=number)
    if locked.uncovered == 0 and not locked.state.is_end:
        locked.move(Event.SETTLED, f"by {number}")
    return number


def void_invoice(locked: LockedInvoice, *, reason: str) -> str:
    """Takes the invoice back as a whole, by a credit note over what is left of it.

    Its number, or nothing where nothing was left to credit. What was paid becomes the customer's
    credit, so that the invoice that is issued anew uses it. Raises Conflict for one below zero
    whose credit other invoices used by now.
    """
    if not reason.strip():
        raise InvalidValue("A void needs its reason; the customer reads it.")
    left = locked.total - locked.amount_credited
    number = ""
    if left > 0:
        request = CreditRequest(reason, RefundTo.CREDIT)
        number = _book(locked, _draft(locked, request), request, voids=True)
    if locked.total < 0:
        _take_credit_back(locked)
    locked.move(Event.VOIDED, reason, credit_note=number)
    locked.change(on_hold=False)
    reopen_months_of_invoice(locked.connection, locked.row.id, person=locked.actor)
    return number


def _take_credit_back(locked: LockedInvoice) -> None:
    """What an invoice below zero had given as credit."""
    customer_id, currency = locked.row.customer_id, locked.currency
    left = credit_of(locked.connection, customer_id, currency, for_update=True)
    if left < -locked.total:
        raise Conflict(
            f"{locked.number} gave {-locked.total:f} {currency} of credit, of which {left:f} is "
            "left; void the invoices that used it first, or correct what it is about: the next "
            "cycle bills the difference."
        )
    add_credit(locked, locked.total, reason="void", key=f"{locked.number}/below-zero/void")


def _draft(locked: LockedInvoice, request: CreditRequest) -> CreditNoteDraft:
    invoice = _creditable(locked)
    earlier = credited_so_far(locked.connection, locked.row.id)
    if request.lines:
        return credit_lines(invoice, earlier, request.lines)
    if request.amount is not None:
        return credit_amount(invoice, earlier, request.amount)
    return credit_in_full(invoice, earlier)


def _creditable(locked: LockedInvoice) -> CreditableInvoice:
    """The invoice as it was issued. One of an older system has no lines here: it is one line, at
    the rate that its tax comes to.
    """
    invoice = load_invoice(locked.connection, locked.number)
    lines = tuple(
        InvoicedLine(line.position, line.description, line.amount)
        for line in load_lines(locked.connection, invoice.id)
    )
    tax_lines = invoice.tax_lines
    if not lines:
        rate = implied_rate(invoice.subtotal, invoice.tax, invoice.currency)
        treatment = TaxTreatment(TaxRule.LISTED, rate, "Tax as invoiced")
        lines = (InvoicedLine(1, f"Invoice {locked.number}", invoice.subtotal),)
        tax_lines = (TaxLine(treatment, invoice.subtotal, invoice.tax),)
    return CreditableInvoice(locked.number, locked.currency, lines, tax_lines)


def _book(
    locked: LockedInvoice, draft: CreditNoteDraft, request: CreditRequest, *, voids: bool
) -> str:
    settlement = split_credit(draft.total, open_amount=locked.uncovered, paid=locked.amount_paid)
    returned = settlement.to_return
    refund_to = request.refund_to if returned > 0 else RefundTo.NOWHERE
    note = write_credit_note(
        locked.connection,
        locked.row.id,
        draft,
        reason=request.reason,
        refund_to=refund_to,
        returned_amount=returned,
        voids=voids,
        business_date=locked.business_date,
        by=locked.actor,
    )
    if returned > 0:
        _return(locked, returned, refund_to, note.number)
    locked.change(amount_credited=locked.amount_credited + draft.total)
    return note.number


def _return(locked: LockedInvoice, amount: Decimal, to: RefundTo, credit_note: str) -> None:
    parts = release_payment(locked, amount, of_card_first=to is RefundTo.CARD)
    by_card = sum((part for row, part in parts if row.method == "card"), Decimal(0))
    if to is RefundTo.CARD and by_card < amount:
        raise Conflict(
            f"Only {by_card:f} of the {amount:f} {locked.currency} that {locked.number} gives back "
            "was paid by card; refund at most that to the card, or keep it as credit."
        )
    for payment, part in parts:
        if to is RefundTo.CARD:
            owe_refund(locked, payment, part, credit_note=credit_note)
        else:
            add_credit(locked, part, reason="credit_note", key=f"{credit_note}/credit/{payment.id}")
