"""Usage events over HTTP, one by one: read, amended and cancelled, with who and why."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import Engine

from storage.engine import transaction
from tests.api.conftest import Product, assert_problem, nobody, running
from tests.api.master_data import every_page, told
from tests.builders import Subscriber, seed_billing
from tests.storage.sending import Sent, send

EVENTS = "/api/billing/usage-events"
CORRECTIONS = "/api/billing/usage-corrections"
ODD = "a/b?c=%41#d"
"""An id that an address cannot hold as it is."""
WHY = {"reason": "the meter counted twice"}


@pytest.fixture(scope="module")
async def sent(
    module_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Product]:
    """Events of some customers, of which each test corrects its own, and one of nobody."""
    customers = [Subscriber(str(account), 0) for account in range(1001, 1006)]
    seed_billing(module_engine, tmp_path_factory.mktemp("sent") / "files", customers)
    async with running(module_engine, await nobody()) as product:
        take_in(
            product,
            *((f"evt-{n}", f"100{n}", "2026-02-03T10:00:00Z", "500") for n in range(1, 6)),
            (ODD, "1005", "2026-01-31T10:00:00Z", "7"),
            ("stray", "9999", "2026-02-03T10:00:00Z", "5"),
        )
        yield product


def take_in(product: Product, *events: Sent) -> None:
    with transaction(product.engine) as connection:
        send(connection, *events)


async def correct(
    product: Product, event_id: str, what: str, body: dict[str, Any], key: str | None = None
) -> dict[str, Any]:
    headers = {} if key is None else {"Idempotency-Key": key}
    path = f"{EVENTS}/{quote(event_id, safe='')}/{what}"
    answer = await product.http.post(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    event: dict[str, Any] = answer.json()
    return event


async def test_an_event_is_read_as_it_was_received(sent: Product) -> None:
    event = await sent.get(f"{EVENTS}/evt-1")
    assert event.pop("received_at")
    assert event == {
        "event_id": "evt-1",
        "account_number": "1001",
        "metric": "api_calls",
        "occurred_at": "2026-02-03T10:00:00Z",
        "received_quantity": "500",
        "quantity": "500",
        "state": "counted",
        "corrections": [],
    }
    assert (await sent.get(f"{EVENTS}/stray"))["state"] == "set_aside"


async def test_an_event_is_amended_and_cancelled_by_name_and_with_a_reason(sent: Product) -> None:
    amended = await correct(sent, "evt-2", "amend", {"quantity": 120, **WHY})
    assert (amended["received_quantity"], amended["quantity"]) == ("500", "120")
    cancelled = await correct(sent, "evt-2", "cancel", {"reason": "a load test of ours"})
    assert (cancelled["state"], cancelled["quantity"]) == ("cancelled", "0")
    assert [
        (made["kind"], made["person"], made["reason"]) for made in cancelled["corrections"]
    ] == [
        ("amend", "the finance key", "the meter counted twice"),
        ("cancel", "the finance key", "a load test of ours"),
    ]
    assert await sent.get(f"{EVENTS}/evt-2") == cancelled
    log = told(sent, "usage_event")
    assert [event for subject, event, _ in log if subject == "evt-2"] == ["amended", "cancelled"]


async def test_an_id_that_an_address_cannot_hold_is_written_in_percent_form(sent: Product) -> None:
    await correct(sent, ODD, "amend", {"quantity": "8", **WHY})
    assert (await sent.get(f"{EVENTS}/{quote(ODD, safe='')}"))["quantity"] == "8"


async def test_sent_again_under_its_key_a_correction_is_made_once(sent: Product) -> None:
    first = await correct(sent, "evt-3", "amend", {"quantity": 120, **WHY}, key="k-1")
    assert await correct(sent, "evt-3", "amend", {"quantity": 120, **WHY}, key="k-1") == first
    other = await sent.http.post(
        f"{EVENTS}/evt-3/cancel", json=WHY, headers={"Idempotency-Key": "k-1"}
    )
    assert_problem(other, 409, "'k-1' was used for another correction")


@pytest.mark.parametrize(
    ("event_id", "body", "status", "words"),
    [
        ("evt-9", {"quantity": 1, **WHY}, 404, "no usage event evt-9"),
        ("stray", {"quantity": 1, **WHY}, 409, "assign it to a customer first"),
        ("evt-1", {"quantity": 500, **WHY}, 409, "counts 500 api_calls already"),
        ("evt-1", {"quantity": 1}, 422, "body.reason"),
        ("evt-1", {"quantity": 1, "reason": ""}, 422, "body.reason"),
        ("evt-1", {"quantity": 1, "reason": "  "}, 422, "body.reason"),
        ("evt-1", {"quantity": 1, "reason": "\x00"}, 422, "body.reason"),
        ("evt-1", WHY, 422, "body.quantity"),
        ("evt-1", {"quantity": -1, **WHY}, 422, "body.quantity"),
        ("evt-1", {"quantity": "-1", **WHY}, 422, "body.quantity"),
        ("evt-1", {"quantity": 1.5, **WHY}, 422, "body.quantity"),
        ("evt-1", {"quantity": True, **WHY}, 422, "body.quantity"),
        ("evt-1", {"quantity": "NaN", **WHY}, 422, "body.quantity"),
        ("evt-1", {"quantity": "1e3", **WHY}, 422, "body.quantity"),
        ("evt-1", {"quantity": "0.0000001", **WHY}, 422, "body.quantity"),
        ("evt-1", {"quantity": 10**15, **WHY}, 422, "body.quantity"),
        ("evt-1", {"quantity": 1, "note": "x", **WHY}, 422, "body.note"),
        ("evt%20", {"quantity": 1, **WHY}, 422, "path.event_id"),
        ("e" * 201, {"quantity": 1, **WHY}, 422, "path.event_id"),
    ],
)
async def test_what_cannot_be_corrected_is_refused_with_the_remedy(
    sent: Product, event_id: str, body: dict[str, Any], status: int, words: str
) -> None:
    answer = await sent.http.post(f"{EVENTS}/{event_id}/amend", json=body)
    assert_problem(answer, status, words)
    assert await every_page(sent, CORRECTIONS, account_number="1001") == []


async def test_corrections_are_listed_by_customer_and_month(sent: Product) -> None:
    for quantity in (1, 2):
        await correct(sent, "evt-5", "amend", {"quantity": quantity, **WHY})
    await correct(sent, ODD, "cancel", WHY)

    async def listed(**wanted: str) -> list[tuple[str, str]]:
        found = await every_page(sent, CORRECTIONS, account_number="1005", **wanted)
        return [(made["event_id"], made["new_quantity"]) for made in found]

    february = [("evt-5", "2"), ("evt-5", "1")]
    assert (await listed())[:3] == [(ODD, "0"), *february]
    assert await listed(month="2026-02") == february
    assert await listed(month="2025-12") == []
    others = await every_page(sent, CORRECTIONS, account_number="nobody")
    assert others == []


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"month": "2026-13"}, "query.month"),
        ({"account_number": "\x00"}, "query.account_number"),
        ({"cursor": "WzBd"}, "cursor"),
        ({"cursor": "not one"}, "cursor"),
        ({"limit": "0"}, "query.limit"),
    ],
)
async def test_a_bad_filter_is_named(
    sellerless: Product, wanted: dict[str, str], field: str
) -> None:
    assert_problem(await sellerless.http.get(CORRECTIONS, params=wanted), 422, field)
