"""What the tests of the payer's pages share: issued invoices, links, and the application."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine, text, update

from api.app import create_app
from api.dependencies import Services
from domain.payer_links import LinkPurpose, payer_token
from settings import Settings
from storage.cycles import open_cycle
from storage.documents import store_document
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.posting import issue_invoice
from storage.tables import invoices
from tests.builders import (
    ACTOR,
    FEBRUARY,
    ISSUED_ON,
    NOW,
    PLANS,
    Subscriber,
    plan_all,
    plan_entry,
    usage_plan_entry,
    write_billing_files,
    write_csv,
    write_json,
)
from workflows.connection import connect

SECRET = "the secret of the tests"
LAST_DAY = date(2026, 3, 15)
DOCUMENT = b"%PDF-1.7 an invoice"
TABLES = ("invoices", "audit_log", "emails", "payments", "documents", "customers")
EURO = {"currency": "EUR"}


def pay_link(number: str, version: int = 1, secret: str = SECRET) -> str:
    return f"/pay/{payer_token(secret, LinkPurpose.PAY, number, version)}"


def card_link(number: str, version: int = 1, *, last_day: date = LAST_DAY) -> str:
    token = payer_token(SECRET, LinkPurpose.CARD, number, version, expires_on=last_day)
    return f"/payment-method/{token}"


def issue_february(
    engine: Engine,
    files: Path,
    customers: Sequence[Subscriber],
    *,
    history: Sequence[dict[str, str]] = (),
) -> None:
    """Imports `customers`, priced in dollars and in euros, and issues their invoices.

    `history`: rows of invoices.csv, beside them.
    """
    write_billing_files(files, customers)
    if history:
        write_csv(files / "invoices.csv", history)
    euro = [usage_plan_entry(**EURO), plan_entry(**EURO)]
    write_json(files / "plans.json", [*PLANS, *euro])
    import_directory(engine, files, now=NOW)
    with transaction(engine) as connection:
        cycle = open_cycle(
            connection,
            FEBRUARY,
            issued_on=ISSUED_ON,
            terms_days=30,
            hold_reminders=False,
            actor=ACTOR,
        )
    assert plan_all(engine, cycle).failed == 0
    with transaction(engine) as connection:
        sha256 = store_document(connection, DOCUMENT)
        drafts = connection.execute(text("SELECT number FROM invoices WHERE status = 'draft'"))
        for (number,) in drafts.all():
            issue_invoice(connection, number, sha256, actor=ACTOR)


def change(engine: Engine, number: str, **values: Any) -> None:
    """Puts the invoice into a state, without what leads there."""
    with transaction(engine) as connection:
        connection.execute(update(invoices).where(invoices.c.number == number).values(**values))


def contents(engine: Engine) -> dict[str, str]:
    """A hash of each table that a page could change."""
    with transaction(engine) as connection:
        return {
            table: connection.execute(
                text(f"SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} t")  # noqa: S608
            ).scalar_one()
            for table in TABLES
        }


@dataclass
class Desk:
    """Stands for the workflow that opens the payment: says where it is, notes what was asked.

    `refusal`: raised instead.
    """

    checkout_url: str = "https://checkout.stripe.com/c/pay/cs_test_1"
    setup_url: str = "https://checkout.stripe.com/c/setup/cs_test_2"
    refusal: Exception | None = None
    checkouts: list[str] = field(default_factory=list)
    setups: list[str] = field(default_factory=list)
    return_url: str = ""
    cancel_url: str = ""

    async def open_checkout(
        self, app: Services, number: str, *, return_url: str, cancel_url: str
    ) -> str:
        self._note(self.checkouts, number, return_url, cancel_url)
        return self.checkout_url

    async def open_card_setup(
        self, app: Services, number: str, *, return_url: str, cancel_url: str
    ) -> str:
        self._note(self.setups, number, return_url, cancel_url)
        return self.setup_url

    def _note(self, asked: list[str], number: str, return_url: str, cancel_url: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        asked.append(number)
        self.return_url, self.cancel_url = return_url, cancel_url


def payer_app(
    engine: Engine, *, now: datetime = NOW, stripe_api_base: str | None = None
) -> FastAPI:
    """The application over `engine`; nobody answers where it looks for Temporal."""
    settings = Settings(
        secret=SecretStr(SECRET),
        public_url="http://billing.example",
        stripe_api_base=stripe_api_base,
    )

    @asynccontextmanager
    async def open_services() -> AsyncIterator[Services]:
        temporal = await connect("127.0.0.1:1", "default", lazy=True)
        yield Services(engine, temporal, settings, now=lambda: now)

    return create_app(open_services)
