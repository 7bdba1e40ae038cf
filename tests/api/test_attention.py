"""What waits for a person, over HTTP."""

from pathlib import Path

from tests.api.conftest import Product
from tests.api.payers import EURO, change, issue_february
from tests.builders import Subscriber

ATTENTION = "/api/billing/attention"


async def test_nothing_waits_where_nothing_is(sellerless: Product) -> None:
    nothing = {"count": 0, "amounts": []}
    assert await sellerless.get(ATTENTION) == {
        "review_cases": nothing,
        "disputes": nothing,
        "unmatched_transactions": nothing,
        "held_invoices": nothing,
        "undelivered_emails": 0,
        "set_aside_events": 0,
        "failed_customers": [],
        "unbilled_periods": [],
        "running_cycles": [],
        "unproved_months": [],
    }


async def test_what_waits_is_told_with_its_money_as_text(books: Product, tmp_path: Path) -> None:
    customers = [Subscriber("1001"), Subscriber("1002"), Subscriber("1003", columns=EURO)]
    issue_february(books.engine, tmp_path / "files", customers)
    for number in (1, 2, 3):
        change(books.engine, f"INV-2026-02-000{number}", on_hold=True)
    found = await books.get(ATTENTION)
    assert found["held_invoices"] == {
        "count": 3,
        "amounts": [
            {"currency": "EUR", "amount": "195.10"},
            {"currency": "USD", "amount": "390.20"},
        ],
    }
    assert found["running_cycles"] == [{"period": "2026-02", "status": "planning"}]
