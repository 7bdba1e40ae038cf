"""Everything that a credit note's pages print, and its words.

A credit note speaks of its parties, its tax and its totals as the invoice that it corrects does:
those texts are made by the invoice's own rules.
"""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

from activities.formatting import format_amount, format_day
from activities.invoice_document import InvoiceDocument
from activities.invoice_text import printed_invoice
from domain.crediting import CreditNoteDraft, RefundTo
from domain.parties import Seller


@dataclass(frozen=True)
class CreditNoteDocument:
    """One credit note as it is printed.

    Attributes:
        credited_on: its business date.
        invoice: the invoice that it corrects, as that was issued.
        credit: what it takes back, in the invoice's currency.
        returned: what of the total was paid already and goes to `refund_to`; the rest reduces what
            is open. Zero with `RefundTo.NOWHERE`, and only then.
        voids: it cancels the invoice.
    """

    title: ClassVar[str] = "Credit note"

    number: str
    credited_on: date
    invoice: InvoiceDocument
    reason: str
    credit: CreditNoteDraft
    returned: Decimal = Decimal(0)
    refund_to: RefundTo = RefundTo.NOWHERE
    voids: bool = False

    @property
    def seller(self) -> Seller:
        return self.invoice.seller


def printed_credit_note(document: CreditNoteDocument) -> dict[str, Any]:
    """Every text of the page, by the name that the template gives it."""
    invoice, credit = document.invoice, document.credit
    credited = replace(
        invoice,
        lines=(),
        tax_lines=credit.tax_lines,
        subtotal=credit.subtotal,
        total=credit.total,
    )
    as_invoiced = printed_invoice(credited)
    facts = [
        ("Credit note number", document.number),
        ("Date", format_day(document.credited_on)),
        ("Corrects invoice", invoice.number),
        ("Invoice date", format_day(invoice.issued_on)),
        ("PO number", invoice.customer.po_number),
    ]
    return {
        **as_invoiced,
        "number": document.number,
        "created": document.credited_on.isoformat(),
        "footer": f"{invoice.seller.name}  ·  Tax registration number {invoice.seller.tax_number}"
        f"  ·  Corrects {invoice.number}",
        "facts": [(label, value) for label, value in facts if value],
        "headline": f"{as_invoiced['total']} credited",
        "reason": document.reason.strip(),
        "lines": [
            (line.position, line.description, format_amount(line.amount, credit.currency))
            for line in credit.lines
        ],
        "outcome": _outcome(document),
    }


def _outcome(document: CreditNoteDocument) -> str:
    """What happens with the money: what is no longer owed, and what goes back."""
    number = document.invoice.number

    def money(amount: Decimal) -> str:
        currency = document.credit.currency
        return f"{currency} {format_amount(amount, currency)}"

    reduced = document.credit.total - document.returned
    sentences = []
    if reduced > 0:
        sentences.append(f"{money(reduced)} is taken off what was still to be paid on {number}.")
    match document.refund_to:
        case RefundTo.CARD:
            sentences.append(
                f"{money(document.returned)} is refunded to the card that paid {number}; it can "
                "take ten business days to appear on the card's statement."
            )
        case RefundTo.CREDIT:
            sentences.append(
                f"{money(document.returned)} is kept as your credit and taken off your next "
                "invoice."
            )
        case RefundTo.NOWHERE:
            pass
    if document.voids:
        sentences.append(f"Invoice {number} is cancelled; nothing is left to pay on it.")
    return " ".join(sentences)
