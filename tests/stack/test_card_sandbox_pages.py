"""The sandbox's hosted page, as a browser without JavaScript uses it."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from tests.cards import Sandbox, running_sandbox

URLS = {
    "success_url": "https://pay.example/done?session={CHECKOUT_SESSION_ID}",
    "cancel_url": "https://pay.example/back",
}
WORKS, ASKS, DECLINED = "4242 4242 4242 4242", "4000 0027 6000 3184", "4000 0000 0000 0002"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with TemporaryDirectory() as folder, running_sandbox(Path(folder)) as running:
        yield running


class _Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def payment(sandbox: Sandbox, name: str = "Invoice INV-2026-02-0047", **more: str) -> Any:
    """An open session over 312.91 EUR."""
    item = "line_items[0]"
    params = {
        "mode": "payment",
        f"{item}[quantity]": "1",
        f"{item}[price_data][currency]": "eur",
        f"{item}[price_data][unit_amount]": "31291",
        f"{item}[price_data][product_data][name]": name,
        **URLS,
        **more,
    }
    answer = sandbox.post("/v1/checkout/sessions", **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def card_setup(sandbox: Sandbox) -> Any:
    customer = sandbox.post("/v1/customers", name="Ada").json()["id"]
    params = {"mode": "setup", "customer": customer, **URLS}
    return sandbox.post("/v1/checkout/sessions", **params).json()


def submit(sandbox: Sandbox, session: Any, number: str, exp: str = "12/34") -> httpx.Response:
    fields = {"card_number": number, "exp": exp, "cvc": "123"}
    return sandbox.browser.post(session["url"], data=fields)


def found(sandbox: Sandbox, session: Any) -> Any:
    return sandbox.api.get(f"/v1/checkout/sessions/{session['id']}").json()


def test_the_page_says_what_it_is_and_works_without_script(sandbox: Sandbox) -> None:
    page = sandbox.browser.get(payment(sandbox)["url"])
    elements = _Elements(page.text)
    assert "SANDBOX" in page.text
    assert "EUR 312.91" in page.text
    assert [field["name"] for field in elements.all("input")] == ["card_number", "exp", "cvc"]
    assert {field["id"] for field in elements.all("input")} == {
        label["for"] for label in elements.all("label")
    }
    assert elements.all("script") == []
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert elements.all("a")[0]["href"] == "https://pay.example/back"


def test_looking_at_a_page_changes_nothing(sandbox: Sandbox) -> None:
    session = payment(sandbox)
    for _ in range(3):
        sandbox.browser.get(session["url"])
    assert found(sandbox, session) == session


def test_a_name_is_shown_as_text(sandbox: Sandbox) -> None:
    page = sandbox.browser.get(payment(sandbox, "<script>alert(1)</script> & {x}")["url"]).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; {x}" in page


def test_who_has_paid_is_led_back_and_pays_only_once(sandbox: Sandbox) -> None:
    session = payment(sandbox)
    answer = submit(sandbox, session, WORKS)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"https://pay.example/done?session={session['id']}"
    again = submit(sandbox, session, WORKS)
    assert "Thank you" in again.text
    complete = found(sandbox, session)
    assert (complete["status"], complete["payment_status"]) == ("complete", "paid")
    charges = sandbox.listed("/v1/charges", payment_intent=complete["payment_intent"])
    assert len(charges) == 1


@pytest.mark.parametrize(
    ("number", "exp", "words"),
    [
        (DECLINED, "12/34", "Your card was declined."),
        ("4242", "12/34", "Your card number is incorrect."),
        ("4111 1111 1111 1111", "12/34", "that is no test card"),
        (WORKS, "12/20", "expiration year is invalid"),
        (WORKS, "soon", "such as 12/34"),
    ],
)
def test_a_card_that_does_not_work_is_told_and_another_one_may_be_tried(
    sandbox: Sandbox, number: str, exp: str, words: str
) -> None:
    session = payment(sandbox)
    refused = submit(sandbox, session, number, exp)
    assert words in refused.text
    assert "alert" in [p.get("role") for p in _Elements(refused.text).all("p")]
    assert found(sandbox, session)["status"] == "open"
    assert submit(sandbox, session, WORKS).status_code == 303


@pytest.mark.parametrize(("answer", "status"), [("confirm", "complete"), ("refuse", "open")])
def test_the_bank_may_ask(sandbox: Sandbox, answer: str, status: str) -> None:
    session = payment(sandbox)
    asked = sandbox.browser.get(submit(sandbox, session, ASKS).headers["location"])
    form = _Elements(asked.text).all("form")[0]
    assert "Your bank asks" in asked.text
    assert found(sandbox, session)["status"] == "open"
    sandbox.browser.post(form["action"] or "", data={"answer": answer})
    assert found(sandbox, session)["status"] == status


def test_a_card_is_left_without_a_charge(sandbox: Sandbox) -> None:
    session = card_setup(sandbox)
    page = sandbox.browser.get(session["url"]).text
    assert "Save card" in page
    assert submit(sandbox, session, DECLINED).status_code == 402
    assert submit(sandbox, session, WORKS).status_code == 303
    [method] = sandbox.listed("/v1/payment_methods", customer=session["customer"])
    assert method["card"]["last4"] == "4242"
    assert sandbox.listed("/v1/charges", customer=session["customer"]) == []


def test_a_card_that_was_confirmed_when_it_was_left_is_charged_without_its_owner(
    sandbox: Sandbox,
) -> None:
    session = card_setup(sandbox)
    submit(sandbox, session, "4000 0025 0000 3155")
    sandbox.browser.post(f"{session['url']}/bank", data={"answer": "confirm"})
    [method] = sandbox.listed("/v1/payment_methods", customer=session["customer"])
    params = {
        "amount": "100",
        "currency": "usd",
        "customer": session["customer"],
        "payment_method": method["id"],
        "confirm": "true",
        "off_session": "true",
    }
    assert sandbox.post("/v1/payment_intents", **params).json()["status"] == "succeeded"


def test_a_page_that_was_closed_says_so_and_takes_nothing(sandbox: Sandbox) -> None:
    session = payment(sandbox)
    submit(sandbox, session, DECLINED)
    sandbox.post(f"/v1/checkout/sessions/{session['id']}/expire")
    answer = submit(sandbox, session, WORKS)
    assert answer.status_code == 410
    assert "expired" in answer.text
    assert "form" not in [tag for tag, _ in _Elements(answer.text).found]
    intent = found(sandbox, session)["payment_intent"]
    assert sandbox.api.get(f"/v1/payment_intents/{intent}").json()["status"] == "canceled"


def test_a_payment_of_an_open_page_is_neither_confirmed_nor_canceled_by_others(
    sandbox: Sandbox,
) -> None:
    session = payment(sandbox)
    submit(sandbox, session, DECLINED)
    intent = found(sandbox, session)["payment_intent"]
    for action in ("confirm", "cancel"):
        answer = sandbox.post(f"/v1/payment_intents/{intent}/{action}")
        assert answer.status_code == 400
        assert "Checkout Session" in answer.json()["error"]["message"]


def test_a_page_that_does_not_exist_is_not_found(sandbox: Sandbox) -> None:
    assert sandbox.browser.get(f"{sandbox.url}/c/pay/cs_test_nothing").status_code == 404


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"mode": "setup"}, "line_items"),
        ({"mode": "subscription"}, "mode"),
        ({"line_items[0][price]": "price_1"}, "line_items[0][price]"),
        ({"payment_intent_data[amount]": "1"}, "payment_intent_data[amount]"),
        ({"expires_at": "1"}, "expires_at"),
        ({"customer": "cus_gone"}, "customer"),
    ],
)
def test_a_mistaken_session_is_refused(sandbox: Sandbox, more: dict[str, str], param: str) -> None:
    good = {
        "mode": "payment",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "eur",
        "line_items[0][price_data][unit_amount]": "100",
        "line_items[0][price_data][product_data][name]": "x",
        **URLS,
    }
    answer = sandbox.post("/v1/checkout/sessions", **(good | more))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
