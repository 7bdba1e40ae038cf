"""What the card processor sends: only what it signed, lately, once; and never a defect."""

import asyncio
import hashlib
import hmac
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from api.webhooks import LARGEST_BYTES, TOLERANCE
from storage.engine import transaction
from storage.tables import webhook_events
from tests.api.collected import TOTAL, Month
from tests.api.conftest import (
    WEBHOOK_SECRET,
    Product,
    assert_problem,
    nobody,
    nowhere,
    running,
    until,
)
from tests.builders import NOW

PATH = "/webhooks/stripe"
NO_EVENT = "no event of Stripe's"
NOT_SIGNED = "signature does not fit"
Json = dict[str, Any]
_ids = itertools.count(1)


def event(kind: str = "payment_intent.succeeded", **thing: Any) -> Json:
    """An event about `thing`, under an id of its own."""
    return {
        "id": f"evt_{next(_ids)}",
        "object": "event",
        "type": kind,
        "created": int(NOW.timestamp()),
        "data": {"object": {"id": "pi_unknown", "object": "payment_intent", **thing}},
    }


def paid(number: str, **changes: Any) -> Json:
    """The payer has paid the invoice on the processor's page."""
    intent = {
        "id": f"pi_{next(_ids)}",
        "currency": "usd",
        "amount_received": 2380,
        "metadata": {"invoice_number": number},
        **changes,
    }
    return event(**intent)


def stamp(at: float | None = None) -> int:
    return int(NOW.timestamp() if at is None else at)


def signed(body: bytes, *, at: int | None = None, secret: str = WEBHOOK_SECRET) -> dict[str, str]:
    """The header with which Stripe sends `body` at `at`."""
    time = stamp() if at is None else at
    digest = hmac.new(secret.encode(), b"%d.%b" % (time, body), hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={time},v1={digest}"}


async def post(product: Product, body: bytes, headers: Any = None) -> Any:
    return await product.http.post(
        PATH, content=body, headers=signed(body) if headers is None else headers
    )


async def send(product: Product, event: Json) -> Any:
    return await post(product, json.dumps(event).encode())


def kept(product: Product) -> list[tuple[str, str | None]]:
    """Id and outcome of every event that is stored."""
    with transaction(product.engine) as connection:
        rows = connection.execute(
            select(webhook_events.c.event_id, webhook_events.c.outcome).order_by(
                webhook_events.c.received_at
            )
        )
        return [(row.event_id, row.outcome) for row in rows]


# --- who may send, and what


async def test_an_event_needs_no_key_but_a_signature(sellerless: Product) -> None:
    body = json.dumps(event()).encode()
    transport = httpx.ASGITransport(sellerless.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://billing.example") as stripe:
        assert (await stripe.post(PATH, content=body, headers=signed(body))).status_code == 200
        assert_problem(await stripe.post(PATH, content=body), 400, NOT_SIGNED)


BODY = json.dumps(event()).encode()
GOOD = signed(BODY)["Stripe-Signature"]
_time, _digest = GOOD.split(",")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=,v1=",
        _time,
        _digest,
        f"{_time},v0={_digest.removeprefix('v1=')}",
        f"{_time},{_digest[:-1]}",
        f"{_time},{_digest.upper()}",
        f"{_time},v1=é",
        f"{_time},{_time},{_digest}",
        f"t=1,{GOOD}",
        f"{GOOD},t=1",
        f"t=-1,{_digest}",
        f"t=0x1,{_digest}",
        f"t={'9' * 5_000},{_digest}",
        signed(BODY, secret="whsec_of_another")["Stripe-Signature"],
        signed(BODY + b" ")["Stripe-Signature"],
        signed(b"")["Stripe-Signature"],
    ],
)
async def test_a_signature_that_does_not_fit_is_refused_and_nothing_kept(
    sellerless: Product, header: str
) -> None:
    before = kept(sellerless)
    answer = await post(sellerless, BODY, {"Stripe-Signature": header.encode()})
    assert_problem(answer, 400, NOT_SIGNED)
    assert kept(sellerless) == before


async def test_one_of_several_signatures_is_enough(sellerless: Product) -> None:
    """So does Stripe sign while a secret is changed."""
    other = signed(BODY, secret="whsec_of_another")["Stripe-Signature"]
    answer = await post(sellerless, BODY, {"Stripe-Signature": f"{other},{_digest}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("seconds", [TOLERANCE.total_seconds() + 1, -TOLERANCE.total_seconds() - 1])
async def test_a_signature_of_another_time_is_refused(sellerless: Product, seconds: float) -> None:
    at = stamp((NOW - timedelta(seconds=seconds)).timestamp())
    before = kept(sellerless)
    assert_problem(await post(sellerless, BODY, signed(BODY, at=at)), 400, "too old")
    assert kept(sellerless) == before


async def test_a_signature_is_good_for_five_minutes(sellerless: Product) -> None:
    at = stamp((NOW - TOLERANCE).timestamp())
    assert (await post(sellerless, BODY, signed(BODY, at=at))).status_code == 200


async def test_a_truncated_body_does_not_fit_its_signature(sellerless: Product) -> None:
    assert_problem(await post(sellerless, BODY[:-1], signed(BODY)), 400, NOT_SIGNED)


async def test_a_body_without_an_end_is_cut_off(sellerless: Product) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100_000
            yield b" " * 100_000

    answer = await sellerless.http.post(PATH, content=chunks(), headers={"Stripe-Signature": GOOD})
    assert_problem(answer, 413, "at most 1,000,000 bytes")
    assert sent <= LARGEST_BYTES + 100_000


async def test_the_largest_body_is_read(sellerless: Product) -> None:
    whole = json.dumps(event()).encode()
    largest = whole + b" " * (LARGEST_BYTES - len(whole))
    assert (await post(sellerless, largest)).status_code == 200
    assert_problem(await post(sellerless, largest + b" "), 413)


def changed(*path: str, **values: Any) -> bytes:
    """An event with other values at `path`."""
    wanted = event()
    inner = wanted
    for name in path:
        inner = inner[name]
    inner.update(values)
    return json.dumps(wanted).encode()


def with_raw(raw: str) -> bytes:
    """An event whose metadata hold `raw`, which is no Python's making."""
    return json.dumps(event(metadata={"x": "RAW"})).encode().replace(b'"RAW"', raw.encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"event"',
        b"\xff\xfe\x00",
        b"\x80",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        changed(id=7),
        changed(id=""),
        changed(id="e" * 256),
        changed(id="evt\0"),
        changed(id="\ud800"),
        changed(type=None),
        changed(type="\ud800"),
        changed(created="2026-03-01"),
        changed(created=True),
        changed(created=-1),
        changed(created=1e300),
        changed(created=10**300),
        changed(data=None),
        changed("data", object=[]),
        changed("data", object={"object": "payment_intent"}),
        changed("data", "object", id=None),
        changed("data", "object", metadata=["x"]),
        changed("data", "object", metadata="x"),
        changed("data", "object", metadata={"x": "a\0b"}),
        changed("data", "object", metadata={"a\0b": "x"}),
        changed("data", "object", metadata={"x": "\udfff"}),
        changed("data", "object", **{"\ud800": 1}),
        with_raw("NaN"),
        with_raw("-Infinity"),
        with_raw("1e400"),
        with_raw("9" * 5_000),
        with_raw("[" * 200 + "]" * 200),
        with_raw("[" * 20_000 + "]" * 20_000),
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
async def test_what_is_no_event_is_refused_though_it_is_signed(
    sellerless: Product, body: bytes
) -> None:
    before = kept(sellerless)
    assert_problem(await post(sellerless, body), 400, NO_EVENT)
    assert kept(sellerless) == before


@pytest.mark.parametrize(
    "raw", ["9" * 4_000, "1e308", "-1e-400", '"\\\\u0000"', '"\\ud83d\\ude00"']
)
async def test_an_odd_value_that_can_be_kept_is_kept(sellerless: Product, raw: str) -> None:
    answer = await post(sellerless, with_raw(raw))
    assert answer.status_code == 200
    assert dict(kept(sellerless))[answer.json()["received"]] == "ignored"


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None))
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
EVENTS = st.fixed_dictionaries(
    {"id": st.uuids().map(str) | SCALARS, "type": st.just("payment_intent.succeeded") | JSON},
    optional={
        "created": st.integers() | SCALARS,
        "data": st.fixed_dictionaries(
            {},
            optional={
                "object": JSON
                | st.fixed_dictionaries(
                    {"object": st.sampled_from(["payment_intent", "refund"]) | JSON},
                    optional={"id": JSON, "payment_intent": JSON, "metadata": JSON},
                )
            },
        )
        | JSON,
    },
)


@settings(max_examples=200)
@given(body=(JSON | EVENTS).map(lambda value: json.dumps(value).encode()) | st.binary())
@example(body=b"\xef\xbb\xbf{}")
async def test_whatever_is_signed_is_kept_or_refused_in_form(
    sellerless: Product, body: bytes
) -> None:
    answer = await post(sellerless, body)
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        assert_problem(answer, 400)


@settings(max_examples=100)
@given(header=st.text(st.characters(codec="latin-1")), body=st.binary())
async def test_whatever_is_forged_is_refused(sellerless: Product, header: str, body: bytes) -> None:
    answer = await post(sellerless, body, {"Stripe-Signature": header.encode("latin-1")})
    assert_problem(answer, 400, NOT_SIGNED)


# --- what becomes of an event


async def test_an_event_of_no_concern_is_kept_and_ignored(month: Month) -> None:
    unknown_type = event("customer.tax_id.created", id="txi_1", object="tax_id")
    unknown_payment = event("payment_intent.payment_failed")
    unknown_invoice = paid("INV-2026-02-9999")
    for told in (unknown_type, unknown_payment, unknown_invoice):
        answer = await send(month.product, told)
        assert (answer.status_code, answer.json()) == (200, {"received": told["id"]})
    outcomes = dict(kept(month.product))
    for told in (unknown_type, unknown_payment, unknown_invoice):
        assert outcomes[told["id"]] == "ignored"


async def test_a_payment_is_booked_once_however_often_it_is_told(month: Month) -> None:
    number = month.take("wired")
    told = paid(number)
    answers = await asyncio.gather(*(send(month.product, told) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {200}
    await until(lambda: dict(kept(month.product))[told["id"]] == "applied")
    assert (await send(month.product, told)).status_code == 200

    (payment,) = await month.get(number, "/payments")
    assert (payment["amount"], payment["allocated"], payment["kept_as_credit"]) == (
        *(TOTAL, TOTAL, "0.00"),
    )
    assert (await month.get(number))["status"] == "paid"
    assert [id for id, _ in kept(month.product)].count(told["id"]) == 1


async def test_the_same_event_id_with_another_body_changes_nothing(month: Month) -> None:
    number = month.take("wired")
    told = paid(number)
    await send(month.product, told)
    await until(lambda: dict(kept(month.product))[told["id"]] == "applied")
    forged = paid(month.take("wired")) | {"id": told["id"]}
    assert (await send(month.product, forged)).status_code == 200
    other = forged["data"]["object"]["metadata"]["invoice_number"]
    assert await month.get(other, "/payments") == []


async def test_a_dispute_brings_a_paid_invoice_before_the_finance_manager(month: Month) -> None:
    number = month.take("paid")
    (payment,) = await month.get(number, "/payments")
    told = event(
        "charge.dispute.created",
        id="dp_1",
        object="dispute",
        payment_intent=payment["provider_id"],
        amount=2380,
        reason="fraudulent",
        status="needs_response",
    )
    await send(month.product, told)
    await until(lambda: dict(kept(month.product))[told["id"]] == "applied")
    invoice = await month.get(number)
    assert (invoice["disputed"], invoice["status"]) == (True, "paid")
    queue = await month.product.get("/api/billing/review-queue", params={"limit": 200})
    (case,) = [case for case in queue["items"] if case["number"] == number]
    assert (case["disputed"], case["open_amount"], case["reason"]) == (True, "0.00", "fraudulent")
    assert not any(way["possible"] for way in case["resolutions"])


# --- outages


async def test_an_event_is_taken_while_temporal_is_away_and_booked_by_the_sweep(
    month: Month,
) -> None:
    number = month.take("wired")
    told = paid(number)
    async with running(month.product.engine, await nobody()) as product:
        answer = await send(product, told)
    assert (answer.status_code, answer.json()) == (200, {"received": told["id"]})
    assert dict(kept(month.product))[told["id"]] is None

    await month.product.sweep()

    await until(lambda: dict(kept(month.product))[told["id"]] == "applied")
    assert (await month.get(number))["status"] == "paid"


async def test_an_event_that_cannot_be_stored_is_to_be_sent_again(books: Product) -> None:
    services = books.app.state.services
    books.app.state.services = replace(services, engine=nowhere())
    assert_problem(await post(books, BODY), 503, "PostgreSQL")


async def test_without_a_secret_nothing_is_believed(books: Product) -> None:
    services = books.app.state.services
    settings = services.settings.model_copy(update={"stripe_webhook_secret": None})
    books.app.state.services = replace(services, settings=settings)
    assert_problem(await post(books, BODY), 503, "STRIPE_WEBHOOK_SECRET is not set")
