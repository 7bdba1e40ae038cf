"""Every request of the gateway, checked by Stripe's own mock against Stripe's description.

The mock keeps no state and knows no declines: it refuses what Stripe's API does not have.
"""

import inspect
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import stripe

from activities.card_gateway import CardGateway
from stack.ports import HOST, listens
from stack.processes import until
from stack.stripe_mock import find_stripe_mock
from tests.ports import reserved_port

NUMBER = "INV-2026-02-0047"
URLS = {"success_url": "https://pay.example/a?returned=1", "cancel_url": "https://pay.example/a"}
CHARGE: dict[str, Any] = {
    "number": NUMBER,
    "attempt": 1,
    "customer_id": "cus_123",
    "payment_method_id": "pm_123",
    "amount": Decimal("312.91"),
    "currency": "USD",
    "key": f"{NUMBER}/charge/1",
}
CHECKOUT: dict[str, Any] = {
    "number": NUMBER,
    "amount": Decimal("312.91"),
    "currency": "EUR",
    "customer_id": None,
    "customer_email": "",
    "description": f"Invoice {NUMBER}",
    "key": f"{NUMBER}/checkout/1",
    **URLS,
}
SETUP: dict[str, Any] = {
    "number": NUMBER,
    "customer_id": "cus_123",
    "currency": "USD",
    "key": f"{NUMBER}/setup/1",
    **URLS,
}
REFUND: dict[str, Any] = {
    "amount": Decimal("12.91"),
    "currency": "USD",
    "number": NUMBER,
    "credit_note": "CN-2026-03-0001",
    "key": "CN-2026-03-0001/refund/1",
}
CUSTOMER: dict[str, Any] = {"account_number": "1047", "name": "Kestrel", "key": "1047/customer"}

REQUESTS: list[tuple[str, Callable[[CardGateway], object]]] = [
    ("create_payment", lambda g: g.create_payment(**CHARGE)),
    ("confirm_payment", lambda g: g.confirm_payment("pi_123", key=f"{NUMBER}/confirm/1")),
    ("find_payment", lambda g: g.find_payment("pi_123")),
    ("cancel_payment", lambda g: g.cancel_payment("pi_123")),
    ("ensure_customer", lambda g: g.ensure_customer(**CUSTOMER, email="ap@kestrel.example")),
    ("ensure_customer", lambda g: g.ensure_customer(**CUSTOMER, email="")),
    ("open_checkout", lambda g: g.open_checkout(**CHECKOUT)),
    ("open_checkout", lambda g: g.open_checkout(**CHECKOUT | {"customer_email": "a@b.example"})),
    ("open_checkout", lambda g: g.open_checkout(**CHECKOUT | {"customer_id": "cus_123"})),
    ("open_card_setup", lambda g: g.open_card_setup(**SETUP)),
    ("find_checkout", lambda g: g.find_checkout("cs_123")),
    ("close_checkout", lambda g: g.close_checkout("cs_123")),
    ("refund", lambda g: g.refund("pi_123", **REFUND)),
    ("find_refund", lambda g: g.find_refund("re_123")),
    ("list_movements", lambda g: g.list_movements(datetime(2026, 3, 1, tzinfo=UTC))),
]


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    program = find_stripe_mock()
    assert program is not None, "install it: python -m stack.stripe_mock install"
    port = reserved_port()
    process = subprocess.Popen(
        [str(program), "-http-addr", f"{HOST}:{port}"], stdout=subprocess.DEVNULL
    )
    try:
        assert until(lambda: listens(process.pid, port), seconds=30)
        yield f"http://{HOST}:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize(("name", "request_"), REQUESTS, ids=[name for name, _ in REQUESTS])
def test_stripe_takes_the_request(
    mock_url: str, name: str, request_: Callable[[CardGateway], object]
) -> None:
    assert request_(CardGateway("sk_test_123", api_base=mock_url)) is not None


def test_every_request_of_the_gateway_is_checked() -> None:
    methods = inspect.getmembers(CardGateway, inspect.isfunction)
    assert {name for name, _ in REQUESTS} == {n for n, _ in methods if not n.startswith("_")}


def test_the_mock_would_notice_a_mistake(mock_url: str) -> None:
    client = stripe.StripeClient("sk_test_123", base_addresses={"api": mock_url})
    mistaken: Any = {"amount": 100, "currency": "usd", "invoice_number": NUMBER}
    with pytest.raises(stripe.InvalidRequestError, match="not allowed"):
        client.v1.payment_intents.create(mistaken)
