"""The sandbox's webhooks: signed, in order, until they are taken; and every way to spoil that."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.cards import WEBHOOK_SECRET, Receiver, Sandbox, running_sandbox

INTENT = {"amount": "31291", "currency": "usd", "metadata[invoice_number]": "INV-2026-02-0047"}
PAID = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def sandbox(tmp_path: Path, receiver: Receiver) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path, webhook_url=receiver.url) as running:
        yield running


def charge(sandbox: Sandbox, token: str = "pm_card_visa", **confirm: str) -> Any:
    """What confirming a payment by that card answers."""
    customer, method = sandbox.seed(token)
    params = {**INTENT, "customer": customer, "payment_method": method}
    intent = sandbox.post("/v1/payment_intents", **params).json()
    return sandbox.post(f"/v1/payment_intents/{intent['id']}/confirm", **confirm).json()


def test_an_event_is_signed_as_the_sdk_verifies_it(sandbox: Sandbox, receiver: Receiver) -> None:
    paid = charge(sandbox)
    assert receiver.waits_for(3)
    signature, body = receiver.deliveries[2]
    event = stripe.Webhook.construct_event(body, signature, WEBHOOK_SECRET)
    assert event.type == "payment_intent.succeeded"
    assert event.data.object["id"] == paid["id"]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body + b" ", signature, WEBHOOK_SECRET)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, signature, "whsec_other")


def test_events_come_in_order_and_carry_the_metadata(sandbox: Sandbox, receiver: Receiver) -> None:
    for _ in range(5):
        charge(sandbox)
    assert receiver.waits_for(15)
    assert receiver.types() == PAID * 5
    numbers = {e["data"]["object"]["metadata"]["invoice_number"] for e in receiver.events()}
    assert numbers == {"INV-2026-02-0047"}


@pytest.mark.parametrize(
    ("token", "off_session", "types"),
    [
        ("pm_card_chargeDeclined", "true", ["charge.failed", "payment_intent.payment_failed"]),
        ("pm_card_authenticationRequired", "false", ["payment_intent.requires_action"]),
        (
            "pm_card_createDispute",
            "true",
            [*PAID[1:], "charge.dispute.created", "charge.dispute.funds_withdrawn"],
        ),
    ],
)
def test_each_outcome_of_a_charge_is_told(
    sandbox: Sandbox, receiver: Receiver, token: str, off_session: str, types: list[str]
) -> None:
    charge(sandbox, token, off_session=off_session)
    assert receiver.waits_for(1 + len(types))
    assert receiver.types() == ["payment_intent.created", *types]


def test_refunds_and_disputes_are_told(sandbox: Sandbox, receiver: Receiver) -> None:
    paid = charge(sandbox)
    dashboard = sandbox.order("refunds", payment_intent=paid["id"], amount=100)
    assert dashboard["metadata"] == {}
    sandbox.order("disputes", payment_intent=paid["id"])
    sandbox.order("disputes", payment_intent=paid["id"], status="lost")
    assert receiver.waits_for(8)
    assert receiver.types()[3:] == [
        "charge.refunded",
        "refund.created",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.closed",
    ]
    assert receiver.events()[-1]["data"]["object"]["status"] == "lost"


def test_a_refund_that_fails_later_is_told(sandbox: Sandbox, receiver: Receiver) -> None:
    paid = charge(sandbox, "pm_card_refundFail")
    sandbox.post("/v1/refunds", payment_intent=paid["id"])
    assert receiver.waits_for(7)
    assert receiver.types()[-2:] == ["refund.updated", "refund.failed"]


def test_customers_and_canceled_payments_are_told(sandbox: Sandbox, receiver: Receiver) -> None:
    customer = sandbox.post("/v1/customers", name="Ada").json()["id"]
    sandbox.post("/v1/payment_methods/pm_card_visa/attach", customer=customer)
    sandbox.post(f"/v1/customers/{customer}", name="Ada L.")
    intent = sandbox.post("/v1/payment_intents", **INTENT).json()["id"]
    sandbox.post(f"/v1/payment_intents/{intent}/cancel")
    assert receiver.waits_for(5)
    assert receiver.types() == [
        "customer.created",
        "payment_method.attached",
        "customer.updated",
        "payment_intent.created",
        "payment_intent.canceled",
    ]
    assert receiver.events()[2]["data"]["previous_attributes"] == {"name": "Ada"}


def test_pages_are_told(sandbox: Sandbox, receiver: Receiver) -> None:
    urls = {"success_url": "https://pay.example/"}
    customer = sandbox.post("/v1/customers", name="Ada").json()["id"]
    setup = {"mode": "setup", "customer": customer, "setup_intent_data[metadata][n]": "1", **urls}
    page = sandbox.post("/v1/checkout/sessions", **setup).json()
    card = {"card_number": "4242424242424242", "exp": "12/34", "cvc": "123"}
    assert sandbox.browser.post(page["url"], data=card).status_code == 303
    other = sandbox.post("/v1/checkout/sessions", **setup).json()["id"]
    sandbox.post(f"/v1/checkout/sessions/{other}/expire")
    assert receiver.waits_for(8)
    assert receiver.types()[1:] == [
        "setup_intent.created",
        "payment_method.attached",
        "setup_intent.succeeded",
        "checkout.session.completed",
        "setup_intent.created",
        "setup_intent.canceled",
        "checkout.session.expired",
    ]
    succeeded = receiver.events()[3]["data"]["object"]
    assert succeeded["metadata"] == {"n": "1"}
    assert (succeeded["customer"], bool(succeeded["payment_method"])) == (customer, True)


def test_what_is_not_taken_comes_again(sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.status = 500
    sandbox.post("/v1/customers", name="Ada")
    assert receiver.waits_for(2)
    receiver.status = 200
    assert receiver.waits_for(3)
    ids = [event["id"] for event in receiver.events()]
    assert len(set(ids)) == 1
    assert _counts(sandbox) == {"waiting": 0, "taken": 1, "dropped": 0}


def test_each_event_may_come_more_than_once(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.order("webhooks", duplicate=2)
    sandbox.post("/v1/customers", name="Ada")
    assert receiver.waits_for(3)
    assert len({event["id"] for event in receiver.events()}) == 1


def test_events_are_held_back_and_come_in_another_order(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    sandbox.order("webhooks", hold=True)
    charge(sandbox)
    state = sandbox.order("webhooks", reorder=True)
    assert state["deliveries"]["waiting"] == 3
    assert receiver.deliveries == []
    sandbox.order("webhooks", hold=False, deliver=True)
    assert receiver.waits_for(3)
    assert receiver.types() == PAID[::-1]


def test_events_may_be_lost_and_are_still_listed(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.order("webhooks", drop_next=2)
    charge(sandbox)
    assert receiver.waits_for(1)
    assert receiver.types() == PAID[2:]
    assert [event["type"] for event in sandbox.listed("/v1/events")] == PAID[::-1]
    query = {"types[]": ["charge.succeeded", "charge.failed"]}
    assert len(sandbox.listed("/v1/events", **query)) == 1


def test_events_survive_a_killed_sandbox_and_wait_for_a_receiver(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.close()
    with running_sandbox(tmp_path, webhook_url=receiver.url) as sandbox:
        charge(sandbox)
        sandbox.kill()
        sandbox.start()
        assert _counts(sandbox)["waiting"] == 3
        again = Receiver(port=int(receiver.url.split(":")[2].partition("/")[0]))
        assert again.waits_for(3, seconds=30)
        assert again.types() == PAID
        again.close()


def test_an_event_is_what_the_api_answers_under_its_id(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    sandbox.post("/v1/customers", name="Ada", key="customer/1")
    assert receiver.waits_for(1)
    event = json.loads(receiver.deliveries[0][1])
    assert sandbox.api.get(f"/v1/events/{event['id']}").json() == event
    assert event["request"]["idempotency_key"] == "customer/1"


def _counts(sandbox: Sandbox) -> Any:
    return sandbox.order("webhooks")["deliveries"]
