"""The words and figures of an invoice, as its page prints them: formatted, in English."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

from babel import Locale

from activities.formatting import format_amount, format_day, format_exact
from activities.invoice_document import DocumentLine, InvoiceDocument
from domain.invoice import TaxLine, nothing_to_pay
from domain.money import minor_digits
from domain.parties import BilledCustomer, PaymentMethod, PostalAddress, Seller
from domain.tax import EU_MEMBER_STATES, TaxRule

_STATE_BEFORE_POSTAL_CODE = frozenset(["AU", "CA", "US"])


def printed_invoice(document: InvoiceDocument) -> dict[str, Any]:
    """Every text of the page, by the name that the template gives it."""

    def amount(value: Decimal) -> str:
        return format_amount(value, document.currency)

    seller, customer = document.seller, document.customer
    total = f"{document.currency} {amount(document.total)}"
    to_pay = not nothing_to_pay(document.total)
    due_on = format_day(document.due_on)
    facts = [
        ("Invoice number", document.number),
        ("Date of issue", format_day(document.issued_on)),
        ("Due date", due_on),
        ("Billing period", _span(document.period_start, document.period_last_day)),
        ("PO number", customer.po_number),
    ]
    return {
        "number": document.number,
        "created": document.issued_on.isoformat(),
        "footer": f"{seller.name}  ·  Tax registration number {seller.tax_number}  ·  "
        f"Net {document.terms_days}",
        "facts": [(label, value) for label, value in facts if value],
        "customer": customer.name,
        "customer_address": _address(customer.address),
        "customer_details": _customer_details(customer),
        "seller": seller.name,
        "seller_address": _address(seller.address),
        "seller_details": _seller_details(seller),
        "headline": f"{total} due {due_on}" if to_pay else f"{total}, nothing to pay",
        "currency": document.currency,
        "lines": [_line(line, document.currency) for line in document.lines],
        "subtotal": amount(document.subtotal),
        "taxes": [
            (_tax_label(tax), f"on {amount(tax.taxable)}", amount(tax.amount))
            for tax in document.tax_lines
        ],
        "total": total,
        "notes": [note for tax in document.tax_lines if (note := _tax_note(tax, document))],
        "payment": _payment(document, total, due_on) if to_pay else None,
        "settled": f"This invoice comes to {total}. No payment is needed."
        + (" What is below zero is your credit, for your next invoices." * (document.total < 0)),
    }


def _line(line: DocumentLine, currency: str) -> tuple[str, str, str, str]:
    unit_price = "–" if line.unit_price is None else _unit_price(line.unit_price, currency)
    return (
        line.description,
        format_exact(line.quantity),
        unit_price,
        format_amount(line.amount, currency),
    )


def _payment(document: InvoiceDocument, total: str, due_on: str) -> dict[str, Any]:
    seller = document.seller
    if document.customer.payment_method is PaymentMethod.CARD:
        lead = (
            f"We charge {total} to your card on file. To pay another way, pay online "
            f"or by bank transfer to {seller.name}."
        )
    else:
        lead = f"Please pay {total} by {due_on}, online or by bank transfer to {seller.name}."
    # The bank's name comes last: it alone may need a second line, and labels stand beside lines.
    bank = [
        ("IBAN", " ".join(re.findall(".{1,4}", seller.iban.replace(" ", "")))),
        ("BIC", seller.bic),
        ("Reference", document.number),
        ("Bank", seller.bank_name),
    ]
    bank = [(label, value) for label, value in bank if value]
    return {
        "lead": lead,
        "labels": "\n".join(label for label, _ in bank),
        "details": "\n".join(value for _, value in bank),
        "url": document.payment_url,
    }


def _tax_label(tax: TaxLine) -> str:
    name, rate = tax.treatment.name, f"{format_exact(tax.treatment.rate_percent)}%"
    without_rate = tax.treatment.rule in (TaxRule.EXEMPT, TaxRule.OUTSIDE_SCOPE)
    return name if without_rate or rate in name else f"{name} {rate}"


def _tax_note(tax: TaxLine, document: InvoiceDocument) -> str:
    """The sentence that the rule requires; empty where name and rate say it all."""
    match tax.treatment.rule:
        case TaxRule.REVERSE_CHARGE:
            return (
                "Reverse charge: VAT to be accounted for by the recipient "
                "(Art. 196 Directive 2006/112/EC)."
            )
        case TaxRule.EXEMPT:
            return "Exempt: no tax is charged because the recipient is exempt from it."
        case TaxRule.OUTSIDE_SCOPE:
            source = " (Art. 44 Directive 2006/112/EC)"
            return (
                "Outside the scope of tax: the service is supplied where the recipient is "
                f"established{source if _in_eu(document.seller.address) else ''}."
            )
        case TaxRule.EU_DESTINATION:
            country = _country(document.customer.address.country)
            return f"VAT is charged at the rate of the recipient's country, {country}."
        case TaxRule.DOMESTIC | TaxRule.LISTED:
            return ""


def _customer_details(customer: BilledCustomer) -> str:
    tax_label = "VAT ID" if _in_eu(customer.address) else "Tax ID"
    details = [f"Customer account {customer.account_number}"]
    if customer.tax_id:
        details.append(f"{tax_label} {customer.tax_id}")
    return "\n".join([*customer.billing_emails, *details])


def _seller_details(seller: Seller) -> str:
    tax_label = "VAT ID" if _in_eu(seller.address) else "Tax ID"
    contact = [seller.email, seller.phone, seller.website]
    details = [*contact, f"{tax_label} {seller.tax_number}", seller.registration]
    return "\n".join(detail for detail in details if detail)


def _address(address: PostalAddress) -> str:
    """The address as its country writes it, one line each."""
    if address.country in _STATE_BEFORE_POSTAL_CODE:
        place = f"{address.city} {address.region} {address.postal_code}"
    elif address.country == "GB":
        place = f"{address.city}\n{address.postal_code}"
    else:
        place = f"{address.postal_code} {address.city}\n{address.region}"
    lines = [address.line1, *place.split("\n"), _country(address.country)]
    return "\n".join(line.strip() for line in lines if line.strip())


def _country(code: str) -> str:
    return _country_names().get(code, code)


def _in_eu(address: PostalAddress) -> bool:
    return address.country in EU_MEMBER_STATES


def _unit_price(price: Decimal, currency: str) -> str:
    """Exact, with at least the currency's digits: 99.00, 0.0005."""
    return format_exact(price, minor_digits(currency))


def _span(first: date, last: date) -> str:
    """1–28 February 2026; both days inclusive."""
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{format_day(last)}"
    return f"{format_day(first)} – {format_day(last)}"


@cache
def _country_names() -> Mapping[str, str]:
    names: Mapping[str, str] = Locale("en").territories
    return names
