"""The two sides of an invoice, as they are printed on it and kept with it."""

from dataclasses import dataclass
from enum import StrEnum

from domain.tax import TaxSubject


class PaymentMethod(StrEnum):
    CARD = "card"
    BANK_TRANSFER = "bank_transfer"


@dataclass(frozen=True)
class PostalAddress:
    """`country` is ISO 3166-1 alpha-2; `region` a state or province code, or empty."""

    line1: str
    postal_code: str
    city: str
    region: str
    country: str


@dataclass(frozen=True)
class Seller:
    """Who issues the invoice. Versioned: an invoice keeps the version it was issued with.

    Attributes:
        tax_number: VAT id or tax registration number, printed on every page.
        registration: the commercial register's entry, or empty.
        logo_svg: the logo as an SVG document without external references; empty for none.
    """

    name: str
    address: PostalAddress
    email: str
    phone: str
    website: str
    tax_number: str
    registration: str
    bank_name: str
    iban: str
    bic: str
    logo_svg: str = ""


@dataclass(frozen=True)
class BilledCustomer:
    """The customer as the invoice shows it, kept with the invoice when it is drafted."""

    account_number: str
    name: str
    address: PostalAddress
    billing_emails: tuple[str, ...]
    tax_id: str
    tax_id_valid: bool
    tax_exempt: bool
    currency: str
    segment: str
    payment_method: PaymentMethod
    po_number: str = ""

    @property
    def tax_subject(self) -> TaxSubject:
        return TaxSubject(
            self.address.country, self.address.region, self.tax_id_valid, self.tax_exempt
        )
