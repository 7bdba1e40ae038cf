"""What the API's description cannot say is answered in form too: bytes that are no text, texts that
no calendar and no database has, cursors and tokens that somebody made up.

The rest is in `test_openapi.py`. The transport raises what the application leaves unhandled, so
a defect fails with its cause.
"""

import base64
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.api.conftest import CYCLES, INVOICES, Product

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
PROBLEM = "application/problem+json"


def assert_answered(answer: httpx.Response, *expected: int) -> None:
    assert answer.status_code in expected, (answer.status_code, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == PROBLEM
        assert answer.json()["detail"]


INVOICE = f"{INVOICES}/INV-2026-02-0001"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", CYCLES, {"period": "2026-02", "issued_on": "9999-12-31"}),
        ("POST", CYCLES, {"period": "2200-12"}),
        ("POST", CYCLES, {"period": "2026-02", "\ud800": 1}),
        ("POST", CYCLES, {"period": "\ud800"}),
        ("POST", CYCLES, {"period": "2026-02", "\x00": 1}),
        ("POST", CYCLES, {"period": "2026-02", "issued_on": 1e400}),
        ("POST", f"{INVOICE}/resolve", {"resolution": "write_off", "note": "\ud800"}),
        (
            "POST",
            f"{INVOICE}/resolve",
            {"resolution": "extend", "note": "x", "until": "9999-12-31"},
        ),
        ("POST", f"{INVOICE}/credit-notes", {"reason": "x", "amount": "1e400"}),
        (
            "POST",
            f"{INVOICE}/credit-notes",
            {"reason": "x", "lines": [{"position": 10**30, "amount": None}]},
        ),
        ("PUT", "/api/billing/customers/1001/dunning-policy", {"code": "\x00"}),
        ("PUT", "/api/billing/customers/1001/dunning-policy", {"code": "\ud800"}),
    ],
)
async def test_json_that_no_text_and_no_calendar_has_is_refused_in_form(
    sellerless: Product, method: str, path: str, body: Any
) -> None:
    answer = await sellerless.http.request(
        method, path, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert_answered(answer, 404, 422)


@settings(max_examples=50)
@given(body=st.binary())
@example(body=b"[" * 5_000)
@example(body=b"\xff\xfe")
@example(body=b"9" * 5_000)
async def test_a_body_may_be_any_bytes(sellerless: Product, body: bytes) -> None:
    answer = await sellerless.http.post(
        CYCLES, content=body, headers={"Content-Type": "application/json"}
    )
    assert_answered(answer, 422)


POSITIONS = st.tuples(st.dates().map(str) | st.text(), SCALARS, SCALARS) | JSON
CURSORS = st.text() | POSITIONS.map(
    lambda position: base64.urlsafe_b64encode(json.dumps(position).encode()).decode()
)


def cursor(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode()


@settings(max_examples=150)
@given(position=CURSORS)
@example(cursor("[" * 5_000))
@example(cursor('["2026-02-01", "1001", Infinity]'))
@example(cursor('["2026-02-01", "1001", 99999999999999999999]'))
@example(cursor('["2026-02-01", "\\u0000", 1]'))
@example(cursor('["2026-02-01", "\\ud800", 1]'))
@example(cursor('["2026-02-01", 7, 1]'))
async def test_a_cursor_may_hold_anything(sellerless: Product, position: str) -> None:
    query = f"cursor={quote(position, safe='', errors='replace')}"
    assert_answered(await sellerless.http.get(f"{INVOICES}?{query}"), 200, 422)


@pytest.mark.parametrize("part", ["", "/pdf", "/timeline"])
@pytest.mark.parametrize("number", ["\x00", "x" * 9_000])
async def test_an_invoice_number_may_be_anything(
    sellerless: Product, number: str, part: str
) -> None:
    assert_answered(await sellerless.http.get(f"{INVOICES}/{quote(number)}{part}"), 404, 422)


@pytest.mark.parametrize("name", ["account_number", "q", "period", "cursor"])
async def test_invoices_may_be_asked_for_by_what_no_text_has(
    sellerless: Product, name: str
) -> None:
    assert_answered(await sellerless.http.get(f"{INVOICES}?{name}=%00"), 200, 422)


@settings(max_examples=60)
@given(token=st.text(min_size=1) | st.from_regex(r"INV-[0-9]{4}\.[0-9]+\.[\w-]{24}"))
@example(token="\x00")
@example(token="INV-2026-02-0001." + "9" * 5_000 + ".x")
async def test_a_payers_token_may_be_anything(sellerless: Product, token: str) -> None:
    for part in ("", "/pdf"):
        address = f"/pay/{quote(token, safe='', errors='replace')}{part}"
        answer = await sellerless.http.get(address)
        assert answer.status_code in (307, 404)


@settings(max_examples=60)
@given(key=st.binary(min_size=1).filter(lambda key: not set(key) & {10, 13}))
async def test_a_key_may_be_anything(sellerless: Product, key: bytes) -> None:
    answer = await sellerless.http.get(CYCLES, headers=[(b"Authorization", b"Bearer " + key)])
    assert_answered(answer, 401)
