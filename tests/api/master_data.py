"""What the tests of master data over HTTP share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from storage.audit import AuditFilter, list_entries
from storage.cycles import move_cycle, open_cycle
from storage.engine import transaction
from tests.api.conftest import Product
from tests.builders import FEBRUARY, ISSUED_ON, Subscriber, open_february, plan_all

CUSTOMERS = "/api/billing/customers"
PLANS = "/api/billing/plans"
SUBSCRIPTIONS = "/api/billing/subscriptions"
DISCOUNTS = "/api/billing/discounts"
PREPAID = "/api/billing/prepaid"
TAX_RATES = "/api/billing/tax-rates"
MRR = "/api/billing/mrr"


async def post(product: Product, path: str, body: Any, status: int = 201) -> Any:
    answer = await product.http.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def patch(product: Product, path: str, body: Any) -> Any:
    answer = await product.http.patch(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def withdraw(product: Product, path: str) -> None:
    answer = await product.http.delete(path)
    assert (answer.status_code, answer.content) == (204, b""), answer.text


async def every_page(product: Product, path: str, **wanted: Any) -> list[Any]:
    """All items, two by two."""
    found, cursor = [], None
    while True:
        params = {**wanted, "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = await product.get(path, params=params)
        assert len(page["items"]) <= 2
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def told(product: Product, subject_kind: str) -> list[tuple[str, str, dict[str, Any]]]:
    """(subject, event, details) of each audit entry, all by the key of the tests."""
    with transaction(product.engine) as connection:
        found = list_entries(connection, AuditFilter(subject_kind=subject_kind), limit=100)
    assert {entry.actor for entry in found} <= {"the finance key"}
    return [(entry.subject, entry.event, dict(entry.details)) for entry in found]


def bill_february(product: Product, files: Path, customers: Sequence[Subscriber]) -> None:
    """Imports `customers` and drafts their invoices, of which the issue has begun."""
    plan_february(product, files, customers)
    with transaction(product.engine) as connection:
        move_cycle(connection, FEBRUARY, "issuing", actor="test")


def plan_february(product: Product, files: Path, customers: Sequence[Subscriber]) -> None:
    """Imports `customers` and drafts their invoices."""
    plan_all(product.engine, open_february(product.engine, files, customers))


def plan_the_seeded(product: Product) -> None:
    """Drafts February's invoices of the customers that are there."""
    with transaction(product.engine) as connection:
        cycle = open_cycle(
            connection,
            FEBRUARY,
            issued_on=ISSUED_ON,
            terms_days=30,
            hold_reminders=False,
            actor="test",
        )
    plan_all(product.engine, cycle)
