"""Who the revenue of a month comes from, against plain Python over the rows."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from domain.instructions import InstructionKind
from domain.periods import BillingPeriod
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.reports.revenue import RevenueByCustomer, revenue_by_customer
from tests.builders import (
    FEBRUARY,
    ISSUED_ON,
    NOW,
    Subscriber,
    exchange_rate_row,
    invoice_row,
    write_billing_files,
    write_csv,
)
from tests.storage.collecting import add_draft, instruct

JANUARY = BillingPeriod(2026, 1)
NOTHING = Decimal(0)
AS_OF = date(2026, 3, 1)
NET = Decimal("262.95")
"""Of the known invoice of February, without its tax."""
EURO = ("1003",)
HISTORY = [
    # account, period, net, status
    ("1001", "2025-12", "100.00", "paid"),
    ("1001", "2026-01", "150.00", "paid"),
    ("1002", "2025-12", "80.00", "paid"),
    ("1003", "2025-12", "40.00", "issued"),
    ("1003", "2026-01", "50.00", "issued"),
    ("1004", "2026-01", "70.00", "void"),
    ("1005", "2026-01", "30.00", "issued"),
]


def revenue(
    connection: Connection,
    period: BillingPeriod,
    as_of: date = AS_OF,
    *,
    currency: str = "USD",
    limit: int | None = None,
) -> RevenueByCustomer:
    return revenue_by_customer(connection, period, as_of=as_of, currency=currency, limit=limit)


@pytest.fixture
def with_history(engine: Engine, tmp_path: Path) -> Engine:
    customers = [
        Subscriber(account, columns={"currency": "EUR"} if account in EURO else {})
        for account in sorted({row[0] for row in HISTORY})
    ]
    write_billing_files(tmp_path, customers)
    write_csv(tmp_path / "exchange_rates.csv", [exchange_rate_row()])
    write_csv(tmp_path / "invoices.csv", [_old(*row) for row in HISTORY])
    import_directory(engine, tmp_path, now=NOW)
    return engine


def _old(account: str, period: str, net: str, status: str) -> dict[str, str]:
    total = f"{Decimal(net) * Decimal('1.19'):.2f}"
    return invoice_row(
        f"INV-{period}-{account}",
        account_number=account,
        period=period,
        issued_on=str(BillingPeriod.parse(period).end),
        due_on=str(BillingPeriod.parse(period).end + timedelta(30)),
        currency="EUR" if account in EURO else "USD",
        usage=net,
        subscriptions="0.00",
        proration="0.00",
        tax=f"{Decimal(total) - Decimal(net):.2f}",
        total=total,
        amount_paid=total if status == "paid" else "0.00",
        status=status,
    )


def test_the_figures_are_those_of_a_loop_over_the_rows(with_history: Engine) -> None:
    def expected(period: str) -> dict[str, Decimal]:
        return {
            account: Decimal(net) * (Decimal("1.1") if account in EURO else 1)
            for account, month, net, status in HISTORY
            if month == period and status != "void"
        }

    with transaction(with_history) as connection:
        found = revenue(connection, JANUARY)
    now, before = expected("2026-01"), expected("2025-12")
    assert {row.account_number: row.revenue for row in found.customers} == {
        account: now.get(account, NOTHING) for account in now | before
    }
    assert {row.account_number: row.change for row in found.customers} == {
        account: now.get(account, NOTHING) - before.get(account, NOTHING)
        for account in now | before
    }
    assert (found.revenue, found.before) == (sum(now.values()), sum(before.values()))
    assert [row.account_number for row in found.customers] == ["1001", "1003", "1005", "1002"]
    assert found.billed_customers == 3


def test_growth_is_in_percent_of_the_month_before(with_history: Engine) -> None:
    with transaction(with_history) as connection:
        found = revenue(connection, JANUARY)
    assert [(row.account_number, row.growth, row.share) for row in found.customers] == [
        ("1001", Decimal("50.0"), Decimal("63.8")),
        ("1003", Decimal("25.0"), Decimal("23.4")),
        ("1005", None, Decimal("12.8")),
        ("1002", Decimal("-100.0"), Decimal("0.0")),
    ]
    assert found.growth == Decimal("4.9")  # 235.00 after 224.00


def test_the_list_may_be_cut_off_and_the_totals_are_of_all(with_history: Engine) -> None:
    with transaction(with_history) as connection:
        whole, cut = revenue(connection, JANUARY), revenue(connection, JANUARY, limit=2)
    assert cut.customers == whole.customers[:2]
    for sums in ("revenue", "before", "growth", "billed_customers"):
        assert getattr(cut, sums) == getattr(whole, sums)


def test_what_is_issued_later_does_not_count_yet(by_wire: Connection) -> None:
    assert revenue(by_wire, FEBRUARY, ISSUED_ON - timedelta(1)).customers == ()
    assert revenue(by_wire, FEBRUARY, ISSUED_ON).revenue == NET


def test_a_credit_note_takes_its_net_back_from_its_day_on(by_wire: Connection) -> None:
    day = ISSUED_ON + timedelta(9)
    instruct(by_wire, InstructionKind.CREDIT_NOTE, on=day, amount="119.00")
    assert revenue(by_wire, FEBRUARY, day - timedelta(1)).revenue == NET
    assert revenue(by_wire, FEBRUARY, day).revenue == NET - 100


def test_a_void_invoice_was_revenue_until_its_day(by_wire: Connection) -> None:
    day = ISSUED_ON + timedelta(9)
    instruct(by_wire, InstructionKind.VOID, on=day)
    assert revenue(by_wire, FEBRUARY, day - timedelta(1)).revenue == NET
    found = revenue(by_wire, FEBRUARY, day)
    assert (found.revenue, found.billed_customers) == (NOTHING, 0)


def test_a_draft_that_was_dropped_before_its_issue_is_no_revenue(by_wire: Connection) -> None:
    march = add_draft(by_wire, "INV-2026-03-0001", date(2026, 3, 1))
    by_wire.execute(
        text("UPDATE invoices SET status = 'void', collection_state = 'void' WHERE number = :n"),
        {"n": march},
    )
    found = revenue(by_wire, BillingPeriod(2026, 3), date(2026, 4, 2))
    assert (found.revenue, found.billed_customers) == (NOTHING, 0)


def test_an_old_invoice_that_is_voided_here_was_revenue_until_then(with_history: Engine) -> None:
    day = date(2026, 3, 10)
    with transaction(with_history) as connection:
        before = revenue(connection, JANUARY).revenue
        number = "INV-2026-01-1005"
        instruct(connection, InstructionKind.VOID, number=number, on=day)
        assert revenue(connection, JANUARY, day - timedelta(1)).revenue == before
        assert revenue(connection, JANUARY, day).revenue == before - Decimal("30.00")


def test_an_empty_database_has_no_revenue(engine: Engine) -> None:
    with transaction(engine) as connection:
        found = revenue(connection, FEBRUARY)
    assert (found.revenue, found.before, found.growth, found.customers) == (
        *[NOTHING] * 2,
        None,
        (),
    )
