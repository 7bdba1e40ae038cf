"""Discounts over HTTP: added, ended, and never behind a bill that they would change."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import INVOICES, Product, assert_problem
from tests.api.master_data import (
    DISCOUNTS,
    MRR,
    bill_february,
    every_page,
    patch,
    plan_february,
    plan_the_seeded,
    post,
    told,
    withdraw,
)
from tests.builders import KNOWN_ANSWER, Subscriber, subscribers

Seed = Callable[[Sequence[Subscriber]], None]


def off(**changes: Any) -> dict[str, Any]:
    """A fifth off premium support, from April to September 2026."""
    terms = {"plan_code": "premium-support", "name": "Launch offer", "percent": "20"}
    days = {"valid_from": "2026-04-01", "valid_to": "2026-10-01"}
    return {"account_number": "1047", **terms, **days, **changes}


FIXED = off(percent=None, amount="10.00", currency="USD", name="Loyalty", plan_code=None)


async def test_discounts_are_added_once_and_listed(books: Product, seed: Seed) -> None:
    seed([KNOWN_ANSWER, *subscribers(1)])
    added = await post(books, DISCOUNTS, off())
    assert {name: added[name] for name in off()} == off()
    assert (added["amount"], added["created_by"]) == (None, "the finance key")
    assert await post(books, DISCOUNTS, off(), 200) == added
    await post(books, DISCOUNTS, FIXED)
    await post(books, DISCOUNTS, off(account_number="1001", valid_from="2026-05-01"))
    listed = await every_page(books, DISCOUNTS)
    assert [(item["account_number"], item["name"]) for item in listed] == [
        ("1001", "Launch offer"),
        ("1047", "Launch offer"),
        ("1047", "Loyalty"),
    ]
    of_april = await every_page(books, DISCOUNTS, account_number="1047", on="2026-04-01")
    assert len(of_april) == 2
    assert await every_page(books, DISCOUNTS, on="2026-10-01") == []
    assert [(subject, event) for subject, event, _ in told(books, "discount")] == [
        ("1047/Launch offer", "created"),
        ("1047/Loyalty", "created"),
        ("1001/Launch offer", "created"),
    ]


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"account_number": "9999"}, 422, "9999 is no customer"),
        ({"plan_code": "gold"}, 422, "gold is no plan"),
        ({"amount": "5"}, 422, "either percent or amount"),
        ({"percent": None}, 422, "either percent or amount"),
        ({"percent": "0"}, 422, "above 0 and at most 100"),
        ({"percent": "101"}, 422, "body.percent"),
        ({"percent": None, "amount": "5"}, 422, "has a currency"),
        ({"percent": None, "amount": "5", "currency": "EUR"}, 422, "billed in USD"),
        ({"percent": None, "amount": "5.005", "currency": "USD"}, 422, "fraction of a USD cent"),
        ({"valid_to": "2026-04-01"}, 422, "after valid_from"),
        ({"name": ""}, 422, "body.name"),
        ({"percent": "25"}, 409, "begins on 2026-04-01 too, with other terms"),
    ],
)
async def test_a_discount_that_does_not_fit_is_refused(
    books: Product, seed: Seed, changes: dict[str, Any], status: int, words: str
) -> None:
    seed([KNOWN_ANSWER])
    await post(books, DISCOUNTS, off())
    assert_problem(await books.http.post(DISCOUNTS, json=off(**changes)), status, words)
    assert len(await every_page(books, DISCOUNTS)) == 1


async def test_a_discount_ends_and_is_withdrawn(books: Product, seed: Seed) -> None:
    seed([KNOWN_ANSWER])
    added = await post(books, DISCOUNTS, off())
    path = f"{DISCOUNTS}/{added['id']}"
    assert (await patch(books, path, {"valid_to": "2026-06-01"}))["valid_to"] == "2026-06-01"
    assert (await patch(books, path, {"valid_to": None}))["valid_to"] is None
    await patch(books, path, {"valid_to": None})
    early = await books.http.patch(path, json={"valid_to": "2026-04-01"})
    assert_problem(early, 422, "is not after 2026-04-01")
    await withdraw(books, path)
    assert_problem(await books.http.delete(path), 404, "There is no discount")
    assert [event for _, event, _ in told(books, "discount")] == [
        "created",
        "changed",
        "changed",
        "withdrawn",
    ]


async def test_what_was_billed_keeps_its_discounts(books: Product, tmp_path: Path) -> None:
    bill_february(books, tmp_path, [KNOWN_ANSWER])
    behind = await books.http.post(DISCOUNTS, json=off(valid_from="2026-02-15"))
    assert_problem(behind, 409, "2026-02 is billed already", "2026-03-01")
    added = await post(books, DISCOUNTS, off(valid_from="2026-03-01", valid_to=None))
    await withdraw(books, f"{DISCOUNTS}/{added['id']}")


async def test_a_plan_has_to_be_discarded_before_its_discounts_change(
    books: Product, tmp_path: Path
) -> None:
    plan_february(books, tmp_path, [KNOWN_ANSWER])
    found = await books.http.post(DISCOUNTS, json=off(valid_from="2026-02-01"))
    assert_problem(found, 409, "2026-02 is planned already", "discard the plan first")


async def test_recurring_revenue_is_worked_out_anew(books: Product, seed: Seed) -> None:
    seed([KNOWN_ANSWER])
    await books.get(f"{MRR}?as_of=2026-03-01")
    added = await post(books, DISCOUNTS, off(valid_from="2026-01-01", plan_code=None))
    after = await books.get(f"{MRR}?as_of=2026-03-01")
    await withdraw(books, f"{DISCOUNTS}/{added['id']}")
    again = await books.get(f"{MRR}?as_of=2026-03-01")
    assert [found["subscriptions"] for found in (after, again)] == ["79.20", "99.00"]


async def test_an_invoice_tells_its_discounts_apart(books: Product, seed: Seed) -> None:
    seed([KNOWN_ANSWER])
    await post(books, DISCOUNTS, off(valid_from="2026-02-01"))
    plan_the_seeded(books)
    invoice = await books.get(f"{INVOICES}/INV-2026-02-0001")
    assert (invoice["discounts"], invoice["subtotal"]) == ("-19.80", "243.15")
    assert [(line["kind"], line["unit_price"]) for line in invoice["lines"][-2:]] == [
        ("flat", "99.00"),
        ("discount", None),
    ]
