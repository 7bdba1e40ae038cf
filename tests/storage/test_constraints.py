"""Structure refuses doubles, and what is issued does not change."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import IntegrityError

from storage.documents import store_document
from storage.emails import EmailKey, prepare_email
from storage.engine import transaction
from storage.planning import Cycle
from storage.posting import issue_invoice
from storage.tables import invoice_line_items, subscriptions
from tests.builders import (
    ACTOR,
    ISSUED_ON,
    KNOWN_ANSWER,
    open_february,
    plan_all,
    subscribers,
)

OpenCycle = Callable[..., Cycle]
APPEND_ONLY = "append-only; write a new row instead"
FROZEN = "issued and frozen; correct it by a credit note"
LINES_FROZEN = "lines of an issued invoice are frozen"


@pytest.fixture(scope="module")
def drafted(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """A database with the draft of account 1047, shared by the tests that change nothing."""
    with fresh_engine() as engine:
        plan_all(engine, open_february(engine, tmp_path_factory.mktemp("drafted")))
        yield engine


@pytest.fixture(scope="module")
def issued(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """A database with the issued invoice of account 1047, shared in the same way."""
    with fresh_engine() as engine:
        plan_all(engine, open_february(engine, tmp_path_factory.mktemp("issued")))
        with transaction(engine) as connection:
            document = store_document(connection, b"pdf")
            issue_invoice(connection, "INV-2026-02-0001", document, actor=ACTOR)
        yield engine


@pytest.fixture
def issued_1047(engine: Engine, draft_1047: str) -> str:
    """The number of account 1047's issued invoice."""
    with transaction(engine) as connection:
        issue_invoice(connection, draft_1047, store_document(connection, b"pdf"), actor=ACTOR)
    return draft_1047


def refused(engine: Engine, statement: str, reason: str, **values: Any) -> None:
    """Asserts that the database refuses `statement` for `reason`, in a transaction of its own."""
    with engine.connect() as connection, pytest.raises(IntegrityError, match=reason):
        connection.execute(text(statement), values)


def done(engine: Engine, statement: str, **values: Any) -> int:
    with transaction(engine) as connection:
        return connection.execute(text(statement), values).rowcount


COPY_INVOICE = """
    INSERT INTO invoices (number, customer_id, cycle_id, period_start, kind, service_month, status,
        currency, usage_amount, subscription_amount, proration_amount, subtotal, tax, total,
        tax_lines, segment, customer, seller_version, issued_on, due_on)
    SELECT :number, customer_id, cycle_id, period_start,
        CASE WHEN CAST(:month AS date) IS NULL THEN 'regular' ELSE 'late' END, :month, 'draft',
        currency, usage_amount, subscription_amount, proration_amount, subtotal, tax, total,
        tax_lines, segment, customer, seller_version, issued_on, due_on
    FROM invoices LIMIT 1
"""


# --- doubles


def test_a_customer_has_one_regular_invoice_a_period(drafted: Engine) -> None:
    refused(drafted, COPY_INVOICE, "invoices_one_per_period", number=None, month=None)


def test_late_invoices_stand_beside_the_regular_one(engine: Engine, draft_1047: str) -> None:
    january, december = date(2026, 1, 1), date(2025, 12, 1)
    for month in (january, december):
        assert done(engine, COPY_INVOICE, number=None, month=month) == 1
        refused(engine, COPY_INVOICE, "invoices_one_per_period", number=None, month=month)


def test_a_late_invoice_is_about_a_month_before_its_own(engine: Engine, draft_1047: str) -> None:
    of_february = {"number": None, "month": date(2026, 2, 1)}
    refused(engine, COPY_INVOICE, "invoices_service_month_check", **of_february)


def test_a_void_invoice_makes_room_for_another(engine: Engine, draft_1047: str) -> None:
    done(engine, "UPDATE invoices SET status = 'void'")
    assert done(engine, COPY_INVOICE, number=None, month=None) == 1


def test_a_number_is_given_once_even_if_void(engine: Engine, draft_1047: str) -> None:
    done(engine, "UPDATE invoices SET status = 'void'")
    refused(engine, COPY_INVOICE, "invoices_number_key", number=draft_1047, month=None)


ADD_SUBSCRIPTION = """
    INSERT INTO subscriptions (customer_id, plan_id, quantity, starts_on, ends_on)
    SELECT customers.id, pricing_plans.id, 1, CAST(:starts AS date), CAST(:ends AS date)
    FROM customers, pricing_plans WHERE account_number = :account AND code = :plan
"""


@pytest.mark.parametrize(
    ("starts", "ends"),
    [
        ("2025-06-01", None),
        ("2026-02-01", "2026-02-02"),
        ("2020-01-01", "2025-06-02"),
        ("2020-01-01", None),
    ],
)
def test_subscriptions_of_one_plan_and_customer_do_not_overlap(
    drafted: Engine, starts: str, ends: str | None
) -> None:
    refused(
        drafted,
        ADD_SUBSCRIPTION,
        "conflicts with existing key",
        account="1047",
        plan="api-calls",
        starts=starts,
        ends=ends,
    )


def test_subscriptions_may_adjoin(engine: Engine, february: OpenCycle) -> None:
    february(KNOWN_ANSWER)
    values = {"account": "1047", "plan": "api-calls", "starts": "2025-05-01", "ends": "2025-06-01"}
    assert done(engine, ADD_SUBSCRIPTION, **values) == 1


def test_subscriptions_of_two_plans_may_overlap(engine: Engine, february: OpenCycle) -> None:
    february(KNOWN_ANSWER)
    values = {"account": "1047", "plan": "dedicated-ip", "starts": "2025-06-01", "ends": None}
    assert done(engine, ADD_SUBSCRIPTION, **values) == 1


def test_subscriptions_of_two_customers_may_overlap(engine: Engine, february: OpenCycle) -> None:
    february(*subscribers(3))
    with transaction(engine) as connection:
        assert len(connection.execute(select(subscriptions)).all()) == 3


def test_an_event_id_is_known_once(drafted: Engine) -> None:
    refused(
        drafted,
        "INSERT INTO usage_event_keys (event_id, content_hash) VALUES (:event, 'other')",
        "duplicate key value",
        event="evt-1047-2026-02-0",
    )


def test_the_same_event_written_differently_has_the_same_content(module_engine: Engine) -> None:
    with transaction(module_engine) as connection:
        hashes = connection.execute(
            text("""
                SELECT count(DISTINCT usage_content_hash('1', 'calls', at, quantity))
                FROM (VALUES (timestamptz '2026-02-03T14:05:00Z', 5),
                             ('2026-02-03T15:05:00.000+01:00', 5.000)) AS event(at, quantity)
            """)
        ).scalar_one()
        parts = connection.execute(
            text("""
                SELECT usage_content_hash('1', '2', now(), 5)
                     = usage_content_hash('12', '', now(), 5)
            """)
        ).scalar_one()
    assert hashes == 1
    assert parts is False


def test_an_email_is_written_once_a_step(engine: Engine, draft_1047: str) -> None:
    add = """
        INSERT INTO emails (invoice_id, kind, step, message_id, recipients, subject, business_date)
        SELECT id, 'reminder', :step, :message, '{a@b.example}', 's', '2026-03-01' FROM invoices
    """
    assert done(engine, add, step=1, message="<1>") == 1
    assert done(engine, add, step=2, message="<2>") == 1
    refused(engine, add, "emails_invoice_id_kind_step_key", step=1, message="<3>")
    refused(engine, add, "emails_message_id_key", step=3, message="<1>")


def test_preparing_an_email_again_writes_no_second(engine: Engine, draft_1047: str) -> None:
    key = EmailKey(draft_1047, "invoice", 0)
    with transaction(engine) as connection:
        to_send = [
            prepare_email(
                connection, key, recipients=["a@b.example"], subject="s", business_date=ISSUED_ON
            )
            for _ in range(2)
        ]
        assert to_send == [True, True]
        assert connection.execute(text("SELECT count(*) FROM emails")).scalar_one() == 1


ADD_PAYMENT = """
    INSERT INTO payments (invoice_id, method, status, amount, currency, idempotency_key,
                          provider_id, business_date)
    SELECT id, 'card', 'pending', 1, 'USD', :key, :provider, '2026-03-01' FROM invoices
"""


def test_a_charge_is_recorded_once(engine: Engine, draft_1047: str) -> None:
    assert done(engine, ADD_PAYMENT, key="charge/1", provider="pi_1") == 1
    refused(engine, ADD_PAYMENT, "payments_idempotency_key_key", key="charge/1", provider="pi_2")
    refused(engine, ADD_PAYMENT, "payments_provider_id_key", key="charge/2", provider="pi_1")
    assert done(engine, ADD_PAYMENT, key="charge/2", provider=None) == 1
    assert done(engine, ADD_PAYMENT, key="charge/3", provider=None) == 1


def test_a_payment_is_in_its_invoices_currency(drafted: Engine) -> None:
    in_euros = ADD_PAYMENT.replace("'USD'", "'EUR'")
    refused(drafted, in_euros, "payments_invoice_id_currency_fkey", key="charge/1", provider=None)


def test_a_credit_note_is_in_its_invoices_currency(engine: Engine, draft_1047: str) -> None:
    add = """
        INSERT INTO credit_notes (number, invoice_id, currency, subtotal, tax, total, lines,
                                  tax_lines, reason, business_date)
        SELECT 'CN-1', id, :currency, 1, 0, 1, '[]', '[]', 'goodwill', '2026-03-01' FROM invoices
    """
    refused(engine, add, "credit_notes_invoice_id_currency_fkey", currency="EUR")
    assert done(engine, add, currency="USD") == 1


@pytest.mark.parametrize(
    ("statement", "key"),
    [
        (
            "INSERT INTO webhook_events (event_id, type, payload) VALUES ('evt_1', 't', '{}')",
            "webhook_events_pkey",
        ),
        (
            "INSERT INTO bank_transactions (bank_reference, booked_on, amount, currency, "
            "payer_name, payer_iban, remittance, status) "
            "VALUES ('R1', '2026-03-05', 10, 'EUR', '', '', '', 'unmatched')",
            "bank_transactions_bank_reference_key",
        ),
        (
            "INSERT INTO billing_cycles (period_start, status, issued_on, terms_days, "
            "hold_reminders) VALUES ('2026-02-01', 'planning', '2026-03-01', 30, false)",
            "billing_cycles_period_start_key",
        ),
    ],
)
def test_what_arrives_twice_is_refused(engine: Engine, statement: str, key: str) -> None:
    assert done(engine, statement) == 1
    refused(engine, statement, key)


def test_paid_never_exceeds_due(engine: Engine, issued_1047: str) -> None:
    assert done(engine, "UPDATE invoices SET amount_paid = 312.91") == 1
    refused(engine, "UPDATE invoices SET amount_paid = 312.92", "check constraint")
    refused(engine, "UPDATE invoices SET amount_credited = 0.01", "check constraint")


@pytest.mark.parametrize("column", ["usage_amount", "subtotal", "tax", "total"])
def test_an_invoices_parts_make_its_total(drafted: Engine, column: str) -> None:
    statements = {
        "usage_amount": "UPDATE invoices SET usage_amount = usage_amount + 1",
        "subtotal": "UPDATE invoices SET subtotal = subtotal + 1",
        "tax": "UPDATE invoices SET tax = tax + 1",
        "total": "UPDATE invoices SET total = total + 1",
    }
    refused(drafted, statements[column], "check constraint")


def test_nothing_is_issued_without_its_number_and_document(drafted: Engine) -> None:
    refused(drafted, "UPDATE invoices SET status = 'issued'", "check constraint")
    refused(drafted, "UPDATE invoices SET status = 'issued', issued_at = now()", "check constraint")


# --- what does not change


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE sellers SET iban = ''",
        "DELETE FROM sellers",
        "TRUNCATE sellers CASCADE",
    ],
)
def test_the_audit_log_and_the_sellers_are_append_only(issued: Engine, statement: str) -> None:
    refused(issued, statement, APPEND_ONLY)


@pytest.mark.parametrize(
    "change",
    [
        "number = 'INV-2026-02-9999'",
        "customer_id = customer_id + 1",
        "cycle_id = NULL",
        "period_start = '2026-01-01'",
        "kind = 'late'",
        "currency = 'EUR'",
        "usage_amount = usage_amount + 1, subtotal = subtotal + 1, total = total + 1",
        "subscription_amount = 0, proration_amount = 99",
        "tax = tax + 1, total = total + 1",
        "tax_lines = '[]'",
        "segment = 'other'",
        "customer = '{}'",
        "seller_version = 2",
        "issued_on = '2026-02-28'",
        "due_on = '2027-01-01'",
        "pdf_sha256 = NULL",
        "issued_at = NULL",
        "status = 'draft'",
    ],
)
def test_an_issued_invoice_is_frozen(issued: Engine, change: str) -> None:
    refused(issued, f"UPDATE invoices SET {change}", FROZEN)  # noqa: S608 - the cases above


def test_an_issued_invoice_is_not_deleted(issued: Engine) -> None:
    refused(issued, "DELETE FROM invoices", FROZEN)


def test_an_issued_invoice_is_paid_and_chased(engine: Engine, issued_1047: str) -> None:
    change = """
        UPDATE invoices SET status = 'paid', collection_state = 'paid', amount_paid = total,
               settled_on = '2026-03-05', link_version = 2
    """
    assert done(engine, change) == 1


def test_a_void_invoice_is_frozen_too(engine: Engine, draft_1047: str) -> None:
    done(engine, "UPDATE invoices SET status = 'void'")
    refused(engine, "UPDATE invoices SET tax = 0, total = subtotal", FROZEN)


def test_a_draft_changes_and_goes(engine: Engine, draft_1047: str) -> None:
    assert done(engine, "UPDATE invoices SET tax = 0, total = subtotal") == 1
    assert done(engine, "UPDATE invoice_line_items SET amount = amount + 1") == 4
    assert done(engine, "UPDATE billing_cycle_items SET invoice_id = NULL") == 1
    assert done(engine, "DELETE FROM invoices") == 1
    with transaction(engine) as connection:
        assert connection.execute(select(invoice_line_items)).all() == []


ADD_LINE = """
    INSERT INTO invoice_line_items (invoice_id, position, kind, description, quantity, amount,
                                    plan_code, plan_version, service_month)
    SELECT id, 99, 'flat', 'smuggled', 1, 1, 'x', 1, period_start
    FROM invoices WHERE number = :number
"""


def test_lines_of_an_issued_invoice_are_frozen(issued: Engine) -> None:
    refused(issued, "UPDATE invoice_line_items SET amount = 0", LINES_FROZEN)
    refused(issued, "DELETE FROM invoice_line_items", LINES_FROZEN)
    refused(issued, ADD_LINE, LINES_FROZEN, number="INV-2026-02-0001")


def test_no_line_moves_from_a_draft_to_an_issued_invoice(
    engine: Engine, february: OpenCycle
) -> None:
    plan_all(engine, february(*subscribers(2)))
    draft, issued = "INV-2026-02-0001", "INV-2026-02-0002"
    with transaction(engine) as connection:
        issue_invoice(connection, issued, store_document(connection, b"pdf"), actor=ACTOR)
    done(engine, ADD_LINE, number=draft)
    refused(
        engine,
        """
            UPDATE invoice_line_items SET invoice_id = issued.id FROM invoices issued
            WHERE issued.number = :number AND position = 99
        """,
        LINES_FROZEN,
        number=issued,
    )


def test_rows_that_are_billed_stay(issued: Engine) -> None:
    refused(issued, "DELETE FROM customers", "foreign key")
    refused(issued, "DELETE FROM documents", "foreign key")
    refused(issued, "DELETE FROM billing_cycles", "foreign key")
