"""Whatever is sent, the answer is a page, a result or a problem, and never a defect.

The transport raises what the application leaves unhandled, so a defect fails with its cause.
"""

import base64
import json
from typing import Any
from urllib.parse import quote

import httpx
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.api.conftest import CYCLES, INVOICES, Product

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
MONTHS = st.sampled_from(["2026-02", "2026-13", "2200-12", "1999-12", "9999-99"]) | st.text()
DAYS = st.dates().map(str) | st.text() | st.integers()
ORDERS = st.fixed_dictionaries(
    {"period": MONTHS | SCALARS},
    optional={
        "issued_on": DAYS | SCALARS,
        "hold_reminders": SCALARS,
        "pause_before_issue": SCALARS,
        "unknown": JSON,
    },
)
PROBLEM = "application/problem+json"


def assert_answered(answer: httpx.Response, *expected: int) -> None:
    assert answer.status_code in expected, (answer.status_code, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == PROBLEM
        assert answer.json()["detail"]


@settings(max_examples=150)
@given(body=JSON | ORDERS)
@example(body={"period": "2026-02", "issued_on": "9999-12-31"})
@example(body={"period": "2200-12"})
@example(body={"period": "2026-02", "\ud800": 1})
@example(body={"period": "\ud800"})
@example(body={"period": "2026-02", "\x00": 1})
@example(body={"period": "2026-02", "issued_on": 1e400})
async def test_a_cycle_is_refused_in_form_whatever_the_body(sellerless: Product, body: Any) -> None:
    answer = await sellerless.http.post(
        CYCLES, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert_answered(answer, 409, 422)


@settings(max_examples=50)
@given(body=st.binary())
@example(body=b"[" * 5_000)
@example(body=b"\xff\xfe")
@example(body=b"9" * 5_000)
async def test_a_body_may_be_any_bytes(sellerless: Product, body: bytes) -> None:
    answer = await sellerless.http.post(
        CYCLES, content=body, headers={"Content-Type": "application/json"}
    )
    assert_answered(answer, 400, 422)


@settings(max_examples=50)
@given(
    period=MONTHS.filter(bool),
    action=st.sampled_from(["", "/customers", "/pause", "/resume", "/retry"]),
)
async def test_a_month_in_the_address_may_be_anything(
    sellerless: Product, period: str, action: str
) -> None:
    address = f"{CYCLES}/{quote(period, safe='', errors='replace')}{action}"
    answer = await sellerless.http.request(
        "GET" if action in ("", "/customers") else "POST", address
    )
    assert_answered(answer, 200, 307, 404, 405, 409, 422)


POSITIONS = st.tuples(st.dates().map(str) | st.text(), SCALARS, SCALARS) | JSON
CURSORS = st.text() | POSITIONS.map(
    lambda position: base64.urlsafe_b64encode(json.dumps(position).encode()).decode()
)


def cursor(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode()


@settings(max_examples=150)
@given(position=CURSORS, account=st.text(), period=MONTHS, limit=st.integers() | st.text())
@example(cursor("[" * 5_000), "1001", "2026-02", 5)
@example(cursor('["2026-02-01", "1001", Infinity]'), "1001", "2026-02", 5)
@example(cursor('["2026-02-01", "1001", 99999999999999999999]'), "1001", "2026-02", 5)
@example(cursor('["2026-02-01", "\\u0000", 1]'), "1001", "2026-02", 5)
@example(cursor('["2026-02-01", "\\ud800", 1]'), "1001", "2026-02", 5)
@example(cursor('["2026-02-01", 7, 1]'), "1001", "2026-02", 5)
@example(cursor('["0001-01-01", "", 1]'), "\x00", "2026-02", 5)
async def test_filters_and_cursors_may_be_anything(
    sellerless: Product, position: str, account: str, period: str, limit: int | str
) -> None:
    wanted = {"cursor": position, "account_number": account, "period": period, "limit": str(limit)}
    wanted["q"] = account
    for name, value in wanted.items():
        query = f"{name}={quote(value, safe='', errors='replace')}"
        assert_answered(await sellerless.http.get(f"{INVOICES}?{query}"), 200, 422)


@settings(max_examples=60)
@given(number=st.text(min_size=1), part=st.sampled_from(["", "/pdf", "/timeline"]))
@example(number="\x00", part="")
@example(number="x" * 9_000, part="/pdf")
async def test_an_invoice_number_may_be_anything(
    sellerless: Product, number: str, part: str
) -> None:
    address = f"{INVOICES}/{quote(number, safe='', errors='replace')}{part}"
    assert_answered(await sellerless.http.get(address), 200, 307, 404, 422)


INSTRUCTIONS = st.fixed_dictionaries(
    {},
    optional={
        "resolution": st.sampled_from(["extend", "write_off"]) | SCALARS,
        "note": st.text(min_size=1) | SCALARS,
        "reason": st.text(min_size=1) | SCALARS,
        "until": DAYS | SCALARS,
        "reissue": SCALARS,
        "amount": st.decimals().map(str) | SCALARS,
        "lines": st.lists(
            st.fixed_dictionaries({"position": SCALARS, "amount": st.decimals().map(str) | SCALARS})
        )
        | SCALARS,
        "refund_to": st.sampled_from(["card", "credit"]) | SCALARS,
        "steps": st.lists(
            st.fixed_dictionaries(
                {
                    "after_days": st.integers() | SCALARS,
                    "notice": st.sampled_from(["reminder", "review_notice"]) | SCALARS,
                },
                optional={"cc": st.lists(st.text()) | JSON},
            )
        )
        | SCALARS,
        "code": st.text(max_size=5) | SCALARS,
    },
)
ACTIONS = [
    *(
        ("POST", f"{INVOICES}/INV-2026-02-0001/{what}")
        for what in ("resolve", "hold", "release", "void", "credit-notes")
    ),
    ("PUT", "/api/billing/dunning-policies/fuzzed"),
    ("PUT", "/api/billing/customers/1001/dunning-policy"),
]


def only(body: Any, path: str) -> Any:
    """The keys that the route knows, so that its values are reached."""
    known = {
        "resolve": ("resolution", "note", "until"),
        "hold": ("note",),
        "release": ("note",),
        "void": ("reason", "reissue"),
        "credit-notes": ("reason", "amount", "lines", "refund_to"),
        "fuzzed": ("steps",),
        "dunning-policy": ("code",),
    }[path.rpartition("/")[2]]
    return {name: body[name] for name in known if name in body} if isinstance(body, dict) else body


@settings(max_examples=250)
@given(action=st.sampled_from(ACTIONS), body=INSTRUCTIONS | JSON)
@example(ACTIONS[0], {"resolution": "write_off", "note": "\ud800"})
@example(ACTIONS[0], {"resolution": "extend", "note": "x", "until": "9999-12-31"})
@example(ACTIONS[4], {"reason": "x", "amount": "1e400"})
@example(ACTIONS[4], {"reason": "x", "lines": [{"position": 10**30, "amount": None}]})
@example(ACTIONS[6], {"code": "\x00"})
@example(ACTIONS[6], {"code": "\ud800"})
async def test_whatever_is_asked_is_answered_in_form(
    sellerless: Product, action: tuple[str, str], body: Any
) -> None:
    method, path = action
    answer = await sellerless.http.request(
        method,
        path,
        content=json.dumps(only(body, path)),
        headers={"Content-Type": "application/json"},
    )
    assert_answered(answer, 200, 404, 422)


NUMBERS = st.decimals(allow_nan=False).map(str) | st.integers(-5, 2**70) | SCALARS
MASTER_DATA = [
    (
        "POST",
        "/api/billing/customers",
        {
            "account_number": st.from_regex(r"[a-z]{1,3}", fullmatch=True) | SCALARS,
            "name": st.text(min_size=1) | SCALARS,
            "billing_emails": st.just(["a@b.example"]) | JSON,
            "country": st.sampled_from(["DE", "US", "AQ"]) | SCALARS,
            "region": st.sampled_from(["NY", ""]) | SCALARS,
            "address_line1": st.text(min_size=1),
            "city": st.text(min_size=1),
            "tax_id": st.text() | SCALARS,
            "currency": st.sampled_from(["USD", "JPY"]) | SCALARS,
            "segment": st.text(min_size=1),
            "payment_method": st.sampled_from(["card", "bank_transfer"]) | SCALARS,
        },
    ),
    ("PATCH", "/api/billing/customers/a", {"name": SCALARS, "currency": SCALARS, "tax_id": JSON}),
    (
        "POST",
        "/api/billing/plans",
        {
            "code": st.from_regex(r"[a-z]{1,3}", fullmatch=True) | SCALARS,
            "name": st.just("A plan") | SCALARS,
            "kind": st.sampled_from(["flat", "usage"]) | SCALARS,
            "metric": st.sampled_from([None, "calls"]) | SCALARS,
            "currency": st.sampled_from(["USD", "JPY"]) | SCALARS,
            "unit_price": NUMBERS,
            "tiers": st.lists(
                st.fixed_dictionaries(
                    {"name": st.text(min_size=1), "up_to": SCALARS, "unit_price": NUMBERS}
                )
            )
            | JSON,
            "valid_from": DAYS,
        },
    ),
    (
        "POST",
        "/api/billing/plans/a/prices",
        {"currency": st.just("USD"), "unit_price": NUMBERS, "valid_from": DAYS},
    ),
    (
        "POST",
        "/api/billing/subscriptions",
        {
            "account_number": st.text(min_size=1) | SCALARS,
            "plan_code": st.text(min_size=1) | SCALARS,
            "quantity": NUMBERS,
            "starts_on": DAYS,
            "ends_on": DAYS | st.none(),
        },
    ),
    ("PATCH", "/api/billing/subscriptions/1", {"ends_on": DAYS | SCALARS}),
    ("PATCH", "/api/billing/subscriptions/1", {"quantity": NUMBERS, "from": DAYS}),
    (
        "POST",
        "/api/billing/tax-rates",
        {
            "country": st.sampled_from(["DE", "US", "AQ"]) | SCALARS,
            "region": st.sampled_from(["NY", ""]) | SCALARS,
            "rate_percent": NUMBERS,
            "name": st.text(min_size=1),
            "valid_from": DAYS,
            "valid_to": DAYS | st.none(),
            "ends_previous": SCALARS,
        },
    ),
    ("PATCH", "/api/billing/tax-rates/1", {"valid_to": DAYS | SCALARS}),
]
ORDERS_OF_MASTER_DATA = st.one_of(
    *(
        st.tuples(st.just(method), st.just(path), st.fixed_dictionaries(body) | JSON)
        for method, path, body in MASTER_DATA
    )
)


@settings(max_examples=300)
@given(order=ORDERS_OF_MASTER_DATA)
@example(("PATCH", "/api/billing/customers/\x00", {}))
@example(("PATCH", "/api/billing/customers/a", {"name": "\ud800"}))
@example(("POST", "/api/billing/plans/a/prices", {"unit_price": "1e400"}))
@example(("PATCH", "/api/billing/subscriptions/99999999999999999999", {"ends_on": None}))
async def test_master_data_may_be_asked_to_be_anything(
    sellerless: Product, order: tuple[str, str, Any]
) -> None:
    method, path, body = order
    answer = await sellerless.http.request(
        method,
        quote(path),
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert_answered(answer, 200, 201, 404, 409, 422)


@settings(max_examples=100)
@given(
    path=st.sampled_from(["customers", "plans", "subscriptions", "tax-rates"]),
    cursor=CURSORS,
    wanted=st.text(),
    day=DAYS.map(str),
)
@example("tax-rates", cursor('["DE", "\\u0000", "2026-01-01"]'), "DE", "2026-01-01")
@example("subscriptions", cursor('["a", "b", "9999-12-31"]'), "\x00", "2026-01-01")
@example("customers", cursor('["\\u0000"]'), "", "2026-01-01")
async def test_master_data_may_be_sought_by_anything(
    sellerless: Product, path: str, cursor: str, wanted: str, day: str
) -> None:
    sought = {"cursor": cursor, "q": wanted, "plan_code": wanted, "active_on": day, "on": day}
    for name, value in sought.items():
        query = f"{name}={quote(value, safe='', errors='replace')}"
        answer = await sellerless.http.get(f"/api/billing/{path}?{query}")
        assert_answered(answer, 200, 422)


@settings(max_examples=100)
@given(values=st.lists(st.text(), min_size=6, max_size=6), kind=st.sampled_from(["json", "csv"]))
@example(["\x00"] * 6, "json")
@example(["\x00"] * 6, "csv")
async def test_the_audit_log_may_be_asked_for_anything(
    sellerless: Product, values: list[str], kind: str
) -> None:
    names = ("subject_kind", "subject", "actor", "event", "from", "cursor")
    query = "&".join(
        f"{name}={quote(value, safe='', errors='replace')}"
        for name, value in zip(names, values, strict=True)
        if value
    )
    answer = await sellerless.http.get(f"/api/billing/audit?format={kind}&{query}")
    assert_answered(answer, 200, 422)


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
