"""The card sandbox answers as Stripe does."""

import base64
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe
from hypothesis import assume, given
from hypothesis import strategies as st
from stripe._encode import _api_encode

from stack.card_sandbox import cards
from stack.card_sandbox.errors import SandboxError
from stack.card_sandbox.forms import parse_form
from stack.card_sandbox.world import API_VERSION
from tests.cards import API_KEY, INTENT, Sandbox, running_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with TemporaryDirectory() as folder, running_sandbox(Path(folder)) as running:
        yield running


# --- access


def test_without_its_key_nothing_is_answered(sandbox: Sandbox) -> None:
    for headers in ({}, {"Authorization": "Bearer sk_test_other"}):
        for path in ("/v1/customers", "/_sandbox/log"):
            answer = sandbox.browser.get(sandbox.url + path, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "invalid_request_error"


def test_the_key_may_be_the_user_of_basic_authentication(sandbox: Sandbox) -> None:
    basic = base64.b64encode(f"{API_KEY}:".encode()).decode()
    headers = {"Authorization": f"Basic {basic}"}
    answer = sandbox.browser.get(sandbox.url + "/v1/customers", headers=headers)
    assert answer.status_code == 200


def test_an_address_that_the_api_does_not_have_is_refused(sandbox: Sandbox) -> None:
    answer = sandbox.post("/v1/payment_links")
    assert answer.status_code == 404
    assert "Unrecognized request URL" in answer.json()["error"]["message"]


# --- parameters


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({**INTENT, "invoice": "in_1"}, "parameter_unknown", "invoice"),
        ({**INTENT, "metadata[a][b]": "x"}, None, "metadata[a]"),
        ({"currency": "usd"}, "parameter_missing", "amount"),
        ({**INTENT, "amount": "312.91"}, "parameter_invalid_integer", "amount"),
        ({**INTENT, "amount": "0"}, "parameter_invalid_integer", "amount"),
        ({**INTENT, "amount": "49"}, "amount_too_small", "amount"),
        ({**INTENT, "amount": "100000000"}, "amount_too_large", "amount"),
        ({**INTENT, "currency": "isk", "amount": "50050"}, None, "amount"),
        ({**INTENT, "customer": "cus_gone"}, "resource_missing", "customer"),
        ({**INTENT, "customer": ""}, "parameter_invalid_empty", "customer"),
        ({**INTENT, "payment_method": "pm_gone"}, "resource_missing", "payment_method"),
        ({**INTENT, "off_session": "true"}, None, "off_session"),
        ({**INTENT, "confirm": "yes"}, None, "confirm"),
        ({**INTENT, "payment_method_types[]": "sepa_debit"}, None, "payment_method_types[0]"),
    ],
)
def test_a_mistake_in_a_parameter_is_named(
    sandbox: Sandbox, params: dict[str, str], code: str | None, param: str
) -> None:
    answer = sandbox.post("/v1/payment_intents", **params)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["type"], error.get("code")) == ("invalid_request_error", code)
    assert error["param"] == param


FIELDS = st.text("abcdefgh_", min_size=1, max_size=6)
VALUES = st.text(max_size=8)
TREES = st.recursive(
    VALUES,
    lambda inner: (
        st.dictionaries(FIELDS, inner, min_size=1, max_size=3)
        | st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(FIELDS, TREES, max_size=4))
def test_a_form_is_read_as_the_sdk_wrote_it(params: dict[str, Any]) -> None:
    encoded = list(_api_encode(params))
    assume(all(name.count("[") <= 7 for name, _ in encoded))  # deeper than Stripe ever goes
    assert parse_form(urlencode(encoded)) == params


@pytest.mark.parametrize("encoded", ["a[=1", "[a]=1", "a[b]c=1", "a=1&a[b]=2", "a[b]=1&a=2", "=1"])
def test_a_malformed_form_is_refused(encoded: str) -> None:
    with pytest.raises(SandboxError):
        parse_form(encoded)


# --- cards


@pytest.mark.parametrize("card", cards.CARDS, ids=lambda card: card.token)
def test_a_test_card_does_what_it_is_for(sandbox: Sandbox, card: cards.TestCard) -> None:
    answer = sandbox.confirm(sandbox.intent(f"pm_card_{card.token}")["id"])
    if card.code:
        error = answer.json()["error"]
        assert answer.status_code == 402
        assert (error["type"], error["code"]) == ("card_error", card.code)
        assert error["decline_code"] == card.decline_code
        declined = error["payment_intent"]
        assert declined["status"] == "requires_payment_method"
        assert declined["payment_method"] is None
        assert declined["last_payment_error"]["code"] == card.code
    elif card.asks is not cards.Asks.NEVER:
        assert answer.json()["error"]["code"] == "authentication_required"
    else:
        paid = answer.json()
        assert (paid["status"], paid["amount_received"]) == ("succeeded", 31291)
        charge = sandbox.api.get(f"/v1/charges/{paid['latest_charge']}").json()
        assert (charge["paid"], charge["amount"]) == (True, 31291)


def test_no_two_test_cards_are_mixed_up() -> None:
    assert len({(card.last4, card.brand) for card in cards.CARDS}) == len(cards.CARDS)
    assert all(cards.by_token(f"pm_card_{card.token}") is card for card in cards.CARDS)
    assert cards.by_token("pm_card_visa_chargeDeclined") is cards.by_token("pm_card_chargeDeclined")
    assert all(cards.by_number(card.number, 12, 2034, "123") is card for card in cards.CARDS)


@pytest.mark.parametrize(
    ("number", "month", "year", "cvc", "code"),
    [
        ("4242424242424241", 12, 2034, "123", "incorrect_number"),
        ("", 12, 2034, "123", "incorrect_number"),
        ("４２４２424242424242", 12, 2034, "123", "incorrect_number"),
        ("4242424242424242", 13, 2034, "123", "invalid_expiry_month"),
        ("4242424242424242", 1, 2020, "123", "invalid_expiry_year"),
        ("4242424242424242", 12, 2034, "12", "incorrect_cvc"),
        ("4111111111111111", 12, 2034, "123", "card_declined"),
    ],
)
def test_a_card_that_cannot_be_is_declined(
    number: str, month: int, year: int, cvc: str, code: str
) -> None:
    with pytest.raises(SandboxError) as refusal:
        cards.by_number(number, month, year, cvc)
    assert (refusal.value.status, refusal.value.error["code"]) == (402, code)


@pytest.mark.parametrize(
    ("token", "status"), [("pm_card_chargeDeclined", 402), ("pm_card_chargeCustomerFail", 200)]
)
def test_a_customer_keeps_a_bad_card_only_if_it_fails_later(
    sandbox: Sandbox, token: str, status: int
) -> None:
    customer = sandbox.post("/v1/customers", name="Ada").json()["id"]
    answer = sandbox.post(f"/v1/payment_methods/{token}/attach", customer=customer)
    assert answer.status_code == status


def test_the_demos_customers_are_seeded_under_their_own_ids(sandbox: Sandbox) -> None:
    seeded = {
        "id": "cus_demo_1003",
        "name": "Kestrel",
        "email": "ap@kestrel.example",
        "payment_method": {"id": "pm_card_chargeDeclinedExpiredCard_1003"},
    }
    assert sandbox.order("seed", customers=[seeded])["new"] == 1
    assert sandbox.order("seed", customers=[seeded])["new"] == 0
    [method] = sandbox.listed("/v1/payment_methods", customer="cus_demo_1003")
    assert (method["id"], method["card"]["last4"]) == (seeded["payment_method"]["id"], "0069")
    unknown = {"id": "cus_x", "payment_method": {"id": "pm_card_unheardOf_1"}}
    answer = sandbox.api.post("/_sandbox/seed", json={"customers": [unknown]})
    assert answer.status_code == 400
    assert sandbox.api.get("/v1/customers/cus_x").status_code == 404


# --- customers


def test_a_customer_is_changed_in_what_is_given(sandbox: Sandbox) -> None:
    made = sandbox.post("/v1/customers", **{"name": "Ada", "metadata[a]": "1"}).json()
    path = f"/v1/customers/{made['id']}"
    method = sandbox.post("/v1/payment_methods/pm_card_visa/attach", customer=made["id"]).json()
    sandbox.post(path, **{"invoice_settings[default_payment_method]": method["id"]})
    sandbox.post(path, **{"email": "ada@example.com", "metadata[b]": "2", "metadata[a]": ""})
    found = sandbox.api.get(path).json()
    assert (found["name"], found["email"]) == ("Ada", "ada@example.com")
    assert found["metadata"] == {"b": "2"}
    assert found["invoice_settings"]["default_payment_method"] == method["id"]


def test_a_card_that_was_detached_is_nobodys_and_is_not_used_again(sandbox: Sandbox) -> None:
    customer, method = sandbox.seed()
    path = f"/v1/payment_methods/{method}"
    assert sandbox.post(f"{path}/detach").json()["customer"] is None
    assert sandbox.listed(f"/v1/customers/{customer}/payment_methods") == []
    assert sandbox.post(f"{path}/attach", customer=customer).status_code == 400
    settings = sandbox.api.get(f"/v1/customers/{customer}").json()["invoice_settings"]
    assert settings["default_payment_method"] is None


def test_a_deleted_customer_is_not_charged(sandbox: Sandbox) -> None:
    waiting = sandbox.intent()
    assert sandbox.api.delete(f"/v1/customers/{waiting['customer']}").json()["deleted"]
    assert sandbox.confirm(waiting["id"]).status_code == 400


# --- lists


def test_a_list_is_read_page_by_page_the_newest_first(sandbox: Sandbox) -> None:
    email = "pages@example.com"
    made = [sandbox.post("/v1/customers", email=email).json()["id"] for _ in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"email": email, "limit": 2}
    while True:
        page = sandbox.api.get("/v1/customers", params=query).json()
        seen += [customer["id"] for customer in page["data"]]
        if not page["has_more"]:
            break
        query["starting_after"] = seen[-1]
    assert seen == made[::-1]
    back = sandbox.api.get(
        "/v1/customers", params={"email": email, "limit": 2, "ending_before": made[0]}
    ).json()
    assert [customer["id"] for customer in back["data"]] == [made[2], made[1]]


def test_an_object_may_be_asked_for_in_place_of_its_id(sandbox: Sandbox) -> None:
    paid = sandbox.confirm(sandbox.intent()["id"]).json()
    path = f"/v1/payment_intents/{paid['id']}"
    query = {"expand[]": ["latest_charge.balance_transaction", "customer"]}
    found = sandbox.api.get(path, params=query).json()
    assert found["latest_charge"]["balance_transaction"]["amount"] == 31291
    assert found["customer"]["id"] == paid["customer"]


# --- money


def test_the_balance_is_what_was_charged_less_what_was_returned(sandbox: Sandbox) -> None:
    def balance() -> int:
        return sum(t["amount"] for t in sandbox.listed("/v1/balance_transactions", currency="chf"))

    waiting = sandbox.intent(currency="chf")
    sandbox.confirm(waiting["id"])
    assert balance() == 31291
    params = {"payment_intent": waiting["id"], "amount": "1291"}
    assert sandbox.post("/v1/refunds", **params).status_code == 200
    assert balance() == 30000
    sandbox.order("disputes", payment_intent=waiting["id"])
    assert balance() == 0
    assert sandbox.post("/v1/refunds", **params).json()["error"]["code"] == "charge_disputed"
    sandbox.order("disputes", payment_intent=waiting["id"], status="won")
    assert balance() == 30000
    assert sandbox.post("/v1/refunds", payment_intent=waiting["id"]).json()["amount"] == 30000
    again = sandbox.post("/v1/refunds", payment_intent=waiting["id"]).json()
    assert again["error"]["code"] == "charge_already_refunded"


def test_the_processor_keeps_its_fee_and_gives_that_of_a_dispute_back(sandbox: Sandbox) -> None:
    def fees() -> list[int]:
        found = sandbox.listed("/v1/balance_transactions", currency="sek")
        assert all(t["net"] == t["amount"] - t["fee"] for t in found)
        assert all(t["fee"] == sum(part["amount"] for part in t["fee_details"]) for t in found)
        return [t["fee"] for t in reversed(found)]

    waiting = sandbox.intent(currency="sek")
    sandbox.confirm(waiting["id"])
    sandbox.post("/v1/refunds", payment_intent=waiting["id"], amount="1291")
    sandbox.order("disputes", payment_intent=waiting["id"])
    sandbox.order("disputes", payment_intent=waiting["id"], status="won")
    assert fees() == [494, 0, 1500, -1500]


def test_a_card_may_be_disputed_by_itself(sandbox: Sandbox) -> None:
    waiting = sandbox.intent("pm_card_createDispute")
    sandbox.confirm(waiting["id"])
    [dispute] = sandbox.listed("/v1/disputes", payment_intent=waiting["id"])
    assert (dispute["status"], dispute["amount"]) == ("needs_response", 31291)


def test_a_confirmation_to_the_bank_goes_through_the_sandboxs_own_call(sandbox: Sandbox) -> None:
    waiting = sandbox.intent("pm_card_authenticationRequired")
    path = f"/v1/payment_intents/{waiting['id']}/confirm"
    assert sandbox.post(path).json()["status"] == "requires_action"
    assert sandbox.order("authenticate", intent=waiting["id"])["status"] == "succeeded"


# --- shapes


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/customers", stripe.Customer),
        ("/v1/payment_methods", stripe.PaymentMethod),
        ("/v1/payment_intents", stripe.PaymentIntent),
        ("/v1/setup_intents", stripe.SetupIntent),
        ("/v1/charges", stripe.Charge),
        ("/v1/refunds", stripe.Refund),
        ("/v1/disputes", stripe.Dispute),
        ("/v1/balance_transactions", stripe.BalanceTransaction),
        ("/v1/checkout/sessions", stripe.checkout.Session),
        ("/v1/events", stripe.Event),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_object_has_no_field_that_stripe_does_not_have(
    sandbox: Sandbox, path: str, kind: type
) -> None:
    waiting = sandbox.intent("pm_card_createDispute")
    sandbox.confirm(waiting["id"])
    won = {"payment_intent": waiting["id"], "status": "won"}
    sandbox.order("disputes", **won)
    sandbox.post("/v1/refunds", payment_intent=waiting["id"])
    urls = {"success_url": "https://pay.example/"}
    customer = waiting["customer"]
    sandbox.post("/v1/checkout/sessions", mode="setup", customer=customer, **urls)
    newest = sandbox.listed(path)[0]
    assert set(newest) - set(kind.__annotations__) == set()


def test_the_version_is_the_sdks() -> None:
    assert stripe.api_version == API_VERSION
