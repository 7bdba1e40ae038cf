"""Payments and the open invoices that they are matched against."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from domain.open_invoices import IncomingPayment, OpenInvoice, OpenInvoices, SettledInvoice
from storage.banking.likeness import name_likeness


def open_invoice(number: str = "INV-2026-02-0047", **changes: Any) -> OpenInvoice:
    """312.91 EUR of account 1047, Brandt & Söhne GmbH, due at the end of March."""
    invoice = OpenInvoice(
        number, "1047", "Brandt & Söhne GmbH", "EUR", Decimal("312.91"), date(2026, 3, 31)
    )
    return replace(invoice, **changes)


def paid_invoice(number: str = "INV-2026-01-0048", **changes: Any) -> SettledInvoice:
    return replace(SettledInvoice(number, "1048", "Nordlicht Energie AG", "paid"), **changes)


def wire(remittance: str = "INV-2026-02-0047", **changes: Any) -> IncomingPayment:
    """312.91 EUR of nobody in particular."""
    payment = IncomingPayment(Decimal("312.91"), "EUR", "", "", remittance)
    if "amount" in changes:
        changes["amount"] = Decimal(changes["amount"])
    return replace(payment, **changes)


def book(*invoices: OpenInvoice, settled: Iterable[SettledInvoice] = ()) -> OpenInvoices:
    """Open invoices, compared by name as the product does."""
    return OpenInvoices(invoices, settled=settled, likeness=name_likeness)


def owed(rows: Sequence[tuple[str, str, str, str, str]]) -> list[OpenInvoice]:
    """Rows of number, account, name, currency and amount; January's are due first."""
    return [
        OpenInvoice(number, account, name, currency, Decimal(amount), _due(number))
        for number, account, name, currency, amount in rows
    ]


def _due(number: str) -> date:
    return date(2026, int(number[9:11]) + 1, 28)
