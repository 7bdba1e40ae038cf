"""The three paths that indexes serve, with enough rows for the planner to have a choice."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.periods import BillingPeriod
from storage.customers import USAGE_OF_CUSTOMERS
from storage.engine import transaction
from tests.builders import FEBRUARY, SELLER, customer_row

ROWS = """
    INSERT INTO billing_events (customer_id, metric, occurred_at, quantity, event_id)
    SELECT n % 500, 'api_calls', timestamptz '2026-01-01' + n * interval '2 minutes', n, 'e' || n
    FROM generate_series(1, 40000) n;

    INSERT INTO invoices (number, customer_id, period_start, kind, status, currency, usage_amount,
        subscription_amount, proration_amount, subtotal, tax, total, tax_lines, segment, customer,
        seller_version, issued_on, due_on, issued_at)
    SELECT 'INV-' || n, 1 + n % 400, date '2022-01-01' + n / 400 * interval '1 month', 'regular',
        CASE WHEN n % 50 = 0 THEN 'overdue' ELSE 'paid' END, 'USD', n, 0, 0, n, 0, n, '[]',
        (ARRAY['startup', 'mid_market', 'enterprise'])[1 + n % 3], '{}', 1, '2026-01-01',
        date '2026-01-01' + n % 700, now()
    FROM generate_series(1, 20000) n;
"""


@pytest.fixture(scope="module")
def filled(fresh_engine: Callable[[], AbstractContextManager[Engine]]) -> Iterator[Engine]:
    """500 customers with 40,000 events in two months; 400 of them with invoices of 50 months."""
    with fresh_engine() as engine:
        with transaction(engine) as connection:
            seller = SELLER | {"logo_svg": ""}
            names = ", ".join(seller)
            values = ", ".join(f":{name}" for name in seller)
            connection.execute(text(f"INSERT INTO sellers ({names}) VALUES ({values})"), seller)  # noqa: S608
            customer = customer_row() | {"billing_emails": [customer_row()["billing_email"]]}
            connection.execute(
                text("""
                    INSERT INTO customers (account_number, name, billing_emails, country, region,
                        address_line1, postal_code, city, tax_id, tax_id_valid, tax_exempt,
                        currency, segment, payment_method, status)
                    SELECT n::text, :name, :billing_emails, :country, :region, :address_line1,
                        :postal_code, :city, '', false, false, :currency, :segment,
                        :payment_method, :status
                    FROM generate_series(1, 500) n
                """),
                customer,
            )
            connection.execute(text(ROWS))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE billing_events, invoices"))
        yield engine


def plan_of(engine: Engine, query: str, **values: Any) -> list[dict[str, Any]]:
    """The nodes of the query's plan that read a table, at any depth."""
    with transaction(engine) as connection:
        answer = connection.execute(text(f"EXPLAIN (FORMAT JSON) {query}"), values).scalar_one()
    plans = answer if isinstance(answer, list) else json.loads(answer)
    nodes, found = [plans[0]["Plan"]], []
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        if "Scan" in node["Node Type"] and node["Node Type"] != "Bitmap Heap Scan":
            found.append(node)
    return found


def indexes(nodes: list[dict[str, Any]]) -> set[str | None]:
    return {node.get("Index Name") for node in nodes}


def test_the_usage_of_customers_in_a_period_is_read_by_index(filled: Engine) -> None:
    start, end = FEBRUARY.bounds("UTC")
    nodes = plan_of(
        filled,
        USAGE_OF_CUSTOMERS.text,
        customers=[7, 8, 9],
        zone="UTC",
        start=start,
        end=end,
    )
    (index,) = indexes(nodes)
    assert str(index).startswith("billing_events_2026_02_customer_id_occurred_at")


def test_a_period_reads_the_partitions_of_its_own_months(filled: Engine) -> None:
    start, end = FEBRUARY.bounds("Europe/Berlin")
    nodes = plan_of(
        filled, USAGE_OF_CUSTOMERS.text, customers=[7], zone="Europe/Berlin", start=start, end=end
    )
    assert {node["Relation Name"] for node in nodes if "Relation Name" in node} <= {
        "billing_events_2026_01",
        "billing_events_2026_02",
    }


def test_overdue_invoices_are_read_by_status_and_due_date(filled: Engine) -> None:
    nodes = plan_of(
        filled,
        "SELECT number, due_on FROM invoices "
        "WHERE status = 'overdue' AND due_on < '2026-03-01' ORDER BY due_on",
    )
    assert indexes(nodes) == {"invoices_by_status_due"}


def test_revenue_by_period_and_segment_is_read_by_index(filled: Engine) -> None:
    nodes = plan_of(
        filled,
        "SELECT segment, currency, sum(subtotal), sum(tax), sum(total) FROM invoices "
        "WHERE period_start = :period AND status <> 'void' GROUP BY segment, currency",
        period=BillingPeriod(2024, 2).start,
    )
    assert indexes(nodes) == {"invoices_by_period_segment"}
