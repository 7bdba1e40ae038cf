"""Subscriptions over HTTP: added, ended, changed from a day on, and never behind a bill."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from storage.cycles import load_cycle
from storage.engine import transaction
from tests.api.conftest import INVOICES, Product, assert_problem
from tests.api.master_data import (
    MRR,
    SUBSCRIPTIONS,
    bill_february,
    every_page,
    patch,
    post,
    told,
    withdraw,
)
from tests.builders import FEBRUARY, KNOWN_ANSWER, Subscriber, plan_all, subscribers

Seed = Callable[[Sequence[Subscriber]], None]


def body(**changes: Any) -> dict[str, Any]:
    """Two units of premium support for 1001 from March 2026 on."""
    return {
        "account_number": "1001",
        "plan_code": "premium-support",
        "quantity": 2,
        "starts_on": "2026-03-01",
        **changes,
    }


async def days_of(product: Product, account: str, plan: str) -> list[tuple[str, str, str | None]]:
    """(quantity, first day, end) of each subscription of the customer to the plan."""
    wanted = {"account_number": account, "plan_code": plan}
    found = await every_page(product, SUBSCRIPTIONS, **wanted)
    return [(row["quantity"], row["starts_on"], row["ends_on"]) for row in found]


async def flat_revenue(product: Product, day: str) -> str:
    found: str = (await product.get(MRR, params={"as_of": day}))["subscriptions"]
    return found


async def refused(
    product: Product, id: int, change: dict[str, Any], status: int, *words: str
) -> None:
    answer = await product.http.patch(f"{SUBSCRIPTIONS}/{id}", json=change)
    assert_problem(answer, status, *words)


# --- listing


async def test_subscriptions_are_listed_by_account_plan_and_day(books: Product, seed: Seed) -> None:
    seed(subscribers(2))
    await post(books, SUBSCRIPTIONS, body(starts_on="2026-04-01", ends_on="2026-05-01"))
    await post(books, SUBSCRIPTIONS, body(starts_on="2026-05-01"))

    async def listed(**wanted: str) -> list[tuple[str, str, str]]:
        found = await every_page(books, SUBSCRIPTIONS, **wanted)
        return [(row["account_number"], row["plan_code"], row["starts_on"]) for row in found]

    usage = [("1001", "api-calls", "2025-06-01"), ("1002", "api-calls", "2025-06-01")]
    april, may = (("1001", "premium-support", day) for day in ("2026-04-01", "2026-05-01"))
    assert await listed() == [usage[0], april, may, usage[1]]
    assert await listed(account_number="1002") == [usage[1]]
    assert await listed(plan_code="premium-support") == [april, may]
    assert await listed(active_on="2026-04-30", account_number="1001") == [usage[0], april]
    assert await listed(active_on="2026-05-01", plan_code="premium-support") == [may]
    assert await listed(active_on="2025-05-31") == []
    assert await listed(account_number="nobody") == []


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"active_on": "yesterday"}, "query.active_on"),
        ({"active_on": "9999-12-31"}, "query.active_on"),
        ({"account_number": "\x00"}, "query.account_number"),
        ({"plan_code": "x" * 301}, "query.plan_code"),
        ({"cursor": "WyIxMDAxIl0="}, "cursor"),
    ],
)
async def test_a_bad_filter_is_named(
    sellerless: Product, wanted: dict[str, str], field: str
) -> None:
    assert_problem(await sellerless.http.get(SUBSCRIPTIONS, params=wanted), 422, field)


# --- adding


async def test_a_subscription_is_added_told_and_counted(books: Product, seed: Seed) -> None:
    seed(subscribers(1))
    days = ("2026-02-28", "2026-03-01", "2026-03-31")
    assert [await flat_revenue(books, day) for day in days] == ["0.00"] * 3
    added = await post(books, SUBSCRIPTIONS, body(ends_on="2026-03-20"))
    assert (added["plan_name"], added["quantity"]) == ("Premium support", "2")
    assert [await flat_revenue(books, day) for day in days] == ["0.00", "198.00", "0.00"]
    assert told(books, "subscription") == [
        (
            "1001/premium-support",
            "created",
            {
                "id": added["id"],
                "quantity": "2",
                "starts_on": "2026-03-01",
                "ends_on": "2026-03-20",
            },
        )
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"account_number": "9999"}, "account_number: 9999 is no customer"),
        ({"plan_code": "gold"}, "plan_code: gold is no plan"),
        ({"ends_on": "2026-03-01"}, "ends_on: 2026-03-01 is not after"),
        ({"quantity": 0}, "body.quantity"),
        ({"quantity": "-1"}, "body.quantity"),
        ({"quantity": 1.5}, "body.quantity"),
        ({"quantity": True}, "body.quantity"),
        ({"quantity": "1e3"}, "body.quantity"),
        ({"quantity": 10**15}, "body.quantity"),
        ({"starts_on": "0001-01-01"}, "body.starts_on"),
        ({"starts_on": "9999-12-31"}, "body.starts_on"),
        ({"starts_on": 0}, "body.starts_on"),
        ({"account_number": "\x00"}, "body.account_number"),
        ({"note": "x"}, "body.note"),
    ],
)
async def test_a_subscription_that_makes_no_sense_is_refused(
    books: Product, seed: Seed, changes: dict[str, Any], words: str
) -> None:
    seed(subscribers(1))
    assert_problem(await books.http.post(SUBSCRIPTIONS, json=body(**changes)), 422, words)
    assert await days_of(books, "1001", "premium-support") == []


async def test_a_plan_without_a_price_in_the_customers_currency_is_refused(
    books: Product, seed: Seed
) -> None:
    seed([Subscriber("1001", columns={"currency": "EUR"})])
    answer = await books.http.post(SUBSCRIPTIONS, json=body(plan_code="dedicated-ip"))
    assert_problem(answer, 422, "plan_code", "no price in EUR")
    price = {"currency": "EUR", "unit_price": "45.00", "valid_from": "2026-03-01"}
    await post(books, "/api/billing/plans/dedicated-ip/prices", price)
    await post(books, SUBSCRIPTIONS, body(plan_code="dedicated-ip"))


async def test_what_overlaps_is_refused_with_the_other_named(books: Product, seed: Seed) -> None:
    seed(subscribers(2))
    first = await post(books, SUBSCRIPTIONS, body(ends_on="2026-04-01"))
    overlapping = body(starts_on="2026-03-31")
    words = (f"overlaps subscription {first['id']} of 1001", "to 2026-04-01, exclusive")
    assert_problem(await books.http.post(SUBSCRIPTIONS, json=overlapping), 409, *words)
    await post(books, SUBSCRIPTIONS, body(starts_on="2026-04-01"))
    await post(books, SUBSCRIPTIONS, body(account_number="1002"))
    longer = {"ends_on": "2026-04-02"}
    await refused(
        books, first["id"], longer, 409, "ends_on: overlaps subscription", "2026-04-01 on"
    )
    assert len(told(books, "subscription")) == 3


# --- ending and changing


async def test_an_end_is_set_moved_and_cleared(books: Product, seed: Seed) -> None:
    seed(subscribers(1))
    added = await post(books, SUBSCRIPTIONS, body())
    path = f"{SUBSCRIPTIONS}/{added['id']}"
    assert await flat_revenue(books, "2026-04-15") == "198.00"
    for end in ("2026-04-10", "2026-04-10", "2026-04-20", None):
        assert (await patch(books, path, {"ends_on": end}))["ends_on"] == end
        assert await flat_revenue(books, "2026-04-15") == (
            "0.00" if end == "2026-04-10" else "198.00"
        )
    assert [details["ends_on"] for _, _, details in told(books, "subscription")[1:]] == [
        {"from": None, "to": "2026-04-10"},
        {"from": "2026-04-10", "to": "2026-04-20"},
        {"from": "2026-04-20", "to": None},
    ]


async def test_a_quantity_changes_from_a_day_on(books: Product, seed: Seed) -> None:
    seed(subscribers(1))
    added = await post(books, SUBSCRIPTIONS, body(ends_on="2026-06-01"))
    path = f"{SUBSCRIPTIONS}/{added['id']}"
    assert await flat_revenue(books, "2026-03-15") == "198.00"
    other = await patch(books, path, {"quantity": 5, "from": "2026-03-15"})
    assert other["id"] != added["id"]
    assert await days_of(books, "1001", "premium-support") == [
        ("2", "2026-03-01", "2026-03-15"),
        ("5", "2026-03-15", "2026-06-01"),
    ]
    days = ("2026-03-14", "2026-03-15")
    assert [await flat_revenue(books, day) for day in days] == ["198.00", "495.00"]
    assert told(books, "subscription")[1] == (
        "1001/premium-support",
        "changed",
        {
            "id": added["id"],
            "now": other["id"],
            "first_day": "2026-03-15",
            "quantity": {"from": "2", "to": "5"},
        },
    )


async def test_a_quantity_from_the_first_day_is_the_subscriptions_own(
    books: Product, seed: Seed
) -> None:
    seed(subscribers(1))
    added = await post(books, SUBSCRIPTIONS, body())
    path = f"{SUBSCRIPTIONS}/{added['id']}"
    for _ in range(2):
        same = await patch(books, path, {"quantity": "2.5", "from": "2026-03-01"})
        assert same["id"] == added["id"]
    assert await days_of(books, "1001", "premium-support") == [("2.5", "2026-03-01", None)]
    assert len(told(books, "subscription")) == 2


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({}, 422, "give either ends_on, or quantity"),
        ({"quantity": 5}, 422, "give either ends_on, or quantity"),
        ({"from": "2026-03-15"}, 422, "give either ends_on, or quantity"),
        ({"ends_on": None, "quantity": 5, "from": "2026-03-15"}, 422, "give either ends_on"),
        ({"quantity": None, "from": "2026-03-15"}, 422, "body.quantity"),
        ({"quantity": 5, "from": None}, 422, "body.from"),
        ({"ends_on": "2026-03-01"}, 422, "ends_on: 2026-03-01 is not after"),
        ({"quantity": 5, "from": "2026-02-28"}, 422, "from: 2026-02-28 is no day of"),
        ({"quantity": 5, "from": "2026-06-01"}, 422, "from: 2026-06-01 is no day of"),
        ({"ends_on": "soon"}, 422, "body.ends_on"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(
    books: Product, seed: Seed, change: dict[str, Any], status: int, words: str
) -> None:
    seed(subscribers(1))
    added = await post(books, SUBSCRIPTIONS, body(ends_on="2026-06-01"))
    await refused(books, added["id"], change, status, words)
    assert await days_of(books, "1001", "premium-support") == [("2", "2026-03-01", "2026-06-01")]


async def test_usage_has_no_quantity_to_change(books: Product, seed: Seed) -> None:
    seed(subscribers(1))
    (usage,) = (await books.get(SUBSCRIPTIONS))["items"]
    change = {"quantity": 2, "from": "2026-03-15"}
    await refused(books, usage["id"], change, 409, "api-calls is priced by what is used")


async def test_what_was_added_by_mistake_is_withdrawn_and_told(books: Product, seed: Seed) -> None:
    seed(subscribers(1))
    added = await post(books, SUBSCRIPTIONS, body(ends_on="2026-05-01"))
    path = f"{SUBSCRIPTIONS}/{added['id']}"
    assert await flat_revenue(books, "2026-04-15") == "198.00"
    await withdraw(books, path)
    assert await flat_revenue(books, "2026-04-15") == "0.00"
    assert await days_of(books, "1001", "premium-support") == []
    (created, withdrawn) = told(books, "subscription")
    assert withdrawn == ("1001/premium-support", "withdrawn", created[2])
    assert_problem(await books.http.delete(path), 404, "There is no subscription")
    await post(books, SUBSCRIPTIONS, body())


async def test_only_subscriptions_that_are_there_change(sellerless: Product) -> None:
    await refused(sellerless, 7, {"ends_on": None}, 404, "There is no subscription 7")
    for id in (0, 2**63):
        await refused(sellerless, id, {"ends_on": None}, 422, "path.id")


# --- billed months


async def test_a_change_behind_a_bill_says_where_it_counts(books: Product, tmp_path: Path) -> None:
    bill_february(books, tmp_path / "files", [KNOWN_ANSWER])
    usage, support = (await books.get(SUBSCRIPTIONS))["items"]
    new = body(account_number="1047", plan_code="dedicated-ip")
    added = await post(books, SUBSCRIPTIONS, {**new, "starts_on": "2025-12-01"})
    assert added["counts_late"] == ["2026-02"]
    path = f"{SUBSCRIPTIONS}/{support['id']}"
    for end, late in (
        ("2026-03-01", []),
        ("2026-02-28", ["2026-02"]),
        ("2026-03-15", ["2026-02"]),
        ("2026-04-15", []),
    ):
        assert (await patch(books, path, {"ends_on": end}))["counts_late"] == late
    changed = await patch(books, path, {"quantity": 5, "from": "2026-02-15"})
    assert changed["counts_late"] == ["2026-02"]
    assert (await patch(books, path, {"ends_on": "2026-02-14"}))["counts_late"] == ["2026-02"]
    await withdraw(books, f"{SUBSCRIPTIONS}/{usage['id']}")
    past = {**new, "starts_on": "2025-11-01", "ends_on": "2025-12-01"}
    assert (await post(books, SUBSCRIPTIONS, past))["counts_late"] == []
    invoice = await books.get(f"{INVOICES}/INV-2026-02-0001")
    assert invoice["total"] == "312.91"


async def test_what_an_older_system_billed_is_left_as_it_was(
    books: Product, tmp_path: Path
) -> None:
    bill_february(books, tmp_path / "files", [KNOWN_ANSWER])
    with transaction(books.engine) as connection:
        connection.exec_driver_sql("UPDATE invoices SET cycle_id = NULL")
    usage, support = (await books.get(SUBSCRIPTIONS))["items"]
    words = ("2026-02 is billed already (INV-2026-02-0001)", "from 2026-03-01 on", "credit note")
    new = body(account_number="1047", plan_code="dedicated-ip", starts_on="2026-02-28")
    answer = await books.http.post(SUBSCRIPTIONS, json=new)
    assert_problem(answer, 409, f"starts_on: {words[0]}", *words[1:])
    await refused(books, usage["id"], {"ends_on": "2025-12-01"}, 409, *words)
    change = {"quantity": 5, "from": "2026-02-15"}
    await refused(books, support["id"], change, 409, f"from: {words[0]}", *words[1:])
    answer = await books.http.delete(f"{SUBSCRIPTIONS}/{support['id']}")
    instead = f"Subscription {support['id']} cannot be withdrawn; end it instead: ends_on:"
    assert_problem(answer, 409, instead, *words[:2])
    assert answer.json()["type"] == "urn:billwright:already_billed"
    await patch(books, f"{SUBSCRIPTIONS}/{support['id']}", {"ends_on": "2026-03-01"})


async def test_who_failed_may_be_mended_and_is_billed_by_the_retry(
    books: Product, tmp_path: Path
) -> None:
    customers = [Subscriber("1001", 20_000, plans=()), Subscriber("1002", 20_000)]
    bill_february(books, tmp_path / "files", customers)
    await post(
        books, SUBSCRIPTIONS, body(plan_code="api-calls", quantity=1, starts_on="2026-02-01")
    )
    with transaction(books.engine) as connection:
        cycle = load_cycle(connection, FEBRUARY)
    assert plan_all(books.engine, cycle, failed_again=True).drafted == 1
    found = await books.get(INVOICES, params={"account_number": "1001"})
    assert [invoice["usage"] for invoice in found["items"]] == ["10.00"]
