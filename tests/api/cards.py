"""The card processor's stand-in, as a server of the tests' own."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from stack.card_sandbox.__main__ import server
from stack.ports import HOST
from tests.ports import reserved_port

STRIPE_KEY = "sk_test_of_the_tests"
_PATIENCE = 60  # seconds for it to start


@dataclass
class CardSandbox:
    """Where the sandbox answers."""

    address: str

    def seed(self, customer: str, card: str) -> dict[str, str]:
        """Makes `customer` with a test card such as `pm_card_visa`; columns of customers.csv."""
        method = f"{card}_{customer}"
        answer = httpx.post(
            f"{self.address}/_sandbox/seed",
            json={"customers": [{"id": customer, "payment_method": {"id": method, "token": card}}]},
            headers={"Authorization": f"Bearer {STRIPE_KEY}"},
        )
        assert answer.status_code == 200, answer.text
        return {
            "payment_method": "card",
            "stripe_customer_id": customer,
            "stripe_payment_method_id": method,
        }


@contextmanager
def sandbox_in(folder: Path) -> Iterator[CardSandbox]:
    """Runs in a thread of its own, which also opens its file."""
    port = reserved_port()
    running: list[uvicorn.Server] = []

    def serve() -> None:
        running.append(server(port, folder / "cards.sqlite", api_key=STRIPE_KEY))
        running[0].run()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    deadline = time.monotonic() + _PATIENCE
    while not (running and running[0].started):
        assert time.monotonic() < deadline, "the card sandbox does not start"
        time.sleep(0.02)
    yield CardSandbox(f"http://{HOST}:{port}")
    running[0].should_exit = True
    thread.join(_PATIENCE)
