"""What the tables of collection refuse, whoever writes."""

from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError


def refused(connection: Connection, statement: str, because: str, **values: Any) -> None:
    """Asserts that the database refuses `statement`, and leaves the transaction usable."""
    savepoint = connection.begin_nested()
    with pytest.raises(IntegrityError, match=because):
        connection.execute(text(statement), values)
    savepoint.rollback()


def done(connection: Connection, statement: str, **values: Any) -> int:
    return connection.execute(text(statement), values).rowcount


ADD_RECEIPT = """
    INSERT INTO payments (invoice_id, method, status, amount, currency, idempotency_key,
                          business_date, attempt, allocated, returned)
    SELECT id, 'card', :status, 100, 'USD', :key, '2026-03-01', :attempt, :allocated, :returned
    FROM invoices
"""
RECEIPT = {"status": "succeeded", "key": "k", "attempt": None, "allocated": 0, "returned": 0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"allocated": 101},
        {"allocated": 60, "returned": 41},
        {"allocated": -1},
        {"returned": -1},
        {"status": "pending", "allocated": 1},
        {"status": "failed", "returned": 1},
        {"status": "lost"},
    ],
)
def test_a_payment_gives_out_what_came_and_no_more(
    by_wire: Connection, wrong: dict[str, Any]
) -> None:
    refused(by_wire, ADD_RECEIPT, "check constraint", **{**RECEIPT, **wrong})


def test_an_attempt_has_one_payment(by_wire: Connection) -> None:
    assert done(by_wire, ADD_RECEIPT, **{**RECEIPT, "attempt": 1}) == 1
    again = {**RECEIPT, "attempt": 1, "key": "other"}
    refused(by_wire, ADD_RECEIPT, "payments_invoice_id_attempt_key", **again)
    assert done(by_wire, ADD_RECEIPT, **{**RECEIPT, "key": "wire"}) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO credit_balances SELECT id, 'USD', -0.01 FROM customers",
        "INSERT INTO credit_balances SELECT id, 'usd', 1 FROM customers",
        "INSERT INTO dunning_policies (code, steps) VALUES ('', '[]')",
    ],
)
def test_balances_and_policies_have_their_bounds(by_wire: Connection, statement: str) -> None:
    refused(by_wire, statement, "check constraint")


ADD_CREDIT = """
    INSERT INTO credit_entries (customer_id, currency, amount, reason, key, invoice_id,
                                business_date)
    SELECT customer_id, :currency, :amount, :reason, :key, id, '2026-03-01' FROM invoices
"""
ENTRY = {"currency": "USD", "amount": 5, "reason": "overpayment", "key": "k"}


@pytest.mark.parametrize(
    ("wrong", "because"),
    [
        ({"amount": 0}, "credit_entries_amount_check"),
        ({"reason": "generosity"}, "credit_entries_reason_check"),
        ({"currency": "EUR"}, "foreign key"),
        ({"key": "k"}, "credit_entries_key_key"),
    ],
)
def test_an_entry_of_credit_has_a_balance_a_reason_and_a_key_of_its_own(
    by_wire: Connection, wrong: dict[str, Any], because: str
) -> None:
    done(by_wire, "INSERT INTO credit_balances SELECT id, 'USD', 5 FROM customers")
    assert done(by_wire, ADD_CREDIT, **ENTRY) == 1
    refused(by_wire, ADD_CREDIT, because, **{**ENTRY, "key": "other", **wrong})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE credit_entries SET amount = 1",
        "DELETE FROM credit_entries",
        "TRUNCATE credit_entries",
    ],
)
def test_entries_of_credit_are_append_only(by_wire: Connection, statement: str) -> None:
    refused(by_wire, statement, "append-only; write a new row instead")


ADD_REFUND = """
    INSERT INTO refunds (payment_id, amount, status, idempotency_key, provider_id, business_date)
    SELECT id, :amount, :status, :key, :provider, '2026-03-01' FROM payments
"""
REFUND = {"amount": 5, "status": "pending", "key": "k", "provider": "re_1"}


@pytest.mark.parametrize(
    ("wrong", "because"),
    [
        ({"amount": 0, "key": "o", "provider": None}, "refunds_amount_check"),
        ({"status": "canceled", "key": "o", "provider": None}, "refunds_status_check"),
        ({"provider": None}, "refunds_idempotency_key_key"),
        ({"key": "o"}, "refunds_provider_id_key"),
    ],
)
def test_a_refund_is_kept_once(by_wire: Connection, wrong: dict[str, Any], because: str) -> None:
    done(by_wire, ADD_RECEIPT, **RECEIPT)
    assert done(by_wire, ADD_REFUND, **REFUND) == 1
    refused(by_wire, ADD_REFUND, because, **{**REFUND, **wrong})


ADD_NOTE = """
    INSERT INTO credit_notes (number, invoice_id, currency, subtotal, tax, total, lines, tax_lines,
                              reason, business_date, refund_to, returned_amount)
    SELECT 'CN-1', id, 'USD', 10, 0, 10, '[]', '[]', 'goodwill', '2026-03-01', :to, :returned
    FROM invoices
"""


@pytest.mark.parametrize(
    ("to", "returned"), [("", 1), ("card", 0), ("credit", 11), ("credit", -1), ("cash", 1)]
)
def test_a_credit_note_returns_at_most_itself_and_says_where(
    by_wire: Connection, to: str, returned: int
) -> None:
    refused(by_wire, ADD_NOTE, "check constraint", to=to, returned=returned)


ADD_INSTRUCTION = """
    INSERT INTO instructions (invoice_id, kind, note, person, decided_at, outcome)
    SELECT id, :kind, '', :person, CAST(:decided AS timestamptz), :outcome FROM invoices
"""
ASKED = {"kind": "hold", "person": "Ada", "decided": None, "outcome": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "forgive"},
        {"person": ""},
        {"outcome": "done"},
        {"decided": "2026-03-01"},
        {"decided": "2026-03-01", "outcome": "perhaps"},
    ],
)
def test_an_instruction_is_decided_or_waits(by_wire: Connection, wrong: dict[str, Any]) -> None:
    refused(by_wire, ADD_INSTRUCTION, "check constraint", **{**ASKED, **wrong})


ADD_EVENT = """
    INSERT INTO webhook_events (event_id, type, payload, applied_at, outcome)
    VALUES ('evt_1', 't', '{}', CAST(:applied AS timestamptz), :outcome)
"""


@pytest.mark.parametrize(
    ("applied", "outcome"), [(None, "applied"), ("2026-03-01", None), ("2026-03-01", "lost")]
)
def test_an_event_is_applied_with_an_outcome_or_waits(
    by_wire: Connection, applied: str | None, outcome: str | None
) -> None:
    refused(by_wire, ADD_EVENT, "check constraint", applied=applied, outcome=outcome)


ADD_WIRE = """
    INSERT INTO bank_transactions (bank_reference, booked_on, amount, currency, payer_name,
        payer_iban, remittance, status, reversal_of)
    VALUES (:reference, '2026-03-05', :amount, 'USD', '', '', '', 'matched', :reversal_of)
"""
ADD_MATCH = """
    INSERT INTO bank_matches (bank_transaction_id, invoice_id, amount)
    SELECT bank_transactions.id, invoices.id, :amount FROM bank_transactions, invoices
    WHERE bank_reference = 'R1'
"""


def test_a_wire_is_taken_back_once_and_pays_an_invoice_once(by_wire: Connection) -> None:
    done(by_wire, ADD_WIRE, reference="R1", amount=10, reversal_of=None)
    wire = by_wire.execute(text("SELECT id FROM bank_transactions")).scalar_one()
    assert done(by_wire, ADD_WIRE, reference="R2", amount=-10, reversal_of=wire) == 1
    again = {"reference": "R3", "amount": -10, "reversal_of": wire}
    refused(by_wire, ADD_WIRE, "bank_transactions_reversal_of_key", **again)
    refused(by_wire, ADD_MATCH, "bank_matches_amount_check", amount=0)
    assert done(by_wire, ADD_MATCH, amount=10) == 1
    refused(by_wire, ADD_MATCH, "bank_matches_pkey", amount=10)


@pytest.mark.parametrize(
    "values", ["'gift', '', 1, 'open'", "'payment', '', -1, 'open'", "'payment', '', 1, 'lost'"]
)
def test_a_payers_page_has_a_mode_an_amount_and_a_status(by_wire: Connection, values: str) -> None:
    refused(
        by_wire,
        "INSERT INTO checkout_sessions (session_id, invoice_id, mode, url, amount, status, "  # noqa: S608
        f"expires_at) SELECT 'cs_1', id, {values}, now() FROM invoices",
        "check constraint",
    )


def test_a_customers_policy_exists(by_wire: Connection) -> None:
    refused(by_wire, "UPDATE customers SET dunning_policy = 'none such'", "foreign key")
