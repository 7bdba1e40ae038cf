"""Customers over HTTP: found, read with what belongs to them, added, changed, and billed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from storage.engine import transaction
from storage.master_data import billed_months
from storage.recurring import lock_writers
from tests.api.conftest import INVOICES, BilledMonth, Product, assert_problem
from tests.api.master_data import (
    CUSTOMERS,
    MRR,
    PLANS,
    SUBSCRIPTIONS,
    bill_february,
    every_page,
    patch,
    post,
    told,
)
from tests.builders import Subscriber, subscribers

Seed = Callable[[Sequence[Subscriber]], None]


def customer(**changes: Any) -> dict[str, Any]:
    """A body that adds a customer: German, in dollars, by bank transfer."""
    return {
        "account_number": "1201",
        "name": "Nordlicht & Töchter GmbH",
        "billing_emails": ["accounts@nordlicht.example"],
        "country": "DE",
        "address_line1": "Hafenstraße 47",
        "postal_code": "20457",
        "city": "Hamburg",
        "tax_id": "DE136695976",
        "currency": "USD",
        "segment": "mid_market",
        "payment_method": "bank_transfer",
        **changes,
    }


# --- finding


PEOPLE = [
    Subscriber("1001", columns={"name": "Alpha_Beta", "status": "paused"}),
    Subscriber("1002", columns={"name": "Gamma 100%", "billing_email": "x@one.de;Y@Two.de"}),
    Subscriber("1003", columns={"country": "FR", "payment_method": "card"}),
    Subscriber("2001", columns={"name": "1002 in the name"}),
]


@pytest.mark.parametrize(
    ("wanted", "accounts"),
    [
        ({}, ["1001", "1002", "1003", "2001"]),
        ({"q": "100"}, ["1001", "1002", "1003", "2001"]),
        ({"q": "001"}, ["1001", "2001"]),  # of e-mail addresses, not of account numbers
        ({"q": "1002"}, ["1002", "2001"]),
        ({"q": "alpha_b"}, ["1001"]),
        ({"q": "100%"}, ["1002"]),
        ({"q": "_"}, ["1001"]),
        ({"q": "y@two"}, ["1002"]),
        ({"q": "one.de y"}, []),
        ({"q": ""}, ["1001", "1002", "1003", "2001"]),
        ({"status": "paused"}, ["1001"]),
        ({"payment_method": "card"}, ["1003"]),
        ({"country": "FR", "payment_method": "bank_transfer"}, []),
        ({"country": "DE", "q": "2"}, ["2001"]),
    ],
)
async def test_customers_are_found(
    books: Product, seed: Seed, wanted: dict[str, str], accounts: list[str]
) -> None:
    seed(PEOPLE)
    found = await every_page(books, CUSTOMERS, **wanted)
    assert [item["account_number"] for item in found] == accounts


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"q": "a\x00b"}, "query.q"),
        ({"q": "x" * 301}, "query.q"),
        ({"status": "gone"}, "query.status"),
        ({"payment_method": "cash"}, "query.payment_method"),
        ({"country": "ZZ"}, "query.country"),
        ({"limit": "501"}, "query.limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "WzFd"}, "cursor"),
    ],
)
async def test_a_bad_filter_is_named(
    sellerless: Product, wanted: dict[str, str], field: str
) -> None:
    assert_problem(await sellerless.http.get(CUSTOMERS, params=wanted), 422, field)


async def test_a_customer_is_read_with_its_subscriptions_and_debts(billed: BilledMonth) -> None:
    found = await billed.product.get(f"{CUSTOMERS}/1047")
    invoice = await billed.product.get(INVOICES, params={"account_number": "1047"})
    assert [row["plan_code"] for row in found["subscriptions"]] == ["api-calls", "premium-support"]
    assert found["open"] == [{"currency": "USD", "invoices": 1, "amount": "312.91"}]
    assert found["open"][0]["amount"] == invoice["items"][0]["open_amount"]
    assert found["credit"] == []
    nothing_due = await billed.product.get(f"{CUSTOMERS}/1005")
    assert nothing_due["open"] == []


async def test_credit_is_told_by_currency(books: Product, seed: Seed) -> None:
    seed(subscribers(1))
    with transaction(books.engine) as connection:
        connection.exec_driver_sql(
            "INSERT INTO credit_balances SELECT id, c, b FROM customers, "
            "(VALUES ('USD', 12.50), ('EUR', 3.00), ('GBP', 0)) AS given (c, b)"
        )
    assert (await books.get(f"{CUSTOMERS}/1001"))["credit"] == [
        {"currency": "EUR", "amount": "3.00"},
        {"currency": "USD", "amount": "12.50"},
    ]


async def test_nobody_is_not_found(books: Product) -> None:
    assert_problem(await books.http.get(f"{CUSTOMERS}/9999"), 404, "9999")
    assert_problem(await books.http.patch(f"{CUSTOMERS}/9999", json={}), 404, "9999")


# --- adding


async def test_a_customer_is_added_once_and_told(books: Product) -> None:
    added = await post(books, CUSTOMERS, customer())
    assert added == await books.get(f"{CUSTOMERS}/1201")
    assert added["tax_id_valid"] is True
    assert (added["status"], added["region"], added["po_number"]) == ("active", "", "")
    assert (added["stripe_customer_id"], added["dunning_policy"]) == (None, None)
    assert (added["subscriptions"], added["credit"], added["open"]) == ([], [], [])
    again = await books.http.post(CUSTOMERS, json=customer(name="Another"))
    assert_problem(again, 409, "account_number: 1201 is taken")
    ((subject, event, details),) = told(books, "customer")
    assert (subject, event) == ("1201", "created")
    assert details["billing_emails"] == ["accounts@nordlicht.example"]
    log = await books.get("/api/billing/audit", params={"subject_kind": "customer"})
    assert [entry["subject"] for entry in log["items"]] == ["1201"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"account_number": "a/b"}, "body.account_number"),
        ({"account_number": ".."}, "body.account_number"),
        ({"account_number": ""}, "body.account_number"),
        ({"name": "  "}, "body.name"),
        ({"name": "x\x00"}, "body.name"),
        ({"name": "x\ny"}, "body.name"),
        ({"name": "x" * 301}, "body.name"),
        ({"billing_emails": []}, "body.billing_emails"),
        ({"billing_emails": ["nobody"]}, "body.billing_emails.0"),
        ({"billing_emails": ["a@b.example;c@d.example"]}, "body.billing_emails.0"),
        ({"billing_emails": "a@b.example"}, "body.billing_emails"),
        ({"country": "UK"}, "body.country"),
        ({"country": "US"}, "region: is empty; a place in the US needs its state"),
        ({"country": "US", "region": "New York"}, "region: 'New York' is no US state"),
        ({"tax_id": "DE136695975"}, "tax_id: 'DE136695975' is no VAT id of DE"),
        ({"country": "FR"}, "tax_id: 'DE136695976' is no VAT id of FR"),
        ({"tax_exempt": "yes"}, "body.tax_exempt"),
        ({"currency": "usd"}, "body.currency"),
        ({"payment_method": "cash"}, "body.payment_method"),
        ({"status": "gone"}, "body.status"),
        ({"stripe_customer_id": "x" * 256}, "body.stripe_customer_id"),
        ({"dunning_policy": "gold"}, "body.dunning_policy"),
        ({"id": 7}, "body.id"),
    ],
)
async def test_a_customer_who_cannot_be_billed_is_refused(
    sellerless: Product, changes: dict[str, Any], words: str
) -> None:
    before = await sellerless.get(CUSTOMERS)
    body = customer(**changes)
    assert_problem(await sellerless.http.post(CUSTOMERS, json=body), 422, words)
    assert await sellerless.get(CUSTOMERS) == before


async def test_a_cycle_bills_an_added_customer_by_an_added_price(
    office: Product, seed: Seed
) -> None:
    seed(subscribers(1))
    await post(office, CUSTOMERS, customer())
    plan = {"code": "onboarding", "name": "Onboarding", "kind": "flat", "currency": "USD"}
    await post(office, PLANS, {**plan, "unit_price": "10.00", "valid_from": "2026-01-01"})
    price = {"currency": "USD", "unit_price": "25.00", "valid_from": "2026-02-01"}
    await post(office, f"{PLANS}/onboarding/prices", price)
    subscription = {"account_number": "1201", "plan_code": "onboarding", "quantity": 2}
    await post(office, SUBSCRIPTIONS, {**subscription, "starts_on": "2026-02-15"})
    await office.bill()
    (listed,) = (await office.get(INVOICES, params={"account_number": "1201"}))["items"]
    invoice = await office.get(f"{INVOICES}/{listed['number']}")
    # 14 of 28 days
    assert [(line["kind"], line["amount"]) for line in invoice["lines"]] == [
        ("flat", "50.00"),
        ("proration", "-25.00"),
    ]
    assert (invoice["tax"], invoice["total"]) == ("4.75", "29.75")
    # what it was billed as stays
    await patch(office, f"{CUSTOMERS}/1201", {"name": "Renamed", "country": "FR", "tax_id": ""})
    same = await office.get(f"{INVOICES}/{listed['number']}")
    assert (same["customer"], same["total"]) == ("Nordlicht & Töchter GmbH", "29.75")
    assert (await office.get(f"{CUSTOMERS}/1201"))["open"][0]["amount"] == "29.75"


# --- changing


async def test_only_the_fields_given_change_and_are_told(books: Product) -> None:
    before = await post(books, CUSTOMERS, customer(stripe_customer_id="cus_1"))
    changes = {
        "name": "Südlicht AG",
        "billing_emails": ["a@x.example", "b@x.example"],
        "stripe_customer_id": None,
        "city": "Hamburg",
    }
    after = await patch(books, f"{CUSTOMERS}/1201", changes)
    assert after == {**before, **changes}
    assert told(books, "customer")[1:] == [
        (
            "1201",
            "changed",
            {
                "name": {"from": before["name"], "to": "Südlicht AG"},
                "billing_emails": {
                    "from": ["accounts@nordlicht.example"],
                    "to": ["a@x.example", "b@x.example"],
                },
                "stripe_customer_id": {"from": "cus_1", "to": None},
            },
        )
    ]


async def test_what_changes_nothing_is_told_nowhere(books: Product) -> None:
    before = await post(books, CUSTOMERS, customer())
    assert await patch(books, f"{CUSTOMERS}/1201", {}) == before
    assert await patch(books, f"{CUSTOMERS}/1201", {"name": before["name"]}) == before
    assert len(told(books, "customer")) == 1


async def test_a_tax_id_is_checked_against_the_country_that_it_is_for(books: Product) -> None:
    await post(books, CUSTOMERS, customer())
    moved = await books.http.patch(f"{CUSTOMERS}/1201", json={"country": "FR"})
    assert_problem(moved, 422, "tax_id: 'DE136695976' is no VAT id of FR")
    moved = await books.http.patch(f"{CUSTOMERS}/1201", json={"country": "US"})
    assert_problem(moved, 422, "region: is empty")
    away = {"country": "US", "region": "NY", "tax_id": "12-3456789"}
    after = await patch(books, f"{CUSTOMERS}/1201", away)
    assert after["tax_id_valid"] is False
    ((_, _, details),) = told(books, "customer")[1:]
    assert details["tax_id_valid"] == {"from": True, "to": False}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": None}, "body.name"),
        ({"status": None}, "body.status"),
        ({"tax_exempt": None}, "body.tax_exempt"),
        ({"billing_emails": None}, "body.billing_emails"),
        ({"account_number": "1202"}, "body.account_number"),
        ({"currency": "dollars"}, "body.currency"),
        ({"po_number": "\x07"}, "body.po_number"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(
    books: Product, changes: dict[str, Any], words: str
) -> None:
    before = await post(books, CUSTOMERS, customer())
    assert_problem(await books.http.patch(f"{CUSTOMERS}/1201", json=changes), 422, words)
    assert await books.get(f"{CUSTOMERS}/1201") == before


async def test_the_currency_changes_until_something_was_billed_in_it(
    books: Product, tmp_path: Path
) -> None:
    euro = {"currency": "EUR"}
    customers = [Subscriber("1001", 20_000), Subscriber("1002", 20_000, columns=euro)]
    bill_february(books, tmp_path / "files", customers)
    refused = await books.http.patch(f"{CUSTOMERS}/1001", json=euro)
    assert_problem(refused, 409, "currency: 1001 was billed in USD (INV-2026-02-0001)")
    # 1002 failed: no plan has a price in euros
    assert (await books.get(MRR, params={"as_of": "2026-02-28"}))["unrated"] == 1
    mended = await patch(books, f"{CUSTOMERS}/1002", {"currency": "USD"})
    assert mended["currency"] == "USD"
    assert (await books.get(MRR, params={"as_of": "2026-02-28"}))["unrated"] == 0


async def test_only_another_currency_waits_for_who_is_writing(
    books: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(billed_months, "_PATIENCE", "10ms")
    await post(books, CUSTOMERS, customer())
    path = f"{CUSTOMERS}/1201"
    with transaction(books.engine) as importing:
        lock_writers(importing)
        same = await patch(books, path, {"currency": "USD", "name": "Renamed"})
        behind = await books.http.patch(path, json={"currency": "EUR"})
    assert (same["currency"], same["name"]) == ("USD", "Renamed")
    assert_problem(behind, 503, "Somebody else is writing; try again in a moment")
    assert (behind.json()["type"], behind.headers["retry-after"]) == ("urn:billwright:busy", "5")
    assert (await patch(books, path, {"currency": "EUR"}))["currency"] == "EUR"
