"""What the payer's pages say in each state of an invoice, and what can be ordered from them."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from api import payer_pages
from api.dependencies import Services
from domain.errors import Conflict, NotFound
from tests.api.payers import (
    DOCUMENT,
    Desk,
    card_link,
    change,
    contents,
    issue_february,
    pay_link,
    payer_app,
)
from tests.builders import Subscriber, invoice_row

EUROS, CARD, NOTHING, TO_SETTLE = (f"INV-2026-02-{n:04d}" for n in (1, 2, 3, 4))
EARLIER = "INV-2026-01-0001"
CUSTOMERS = (
    Subscriber("1001", columns={"currency": "EUR"}),
    Subscriber("1002", columns={"payment_method": "card"}),
    Subscriber("1003", 500),
    Subscriber("1004"),
)
HISTORY = [
    invoice_row(EARLIER, account_number="1002", amount_paid="0.00", status="overdue"),
]
TOTAL = Decimal("195.10")
SANDBOX = "http://127.0.0.1:12111"
NOT_VALID = "This link is not valid"


@dataclass
class Counter:
    """The pages, as one client sees them."""

    app: FastAPI
    engine: Engine
    http: httpx.AsyncClient
    desk: Desk

    async def seen(self, link: str) -> str:
        """What a reader sees, blanks squeezed."""
        return words(await self.http.get(link))


def words(page: httpx.Response) -> str:
    body = re.sub(r"</?bdi>", "", page.text.partition("<body>")[2])
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


@pytest.fixture
async def counter(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Counter]:
    issue_february(engine, tmp_path / "files", CUSTOMERS, history=HISTORY)
    desk = Desk()
    monkeypatch.setattr(payer_pages, "open_checkout", desk.open_checkout)
    monkeypatch.setattr(payer_pages, "open_card_setup", desk.open_card_setup)
    app = payer_app(engine, stripe_api_base=f"{SANDBOX}/v1")
    async with app.router.lifespan_context(app), client_of(app) as http:
        yield Counter(app, engine, http, desk)


def client_of(app: FastAPI, address: str = "203.0.113.7") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 40_000))
    return httpx.AsyncClient(transport=transport, base_url="http://billing.example")


# --- states


async def test_an_open_invoice_is_paid_by_card_or_by_transfer(counter: Counter) -> None:
    seen = await counter.seen(pay_link(EUROS))
    assert "EUR 195.10 To be paid by 31 March 2026 Pay EUR 195.10 by card" in seen
    assert "IBAN DE89 3704 0044 0532 0130 00" in seen
    assert f"Amount EUR 195.10 Reference {EUROS}" in seen


async def test_what_came_in_so_far_is_shown_and_only_the_rest_asked_for(counter: Counter) -> None:
    change(counter.engine, EUROS, amount_paid=Decimal("95.00"), amount_credited=Decimal("0.10"))
    seen = await counter.seen(pay_link(EUROS))
    assert "Pay EUR 100.00 by card" in seen
    assert "Total EUR 195.10 Paid −95.00 Credited −0.10 Open EUR 100.00" in seen
    assert "Amount EUR 100.00" in seen


async def test_an_invoice_of_an_older_system_is_paid_like_any_other(counter: Counter) -> None:
    page = await counter.http.get(pay_link(EARLIER))
    assert page.status_code == 200
    seen = words(page)
    assert f"Invoice {EARLIER}" in seen
    assert "Usage 90.00 Subscriptions 99.00 Proration −9.00 Tax 34.20 Total USD 214.20" in seen
    assert "Pay USD 214.20 by card" in seen
    assert f"Reference {EARLIER}" in seen
    assert "PDF" not in seen  # there is none
    assert "We charge your card" not in seen
    assert (await counter.http.get(pay_link(EARLIER) + "/pdf")).status_code == 404
    assert (await counter.http.post(pay_link(EARLIER) + "/checkout")).status_code == 303
    assert counter.desk.checkouts == [EARLIER]


SETTLED: list[tuple[dict[str, Any], str]] = [
    (
        {"status": "paid", "amount_paid": TOTAL, "settled_on": date(2026, 3, 9)},
        "Paid on 9 March 2026. Thank you!",
    ),
    ({"status": "paid", "amount_credited": TOTAL}, "Credit has settled this invoice."),
    ({"status": "void"}, "This invoice was cancelled. Please do not pay it."),
    ({"status": "uncollectible"}, "This invoice is closed."),
]


@pytest.mark.parametrize(("values", "expected"), SETTLED)
async def test_a_settled_invoice_says_so_and_asks_for_nothing(
    counter: Counter, values: dict[str, Any], expected: str
) -> None:
    change(counter.engine, TO_SETTLE, **values)
    for returned in ("", "?returned=1"):
        page = await counter.http.get(pay_link(TO_SETTLE) + returned)
        assert expected in words(page)
        assert "<form" not in page.text
        assert "IBAN" not in page.text
        assert 'http-equiv="refresh"' not in page.text


async def test_an_invoice_of_nothing_asks_for_nothing(counter: Counter) -> None:
    page = await counter.http.get(pay_link(NOTHING))
    assert "There is nothing to pay." in words(page)
    assert "<form" not in page.text


async def test_an_invoice_in_review_can_be_paid_all_the_same(counter: Counter) -> None:
    change(counter.engine, TO_SETTLE, status="overdue", collection_state="manual_review")
    seen = await counter.seen(pay_link(TO_SETTLE))
    assert "Was due on 31 March 2026 Our finance team is looking at this invoice." in seen
    assert "Pay USD 195.10 by card" in seen


async def test_a_card_that_is_about_to_be_charged_is_left_to_it(counter: Counter) -> None:
    nothing_to_do = "We charge your card on file; you need not do anything."
    assert nothing_to_do in await counter.seen(pay_link(CARD))
    assert nothing_to_do not in await counter.seen(pay_link(EUROS))
    change(counter.engine, CARD, collection_state="retry_scheduled")
    assert nothing_to_do not in await counter.seen(pay_link(CARD))


async def test_back_from_the_payment_the_page_waits_for_it(counter: Counter) -> None:
    page = await counter.http.get(pay_link(EUROS) + "?returned=1")
    assert "Thank you, we are confirming your payment." in words(page)
    assert '<meta http-equiv="refresh" content="5">' in page.text
    assert "<form" not in page.text
    assert f'href="{pay_link(EUROS)}"' in page.text
    change(counter.engine, EUROS, status="paid", amount_paid=TOTAL)
    page = await counter.http.get(pay_link(EUROS) + "?returned=1")
    assert "Paid. Thank you!" in words(page)
    assert "refresh" not in page.text


# --- the transfer as a picture


async def test_euros_to_an_account_of_sepa_come_with_a_code(counter: Counter) -> None:
    assert 'alt="The same transfer as a QR code' in (await counter.http.get(pay_link(EUROS))).text
    assert "<img" not in (await counter.http.get(pay_link(CARD))).text


async def test_a_code_is_an_svg_of_our_own(counter: Counter) -> None:
    page = await counter.http.get(pay_link(EUROS))
    (source,) = re.findall(r'<img[^>]* src="([^"]*)"', page.text)
    assert source.startswith("data:image/svg+xml")
    assert unquote(unescape(source)).count("<svg") == 1


# --- orders


async def test_the_button_leads_to_the_payment(counter: Counter) -> None:
    page = await counter.http.get(pay_link(EUROS))
    (action,) = re.findall(r'<form method="post" action="([^"]+)">', page.text)
    answer = await counter.http.post(action)
    assert (answer.status_code, answer.headers["location"]) == (303, counter.desk.checkout_url)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert counter.desk.checkouts == [EUROS]


async def test_the_payment_leads_back_to_the_page(counter: Counter) -> None:
    for link, order in ((pay_link(EUROS), "/checkout"), (card_link(CARD), "/setup")):
        await counter.http.post(link + order)
        assert counter.desk.return_url == f"http://billing.example{link}?returned=1"
        assert counter.desk.cancel_url == f"http://billing.example{link}"


async def test_the_browser_lets_the_form_go_to_the_payment_alone(counter: Counter) -> None:
    policy = (await counter.http.get(pay_link(EUROS))).headers["content-security-policy"]
    assert f"form-action 'self' https://checkout.stripe.com {SANDBOX}" in policy
    assert "script" not in policy
    assert "default-src 'none'" in policy


async def test_nothing_is_ordered_where_nothing_is_open(counter: Counter) -> None:
    change(counter.engine, TO_SETTLE, status="paid", amount_paid=TOTAL)
    answer = await counter.http.post(pay_link(TO_SETTLE) + "/checkout")
    assert (answer.status_code, answer.headers["location"]) == (303, pay_link(TO_SETTLE))
    assert counter.desk.checkouts == []


async def test_a_card_is_updated_for_all_that_is_open(counter: Counter) -> None:
    page = await counter.http.get(card_link(CARD))
    seen = words(page)
    assert "Update your card For Brandt & Söhne 1002 GmbH, account 1002." in seen
    rows = re.findall(r"INV-\S+ .*? USD \S+", seen)
    assert rows == [
        f"{EARLIER} January 2026, was due on 3 March 2026 USD 214.20",
        f"{CARD} February 2026, due on 31 March 2026 USD 195.10",
    ]
    (action,) = re.findall(r'<form method="post" action="([^"]+)">', page.text)
    answer = await counter.http.post(action)
    assert (answer.status_code, answer.headers["location"]) == (303, counter.desk.setup_url)
    assert counter.desk.setups == [CARD]


async def test_back_from_the_card_the_payer_is_thanked(counter: Counter) -> None:
    page = await counter.http.get(card_link(CARD) + "?returned=1")
    assert "Thank you We are saving your card. What is open is charged to it next" in words(page)
    assert "<form" not in page.text


async def test_a_card_can_be_updated_where_nothing_is_open(counter: Counter) -> None:
    page = await counter.http.get(card_link(NOTHING))
    assert "No invoice is open." in words(page)
    assert "Update card" in words(page)


async def test_a_card_link_opens_through_its_last_day(counter: Counter, engine: Engine) -> None:
    after = payer_app(engine, now=datetime(2026, 3, 16, tzinfo=UTC))
    on = payer_app(engine, now=datetime(2026, 3, 15, 23, 59, tzinfo=UTC))
    for app, expected in ((on, 200), (after, 404)):
        async with app.router.lifespan_context(app), client_of(app) as http:
            assert (await http.get(card_link(CARD))).status_code == expected
            assert (await http.get(pay_link(CARD))).status_code == 200


def wrong_links() -> list[str]:
    pay, card = (
        pay_link(EUROS).removeprefix("/pay/"),
        card_link(EUROS).removeprefix("/payment-method/"),
    )
    return [
        f"/pay/{card}",
        f"/pay/{pay}x",
        pay_link(EUROS, version=2),
        pay_link(EUROS, secret="another"),
        f"/payment-method/{pay}",
        f"/payment-method/{card[:-1]}",
        card_link(EUROS, version=2),
        card_link(EUROS, last_day=date(2026, 2, 28)),
    ]


@pytest.mark.parametrize("link", wrong_links())
async def test_a_wrong_link_shows_and_orders_nothing(counter: Counter, link: str) -> None:
    order = "/checkout" if link.startswith("/pay/") else "/setup"
    for answer in (await counter.http.get(link), await counter.http.post(link + order)):
        assert answer.status_code == 404
        assert NOT_VALID in answer.text
    assert counter.desk == Desk()


async def test_a_get_orders_nothing_and_changes_nothing(counter: Counter) -> None:
    before = contents(counter.engine)
    for link in (pay_link(EUROS), card_link(CARD)):
        for part in ("", "?returned=1", "/pdf", "/checkout", "/setup"):
            await counter.http.get(link + part)
            await counter.http.head(link + part)
    assert contents(counter.engine) == before
    assert counter.desk == Desk()
    assert (await counter.http.get(pay_link(EUROS) + "/pdf")).content == DOCUMENT


# --- refusals and outages


async def test_a_refusal_is_a_page_that_tells_nothing_of_the_inside(counter: Counter) -> None:
    counter.desk.refusal = Conflict("No such customer: cus_123")
    answer = await counter.http.post(pay_link(EUROS) + "/checkout")
    assert answer.status_code == 409
    assert "A payment may be under way" in words(answer)
    assert "cus_123" not in answer.text
    assert f'href="{pay_link(EUROS)}"' in answer.text


async def test_an_invoice_that_is_gone_is_no_valid_link(counter: Counter) -> None:
    counter.desk.refusal = NotFound("There is no issued invoice.")
    answer = await counter.http.post(pay_link(EUROS) + "/checkout")
    assert (answer.status_code, NOT_VALID in answer.text) == (404, True)


async def test_whoever_does_not_answer_in_time_is_not_waited_for(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(app: Services, number: str, **urls: str) -> str:
        await asyncio.Event().wait()
        raise AssertionError("it was waited for")

    monkeypatch.setattr(payer_pages, "open_checkout", never)
    monkeypatch.setattr(payer_pages, "_PATIENCE_SECONDS", 0.05)
    assert await statuses(counter.http, "POST", pay_link(EUROS) + "/checkout", 1) == [503]


@pytest.mark.parametrize(
    "outage",
    [
        RPCError("no connection", RPCStatusCode.UNAVAILABLE, b""),
        RuntimeError("Failed client connect: nobody there"),
        WorkflowUpdateRPCTimeoutOrCancelledError(),
        OperationalError("SELECT", {}, Exception("server closed the connection")),
    ],
)
async def test_an_outage_is_a_page_that_says_to_come_back(
    counter: Counter, outage: Exception
) -> None:
    counter.desk.refusal = outage
    for order in (pay_link(EUROS) + "/checkout", card_link(CARD) + "/setup"):
        answer = await counter.http.post(order)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "30"
        assert "Nothing was changed and nothing was paid." in words(answer)
        assert "no-store" in answer.headers["cache-control"]


async def test_a_defect_is_not_taken_for_an_outage(counter: Counter) -> None:
    counter.desk.refusal = RuntimeError("dictionary changed size during iteration")
    with pytest.raises(RuntimeError, match="dictionary"):
        await counter.http.post(pay_link(EUROS) + "/checkout")


# --- how often


async def statuses(http: httpx.AsyncClient, method: str, link: str, times: int) -> list[int]:
    return [(await http.request(method, link)).status_code for _ in range(times)]


async def test_orders_are_limited_for_each_client_and_link(counter: Counter) -> None:
    link = pay_link(EUROS) + "/checkout"
    assert await statuses(counter.http, "POST", link, 7) == [303] * 5 + [429] * 2
    refused = await counter.http.post(link)
    assert 0 < int(refused.headers["retry-after"]) <= 10
    assert "Please wait a moment" in words(refused)
    assert len(counter.desk.checkouts) == 5
    assert await statuses(counter.http, "POST", pay_link(CARD) + "/checkout", 1) == [303]
    async with client_of(counter.app, "203.0.113.8") as somebody_else:
        assert await statuses(somebody_else, "POST", link, 1) == [303]


async def test_looks_are_limited_too_and_leave_orders_alone(counter: Counter) -> None:
    seen = await statuses(counter.http, "GET", pay_link(EUROS), 80)
    assert seen[:60] == [200] * 60
    assert 429 in seen
    assert await statuses(counter.http, "POST", pay_link(EUROS) + "/checkout", 1) == [303]


async def test_one_network_of_ipv6_is_one_client(counter: Counter) -> None:
    link = pay_link(EUROS) + "/checkout"
    answers = []
    for place in range(1, 7):
        async with client_of(counter.app, f"2001:db8::{place:x}") as http:
            answers += await statuses(http, "POST", link, 1)
    assert answers == [303] * 5 + [429]
    async with client_of(counter.app, "2001:db8:0:1::1") as neighbour:
        assert await statuses(neighbour, "POST", link, 1) == [303]
