"""The finance manager's queue: who waits, since when, what was tried, what can be done."""

from typing import Any

import pytest

from tests.api.collected import TOTAL, Month
from tests.api.conftest import Product, assert_problem, until

QUEUE = "/api/billing/review-queue"


async def cases(product: Product, limit: int = 200) -> list[dict[str, Any]]:
    """Every case, page by page."""
    found, cursor = [], None
    while True:
        page = await product.get(
            QUEUE, params={"limit": limit} | ({"cursor": cursor} if cursor else {})
        )
        assert len(page["items"]) <= limit
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def test_a_case_tells_what_was_tried_and_what_can_be_done(month: Month) -> None:
    number = month.take("refused")
    await until(lambda: len(mails_about(month, number)) == 2)
    (case,) = [case for case in await cases(month.product) if case["number"] == number]
    invoice = await month.get(number)
    assert case["account_number"] == invoice["account_number"]
    assert case["customer"] == invoice["customer"]
    assert (case["state"], case["open_amount"], case["currency"]) == (
        *("manual_review", TOTAL, "USD"),
    )
    assert (case["due_on"], case["days_late"], case["since_on"]) == ("2026-03-31", 0, "2026-03-01")
    assert (case["on_hold"], case["disputed"]) == (False, False)
    assert case["reason"] == "review due"
    (charge,) = case["charges"]
    assert (charge["attempt"], charge["status"], charge["decline"], charge["amount"]) == (
        *(1, "failed", "declined", TOTAL),
    )
    assert charge["words"]
    sent = [mail["kind"] for mail in case["emails"]]
    assert sorted(sent) == ["invoice", "review_notice"]
    assert case["resolutions"] == [
        {"resolution": resolution, "possible": True, "why_not": None}
        for resolution in (
            *("paid_elsewhere", "charge_again", "extend", "write_off", "void_by_credit_note"),
        )
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 200])
async def test_pages_lose_nothing_and_the_oldest_comes_first(month: Month, limit: int) -> None:
    found = await cases(month.product, limit)
    assert len({case["number"] for case in found}) == len(found) > 3
    assert [case["since"] for case in found] == sorted(case["since"] for case in found)


async def test_a_resolved_case_leaves_the_queue(month: Month) -> None:
    number = month.take("refused")
    assert number in [case["number"] for case in await cases(month.product)]
    await month.done(number, "resolve", resolution="write_off", note="insolvent")
    assert number not in [case["number"] for case in await cases(month.product)]


@pytest.mark.parametrize("cursor", ["x", "", "1", "1-", "-1", "1-2-3", "1-" + "9" * 30, "١-١"])
async def test_a_cursor_of_other_making_is_refused(sellerless: Product, cursor: str) -> None:
    assert_problem(await sellerless.http.get(QUEUE, params={"cursor": cursor}), 422, "cursor")


async def test_an_empty_queue_is_a_page(sellerless: Product) -> None:
    assert await sellerless.get(QUEUE) == {"items": [], "next_cursor": None}


def mails_about(month: Month, number: str) -> list[str]:
    ids = [str(mail["Message-ID"]) for mail in month.mailbox.mails]
    return [id for id in ids if id.startswith(f"<{number}.")]
