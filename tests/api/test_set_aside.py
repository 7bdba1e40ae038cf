"""Usage of accounts that nobody has, over HTTP: listed, assigned, dismissed; and what came in."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.api.conftest import Product, assert_problem, nobody, running
from tests.api.master_data import every_page, post, told
from tests.api.test_usage_corrections import EVENTS, take_in
from tests.builders import Subscriber, seed_billing

ASIDE = "/api/billing/set-aside-events"
ACCOUNTS = "/api/billing/set-aside-accounts"
ARRIVALS = "/api/billing/usage-arrivals"


@pytest.fixture(scope="module")
async def strays(
    module_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Product]:
    """A customer, and events of accounts that nobody has, of which each test decides its own."""
    files = tmp_path_factory.mktemp("strays") / "files"
    seed_billing(module_engine, files, [Subscriber("1001", 0)])
    async with running(module_engine, await nobody()) as product:
        take_in(
            product,
            *(
                (f"stray-{account}-{n}", account, f"2026-02-0{n}T10:00:00Z", f"{n}")
                for account in ("9995", "9996", "9997", "9998", "9999")
                for n in range(1, 4)
            ),
        )
        yield product


async def ids(product: Product, **wanted: str) -> list[str]:
    return [event["event_id"] for event in await every_page(product, ASIDE, **wanted)]


async def test_what_waits_is_listed_by_account(strays: Product) -> None:
    assert await ids(strays, account_number="9995") == [f"stray-9995-{n}" for n in (1, 2, 3)]
    assert await ids(strays, account_number="9995", state="assigned") == []
    assert (await ids(strays))[:4] == [*await ids(strays, account_number="9995"), "stray-9996-1"]
    first, second, *_ = await every_page(strays, ACCOUNTS)
    assert first == {
        "account_number": "9995",
        "events": 3,
        "first_at": "2026-02-01T10:00:00Z",
        "last_at": "2026-02-03T10:00:00Z",
        "is_customer": False,
    }
    assert second["account_number"] == "9996"


async def test_usage_is_assigned_one_by_one_and_all_at_once(strays: Product) -> None:
    one = {"event_id": "stray-9997-2", "assign_to": "1001"}
    assert await post(strays, f"{ASIDE}/assign", one, 200) == {
        "account_number": "9997",
        "events": 1,
        "quantities": {"api_calls": "2"},
    }
    rest = {"account_number": "9997", "assign_to": "1001", "note": "they moved"}
    assert (await post(strays, f"{ASIDE}/assign", rest, 200))["events"] == 2
    assert await ids(strays, account_number="9997") == []
    first, *_ = await every_page(strays, ASIDE, state="assigned", account_number="9997")
    assert (first["assigned_to"], first["note"], first["decided_by"]) == (
        "1001",
        "they moved",
        "the finance key",
    )
    event = await strays.get(f"{EVENTS}/stray-9997-2")
    assert (event["account_number"], event["state"], event["quantity"]) == ("1001", "counted", "2")
    log = told(strays, "set_aside_usage")
    assert [event for subject, event, _ in log if subject == "9997"] == ["assigned"] * 2


async def test_usage_is_dismissed_with_a_note_and_can_still_be_assigned(strays: Product) -> None:
    body = {"account_number": "9998", "note": "a load test of ours"}
    assert (await post(strays, f"{ASIDE}/dismiss", body, 200))["events"] == 3
    assert len(await ids(strays, state="dismissed", account_number="9998")) == 3
    assert (await strays.get(f"{EVENTS}/stray-9998-1"))["state"] == "dismissed"
    one = {"event_id": "stray-9998-1", "assign_to": "1001"}
    await post(strays, f"{ASIDE}/assign", one, 200)
    left = await ids(strays, state="dismissed", account_number="9998")
    assert left == ["stray-9998-2", "stray-9998-3"]


async def test_what_came_in_is_told_by_day(strays: Product) -> None:
    today, *_ = await strays.get(ARRIVALS)
    assert today["set_aside"] >= 15
    assert (today["accepted"], today["duplicates"], today["rejected"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("what", "body", "status", "words"),
    [
        ("assign", {"event_id": "stray-9", "assign_to": "1001"}, 404, "no event stray-9"),
        ("assign", {"account_number": "77", "assign_to": "1001"}, 404, "nothing of 77 waits"),
        ("assign", {"event_id": "stray-9995-1", "assign_to": "9999"}, 422, "9999 is no customer"),
        ("assign", {"assign_to": "1001"}, 422, "give either event_id"),
        (
            "assign",
            {"event_id": "stray-9995-1", "account_number": "9999", "assign_to": "1001"},
            422,
            "give either event_id",
        ),
        ("assign", {"event_id": "stray-9995-1"}, 422, "body.assign_to"),
        ("assign", {"event_id": "a b", "assign_to": "1001"}, 422, "body.event_id"),
        ("dismiss", {"event_id": "stray-9995-1"}, 422, "body.note"),
        ("dismiss", {"event_id": "stray-9995-1", "note": " "}, 422, "note: is empty"),
        ("dismiss", {"event_id": "stray-9", "note": "x"}, 404, "no event stray-9"),
    ],
)
async def test_what_cannot_be_decided_is_refused_with_the_remedy(
    strays: Product, what: str, body: dict[str, Any], status: int, words: str
) -> None:
    assert_problem(await strays.http.post(f"{ASIDE}/{what}", json=body), status, words)
    assert len(await ids(strays, account_number="9995")) == 3


async def test_what_was_assigned_is_not_assigned_again(strays: Product) -> None:
    body = {"event_id": "stray-9999-1", "assign_to": "1001"}
    await post(strays, f"{ASIDE}/assign", body, 200)
    again = await strays.http.post(f"{ASIDE}/assign", json=body)
    assert_problem(again, 409, "assigned to 1001; amend or cancel it there")


@pytest.mark.parametrize(
    ("path", "wanted", "field"),
    [
        (ASIDE, {"state": "lost"}, "query.state"),
        (ASIDE, {"account_number": "\x00"}, "query.account_number"),
        (ASIDE, {"cursor": "WzBd"}, "cursor"),
        (ACCOUNTS, {"cursor": "WzBd"}, "cursor"),
        (ARRIVALS, {"days": "0"}, "query.days"),
        (ARRIVALS, {"days": "367"}, "query.days"),
    ],
)
async def test_a_bad_filter_is_named(
    sellerless: Product, path: str, wanted: dict[str, str], field: str
) -> None:
    assert_problem(await sellerless.http.get(path, params=wanted), 422, field)
