"""A month in collection: invoices paid by card, refused by the bank, and waiting for a wire."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.invoices import InvoiceFilter, list_invoices
from tests.activities.mail_server import MailServer
from tests.api.cards import CardSandbox
from tests.api.conftest import INVOICES, Product, until, working
from tests.builders import NOW, Subscriber, write_billing_files, write_json

AT_ONCE = {"code": "at-once", "steps": [{"after_days": 0, "notice": "review_notice"}]}
"""A policy that hands an unpaid invoice to a person on the first day."""
KINDS = {"refused": 14, "wired": 24, "paid": 8}
TOTAL = "23.80"  # 30,000 calls are 20.00, and 19 %


@dataclass
class Month:
    """The application with its worker and its issued invoices, for tests that take their own.

    `refused`: the card was declined and the case is in manual review. `wired`: open, to be paid by
    bank transfer. `paid`: by card.
    """

    product: Product
    mailbox: MailServer
    numbers: dict[str, Iterator[str]] = field(default_factory=dict)

    def take(self, kind: str) -> str:
        """The number of an invoice that no other test has."""
        return next(self.numbers[kind])

    async def ask(self, number: str, what: str, **body: Any) -> httpx.Response:
        """Posts an instruction."""
        return await self.product.http.post(f"{INVOICES}/{number}/{what}", json=body)

    async def done(self, number: str, what: str, **body: Any) -> dict[str, Any]:
        """The answer to an instruction that is carried out."""
        answer = await self.ask(number, what, **body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert found["instruction"]["outcome"] == "done"
        return found

    async def get(self, number: str, part: str = "") -> Any:
        return await self.product.get(f"{INVOICES}/{number}{part}")


def _subscriber(kind: str, place: int, sandbox: CardSandbox) -> Subscriber:
    account = f"{1 + list(KINDS).index(kind)}{place:03d}"
    columns = {"dunning_policy": ""}
    if kind != "wired":
        card = "pm_card_chargeCustomerFail" if kind == "refused" else "pm_card_visa"
        columns = sandbox.seed(f"cus_{account}", card) | columns
    if kind == "refused":
        columns["dunning_policy"] = "at-once"
    return Subscriber(account, 30_000, columns=columns)


@asynccontextmanager
async def collecting(
    product: Product, mailbox: MailServer, sandbox: CardSandbox, files: Path
) -> AsyncIterator[Month]:
    """Imports the customers, bills them, and waits until their cards were tried."""
    customers = [
        _subscriber(kind, place, sandbox) for kind, count in KINDS.items() for place in range(count)
    ]
    write_billing_files(files, customers)
    write_json(files / "dunning_policies.json", [AT_ONCE])
    import_directory(product.engine, files, now=NOW)
    async with working(product, mailbox):
        cycle = await product.bill()
        assert cycle["issued"] == len(customers)
        await until(lambda: _is_collected(product))
        yield Month(product, mailbox, _by_kind(product))


def _is_collected(product: Product) -> bool:
    with transaction(product.engine) as connection:
        found = list_invoices(connection, InvoiceFilter(), after=None, limit=500)
    states = [invoice.collection_state for invoice in found]
    return all(
        states.count(state) == KINDS[kind]
        for kind, state in (("refused", "manual_review"), ("paid", "paid"))
    )


def _by_kind(product: Product) -> dict[str, Iterator[str]]:
    with transaction(product.engine) as connection:
        found = list_invoices(connection, InvoiceFilter(), after=None, limit=500)
    numbers: dict[str, list[str]] = defaultdict(list)
    for invoice in found:
        assert invoice.number
        numbers[list(KINDS)[int(invoice.account_number[0]) - 1]].append(invoice.number)
    return {kind: iter(sorted(found)) for kind, found in numbers.items()}
