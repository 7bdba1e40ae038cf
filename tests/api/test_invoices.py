"""Invoices over HTTP: listed in pages, read whole, fetched as PDF, followed in their timeline."""

import asyncio
import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from storage.engine import transaction
from storage.tables import documents, invoices
from tests.activities.mail_server import attached_pdf
from tests.api.conftest import INVOICES, BilledMonth, Product, assert_problem
from tests.api.payers import change, issue_february
from tests.builders import Subscriber

KNOWN = "INV-2026-02-0008"
ACCOUNTS = ["1001", "1002", "1003", "1004", "1005", "1006", "1007", "1047"]


def set_today(product: Product, today: date) -> None:
    """Real days, of which it is `today`."""
    services = product.app.state.services
    product.app.state.services = replace(
        services,
        settings=services.settings.model_copy(update={"day_seconds": None}),
        now=lambda: datetime.combine(today, time(12), UTC),
    )


async def pages(product: Product, **wanted: Any) -> list[list[str]]:
    """The account numbers of every page, cursor by cursor."""
    found, cursor = [], None
    while True:
        page = await product.get(INVOICES, params=wanted | ({"cursor": cursor} if cursor else {}))
        found.append([invoice["account_number"] for invoice in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 9])
async def test_pages_lose_nothing_and_repeat_nothing(billed: BilledMonth, limit: int) -> None:
    found = await pages(billed.product, limit=limit)
    assert [account for page in found for account in page] == ACCOUNTS
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
    assert 0 < len(found[-1]) <= limit


@pytest.mark.parametrize(
    ("wanted", "accounts"),
    [
        ({"status": "paid"}, ["1005"]),
        ({"status": "issued"}, [account for account in ACCOUNTS if account != "1005"]),
        ({"status": "draft"}, []),
        ({"account_number": "1003"}, ["1003"]),
        ({"account_number": "9999"}, []),
        ({"period": "2026-02"}, ACCOUNTS),
        ({"period": "2026-01"}, []),
        ({"period": "2026-02", "status": "issued", "account_number": "1005"}, []),
        ({"collection_state": "paid"}, ["1005"]),
        ({"collection_state": "manual_review"}, []),
        ({"open": "false"}, ["1005"]),
        ({"open": "true"}, [account for account in ACCOUNTS if account != "1005"]),
        ({"overdue": "true"}, []),
        ({"overdue": "false"}, ACCOUNTS),
        ({"on_hold": "true"}, []),
        ({"disputed": "false", "on_hold": "false"}, ACCOUNTS),
        ({"q": "INV-2026-02-0008"}, ["1047"]),
        ({"q": " inv-2026-02 "}, ACCOUNTS),
        ({"q": "NV-2026-02"}, []),
        ({"q": "1006"}, ["1006"]),
        ({"q": "SÖHNE"}, ACCOUNTS),
        ({"q": "brandt & söhne 1003"}, ["1003"]),
        ({"q": "söhne", "open": "false"}, ["1005"]),
        ({"q": "INV-2026-02-0008", "period": "2026-01"}, []),
        ({"q": " "}, ACCOUNTS),
    ],
)
async def test_filters_narrow_the_list(
    billed: BilledMonth, wanted: dict[str, str], accounts: list[str]
) -> None:
    found = await pages(billed.product, limit=2, **wanted)
    assert [account for page in found for account in page] == accounts


@pytest.mark.parametrize("wildcards", ["%", "_", "INV%", "INV-2026-02-000_", "Brandt%", "\\"])
async def test_what_is_sought_has_no_wildcards(billed: BilledMonth, wildcards: str) -> None:
    assert await pages(billed.product, q=wildcards) == [[]]


async def test_a_search_finds_by_number_and_by_customer_at_once(
    books: Product, tmp_path: Path
) -> None:
    names = {"1001": "Inv-2026-02-0003 & Co", "1002": "Other", "1003": "inv-2026-02-0003 Ltd"}
    customers = [Subscriber(account, columns={"name": name}) for account, name in names.items()]
    issue_february(books.engine, tmp_path / "files", [*customers, Subscriber("x-Y1")])
    found = await pages(books, q="INV-2026-02-0003", limit=1)
    assert found == [["1001"], ["1003"]], "the third by its number and by its name, once"
    assert await pages(books, q="X-y1") == [["x-Y1"]]


async def test_what_became_of_an_invoice_is_looked_for(books: Product, tmp_path: Path) -> None:
    accounts = ["1001", "1002", "1003", "1004"]
    issue_february(books.engine, tmp_path / "files", [Subscriber(account) for account in accounts])
    numbers = [f"INV-2026-02-000{n}" for n in (1, 2, 3, 4)]
    change(books.engine, numbers[0], on_hold=True)
    change(books.engine, numbers[1], disputed=True, collection_state="manual_review")
    for wanted, account in (
        ({"on_hold": True}, "1001"),
        ({"disputed": True}, "1002"),
        ({"collection_state": "manual_review", "open": True}, "1002"),
    ):
        assert await pages(books, **wanted) == [[account]], wanted


async def test_an_invoice_is_overdue_from_the_day_behind_its_due_date(
    books: Product, tmp_path: Path
) -> None:
    customers = [Subscriber("1001"), Subscriber("1002", calls=500)]
    issue_february(books.engine, tmp_path / "files", customers)
    set_today(books, date(2026, 3, 31))
    assert await pages(books, overdue=True) == [[]]
    set_today(books, date(2026, 4, 1))
    assert await pages(books, overdue=True) == [["1001"]], "the other is of 0.00, and paid"
    assert await pages(books, overdue=False) == [["1002"]]


@pytest.mark.parametrize(
    "cursor", ["x", "", "bm9uc2Vuc2U=", "WzEsMiwzXQ==", "WyIyMDI2LTAyLTAxIiwgIjEwMDEiLCAxZTQwMF0="]
)
async def test_a_cursor_of_other_making_is_refused(billed: BilledMonth, cursor: str) -> None:
    answer = await billed.product.http.get(INVOICES, params={"cursor": cursor})
    assert_problem(answer, 422, "cursor")


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"limit": "0"}, "query.limit"),
        ({"limit": "501"}, "query.limit"),
        ({"status": "lost"}, "query.status"),
        ({"period": "2026"}, "query.period"),
        ({"collection_state": "lost"}, "query.collection_state"),
        ({"open": "perhaps"}, "query.open"),
        ({"q": "x" * 201}, "query.q"),
    ],
)
async def test_a_bad_filter_is_named(
    billed: BilledMonth, wanted: dict[str, str], field: str
) -> None:
    assert_problem(await billed.product.http.get(INVOICES, params=wanted), 422, field)


async def test_an_invoice_is_read_with_lines_and_taxes(billed: BilledMonth) -> None:
    invoice = await billed.product.get(f"{INVOICES}/{KNOWN}")
    assert [
        (line["description"], line["quantity"], line["unit_price"], line["amount"])
        for line in invoice["lines"]
    ] == [
        ("API calls: Free tier", "10000", "0", "0.00"),
        ("API calls: Tier 1", "90000", "0.001", "90.00"),
        ("API calls: Tier 2", "147891", "0.0005", "73.95"),
        ("Premium support", "1", "99.00", "99.00"),
    ]
    assert [line["position"] for line in invoice["lines"]] == [1, 2, 3, 4]
    assert invoice["tax_lines"] == [
        {
            "rule": "domestic",
            "name": "VAT",
            "rate_percent": "19",
            "taxable": "262.95",
            "amount": "49.96",
        }
    ]
    amounts = ("usage", "subscriptions", "proration", "subtotal", "tax", "total")
    assert [invoice[name] for name in amounts] == [
        *("163.95", "99.00", "0.00", "262.95", "49.96", "312.91")
    ]
    assert (invoice["amount_paid"], invoice["open_amount"]) == ("0.00", "312.91")
    assert (invoice["issued_on"], invoice["due_on"]) == ("2026-03-01", "2026-03-31")
    assert invoice["pdf_url"] == f"{INVOICES}/{KNOWN}/pdf"
    assert invoice["workflow_url"].endswith(f"/workflows/invoice%2F{KNOWN}")


async def test_an_invoice_of_nothing_is_paid_at_once(billed: BilledMonth) -> None:
    (found,) = (await billed.product.get(INVOICES, params={"account_number": "1005"}))["items"]
    assert (found["total"], found["open_amount"], found["status"]) == ("0.00", "0.00", "paid")


async def test_the_pdf_is_the_stored_document_byte_for_byte(billed: BilledMonth) -> None:
    answer = await billed.product.http.get(f"{INVOICES}/{KNOWN}/pdf")
    with transaction(billed.product.engine) as connection:
        sha256, stored = connection.execute(
            select(documents.c.sha256, documents.c.content)
            .join(invoices, invoices.c.pdf_sha256 == documents.c.sha256)
            .where(invoices.c.number == KNOWN)
        ).one()
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == f'inline; filename="{KNOWN}.pdf"'
    assert answer.headers["etag"] == f'"{sha256}"'
    assert answer.content == bytes(stored)
    assert answer.content.startswith(b"%PDF")
    assert hashlib.sha256(answer.content).hexdigest() == sha256


async def test_what_was_mailed_is_what_the_api_hands_out(billed: BilledMonth) -> None:
    (mail,) = [mail for mail in billed.mailbox.mails if KNOWN in str(mail["Subject"])]
    answer = await billed.product.http.get(f"{INVOICES}/{KNOWN}/pdf")
    assert attached_pdf(mail) == answer.content


async def test_the_timeline_goes_from_the_issue_to_the_e_mail(billed: BilledMonth) -> None:
    answer = await billed.product.http.get(f"{INVOICES}/{KNOWN}/timeline")
    entries = answer.json()
    assert [(entry["event"], entry["actor"], entry["business_date"]) for entry in entries] == [
        ("issued", "the finance key", "2026-03-01"),
        ("invoice_email_sent", "invoice-lifecycle", "2026-03-01"),
    ]
    assert (entries[0]["from_state"], entries[0]["to_state"]) == ("draft", "issued")
    assert entries[0]["at"] <= entries[1]["at"]


@pytest.mark.parametrize("part", ["", "/pdf", "/timeline"])
async def test_an_unknown_number_is_not_found(billed: BilledMonth, part: str) -> None:
    answer = await billed.product.http.get(f"{INVOICES}/INV-2026-02-9999{part}")
    assert_problem(answer, 404, "INV-2026-02-9999")


async def test_a_crowd_of_readers_does_not_lock_up_the_pool(billed: BilledMonth) -> None:
    # more readers than threads, more threads than connections
    answers = await asyncio.gather(
        *(billed.product.http.get(f"{INVOICES}/{KNOWN}") for _ in range(120))
    )
    assert {answer.status_code for answer in answers} == {200}


@pytest.mark.parametrize(
    ("today", "late", "step"),
    [
        (date(2026, 3, 31), 0, {"on": "2026-04-01", "what": "overdue", "charges_card": False}),
        (date(2026, 4, 12), 12, {"on": "2026-04-01", "what": "overdue", "charges_card": False}),
    ],
)
async def test_an_invoice_tells_how_late_it_is_and_what_comes_next(
    books: Product, tmp_path: Path, today: date, late: int, step: Any
) -> None:
    issue_february(books.engine, tmp_path / "files", [Subscriber()])
    set_today(books, today)
    invoice = await books.get(f"{INVOICES}/INV-2026-02-0001")
    assert (invoice["days_late"], invoice["next_step"]) == (late, step)
    assert (invoice["on_hold"], invoice["disputed"], invoice["settled_on"]) == (False, False, None)


async def test_a_settled_invoice_is_never_late(books: Product, tmp_path: Path) -> None:
    issue_february(books.engine, tmp_path / "files", [Subscriber(calls=500)])
    invoice = await books.get(f"{INVOICES}/INV-2026-02-0001")
    assert (invoice["days_late"], invoice["next_step"]) == (0, None)
    assert invoice["settled_on"] == "2026-03-01"
