"""A card sandbox in a process of its own, and a webhook endpoint that notes what it is told."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from activities.card_gateway import CardGateway
from stack.ports import HOST, listens
from stack.processes import until
from tests.ports import reserved_port

ROOT = Path(__file__).parents[1]
API_KEY = "sk_test_of_the_tests"
WEBHOOK_SECRET = "whsec_of_the_tests"
INTENT = {"amount": "31291", "currency": "usd"}


class Sandbox:
    """One sandbox; `api` speaks to it with the key, `browser` without.

    `seed` gives it a customer with a card, under the ids that it returns.
    """

    def __init__(self, folder: Path, *, webhook_url: str = "", patience: float = 30.0) -> None:
        self._data = folder / "cards.db"
        self._webhook_url = webhook_url
        self.port = reserved_port()
        self.url = f"http://{HOST}:{self.port}"
        key = {"Authorization": f"Bearer {API_KEY}"}
        self.api = httpx.Client(base_url=self.url, headers=key, timeout=30)
        self.browser = httpx.Client(timeout=30)
        self.gateway = CardGateway(API_KEY, api_base=self.url)
        self._customers = 0
        self._patience = patience

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "stack.card_sandbox", "--port", str(self.port)),
                *("--data", str(self._data), "--api-key", API_KEY),
                *("--webhook-url", self._webhook_url, "--webhook-secret", WEBHOOK_SECRET),
            ],
            cwd=ROOT,
        )
        pid = self._process.pid
        assert until(lambda: listens(pid, self.port), seconds=self._patience)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self.api.close()
        self.browser.close()

    def post(self, path: str, /, **params: Any) -> httpx.Response:
        """A request to Stripe's API; `key` is the idempotency key."""
        key = params.pop("key", None)
        headers = {"Idempotency-Key": key} if key else {}
        return self.api.post(path, data=params, headers=headers)

    def order(self, path: str, /, **order: Any) -> Any:
        """One of the sandbox's own calls, which must succeed."""
        answer = self.api.post(f"/_sandbox/{path}", json=order)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def seed(self, token: str = "pm_card_visa") -> tuple[str, str]:
        """The ids of a new customer and of its card."""
        self._customers += 1
        customer, method = f"cus_demo_{self._customers}", f"{token}_{self._customers}"
        seeded = {"id": customer, "name": "Ada", "payment_method": {"id": method}}
        self.order("seed", customers=[seeded])
        return customer, method

    def intent(self, token: str = "pm_card_visa", **more: str) -> dict[str, Any]:
        """A payment of a new customer's that waits for its confirmation."""
        customer, method = self.seed(token)
        params = {**INTENT, "customer": customer, "payment_method": method, **more}
        made: dict[str, Any] = self.post("/v1/payment_intents", **params).json()
        return made

    def confirm(self, name: str, key: str | None = None) -> httpx.Response:
        """Charges the payment `name` in its customer's absence."""
        path = f"/v1/payment_intents/{name}/confirm"
        return self.post(path, off_session="true", **({"key": key} if key else {}))

    def log(self, path: str = "") -> list[dict[str, Any]]:
        """The requests to the API whose path ends in `path`."""
        requests = self.api.get("/_sandbox/log").json()["requests"]
        return [request for request in requests if request["path"].endswith(path)]

    def listed(self, path: str, /, **query: Any) -> list[dict[str, Any]]:
        """The first hundred, the newest first."""
        answer = self.api.get(path, params={"limit": 100, **query})
        assert answer.status_code == 200, answer.text
        things: list[dict[str, Any]] = answer.json()["data"]
        return things


@contextmanager
def running_sandbox(folder: Path, *, webhook_url: str = "") -> Iterator[Sandbox]:
    sandbox = Sandbox(folder, webhook_url=webhook_url)
    try:
        sandbox.start()
        yield sandbox
    finally:
        sandbox.stop()


class Receiver:
    """A webhook endpoint: notes each delivery, answers with `status`."""

    def __init__(self, port: int = 0) -> None:
        self.deliveries: list[tuple[str, bytes]] = []
        """Signature and body."""
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.deliveries.append((self.headers["Stripe-Signature"], body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: tests read `deliveries`."""

        self._server = ThreadingHTTPServer((HOST, port), Handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}/webhooks/stripe"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.deliveries]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events()]

    def waits_for(self, count: int, *, seconds: float = 15) -> bool:
        """Whether `count` deliveries came within `seconds`."""
        return until(lambda: len(self.deliveries) >= count, seconds=seconds)
