"""The gateway on a bad day: answers that fail, get lost or come too late."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from activities.card_gateway import (
    CardGateway,
    CardGatewayUnavailable,
    CardPayment,
    PaymentStatus,
)
from activities.failures import is_outage
from tests.cards import API_KEY, Sandbox, running_sandbox
from tests.ports import reserved_port

CREATE = "/v1/payment_intents"
CONFIRM = "/v1/payment_intents/*/confirm"
REFUND = "/v1/refunds"
TRIES = 2  # of one call: the SDK's own, under one key

keys = (f"key/{number}" for number in count())


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with TemporaryDirectory() as folder, running_sandbox(Path(folder)) as running:
        yield running


@pytest.fixture(autouse=True)
def every_fault_happens(sandbox: Sandbox) -> Iterator[None]:
    """A test that does not meet the faults it ordered has shown nothing."""
    yield
    assert sandbox.api.get("/_sandbox/faults").json() == {"faults": []}


def create(
    sandbox: Sandbox, key: str | None = None, card: tuple[str, str] | None = None
) -> CardPayment:
    customer, method = card or sandbox.seed()
    return sandbox.gateway.create_payment(
        number="INV-2026-02-0047",
        attempt=1,
        customer_id=customer,
        payment_method_id=method,
        amount=Decimal("312.91"),
        currency="USD",
        key=key or next(keys),
    )


def paid(sandbox: Sandbox) -> CardPayment:
    payment = create(sandbox)
    return sandbox.gateway.confirm_payment(payment.id, key=next(keys))


def refund(sandbox: Sandbox, payment: CardPayment, key: str) -> Any:
    return sandbox.gateway.refund(
        payment.id,
        amount=Decimal("12.91"),
        currency="USD",
        number="INV-2026-02-0047",
        credit_note="CN-2026-03-0001",
        key=key,
    )


def charges(sandbox: Sandbox, payment: CardPayment) -> list[str]:
    return [c["status"] for c in sandbox.listed("/v1/charges", payment_intent=payment.id)]


@pytest.mark.parametrize("kind", ["error_before", "drop_after"])
def test_a_short_outage_passes_unnoticed(sandbox: Sandbox, kind: str) -> None:
    payment = create(sandbox)
    sandbox.order("faults", kind=kind, path=CONFIRM)
    confirmed = sandbox.gateway.confirm_payment(payment.id, key=next(keys))
    assert confirmed.status is PaymentStatus.SUCCEEDED
    assert charges(sandbox, payment) == ["succeeded"]


@pytest.mark.parametrize("kind", ["error_before", "drop_after"])
def test_a_long_outage_is_reported_and_charges_once_in_the_end(sandbox: Sandbox, kind: str) -> None:
    payment = create(sandbox)
    key = next(keys)
    sandbox.order("faults", kind=kind, path=CONFIRM, times=TRIES)
    with pytest.raises(CardGatewayUnavailable) as outage:
        sandbox.gateway.confirm_payment(payment.id, key=key)
    assert is_outage(outage.value)
    confirmed = sandbox.gateway.confirm_payment(payment.id, key=key)
    assert confirmed.status is PaymentStatus.SUCCEEDED
    assert charges(sandbox, payment) == ["succeeded"]


def test_too_many_requests_are_an_outage(sandbox: Sandbox) -> None:
    sandbox.order("faults", kind="rate_limit", path=CREATE)
    with pytest.raises(CardGatewayUnavailable, match=r"\(429\)") as outage:
        create(sandbox)
    assert is_outage(outage.value)


@pytest.mark.parametrize("kind", ["error_stored", "error_stored_after"])
def test_a_charge_gets_past_a_failure_that_stripe_keeps_and_happens_once(
    sandbox: Sandbox, kind: str
) -> None:
    payment = create(sandbox)
    key = next(keys)
    sandbox.order("faults", kind=kind, path=CONFIRM)
    with pytest.raises(CardGatewayUnavailable, match=r"\(500\)"):
        sandbox.gateway.confirm_payment(payment.id, key=key)
    confirmed = sandbox.gateway.confirm_payment(payment.id, key=key)
    assert confirmed.status is PaymentStatus.SUCCEEDED
    assert charges(sandbox, payment) == ["succeeded"]


def test_a_decline_behind_a_kept_failure_is_found(sandbox: Sandbox) -> None:
    payment = create(sandbox, card=sandbox.seed("pm_card_chargeDeclined"))
    key = next(keys)
    sandbox.order("faults", kind="error_stored_after", path=CONFIRM)
    with pytest.raises(CardGatewayUnavailable):
        sandbox.gateway.confirm_payment(payment.id, key=key)
    assert sandbox.gateway.confirm_payment(payment.id, key=key).status is PaymentStatus.DECLINED
    assert charges(sandbox, payment) == ["failed"]


@pytest.mark.parametrize("kind", ["error_stored", "error_stored_after"])
def test_a_payment_is_made_behind_a_kept_failure_and_moves_no_money(
    sandbox: Sandbox, kind: str
) -> None:
    card, key = sandbox.seed(), next(keys)
    sandbox.order("faults", kind=kind, path=CREATE)
    with pytest.raises(CardGatewayUnavailable):
        create(sandbox, key, card)
    payment = create(sandbox, key, card)
    assert payment.status is PaymentStatus.REQUIRES_CONFIRMATION
    assert sandbox.listed("/v1/charges", customer=card[0]) == []
    assert create(sandbox, key, card) == payment


@pytest.mark.parametrize("kind", ["error_stored", "error_stored_after", "drop_after"])
def test_a_refund_behind_a_failure_returns_the_money_once(sandbox: Sandbox, kind: str) -> None:
    payment, key = paid(sandbox), next(keys)
    sandbox.order("faults", kind=kind, path=REFUND, times=1 if "stored" in kind else TRIES)
    with pytest.raises(CardGatewayUnavailable):
        refund(sandbox, payment, key)
    refund(sandbox, payment, key)
    refund(sandbox, payment, next(keys))
    made = sandbox.listed("/v1/refunds", payment_intent=payment.id)
    assert [r["amount"] for r in made] == [1291]


def test_two_workers_at_the_same_charge_charge_once(sandbox: Sandbox) -> None:
    payment, key = create(sandbox), next(keys)
    sandbox.order("faults", kind="delay", path=CONFIRM, seconds=0.7)

    def confirm() -> CardPayment:
        other = CardGateway(API_KEY, api_base=sandbox.url)
        while True:  # an outage, which Temporal has the activity ask again
            with suppress(CardGatewayUnavailable):
                return other.confirm_payment(payment.id, key=key)

    with ThreadPoolExecutor(2) as pool:
        outcomes = [f.result() for f in [pool.submit(confirm), pool.submit(confirm)]]
    assert {outcome.status for outcome in outcomes} == {PaymentStatus.SUCCEEDED}
    assert charges(sandbox, payment) == ["succeeded"]
    assert 409 in [request["status"] for request in sandbox.log(f"{payment.id}/confirm")]


def test_a_gateway_that_is_not_there_is_an_outage() -> None:
    nobody = reserved_port()
    with pytest.raises(CardGatewayUnavailable) as outage:
        CardGateway(API_KEY, api_base=f"http://127.0.0.1:{nobody}").find_payment("pi_any")
    assert is_outage(outage.value)
    assert API_KEY not in str(outage.value)
