"""The collection of a running stack: what payers, banks and the finance team do to it, and the
books of both sides at the end.
"""

import asyncio
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
from sqlalchemy import insert, text
from temporalio.client import Client

from api import invoice_signals
from api.dependencies import Services
from domain.card_amounts import from_stripe, to_stripe
from domain.instructions import InstructionKind
from settings import Settings
from stack.mailbox import read_mails
from stack.session import at
from storage import instructions
from storage.engine import transaction
from storage.tables import bank_matches, bank_transactions
from storage.webhooks import store_event
from tests.end_to_end.conftest import House
from workflows.connection import connect

VISA = "4242424242424242"
PERSON = "Ada"


@dataclass(frozen=True)
class Standing:
    """An invoice as PostgreSQL has it; `events` are those of the audit log, in order."""

    id: int
    number: str
    state: str
    status: str
    total: Decimal
    paid: Decimal
    credited: Decimal
    events: tuple[str, ...]
    last_day: date

    def told(self, event: str) -> bool:
        return event in self.events


@dataclass
class Collecting:
    """The house with its doors to Temporal and to the card sandbox.

    `standings`: by account number, as of the last look, which is at most a second old.
    """

    house: House
    client: Client
    app: Services
    cards: httpx.AsyncClient
    patience_seconds: float
    standings: dict[str, Standing] = field(default_factory=dict)
    _wires: Any = field(default_factory=lambda: itertools.count(1))
    _until: float = 0.0

    # --- looking

    def look(self) -> None:
        with transaction(self.house.engine) as connection:
            rows = connection.execute(_STANDINGS).all()
        self.standings = {
            row.account_number: Standing(
                row.id,
                row.number,
                row.collection_state,
                row.status,
                row.total,
                row.amount_paid,
                row.amount_credited,
                tuple(row.events),
                row.last_day,
            )
            for row in rows
            if row.collection_state is not None
        }

    async def watch(self) -> None:
        """Looks twice a second until canceled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(0.5)

    @property
    def is_patient(self) -> bool:
        return time.monotonic() < self._until

    async def until(
        self, account: str, what: str, condition: Callable[[Standing], bool]
    ) -> Standing:
        while True:
            found = self.standings.get(account)
            if found is not None and condition(found):
                return found
            if not self.is_patient:
                raise AssertionError(f"{account}: never {what}; {found}")
            await asyncio.sleep(0.2)

    def ask(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with transaction(self.house.engine) as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]

    # --- acting

    async def instruct(self, number: str, kind: InstructionKind, **details: Any) -> None:
        """What a person asks for, through the API's own code; refused ones raise Conflict."""
        await invoice_signals.instruct(
            self.app, number, kind, note="agreed by phone", person=PERSON, details=details
        )

    async def only_store_instruction(self, number: str, kind: InstructionKind) -> None:
        """Its signal is lost."""
        with transaction(self.house.engine) as connection:
            instructions.ask(connection, number, kind, note="agreed", person=PERSON)

    def store_event_untold(self, standing: Standing) -> None:
        """The webhook of a payment is stored, and its signal is lost."""
        intent = {
            "id": f"pi_elsewhere_{standing.number}",
            "object": "payment_intent",
            "amount_received": to_stripe(standing.total, "USD"),
            "currency": "usd",
            "metadata": {"invoice_number": standing.number},
        }
        event = {
            "id": f"evt_{standing.number}",
            "type": "payment_intent.succeeded",
            "created": 1_772_000_000,
            "data": {"object": intent},
        }
        with transaction(self.house.engine) as connection:
            store_event(connection, event)

    async def tell(self, number: str) -> None:
        await invoice_signals.tell_invoices(self.app, [number], "test")

    def wire(self, standing: Standing, amount: Decimal, *, reverses: int | None = None) -> int:
        """Stores a matched wire, or the reversal of one, and tells nobody; its id."""
        place = next(self._wires)
        with transaction(self.house.engine) as connection:
            wire_id: int = connection.execute(
                insert(bank_transactions)
                .values(
                    bank_reference=f"REF{place:05d}",
                    booked_on=standing.last_day,
                    amount=amount,
                    currency="USD",
                    payer_name="Payer",
                    payer_iban="",
                    remittance=standing.number,
                    status="matched",
                    match_kind="reference",
                    reversal_of=reverses,
                )
                .returning(bank_transactions.c.id)
            ).scalar_one()
            connection.execute(
                insert(bank_matches).values(
                    bank_transaction_id=wire_id, invoice_id=standing.id, amount=amount
                )
            )
        return wire_id

    async def open_page(self, number: str, *, setup: bool = False) -> str:
        """The payer presses the button, again where nothing came of it."""
        door = invoice_signals.open_card_setup if setup else invoice_signals.open_checkout
        here = self.house.addresses.api_url
        return await door(self.app, number, return_url=f"{here}/paid", cancel_url=here)

    async def pay_on(self, page: str) -> int:
        """The payer fills the page in; the status of the answer."""
        form = {"card_number": VISA, "exp": "12/34", "cvc": "123"}
        return (await self.cards.post(page, data=form)).status_code

    async def fault(self, kind: str, path: str, times: int = 1) -> None:
        order = {"kind": kind, "path": path, "times": times}
        (await self.cards.post("/_sandbox/faults", json=order)).raise_for_status()

    async def seed(self, customers: dict[str, str]) -> None:
        """Customers at the processor, each with a card, by their ids."""
        wanted = [{"id": cus, "payment_method": {"id": pm}} for cus, pm in customers.items()]
        answer = await self.cards.post("/_sandbox/seed", json={"customers": wanted})
        answer.raise_for_status()

    # --- the books of the other side

    async def requests(self) -> list[dict[str, Any]]:
        answer = await self.cards.get("/_sandbox/log")
        found: list[dict[str, Any]] = answer.json()["requests"]
        return found

    async def objects(self, path: str) -> list[dict[str, Any]]:
        """All objects of `/v1/<path>`, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            query = {"limit": 100, **({"starting_after": found[-1]["id"]} if found else {})}
            page = (await self.cards.get(f"/v1/{path}", params=query)).json()
            found += page["data"]
            if not page["has_more"]:
                return found

    async def charged(self) -> dict[str, list[dict[str, Any]]]:
        """The payments that succeeded at the processor, by invoice number."""
        found = defaultdict(list)
        for intent in await self.objects("payment_intents"):
            if intent["status"] == "succeeded":
                found[intent["metadata"]["invoice_number"]].append(intent)
        return found

    def mails(self) -> Counter[str]:
        """How often each Message-ID was received."""
        received = read_mails(self.house.addresses.mail_dir)
        return Counter(str(mail["Message-ID"]) for mail in received)

    async def differences(self) -> list[str]:
        """Where the money of the two sides does not add up; nothing is hoped for."""
        found = [
            f"{number}: {what}" for what, query in _ADDS_UP.items() for (number,) in self.ask(query)
        ]
        charged = await self.charged()
        booked: dict[str, dict[str, Decimal]] = defaultdict(dict)
        for number, provider_id, amount in self.ask(_CARD_PAYMENTS):
            booked[number][provider_id] = amount
        for number in charged.keys() | booked.keys():
            theirs = {i["id"]: from_stripe(i["amount"], "USD") for i in charged[number]}
            if theirs != booked[number]:
                found.append(f"{number}: booked {booked[number]}, charged {theirs}")
        return found


@asynccontextmanager
async def collecting(house: House, *, patience_seconds: float) -> AsyncIterator[Collecting]:
    """Opens the doors; all waiting together may last `patience_seconds`."""
    settings = at(Settings(home=house.addresses.home), house.addresses)
    client = await connect(house.addresses.temporal_address, "default")
    async with httpx.AsyncClient(
        base_url=house.addresses.stripe_api_base,
        headers={"Authorization": f"Bearer {house.addresses.stripe_api_key}"},
        trust_env=False,
        timeout=60,
    ) as cards:
        found = Collecting(
            house, client, Services(house.engine, client, settings), cards, patience_seconds
        )
        found._until = time.monotonic() + patience_seconds
        watch = asyncio.create_task(found.watch())
        try:
            yield found
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


_STANDINGS = text("""
    SELECT customers.account_number, invoices.*,
           ARRAY(SELECT event FROM audit_log
                 WHERE subject_kind = 'invoice' AND subject = invoices.number
                 ORDER BY id) AS events,
           (SELECT max(business_date) FROM audit_log
            WHERE subject_kind = 'invoice' AND subject = invoices.number) AS last_day
    FROM invoices JOIN customers ON customers.id = invoices.customer_id
""")

_CARD_PAYMENTS = """
    SELECT number, provider_id, amount FROM payments
    JOIN invoices ON invoices.id = payments.invoice_id
    WHERE method = 'card' AND payments.status IN ('succeeded', 'reversed')
      AND provider_id NOT LIKE 'pi_elsewhere%'
"""

_ADDS_UP = {
    "the receivable is not what is open": """
        SELECT number FROM invoices WHERE collection_state IS NOT NULL AND (
            SELECT coalesce(sum(amount), 0) FROM receivable_entries WHERE invoice_id = invoices.id
        ) <> CASE WHEN status IN ('issued', 'overdue')
                  THEN total - amount_paid - amount_credited ELSE 0 END
    """,
    "paid is not what payments gave it": """
        SELECT number FROM invoices WHERE collection_state IS NOT NULL AND amount_paid <> (
            SELECT coalesce(sum(allocated), 0) FROM payments WHERE invoice_id = invoices.id)
    """,
    "paid and credited exceed the total": """
        SELECT number FROM invoices
        WHERE amount_paid < 0 OR amount_paid + amount_credited > total
    """,
    "the rest of its payments is not the customer's credit": """
        SELECT number FROM invoices WHERE (
            SELECT coalesce(sum(amount - allocated - returned), 0) FROM payments
            WHERE invoice_id = invoices.id AND status IN ('succeeded', 'reversed')
        ) <> (SELECT coalesce(sum(amount), 0) FROM credit_entries
              WHERE invoice_id = invoices.id AND reason <> 'applied')
    """,
    "the credit is not the sum of its entries": """
        SELECT account_number FROM customers JOIN credit_balances
               ON credit_balances.customer_id = customers.id
        WHERE balance <> (SELECT coalesce(sum(amount), 0) FROM credit_entries
                          WHERE customer_id = customers.id)
    """,
    "a charge has no outcome": """
        SELECT number FROM payments JOIN invoices ON invoices.id = payments.invoice_id
        WHERE payments.status = 'pending'
    """,
    "an event waits": """
        SELECT number FROM webhook_events JOIN invoices ON invoices.id = invoice_id
        WHERE applied_at IS NULL
    """,
    "a wire waits": """
        SELECT number FROM bank_matches JOIN invoices ON invoices.id = invoice_id
        WHERE booked_at IS NULL
    """,
    "an instruction waits": """
        SELECT number FROM instructions JOIN invoices ON invoices.id = invoice_id
        WHERE decided_at IS NULL
    """,
    "a refund was not made": """
        SELECT number FROM refunds JOIN payments ON payments.id = payment_id
               JOIN invoices ON invoices.id = payments.invoice_id
        WHERE refunds.provider_id IS NULL
    """,
    "a credit note has no document": """
        SELECT invoices.number FROM credit_notes
        JOIN invoices ON invoices.id = credit_notes.invoice_id
        WHERE credit_notes.pdf_sha256 IS NULL
    """,
    "it is paid, and something is open, or the reverse": """
        SELECT number FROM invoices
        WHERE collection_state = 'paid' AND amount_paid + amount_credited <> total
           OR collection_state IN ('issued', 'payment_attempted', 'retry_scheduled',
                                   'reminder_sent', 'urgent_notice', 'manual_review')
              AND amount_paid + amount_credited >= total
    """,
}
"""Queries that find nothing while the books are right."""
