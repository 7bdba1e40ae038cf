"""February planned, for the activities to issue and to deliver."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from activities.credit_document import CreditNoteDocument
from activities.credit_notes import CreditNoteActivities
from activities.invoice_document import InvoiceDocument
from activities.issuing import IssuingActivities
from activities.payer_links import PayerLinks
from domain.crediting import RefundTo
from storage import cycles
from storage.collection import LockedInvoice
from storage.crediting import CreditRequest, credit_invoice
from storage.engine import transaction
from storage.importing.directory import import_directory
from tests.builders import (
    ACTOR,
    FEBRUARY,
    ISSUED_ON,
    NOW,
    SELLER,
    Subscriber,
    plan_all,
    write_billing_files,
    write_json,
)
from workflows.contracts.customer import PostOrder, RenderOrder
from workflows.contracts.lifecycle import CreditNoteOrder

FIRST = "INV-2026-02-0001"
LINKS = PayerLinks("https://pay.example/", "the secret of the tests")


def printed(document: InvoiceDocument | CreditNoteDocument) -> bytes:
    """Stands for the PDF where its pages do not matter."""
    return b"%PDF " + repr(document).encode()


@dataclass
class Books:
    """A database with a plan, and a look into its tables."""

    engine: Engine
    issuing: IssuingActivities

    def issue(self, number: str = FIRST) -> str:
        """Renders and posts; the document's hash."""
        rendered = self.issuing.render_invoice(RenderOrder(number))
        self.issuing.post_invoice(PostOrder(number, rendered.pdf_sha256, ACTOR))
        return rendered.pdf_sha256

    def credit(
        self, amount: str | None = None, *, number: str = FIRST, to_card: bool = False
    ) -> str:
        """Credits `amount`, or everything; the credit note's number."""
        refund_to = RefundTo.CARD if to_card else RefundTo.CREDIT
        with transaction(self.engine) as connection:
            return credit_invoice(
                LockedInvoice(connection, number, business_date=ISSUED_ON, actor=ACTOR),
                CreditRequest("agreed", refund_to, Decimal(amount) if amount else None),
            )

    def render_credit(self, credit_note: str, number: str = FIRST) -> None:
        """Makes the credit note's document."""
        notes = CreditNoteActivities(self.engine, render=printed, issuing=self.issuing)
        notes.render_credit_note(CreditNoteOrder(number, credit_note, ISSUED_ON))

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with transaction(self.engine) as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def told(self, number: str = FIRST) -> list[str]:
        """The events of an invoice in the audit log."""
        rows = self.ask(f"SELECT event FROM audit_log WHERE subject = '{number}' ORDER BY id")  # noqa: S608
        return [row[0] for row in rows]


Plan = Callable[..., Books]


@pytest.fixture
def plan(engine: Engine, tmp_path: Path) -> Plan:
    """Imports customers, the seller with `seller`'s changes, and plans February."""

    def plan(*customers: Subscriber, **seller: str) -> Books:
        files = tmp_path / "files"
        write_billing_files(files, customers or (Subscriber(),))
        if seller:
            write_json(files / "seller.json", {**SELLER, **seller})
        import_directory(engine, files, now=NOW)
        with transaction(engine) as connection:
            cycle = cycles.open_cycle(
                connection,
                FEBRUARY,
                issued_on=ISSUED_ON,
                terms_days=30,
                hold_reminders=False,
                actor=ACTOR,
            )
        plan_all(engine, cycle)
        return Books(engine, IssuingActivities(engine, render=printed, links=LINKS))

    return plan
