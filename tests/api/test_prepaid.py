"""Prepaid credit over HTTP: granted once, drawn by drafts, never taken back behind a bill."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import INVOICES, Product, assert_problem
from tests.api.master_data import (
    PREPAID,
    bill_february,
    every_page,
    patch,
    plan_the_seeded,
    post,
    told,
    withdraw,
)
from tests.builders import KNOWN_ANSWER, Subscriber, subscribers

Seed = Callable[[Sequence[Subscriber]], None]


def sold(**changes: Any) -> dict[str, Any]:
    """1,000.00 for 900.00, from April 2026 on, for a year."""
    terms = {"reference": "PO-7731", "currency": "USD", "amount": "1000.00", "price": "900.00"}
    days = {"valid_from": "2026-04-01", "expires_on": "2027-04-01"}
    return {"account_number": "1047", **terms, **days, "note": "", **changes}


async def test_credit_is_granted_once_and_listed(books: Product, seed: Seed) -> None:
    seed([KNOWN_ANSWER, *subscribers(1)])
    added = await post(books, PREPAID, sold())
    assert {name: added[name] for name in sold()} == sold()
    assert (added["left"], added["person"]) == ("1000.00", "the finance key")
    assert await post(books, PREPAID, sold(), 200) == added
    await post(books, PREPAID, sold(reference="gift", price="0", valid_from="2026-01-01"))
    await post(books, PREPAID, sold(account_number="1001"))
    listed = await every_page(books, PREPAID)
    assert [(item["account_number"], item["reference"]) for item in listed] == [
        ("1001", "PO-7731"),
        ("1047", "gift"),
        ("1047", "PO-7731"),
    ]
    assert len(await every_page(books, PREPAID, account_number="1047")) == 2
    assert [(subject, event) for subject, event, _ in told(books, "prepaid")] == [
        ("1047/PO-7731", "created"),
        ("1047/gift", "created"),
        ("1001/PO-7731", "created"),
    ]


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"account_number": "9999"}, 422, "9999 is no customer"),
        ({"currency": "EUR"}, 422, "billed in USD"),
        ({"amount": "0"}, 422, "must be above 0"),
        ({"amount": "-5"}, 422, "body.amount"),
        ({"price": "9.999"}, 422, "fraction of a USD cent"),
        ({"expires_on": "2026-04-01"}, 422, "is not after"),
        ({"reference": ""}, 422, "body.reference"),
        ({"price": "800.00"}, 409, "has the reference PO-7731 and other terms"),
    ],
)
async def test_credit_that_does_not_fit_is_refused(
    books: Product, seed: Seed, changes: dict[str, Any], status: int, words: str
) -> None:
    seed([KNOWN_ANSWER])
    await post(books, PREPAID, sold())
    assert_problem(await books.http.post(PREPAID, json=sold(**changes)), status, words)
    assert len(await every_page(books, PREPAID)) == 1


async def test_credit_lapses_and_is_withdrawn(books: Product, seed: Seed) -> None:
    seed([KNOWN_ANSWER])
    added = await post(books, PREPAID, sold())
    path = f"{PREPAID}/{added['id']}"
    assert (await patch(books, path, {"expires_on": "2026-06-01"}))["expires_on"] == "2026-06-01"
    assert (await patch(books, path, {"expires_on": None}))["expires_on"] is None
    early = await books.http.patch(path, json={"expires_on": "2026-04-01"})
    assert_problem(early, 422, "is not after 2026-04-01")
    await withdraw(books, path)
    assert_problem(await books.http.delete(path), 404, "There is no prepaid credit")
    assert [event for _, event, _ in told(books, "prepaid")] == [
        "created",
        "changed",
        "changed",
        "withdrawn",
    ]


async def test_a_price_needs_a_cycle_to_come_and_a_gift_does_not(
    books: Product, tmp_path: Path
) -> None:
    bill_february(books, tmp_path, [KNOWN_ANSWER])
    late = await books.http.post(PREPAID, json=sold(valid_from="2026-02-28"))
    assert_problem(late, 409, "2026-02 is billed already", "2026-03-01")
    await post(books, PREPAID, sold(valid_from="2026-02-28", price="0"))


async def test_a_draft_draws_it_and_sells_it(books: Product, seed: Seed) -> None:
    seed([KNOWN_ANSWER])
    await post(books, PREPAID, sold(valid_from="2026-02-10", expires_on="2026-03-01"))
    plan_the_seeded(books)
    invoice = await books.get(f"{INVOICES}/INV-2026-02-0001")
    assert [(line["kind"], line["amount"]) for line in invoice["lines"][-2:]] == [
        ("prepaid_purchase", "900.00"),
        ("prepaid_draw", "-163.95"),
    ]
    assert (invoice["subscriptions"], invoice["discounts"]) == ("999.00", "-163.95")
    (kept,) = await every_page(books, PREPAID)
    assert kept["left"] == "836.05"
    path = f"{PREPAID}/{kept['id']}"
    assert_problem(await books.http.delete(path), 409, "cannot be withdrawn")
