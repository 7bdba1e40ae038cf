"""Every equation of a month holds, and each one that is broken on purpose is caught by name."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal as D

import pytest
from sqlalchemy import Connection, Engine

from domain.proof import Equation, ProofStatus
from tests.storage.proved import (
    Named,
    behind_its_back,
    bill_rich_month,
    named,
    number_of,
    prove,
    shown,
)


@pytest.fixture(scope="module")
def month(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    with fresh_engine() as engine:
        bill_rich_month(engine, tmp_path_factory.mktemp("proved") / "files")
        yield engine


@pytest.fixture
def books(month: Engine) -> Iterator[Connection]:
    """A transaction on the month, rolled back after the test."""
    with month.connect() as connection:
        yield connection


I1, I2, I6, I47 = (f"INV-2026-02-000{n}" for n in (1, 2, 4, 5))
W1, W2 = "W-1-6a01b53d637350d3006ddc09", "W-2-517c84e3df86c220bf180724"
SHEET = "statement 7/1 of DE89370400440532013000"


def test_a_month_that_was_billed_right_is_balanced(books: Connection) -> None:
    proof = prove(books)
    assert proof.status is ProofStatus.BALANCED, shown(proof.differences)
    assert all(row.left for row in proof.equations), "an equation of nothing proves nothing"
    assert all(
        sum(part.amount for part in row.parts) in (row.right, 0) for row in proof.equations
    ), "parts come to their side"


def test_the_numbers_of_these_tests_are_those_of_the_month(books: Connection) -> None:
    accounts = ("1001", "1002", "1006", "1047")
    assert [number_of(books, account) for account in accounts] == [I1, I2, I6, I47]


BROKEN: dict[str, tuple[str, list[Named]]] = {
    "an event is gone": (
        "DELETE FROM billing_events WHERE event_id = 'evt-1001-2026-02-0'",
        [
            (Equation.USAGE_COUNTED, "1001", "", D("13333"), D("20000")),
            (Equation.USAGE_BY_DAY, "1001", "", D("13333"), D("20000")),
            (Equation.USAGE_BILLED, "1001", I1, D("13333"), D("20000")),
        ],
    ),
    "an event is out of the month's counter": (
        "UPDATE usage_monthly SET quantity = quantity - 700 FROM customers "
        "WHERE customers.id = customer_id AND account_number = '1001'",
        [
            (Equation.USAGE_COUNTED, "1001", "", D("20000"), D("19300")),
        ],
    ),
    "an event is out of a day's counter": (
        "UPDATE usage_daily SET quantity = quantity - 700 FROM customers "
        "WHERE customers.id = customer_id AND account_number = '1003' AND day = '2026-02-01'",
        [
            (Equation.USAGE_BY_DAY, "1003", "", D("500"), D("-200")),
            (Equation.UNITS_PRICED, "1003", "INV-2026-02-0003", D("500"), D("-200")),
        ],
    ),
    "more counts as billed": (
        "UPDATE billed_usage SET quantity = quantity + 100 FROM customers "
        "WHERE customers.id = billed_usage.customer_id AND account_number = '1001'",
        [
            (Equation.USAGE_BILLED, "1001", I1, D("20000"), D("20100")),
            (Equation.UNITS_PRICED, "1001", I1, D("20100"), D("20000")),
        ],
    ),
    "usage that no cycle will bill": (
        "WITH event AS (INSERT INTO billing_events (customer_id, metric, occurred_at, quantity, "
        "event_id) SELECT id, 'api_calls', '2026-02-09T12:00:00Z', 50, 'unseen' FROM customers "
        "WHERE account_number = '1001' RETURNING *), "
        "day AS (INSERT INTO usage_daily SELECT customer_id, metric, '2026-02-09', quantity "
        "FROM event) "
        "UPDATE usage_monthly SET quantity = usage_monthly.quantity + event.quantity FROM event "
        "WHERE usage_monthly.customer_id = event.customer_id",
        [
            (Equation.USAGE_BILLED, "1001", I1, D("20050"), D("20000")),
            (Equation.UNITS_PRICED, "1001", I1, D("20000"), D("20050")),
            (Equation.RATED_AGAIN, "1001", f"{I1}: api-calls", D("10.05"), D("10.00")),
        ],
    ),
    "a contract": (
        "UPDATE subscriptions SET quantity = 2 FROM customers, pricing_plans "
        "WHERE customers.id = customer_id AND account_number = '1002' "
        "AND pricing_plans.id = plan_id AND code = 'premium-support'",
        [
            (Equation.RATED_AGAIN, "1002", f"{I2}: premium-support", D("198.00"), D("99.00")),
        ],
    ),
    "a line": (
        "UPDATE invoice_line_items SET amount = amount - 3400 "
        "WHERE position = 2 AND invoice_id = (SELECT id FROM invoices WHERE number = :i2)",
        [
            (Equation.RATED_AGAIN, "1002", f"{I2}: api-calls", D("20.00"), D("-3380.00")),
            (Equation.LINES, "1002", f"{I2}, line 2", D("20.00"), D("-3380.00")),
            (Equation.SUBTOTALS, "1002", I2, D("-3281.00"), D("119.00")),
            (Equation.TAXES, "1002", I2, D("-623.39"), D("22.61")),
            (Equation.TAXES, "1002", f"{I2}, what is taxed", D("-3281.00"), D("119.00")),
            (Equation.LINE_EXPORT, "1002", I2, D("119.00"), D("-3281.00")),
        ],
    ),
    "a line is gone": (
        "DELETE FROM invoice_line_items "
        "WHERE position = 2 AND invoice_id = (SELECT id FROM invoices WHERE number = :i6)",
        [
            (Equation.RATED_AGAIN, "1006", f"{I6}: api-calls", D("115.00"), D("25.00")),
            (Equation.SUBTOTALS, "1006", I6, D("25.00"), D("115.00")),
            (Equation.TAXES, "1006", I6, D("4.75"), D("21.85")),
            (Equation.TAXES, "1006", f"{I6}, what is taxed", D("25.00"), D("115.00")),
            (Equation.LINE_EXPORT, "1006", I6, D("115.00"), D("25.00")),
        ],
    ),
    "a subtotal": (
        "UPDATE invoices SET subtotal = subtotal - 1 WHERE number = :i2",
        [
            (Equation.SUBTOTALS, "1002", I2, D("119.00"), D("118.00")),
            (Equation.TOTALS, "1002", I2, D("140.61"), D("141.61")),
            (Equation.REVENUE_REPORT, "1002", "", D("119.00"), D("118.00")),
            (Equation.LINE_EXPORT, "1002", I2, D("118.00"), D("119.00")),
        ],
    ),
    "a tax": (
        "UPDATE invoices SET tax = tax - 0.01, total = total - 0.01 WHERE number = :i2",
        [
            (Equation.TAXES, "1002", I2, D("22.61"), D("22.60")),
        ],
    ),
    "a total": (
        "UPDATE invoices SET total = total - 1 WHERE number = :i1",
        [
            (Equation.TOTALS, "1001", I1, D("11.90"), D("10.90")),
            (Equation.REVENUE_REPORT, "1001", "", D("9.00"), D("10.00")),
            (Equation.OUTSTANDING_REPORT, "1001", "", D("5.90"), D("6.90")),
            (Equation.RECEIVABLES, "1001", I1, D("5.90"), D("6.90")),
        ],
    ),
    "a double invoice": (
        "INSERT INTO invoices (number, customer_id, cycle_id, period_start, kind, status, "
        "collection_state, currency, usage_amount, subscription_amount, proration_amount, "
        "subtotal, tax, total, tax_lines, segment, customer, seller_version, issued_on, due_on, "
        "issued_at) SELECT 'INV-2026-02-0006', customer_id, cycle_id, period_start, kind, "
        "'issued', 'issued', currency, 0, 0, 0, 0, 0, 0, tax_lines, segment, customer, "
        "seller_version, issued_on, due_on, issued_at FROM invoices WHERE number = :i1",
        [
            (Equation.BILLED_ONCE, "1001", "INV-2026-02-0001, INV-2026-02-0006", D("1"), D("2")),
        ],
    ),
    "a missing customer": (
        "DELETE FROM billing_cycle_items WHERE account_number = '1002'",
        [
            (Equation.OUTCOMES, "1002", "", D("1"), D("0")),
            (Equation.CYCLE_TOTALS, "", "totals of the cycle", D("603.27"), D("461.66")),
        ],
    ),
    "an outcome without its invoice": (
        "UPDATE billing_cycle_items SET invoice_id = NULL WHERE account_number = '1002'",
        [
            (Equation.OUTCOMES, "1002", "", D("1"), D("0")),
            (Equation.CYCLE_TOTALS, "", "totals of the cycle", D("603.27"), D("461.66")),
        ],
    ),
    "a number": (
        "UPDATE invoices SET number = 'INV-2026-02-0009' WHERE number = :i2",
        [
            (Equation.NUMBERS, "", I2, D("1"), D("0")),
            (Equation.NUMBERS, "", "INV-2026-02-0006", D("1"), D("0")),
            (Equation.NUMBERS, "", "INV-2026-02-0007", D("1"), D("0")),
            (Equation.NUMBERS, "", "INV-2026-02-0008", D("1"), D("0")),
        ],
    ),
    "a payment more": (
        "INSERT INTO payments (invoice_id, method, status, amount, currency, idempotency_key, "
        "business_date, allocated) SELECT id, 'bank_transfer', 'succeeded', 7, 'USD', 'x', "
        "issued_on, 7 FROM invoices WHERE number = :i1",
        [
            (Equation.SETTLED, "1001", I1, D("5.00"), D("12.00")),
            (Equation.BANK_PAYMENTS, "1001", "payment of INV-2026-02-0001", D("0"), D("7")),
        ],
    ),
    "what is paid": (
        "UPDATE invoices SET amount_paid = amount_paid + 2 WHERE number = :i1",
        [
            (Equation.OUTSTANDING_REPORT, "1001", "", D("4.90"), D("6.90")),
            (Equation.SETTLED, "1001", I1, D("7.00"), D("5.00")),
            (Equation.RECEIVABLES, "1001", I1, D("4.90"), D("6.90")),
        ],
    ),
    "a receivable": (
        "INSERT INTO receivable_entries (invoice_id, business_date, amount) "
        "SELECT id, issued_on, -3 FROM invoices WHERE number = :i1",
        [
            (Equation.OUTSTANDING_REPORT, "1001", "", D("6.90"), D("3.90")),
            (Equation.RECEIVABLES, "1001", I1, D("6.90"), D("3.90")),
        ],
    ),
    "a credit": (
        "UPDATE credit_balances SET balance = balance + 4",
        [
            (Equation.CREDIT, "1002", "credit", D("58.39"), D("62.39")),
            (Equation.CREDIT, "1002", "the entries of the credit", D("58.39"), D("62.39")),
        ],
    ),
    "a credit's entry": (
        "UPDATE credit_entries SET amount = amount + 4",
        [
            (Equation.CREDIT, "1002", "the entries of the credit", D("62.39"), D("58.39")),
        ],
    ),
    "a bank entry is gone": (
        "DELETE FROM bank_transactions WHERE bank_reference LIKE 'W-2%'",
        [
            (Equation.BANK_STATEMENTS, "", f"{W2}, {SHEET}", D("33.00"), D("0")),
            (Equation.BANK_BALANCES, "", SHEET, D("223.00"), D("190.00")),
        ],
    ),
    "a bank entry": (
        "UPDATE bank_transactions SET amount = 250 WHERE bank_reference LIKE 'W-1%'",
        [
            (Equation.BANK_PAYMENTS, "1002", f"{W1} from Brandt", D("250"), D("200.00")),
            (Equation.BANK_STATEMENTS, "1002", f"{W1}, {SHEET}", D("200.00"), D("250")),
            (Equation.BANK_BALANCES, "", SHEET, D("223.00"), D("273.00")),
        ],
    ),
    "a bank entry of nobody's": (
        "INSERT INTO bank_transactions (bank_reference, booked_on, amount, currency, payer_name, "
        "payer_iban, remittance, status) VALUES "
        "('W-9', '2026-03-05', 90, 'USD', '', '', '', 'unmatched')",
        [
            (Equation.BANK_STATEMENTS, "", "W-9", D("0"), D("90")),
        ],
    ),
    "a match": (
        "UPDATE bank_matches SET amount = 150, booked_at = NULL",
        [
            (Equation.BANK_PAYMENTS, "1002", f"{W1} from Brandt", D("200.00"), D("150")),
        ],
    ),
    "the payment of a match": (
        "UPDATE payments SET amount = 150 WHERE amount = 200",
        [
            (Equation.CREDIT, "1002", "credit", D("8.39"), D("58.39")),
            (Equation.BANK_PAYMENTS, "1002", f"{W1} from Brandt", D("200.00"), D("150")),
        ],
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_changed_behind_the_codes_back_is_named(books: Connection, what: str) -> None:
    statement, expected = BROKEN[what]
    values = {"i1": I1, "i2": I2, "i6": I6}
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    behind_its_back(books, statement, **used)
    proof = prove(books)
    assert proof.status is ProofStatus.ALARM
    assert named(proof) == expected
