"""Everything that an invoice's pages print, gathered before any page is made."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import ClassVar

from domain.invoice import TaxLine
from domain.lines import LineKind
from domain.parties import BilledCustomer, Seller


@dataclass(frozen=True)
class DocumentLine:
    """`unit_price` is None where the amount is no product, as of a proration or a discount."""

    kind: LineKind
    description: str
    quantity: Decimal
    unit_price: Decimal | None
    amount: Decimal


@dataclass(frozen=True)
class InvoiceDocument:
    """One invoice as it is printed.

    Attributes:
        period_start, period_last_day: of the month that the invoice is about, both inclusive.
        terms_days: payment terms, printed as "Net 30".
        due_on: last day for payment, inclusive.
        payment_url: the payer's link, printed as text and as a QR code.
        amounts: in `currency`, rounded to its minor unit.
    """

    title: ClassVar[str] = "Invoice"

    number: str
    currency: str
    period_start: date
    period_last_day: date
    issued_on: date
    due_on: date
    terms_days: int
    seller: Seller
    customer: BilledCustomer
    lines: tuple[DocumentLine, ...]
    tax_lines: tuple[TaxLine, ...]
    subtotal: Decimal
    total: Decimal
    payment_url: str
