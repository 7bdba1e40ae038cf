"""The paths that indexes serve, with enough rows for the planner to have a choice."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date
from typing import Any

import pytest
from sqlalchemy import ColumnElement, Engine, Select, text

from domain.periods import BillingPeriod
from storage.arrivals import _WAITING as WAITING
from storage.arrivals import find_waiting
from storage.attention import _UNBILLED as UNBILLED
from storage.attention import _UNDELIVERED as UNDELIVERED
from storage.audit import _LAST_OF_BILLING as LAST_OF_BILLING
from storage.collection import _CASE as CASE
from storage.customers import USAGE_OF_CUSTOMERS
from storage.customers import _subscriptions_query as subscriptions_query
from storage.cycles import load_cycle
from storage.engine import transaction
from storage.invoices import InvoiceFilter, Overdue, page_of
from storage.late.months import MONTHS_TO_RATE
from storage.master_data.billed_months import _last_billed as last_billed
from storage.planning import _customers_to_plan as customers_to_plan
from storage.reports.collections_queries import CASES, RECEIVABLES
from storage.review import _QUEUE as QUEUE
from storage.tables import invoices
from storage.waiting import _WAITING as STANDING
from storage.webhooks import _TAKE_UP as TAKE_UP
from tests.builders import FEBRUARY, SELLER, customer_row

ROWS = """
    INSERT INTO billing_cycles (period_start, status, issued_on, terms_days, hold_reminders)
    SELECT date '2022-01-01' + n * interval '1 month', 'closed', '2026-03-01', 30, false
    FROM generate_series(0, 50) n;
    INSERT INTO documents (sha256, media_type, content)
    VALUES (repeat('0', 64), 'application/pdf', '');

    INSERT INTO pricing_plans (code, name, kind) VALUES ('support', 'Support', 'flat');
    INSERT INTO subscriptions (customer_id, plan_id, quantity, starts_on, ends_on)
    SELECT customer, plan.id, 1, day, day + 30
    FROM pricing_plans plan, generate_series(1, 500) customer,
        LATERAL (SELECT date '2020-01-01' + 60 * n AS day FROM generate_series(0, 3) n) spans;

    INSERT INTO billing_events (customer_id, metric, occurred_at, quantity, event_id)
    SELECT 1 + n % 500, 'api_calls', timestamptz '2026-01-01' + n * interval '2 minutes', n,
        'e' || n
    FROM generate_series(1, 40000) n;
    INSERT INTO usage_daily (customer_id, metric, day, quantity)
    SELECT customer_id, metric, occurred_at::date, sum(quantity)
    FROM billing_events GROUP BY 1, 2, 3;
    INSERT INTO usage_monthly (month, customer_id, metric, quantity)
    SELECT date_trunc('month', day)::date, customer_id, metric, sum(quantity)
    FROM usage_daily GROUP BY 1, 2, 3;

    INSERT INTO invoices (number, customer_id, cycle_id, period_start, kind, status, currency,
        usage_amount, subscription_amount, proration_amount, subtotal, tax, total, tax_lines,
        segment, customer, seller_version, issued_on, due_on, issued_at, pdf_sha256)
    SELECT 'INV-' || n, 1 + n % 400, 1 + n / 400,
        date '2022-01-01' + n / 400 * interval '1 month', 'regular',
        CASE WHEN n % 50 = 0 THEN 'overdue' ELSE 'paid' END, 'USD', n, 0, 0, n, 0, n, '[]',
        (ARRAY['startup', 'mid_market', 'enterprise'])[1 + n % 3], '{}', 1, '2026-01-01',
        date '2026-01-01' + n % 700, now(), repeat('0', 64)
    FROM generate_series(1, 20000) n;

    INSERT INTO billing_cycle_items (cycle_id, customer_id, account_number, outcome, invoice_id)
    SELECT cycle_id, customer_id, customer_id::text, 'issued', id FROM invoices;

    UPDATE billing_cycles SET issue_began_at = now();
    INSERT INTO usage_monthly (month, customer_id, metric, quantity)
    SELECT period_start, customer_id, 'api_calls', 1 FROM invoices
    ON CONFLICT DO NOTHING;
    INSERT INTO billed_usage (cycle_id, invoice_id, customer_id, month, metric, quantity, changes)
    SELECT cycle_id, id, customer_id, period_start, 'api_calls', 1, (id % 5000 > 0)::int
    FROM invoices;
    INSERT INTO rated_months (cycle_id, customer_id, month, invoice_id, reopened)
    SELECT cycle_id, customer_id, period_start, id, 0 FROM invoices;
    INSERT INTO reopened_months (customer_id, from_month, to_month, reason, person)
    SELECT 1 + n % 400, '2025-01-01', '2025-02-01', 'contract', 'Ada'
    FROM generate_series(1, 400) n;
"""

COLLECTED = """
    UPDATE invoices SET collection_state = CASE status WHEN 'paid' THEN 'paid' ELSE 'issued' END,
        settled_on = CASE status WHEN 'paid' THEN date '2026-01-02' END;

    INSERT INTO payments (invoice_id, method, status, amount, currency, idempotency_key,
        provider_id, business_date, attempt, created_at)
    SELECT id, 'card', CASE WHEN id % 5000 = 0 THEN 'pending' ELSE 'failed' END, 1, 'USD',
        number || '/charge/' || attempt, 'pi_' || id || '_' || attempt, '2026-03-01', attempt,
        now() - interval '1 day'
    FROM invoices, generate_series(1, 2) attempt;

    INSERT INTO emails (invoice_id, kind, step, message_id, recipients, subject, business_date,
        sent_at)
    SELECT id, email, 0, number || email, '{a@b.example}', 's', '2026-03-01',
        CASE WHEN id % 5000 <> 0 THEN now() END
    FROM invoices, unnest(ARRAY['invoice', 'receipt']) email;

    INSERT INTO audit_log (business_date, actor, subject_kind, subject, event)
    SELECT '2026-03-01', 'test', 'invoice', number, CASE n WHEN 5 THEN 'settled' ELSE 'e-mail' END
    FROM invoices, generate_series(1, 5) n;
    INSERT INTO receivable_entries (invoice_id, business_date, amount)
    SELECT id, day, amount FROM invoices, LATERAL (VALUES (issued_on, total), (settled_on, -total))
                                                  AS entry (day, amount) WHERE day IS NOT NULL;

    INSERT INTO webhook_events (event_id, type, payload, invoice_id, applied_at, outcome,
        received_at)
    SELECT 'evt_' || n, 'refund.created',
        jsonb_build_object('data', jsonb_build_object('object',
            jsonb_build_object('payment_intent', 'foreign_' || n))),
        CASE WHEN n % 2 = 0 THEN 1 + n % 20000 END,
        CASE WHEN n % 4000 <> 0 THEN now() END, CASE WHEN n % 4000 <> 0 THEN 'ignored' END,
        now() - interval '1 day'
    FROM generate_series(1, 20000) n;

    INSERT INTO bank_transactions (bank_reference, booked_on, amount, currency, payer_name,
        payer_iban, remittance, status, received_at)
    SELECT 'R' || n, '2026-03-05', 1, 'USD', '', '', '', 'matched', now() - interval '1 day'
    FROM generate_series(1, 9000) n;
    INSERT INTO bank_matches (bank_transaction_id, invoice_id, amount, booked_at)
    SELECT id, 1 + id % 20000, 1, CASE WHEN id % 3000 <> 0 THEN now() END FROM bank_transactions;

    INSERT INTO instructions (invoice_id, kind, note, person, decided_at, outcome)
    SELECT 1 + n % 20000, 'hold', '', 'Ada', now(), 'done' FROM generate_series(1, 5000) n;
    INSERT INTO checkout_sessions (session_id, invoice_id, mode, url, amount, status, expires_at)
    SELECT 'cs_' || n, 1 + n % 20000, 'payment', '', 1, 'expired', now()
    FROM generate_series(1, 5000) n;
    INSERT INTO credit_notes (number, invoice_id, currency, subtotal, tax, total, lines, tax_lines,
        reason, business_date)
    SELECT 'CN-' || n, 1 + n % 20000, 'USD', 1, 0, 1, '[]', '[]', '', '2026-03-01'
    FROM generate_series(1, 5000) n;
"""


@pytest.fixture(scope="module")
def filled(fresh_engine: Callable[[], AbstractContextManager[Engine]]) -> Iterator[Engine]:
    """500 customers with 40,000 events in two months; 400 of them with invoices of 50 months, and
    what came of these.
    """
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
            connection.execute(text(COLLECTED))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
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


def as_text(engine: Engine, query: Select[Any]) -> str:
    """The query with its values in it."""
    compiled = query.compile(engine, compile_kwargs={"literal_binds": True})
    return str(compiled).replace("%%", "%")


def indexes(nodes: list[dict[str, Any]]) -> set[str | None]:
    return {node.get("Index Name") for node in nodes}


def test_the_usage_of_customers_in_a_period_is_read_by_index(filled: Engine) -> None:
    nodes = plan_of(
        filled,
        USAGE_OF_CUSTOMERS.text,
        customers=[7, 8, 9],
        start=FEBRUARY.start,
        end=FEBRUARY.end,
    )
    assert indexes(nodes) == {"usage_daily_pkey", "usage_monthly_pkey"}


EVENTS_OF_CUSTOMER = """
    SELECT metric, sum(quantity) FROM billing_events
    WHERE customer_id = :customer AND occurred_at >= :start AND occurred_at < :end GROUP BY metric
"""


def test_the_events_of_a_customer_in_a_period_are_read_by_index(filled: Engine) -> None:
    start, end = FEBRUARY.bounds("UTC")
    nodes = plan_of(filled, EVENTS_OF_CUSTOMER, customer=7, start=start, end=end)
    (index,) = indexes(nodes)
    assert str(index).startswith("billing_events_2026_02_customer_id_occurred_at")


def test_a_period_reads_the_partitions_of_its_own_months(filled: Engine) -> None:
    start, end = FEBRUARY.bounds("Europe/Berlin")
    nodes = plan_of(filled, EVENTS_OF_CUSTOMER, customer=7, start=start, end=end)
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


# --- collection

BIG = {
    "invoices",
    "billing_cycle_items",
    "payments",
    "emails",
    "audit_log",
    "webhook_events",
    "bank_matches",
    "bank_transactions",
    "instructions",
    "checkout_sessions",
    "credit_notes",
    "usage_monthly",
    "billed_usage",
    "rated_months",
}


def read_as_a_whole(nodes: list[dict[str, Any]]) -> set[str]:
    """The big tables that are read from one end to the other."""
    return {
        node["Relation Name"]
        for node in nodes
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG
    }


def test_a_case_is_read_by_index_alone(filled: Engine) -> None:
    nodes = plan_of(filled, CASE.text, number="INV-777")
    assert read_as_a_whole(nodes) == set()
    assert {"invoices_number_key", "audit_log_of_subject"} <= indexes(nodes)


def test_what_waits_is_found_by_index_alone(filled: Engine) -> None:
    nodes = plan_of(filled, WAITING.text, seconds=60, after="", limit=100)
    assert read_as_a_whole(nodes) == set()
    assert {
        "webhook_events_waiting",
        "bank_matches_waiting",
        "instructions_waiting",
        "payments_pending",
        "invoices_to_wake",
        "invoices_by_status_due",
    } <= indexes(nodes)


def test_what_waits_is_found_among_many(filled: Engine) -> None:
    with transaction(filled) as connection:
        numbers = find_waiting(connection, older_than_seconds=60, limit=100)
    by_events, by_charges, by_wires = 5, 4, 3
    assert len(numbers) == len(set(numbers)) == by_events + by_charges + by_wires


def test_events_that_came_before_their_payment_are_taken_up_by_index(filled: Engine) -> None:
    nodes = plan_of(filled, TAKE_UP.text, invoice=777, types=["refund.created"])
    assert read_as_a_whole(nodes) == set()
    assert "webhook_events_of_nothing_known" in indexes(nodes)


MONTHS = {
    "starts": [date(2026, 5, 1), date(2026, 6, 1)],
    "ends": [date(2026, 5, 31), date(2026, 6, 30)],
    "since": [date(2026, 3, 1), date(2026, 4, 1)],
    "first": date(2026, 5, 1),
    "as_of": date(2026, 6, 30),
    "currencies": ["USD"],
    "rates": [1],
    "digits": 2,
}


def test_cases_are_read_by_index(filled: Engine) -> None:
    nodes = plan_of(filled, CASES.text, **MONTHS)
    assert read_as_a_whole(nodes) == set()
    assert {"invoices_late", "audit_log_of_cases", "audit_log_after_write_off"} <= indexes(nodes)


def test_what_was_owed_and_billed_is_read_by_index(filled: Engine) -> None:
    nodes = plan_of(filled, RECEIVABLES.text, **MONTHS)
    assert read_as_a_whole(nodes) == set()
    assert {"invoices_by_open_days", "invoices_by_day_of_issue"} <= indexes(nodes)


def test_the_review_queue_is_read_by_index(filled: Engine) -> None:
    nodes = plan_of(filled, QUEUE.text, since=-1, id=0, limit=50)
    assert read_as_a_whole(nodes) == set()
    assert {"invoices_by_state", "invoices_disputed"} <= indexes(nodes)


def test_what_an_operator_looks_at_is_counted_by_index(filled: Engine) -> None:
    nodes = plan_of(filled, STANDING.text)
    assert "emails_not_sent" in indexes(nodes)
    assert read_as_a_whole(nodes) <= {"bank_matches", "bank_transactions", "webhook_events"}


def test_the_present_business_date_is_read_from_the_end_of_the_log(filled: Engine) -> None:
    nodes = plan_of(filled, as_text(filled, LAST_OF_BILLING))
    assert indexes(nodes) == {"audit_log_pkey"}


def test_mail_that_waits_for_a_person_is_counted_by_index(filled: Engine) -> None:
    nodes = plan_of(filled, UNDELIVERED.text)
    assert read_as_a_whole(nodes) == set()
    assert "emails_not_sent" in indexes(nodes)


def test_months_that_nobody_billed_are_found_by_index(filled: Engine) -> None:
    nodes = plan_of(filled, UNBILLED.text, first=date(2025, 1, 1), latest=date(2026, 2, 1))
    assert read_as_a_whole(nodes) == set()


ANY_CUSTOMER = invoices.c.customer_id == 8
ANY_PLACE = invoices.c.segment == "startup"


@pytest.mark.parametrize("condition", [ANY_CUSTOMER, ANY_PLACE], ids=["customer", "place"])
def test_the_last_month_that_was_billed_is_found_by_index(
    filled: Engine, condition: ColumnElement[bool]
) -> None:
    recent = invoices.c.period_start >= date(2026, 1, 1)
    nodes = plan_of(filled, as_text(filled, last_billed(condition, recent)))
    assert read_as_a_whole(nodes) == set()
    assert "billing_cycle_items_of_invoice" in indexes(nodes)


@pytest.mark.parametrize("failed_again", [False, True], ids=["plan", "retry"])
def test_a_page_of_the_plan_looks_its_customers_up_one_by_one(
    filled: Engine, *, failed_again: bool
) -> None:
    with transaction(filled) as connection:
        cycle = load_cycle(connection, BillingPeriod(2025, 12))
    query = customers_to_plan(cycle, "3", 100, failed_again=failed_again)
    nodes = plan_of(filled, as_text(filled, query))
    assert read_as_a_whole(nodes) == set()
    reads = [n for n in nodes if n.get("Relation Name") == "billing_cycle_items"]
    assert "billing_cycle_items_pkey" in indexes(reads)
    assert all("customers.account_number" in node["Index Cond"] for node in reads)


def test_the_subscriptions_of_customers_are_read_by_index(filled: Engine) -> None:
    query = subscriptions_query([7, 8, 9], FEBRUARY)
    nodes = plan_of(filled, as_text(filled, query))
    reads = [node for node in nodes if node.get("Relation Name") != "pricing_plans"]
    assert indexes(reads) == {"subscriptions_of_customer"}


def test_months_to_rate_anew_are_found_by_index(filled: Engine) -> None:
    values = {"period": date(2026, 3, 1), "customers": list(range(1, 101)), "held": [0]}
    nodes = plan_of(filled, MONTHS_TO_RATE.text, **values)
    assert read_as_a_whole(nodes) == set()
    assert {"usage_monthly_pkey", "billed_usage_of_customer", "reopened_months_of_customer"} <= (
        indexes(nodes)
    )


# --- looking for invoices


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (InvoiceFilter(), "invoices_by_period_number"),
        (InvoiceFilter(collection_state="manual_review"), "invoices_by_state"),
        (InvoiceFilter(open=True), "invoices_by_status_due"),
        (InvoiceFilter(overdue=Overdue(True, date(2026, 3, 1))), "invoices_by_status_due"),
        (InvoiceFilter(on_hold=True), "invoices_on_hold"),
        (InvoiceFilter(disputed=True), "invoices_disputed"),
        (InvoiceFilter(sought="INV-777"), "invoices_number_key"),
        (InvoiceFilter(sought="INV-7"), "invoices_by_period_number"),
        (InvoiceFilter(sought="a name"), "invoices_of_customer"),
    ],
)
def test_invoices_are_found_by_index(filled: Engine, wanted: InvoiceFilter, index: str) -> None:
    nodes = plan_of(filled, as_text(filled, page_of(wanted, [7], after=None, limit=100)))
    assert read_as_a_whole(nodes) == set()
    assert index in indexes(nodes)
