"""A wire, our charge, the payer's page and the webhooks, for one invoice and in every order."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from domain.card_amounts import from_stripe
from stack.card_sandbox.webhooks import signature
from storage.importing.directory import import_directory
from tests.builders import Subscriber, write_billing_files
from tests.end_to_end.collecting import Collecting, collecting
from tests.end_to_end.conftest import ORDER, House, open_house

PATIENCE_SECONDS = 300
GAPS = (0.0, 0.1, 0.6)
"""Seconds between one and the next; nobody waits for the one before to be over."""
TOGETHER = 12  # invoices at once


@dataclass(frozen=True)
class Race:
    """One invoice, everything that pays it in this order."""

    account: str
    order: tuple[str, ...]
    gap: float
    page: str = ""


def races() -> list[Race]:
    orders = list(permutations(("wire", "charge", "page", "webhooks")))
    pairs = [(order, gap) for gap in GAPS for order in orders]
    return [Race(str(1001 + n), *pair) for n, pair in enumerate(pairs)]


class Track:
    """What pays, each for itself."""

    def __init__(self, collecting: Collecting) -> None:
        self._collecting = collecting
        self._secret = collecting.house.addresses.stripe_webhook_secret
        self.acts: dict[str, Callable[[Race], Coroutine[Any, Any, None]]] = {
            "wire": self.wire,
            "charge": self.charge,
            "page": self.page,
            "webhooks": self.webhooks,
        }

    async def run(self, race: Race) -> None:
        async with asyncio.TaskGroup() as running:
            for act in race.order:
                running.create_task(self.acts[act](race))
                await asyncio.sleep(race.gap)

    async def wire(self, race: Race) -> None:
        standing = self._collecting.standings[race.account]
        await asyncio.to_thread(self._collecting.wire, standing, standing.total)
        await self._collecting.tell(standing.number)

    async def charge(self, race: Race) -> None:
        """The customer's new card is known, and the invoice is charged by itself."""
        await asyncio.to_thread(
            self._collecting.ask,
            "UPDATE customers SET stripe_customer_id = :customer,"
            " stripe_payment_method_id = :card WHERE account_number = :account RETURNING 1",
            customer=f"cus_{race.account}",
            card=f"pm_card_visa_{race.account}",
            account=race.account,
        )
        await self._collecting.tell(self._collecting.standings[race.account].number)

    async def page(self, race: Race) -> None:
        assert await self._collecting.pay_on(race.page) in (303, 410)

    async def webhooks(self, race: Race) -> None:
        """All that the processor has to tell of the invoice by now."""
        number = self._collecting.standings[race.account].number
        recent = (await self._collecting.cards.get("/v1/events", params={"limit": 100})).json()
        for event in recent["data"]:
            if _number_of(event) == number:
                await self._deliver(event)

    async def _deliver(self, event: dict[str, Any]) -> None:
        body = json.dumps(event)
        stamp = int(time.time())
        answer = await self._collecting.cards.post(
            f"{self._collecting.house.addresses.api_url}/webhooks/stripe",
            content=body,
            headers={"Stripe-Signature": signature(self._secret, stamp, body)},
        )
        assert answer.status_code == 200


def _number_of(event: dict[str, Any]) -> str | None:
    number: str | None = (event["data"]["object"].get("metadata") or {}).get("invoice_number")
    return number


@pytest.fixture
def _quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLWRIGHT_SWEEP_SECONDS", "10")


@pytest.mark.usefixtures("_quick_sweep")
async def test_in_whatever_order_it_is_paid_once_and_the_rest_is_credit(tmp_path: Path) -> None:
    with open_house(tmp_path / "home") as house:
        async with collecting(house, patience_seconds=PATIENCE_SECONDS) as opened:
            prepared = await _prepare(house, opened, races(), tmp_path / "files")
            track, lanes = Track(opened), asyncio.Semaphore(TOGETHER)

            async def run(race: Race) -> None:
                async with lanes:
                    await track.run(race)

            await asyncio.gather(*(run(race) for race in prepared))
            await _deliver_the_rest(opened)
            for race in prepared:
                await opened.until(race.account, "paid", lambda s: s.told("receipt_email_sent"))
            await _nothing_waits(opened)
            problems = [*await _problems(opened, prepared), *await opened.differences()]
    print(f"\n{len(prepared)} races: 24 orders, {len(GAPS)} gaps")
    assert not problems, "\n".join(problems)


async def _prepare(house: House, opened: Collecting, wanted: list[Race], files: Path) -> list[Race]:
    """Each invoice issued, not yet charged since no card is known, its page open before the
    payer; the processor's own webhooks wait.
    """
    by_card = {"payment_method": "card"}
    write_billing_files(files, [Subscriber(race.account, columns=by_card) for race in wanted])
    import_directory(house.engine, files, now=datetime.now(UTC))
    await opened.seed({f"cus_{r.account}": f"pm_card_visa_{r.account}" for r in wanted})
    await opened.cards.post("/_sandbox/webhooks", json={"hold": True})
    assert house.http.post("/api/billing/cycles", json=ORDER).status_code == 202

    async def ready(race: Race) -> Race:
        standing = await opened.until(
            race.account, "told", lambda s: s.told("update_payment_method_email_sent")
        )
        page = await opened.open_page(standing.number)
        return Race(race.account, race.order, race.gap, page)

    return list(await asyncio.gather(*(ready(race) for race in wanted)))


async def _deliver_the_rest(opened: Collecting) -> None:
    """Every webhook arrives, the latest first and each twice."""
    order = {"hold": False, "reorder": True, "duplicate": 1, "deliver": True}
    while True:
        answer = await opened.cards.post("/_sandbox/webhooks", json=order)
        if not answer.json()["deliveries"]["waiting"]:
            return
        await asyncio.sleep(0.5)


async def _nothing_waits(opened: Collecting) -> None:
    """Until nothing that was stored waits to be booked."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        waiting = opened.ask(
            "SELECT 1 FROM webhook_events WHERE applied_at IS NULL AND invoice_id IS NOT NULL"
            " UNION ALL SELECT 1 FROM bank_matches WHERE booked_at IS NULL"
        )
        if not waiting:
            break
        await asyncio.sleep(0.5)
    opened.look()


async def _problems(opened: Collecting, wanted: list[Race]) -> list[str]:
    charged = await opened.charged()
    credit = {
        account: balance
        for account, balance in opened.ask(
            "SELECT account_number, balance FROM credit_balances"
            " JOIN customers ON customers.id = customer_id"
        )
    }
    found = []
    for race in wanted:
        standing = opened.standings[race.account]
        by_card = [from_stripe(i["amount"], "USD") for i in charged.get(standing.number, [])]
        received = standing.total + sum(by_card, Decimal(0))  # the wire always comes
        if (standing.state, standing.paid) != ("paid", standing.total):
            found.append(f"{race}: {standing.state}, {standing.paid} of {standing.total} paid")
        if len(by_card) > 1:
            found.append(f"{race}: the card was charged {len(by_card)} times")
        if credit.get(race.account, Decimal(0)) != received - standing.total:
            found.append(f"{race}: {received} received, credit {credit.get(race.account)}")
        if standing.events.count("receipt_email_sent") != 1:
            found.append(f"{race}: {standing.events.count('receipt_email_sent')} receipts")
    return found
