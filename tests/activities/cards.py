"""The card sandbox in the test's own process, and a gateway to it that dies where it is told to."""

import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from activities.card_gateway import CardGateway
from stack.card_sandbox.__main__ import server
from stack.processes import until

API_KEY = "sk_test_of_the_tests"
VISA = "4242424242424242"


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox, and what a bank, a payer and a bad day do there."""

    url: str
    http: httpx.Client
    data: Path

    def gateway(self) -> CardGateway:
        return CardGateway(API_KEY, api_base=self.url)

    def seed(self, customer_id: str, payment_method_id: str) -> None:
        """A customer with a card; the id of the card begins with its token."""
        method = {"id": payment_method_id}
        customer = {"id": customer_id, "payment_method": method}
        self._post("/_sandbox/seed", {"customers": [customer]})

    def fault(self, kind: str, path: str, times: int = 1, *, method: str = "POST") -> None:
        """The next `times` requests that change something under `path` go wrong; for the method
        GET, those that read there.
        """
        fault = {"kind": kind, "path": path, "times": times, "method": method}
        self._post("/_sandbox/faults", fault)

    def dispute(self, payment_id: str, status: str = "needs_response") -> None:
        """A cardholder takes a payment back, or the bank decides of it."""
        self._post("/_sandbox/disputes", {"payment_intent": payment_id, "status": status})

    def requests(self, end: str, method: str = "POST") -> list[dict[str, Any]]:
        """What was asked of the API at paths that end with `end`, in order."""
        log = self.http.get("/_sandbox/log").json()["requests"]
        return [r for r in log if r["method"] == method and r["path"].endswith(end)]

    def objects(self, path: str) -> list[dict[str, Any]]:
        """All objects of `/v1/<path>`, the newest first."""
        found: list[dict[str, Any]] = self.http.get(f"/v1/{path}?limit=100").json()["data"]
        return found

    def statuses(self) -> list[str]:
        """Of all payments, the oldest first."""
        return [intent["status"] for intent in reversed(self.objects("payment_intents"))]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of one type, the oldest first, as a webhook would bring them."""
        found = self.http.get(f"/v1/events?limit=100&type={kind}").json()["data"]
        return list(reversed(found))

    def pay_on(self, page: str, card: str = VISA) -> httpx.Response:
        """The payer fills a page in."""
        return self.http.post(page, data={"card_number": card, "exp": "12/34", "cvc": "123"})

    def settles(self, kind: str) -> None:
        """Waits for what the processor does by itself a moment later."""
        assert until(lambda: bool(self.events(kind)), seconds=20, every=0.1)

    def forget_keys(self) -> None:
        """A day passes: the processor knows no idempotency key any more."""
        with closing(sqlite3.connect(self.data)) as connection, connection:
            connection.execute("DELETE FROM answers")

    def _post(self, path: str, order: dict[str, Any]) -> None:
        self.http.post(path, json=order).raise_for_status()


@contextmanager
def card_sandbox(folder: Path) -> Iterator[Sandbox]:
    """Serves in a thread until the block ends; its state is kept in `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "cards.db"
    running = server(port, data, api_key=API_KEY)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    assert until(lambda: running.started, seconds=20)
    url = f"http://127.0.0.1:{port}"
    headers = {"Authorization": f"Bearer {API_KEY}"}
    try:
        with httpx.Client(base_url=url, headers=headers, trust_env=False) as http:
            yield Sandbox(url, http, data)
    finally:
        running.should_exit = True
        thread.join()


class Killed(BaseException):
    """The process is gone: nothing catches it, and what was not committed is undone."""


class DyingGateway(CardGateway):
    """Dies once, before or after the call of `method`."""

    def __init__(self, url: str, method: str, *, before: bool = False) -> None:
        super().__init__(API_KEY, api_base=url)
        real = getattr(self, method)

        def deadly(*args: Any, **named: Any) -> Any:
            delattr(self, method)
            if not before:
                real(*args, **named)
            raise Killed

        setattr(self, method, deadly)
