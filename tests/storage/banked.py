"""Issued invoices and the statements that pay them."""

from datetime import date
from pathlib import Path

from sqlalchemy import Engine, select

from storage.banking import StatementStored, list_transactions, store_statement
from storage.banking.transactions import BankTransaction
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.importing.statements import read_statement
from storage.tables import audit_log, bank_matches, bank_transactions, invoices
from tests.builders import (
    NOW,
    SELLER,
    csv_text,
    customer_row,
    invoice_row,
    write_csv,
    write_json,
)

UPLOADED_ON = date(2026, 3, 5)
CLERK = "clerk"

INVOICES = (
    ("INV-2026-01-0047", "1047", "EUR", "312.91", "issued"),
    ("INV-2026-01-0048", "1048", "EUR", "99.00", "issued"),
    ("INV-2026-01-0049", "1049", "USD", "50.00", "overdue"),
    ("INV-2026-01-0050", "1050", "EUR", "20.00", "paid"),
    ("INV-2026-01-0051", "1051", "EUR", "0.00", "void"),
)
"""Number, account, currency, total, status."""
NAMES = {"1047": "Brandt & Söhne GmbH", "1048": "Nordlicht Energie AG", "1049": "Fjordtech AS"}


def seed_invoices(engine: Engine, directory: Path) -> None:
    """Imports `INVOICES`, brought along from an older system."""
    directory.mkdir()
    write_json(directory / "seller.json", SELLER)
    write_csv(
        directory / "customers.csv",
        [
            customer_row(account, currency=currency, name=NAMES.get(account, f"Kunde {account}"))
            for _, account, currency, _, _ in INVOICES
        ],
    )
    write_csv(
        directory / "invoices.csv",
        [
            invoice_row(
                number,
                account_number=account,
                currency=currency,
                usage=total,
                subscriptions="0",
                proration="0",
                tax="0",
                total=total,
                amount_paid=total if status == "paid" else "0",
                status=status,
            )
            for number, account, currency, total, status in INVOICES
        ],
    )
    import_directory(engine, directory, now=NOW)


def row(reference: str = "W-1", **changes: str) -> dict[str, str]:
    """312.91 EUR of Brandt & Söhne for their invoice."""
    return {
        "bank_reference": reference,
        "booked_on": "2026-03-05",
        "amount": "312.91",
        "currency": "EUR",
        "payer_name": "Brandt & Söhne GmbH",
        "payer_iban": "DE02120300000000202051",
        "remittance": "INV-2026-01-0047",
        "end_to_end_id": "",
        "reverses": "",
        **changes,
    }


def upload(engine: Engine, *rows: dict[str, str], content: bytes | None = None) -> StatementStored:
    """Uploads `rows` as CSV, or `content` as it is, in a transaction of its own."""
    sent = csv_text(rows).encode() if content is None else content
    with transaction(engine) as connection:
        return store_statement(
            connection,
            read_statement(sent),
            sent,
            uploaded_by=CLERK,
            business_date=UPLOADED_ON,
        )


def wires(engine: Engine) -> dict[str, BankTransaction]:
    """All transactions by their reference."""
    with transaction(engine) as connection:
        return {wire.bank_reference: wire for wire in list_transactions(connection)}


def matches(engine: Engine) -> dict[tuple[str, str], str]:
    """What is matched and not booked: amounts by bank reference and invoice."""
    with transaction(engine) as connection:
        rows = connection.execute(
            select(bank_transactions.c.bank_reference, invoices.c.number, bank_matches.c.amount)
            .join(bank_matches, bank_matches.c.bank_transaction_id == bank_transactions.c.id)
            .join(invoices, invoices.c.id == bank_matches.c.invoice_id)
            .where(bank_matches.c.booked_at.is_(None))
        )
        return {(found.bank_reference, found.number): str(found.amount) for found in rows}


def audited(engine: Engine, subject: str) -> list[tuple[str, str, str | None, str]]:
    """Actor, event, state and reason of what the audit log has of one transaction."""
    with transaction(engine) as connection:
        rows = connection.execute(
            select(audit_log)
            .where(audit_log.c.subject_kind == "bank_transaction", audit_log.c.subject == subject)
            .order_by(audit_log.c.id)
        )
        return [(found.actor, found.event, found.to_state, found.reason) for found in rows]
