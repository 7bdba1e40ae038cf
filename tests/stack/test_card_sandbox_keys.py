"""Keys, faults and kills: what the sandbox does twice, badly, or after a restart."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from stack.card_sandbox import checkout, customers
from stack.card_sandbox.later import Later
from stack.card_sandbox.store import Store
from stack.card_sandbox.webhooks import Deliveries, Endpoint
from stack.card_sandbox.world import World
from tests.cards import INTENT, Sandbox, running_sandbox

keys = (f"key/{number}" for number in count())


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with TemporaryDirectory() as folder, running_sandbox(Path(folder)) as running:
        yield running


# --- idempotency keys


def test_a_repeated_request_gets_the_first_answer(sandbox: Sandbox) -> None:
    key = next(keys)
    first, second = (sandbox.post("/v1/payment_intents", **INTENT, key=key) for _ in range(2))
    assert first.json() == second.json()
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert first.headers["request-id"] != second.headers["request-id"]


def test_a_key_cannot_be_used_for_something_else(sandbox: Sandbox) -> None:
    key = next(keys)
    sandbox.post("/v1/payment_intents", **INTENT, key=key)
    for path, params in (
        ("/v1/payment_intents", INTENT | {"amount": "31292"}),
        ("/v1/customers", {"name": "Ada"}),
    ):
        answer = sandbox.post(path, **params, key=key)
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "idempotency_error"


def test_a_decline_is_stored_under_its_key(sandbox: Sandbox) -> None:
    waiting, key = sandbox.intent("pm_card_chargeDeclined"), next(keys)
    first, second = (sandbox.confirm(waiting["id"], key) for _ in range(2))
    assert (first.status_code, second.status_code) == (402, 402)
    assert first.json() == second.json()
    assert len(sandbox.listed("/v1/charges", payment_intent=waiting["id"])) == 1


def test_parameters_that_make_no_sense_leave_the_key_free(sandbox: Sandbox) -> None:
    key = next(keys)
    assert sandbox.post("/v1/payment_intents", amount="x", key=key).status_code == 400
    assert sandbox.post("/v1/payment_intents", **INTENT, key=key).status_code == 200


def test_a_refusal_on_second_thought_is_stored(sandbox: Sandbox) -> None:
    key = next(keys)
    for replayed in (False, True):
        answer = sandbox.post("/v1/customers/cus_gone", name="Ada", key=key)
        assert answer.status_code == 404
        assert ("idempotent-replayed" in answer.headers) is replayed


def test_a_refused_request_leaves_no_trace(sandbox: Sandbox) -> None:
    before = sandbox.listed("/v1/payment_intents")
    params = {**INTENT, "payment_method": "pm_card_visa", "customer": "cus_gone"}
    assert sandbox.post("/v1/payment_intents", **params).status_code == 400
    assert sandbox.listed("/v1/payment_intents") == before


# --- what lasts


def test_what_was_answered_survives_a_killed_sandbox(tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as sandbox:
        waiting, key = sandbox.intent(), next(keys)
        paid = sandbox.confirm(waiting["id"], key).json()
        sandbox.kill()
        sandbox.start()
        assert sandbox.api.get(f"/v1/payment_intents/{waiting['id']}").json() == paid
        assert sandbox.confirm(waiting["id"], key).json() == paid
        assert len(sandbox.listed("/v1/charges")) == 1


# --- faults, as the log tells them


def test_an_answer_that_never_leaves_is_of_something_done(sandbox: Sandbox) -> None:
    waiting = sandbox.intent()
    path = f"/v1/payment_intents/{waiting['id']}/confirm"
    sandbox.order("faults", kind="timeout_after", path=path)
    with pytest.raises(httpx.ReadTimeout):
        sandbox.api.post(path, timeout=0.5)
    found = sandbox.api.get(f"/v1/payment_intents/{waiting['id']}").json()
    assert found["status"] == "succeeded"
    [request] = sandbox.log(path)
    assert (request["fault"], request["outcome"]) == ("timeout_after", "succeeded")


def test_the_log_tells_what_became_of_each_request(sandbox: Sandbox) -> None:
    waiting, key = sandbox.intent("pm_card_chargeDeclinedExpiredCard"), next(keys)
    sandbox.order("faults", kind="rate_limit", path="/v1/*/confirm")
    for _ in range(3):
        sandbox.confirm(waiting["id"], key)
    told = sandbox.log(f"{waiting['id']}/confirm")
    assert [(r["status"], r["outcome"], r.get("replayed")) for r in told] == [
        (429, "rate_limit", None),
        (402, "expired_card", False),
        (402, "expired_card", True),
    ]
    assert [r["object"] for r in told[1:]] == [waiting["id"]] * 2
    assert {r["key"] for r in told} == {key}


def test_a_fault_that_there_is_not_is_refused(sandbox: Sandbox) -> None:
    answer = sandbox.api.post("/_sandbox/faults", json={"kind": "earthquake"})
    assert answer.status_code == 422
    assert sandbox.api.get("/_sandbox/faults").json() == {"faults": []}


def test_a_page_closes_by_itself_when_its_time_is_over(tmp_path: Path) -> None:
    store = Store(tmp_path / "cards.db")
    world = World(store, "http://sandbox.example")
    customer = store.add(customers.new_customer("cus_1", {}))
    given_ = {"mode": "setup", "customer": customer["id"], "success_url": "https://pay.example/"}
    with store.transaction():
        session = checkout.create_session(world, given_)
    later = Later(world, Deliveries(store, Endpoint("", "")))
    later.do_what_is_due()
    assert store.get("checkout.session", session["id"])["status"] == "open"
    store.execute("UPDATE later SET due = 0")
    later.do_what_is_due()
    later.do_what_is_due()
    assert store.get("checkout.session", session["id"])["status"] == "expired"
    told = [event["type"] for event in store.select("event")]
    assert told == ["setup_intent.created", "setup_intent.canceled", "checkout.session.expired"]
    store.close()
