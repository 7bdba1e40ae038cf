"""Webhooks: events go out signed, in order, again and again until they are taken.

Source of the signature: docs.stripe.com/webhooks#verify-manually.
"""

import asyncio
import hashlib
import hmac
import json
import time
from contextlib import suppress
from dataclasses import dataclass

import httpx

from stack.card_sandbox.errors import Json
from stack.card_sandbox.store import Store

FIRST_RETRY = 1.0
"""Seconds until an event that was not taken goes out again; doubled each time."""
LONGEST_RETRY = 60.0
LONGEST_OUTAGE_PAUSE = 10.0
"""Seconds between two attempts while nobody listens."""
_PATIENCE = 10.0  # seconds for an answer
_TAKE_A_LOOK = 30.0  # seconds, where nothing is due


def signature(secret: str, timestamp: int, payload: str) -> str:
    """The header `Stripe-Signature`."""
    signed = f"{timestamp}.{payload}".encode()
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


@dataclass(frozen=True)
class Endpoint:
    """Who is told."""

    url: str
    secret: str


class Deliveries:
    """Sends what `World.emit` has noted.

    What nobody takes is tried again; while nobody listens at all, only the oldest is tried, so
    that all arrive in order once somebody does. The orders that tests give are kept with the rest:
    `duplicate` (further copies of each), `reorder` (newest first), `hold`, `drop_next`.
    """

    def __init__(self, store: Store, endpoint: Endpoint) -> None:
        self._store = store
        self._endpoint = endpoint
        self._wake = asyncio.Event()
        self._nobody_before = 0.0
        self._outage_pause = FIRST_RETRY / 2

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def deliver_now(self) -> None:
        """Lets everything that waits for its next attempt go out at once."""
        self._store.execute("UPDATE deliveries SET due = 0 WHERE outcome IS NULL")
        self._nobody_before = 0.0
        self.wake()

    def counts(self) -> Json:
        """How many wait, were taken, and were dropped."""
        rows = self._store.execute(
            "SELECT coalesce(outcome, 'waiting'), count(*) FROM deliveries GROUP BY 1"
        )
        return {"waiting": 0, "taken": 0, "dropped": 0} | dict(rows.fetchall())

    async def run(self) -> None:
        """Delivers until canceled."""
        async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as client:
            while True:
                self._wake.clear()
                if not await self._deliver_one(client):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), self._until_next())

    async def _deliver_one(self, client: httpx.AsyncClient) -> bool:
        """Whether there was something to deliver."""
        order = self._store.order
        if order("hold", False) or time.time() < self._nobody_before:
            return False
        row = self._next(newest_first=order("reorder", False))
        if row is None:
            return False
        seq, event, attempts = row
        to_drop = order("drop_next", 0)
        if to_drop:
            with self._store.transaction():
                self._store.set_order("drop_next", to_drop - 1)
                self._close(seq, "dropped")
            return True
        try:
            taken = await self._send(client, event)
        except httpx.TransportError:
            self._nobody_before = time.time() + self._outage_pause
            self._outage_pause = min(self._outage_pause * 2, LONGEST_OUTAGE_PAUSE)
            return True
        self._outage_pause = FIRST_RETRY / 2
        if not taken:
            pause = min(FIRST_RETRY * 2**attempts, LONGEST_RETRY)
            self._store.execute(
                "UPDATE deliveries SET attempts = attempts + 1, due = ? WHERE seq = ?",
                *(time.time() + pause, seq),
            )
            return True
        self._close(seq, "taken")
        for _ in range(order("duplicate", 0)):
            with suppress(httpx.TransportError):
                await self._send(client, event)
        return True

    async def _send(self, client: httpx.AsyncClient, event: str) -> bool:
        """Whether the endpoint took it (2xx). Raises httpx.TransportError."""
        stored = self._store.find(event)
        payload = json.dumps(stored, indent=2)
        now = int(time.time())
        answer = await client.post(
            self._endpoint.url,
            content=payload,
            headers={
                "Content-Type": "application/json; charset=utf-8",
                "Stripe-Signature": signature(self._endpoint.secret, now, payload),
                "User-Agent": "Stripe/1.0 (billwright card sandbox)",
            },
        )
        return answer.is_success

    def _next(self, *, newest_first: bool) -> tuple[int, str, int] | None:
        statement = (
            "SELECT seq, event, attempts FROM deliveries WHERE outcome IS NULL AND due <= ?"
            " ORDER BY seq * ? LIMIT 1"
        )
        sign = -1 if newest_first else 1
        row: tuple[int, str, int] | None = self._store.execute(
            statement, time.time(), sign
        ).fetchone()
        return row

    def _close(self, seq: int, outcome: str) -> None:
        self._store.execute("UPDATE deliveries SET outcome = ? WHERE seq = ?", outcome, seq)

    def _until_next(self) -> float:
        """Seconds until something may be due."""
        due = self._store.execute(
            "SELECT min(due) FROM deliveries WHERE outcome IS NULL"
        ).fetchone()[0]
        if due is None or self._store.order("hold", False):
            return _TAKE_A_LOOK
        return float(min(max(due, self._nobody_before) - time.time(), _TAKE_A_LOOK))
