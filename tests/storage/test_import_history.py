"""Invoices of an older system, each with what was paid on it and when."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.invoices import load_invoice, load_timeline
from tests.builders import NOW, invoice_row, write_billing_files, write_csv


def add(engine: Engine, directory: Path) -> dict[str, int]:
    return import_directory(engine, directory, now=NOW).added


def test_history_comes_with_its_payment_and_its_entry(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    write_csv(tmp_path / "invoices.csv", [invoice_row()])
    add(engine, tmp_path)
    with transaction(engine) as connection:
        invoice = load_invoice(connection, "INV-2026-01-0001")
        (entry,) = load_timeline(connection, "INV-2026-01-0001")
        paid = connection.execute(text("SELECT amount, status FROM payments")).one()
    assert (invoice.status, invoice.subtotal, invoice.total) == (
        "paid",
        Decimal("180.00"),
        Decimal("214.20"),
    )
    assert (entry.event, entry.to_state, entry.business_date) == (
        "imported",
        "paid",
        date(2026, 2, 1),
    )
    assert tuple(paid) == (Decimal("214.20"), "succeeded")


@pytest.mark.parametrize(
    ("status", "paid", "state"),
    [("issued", "0", "issued"), ("overdue", "14.20", "issued"), ("void", "0", "void")],
)
def test_history_may_be_open_or_void(
    engine: Engine, tmp_path: Path, status: str, paid: str, state: str
) -> None:
    write_billing_files(tmp_path)
    write_csv(tmp_path / "invoices.csv", [invoice_row(status=status, amount_paid=paid)])
    add(engine, tmp_path)
    with transaction(engine) as connection:
        invoice = load_invoice(connection, "INV-2026-01-0001")
    assert (invoice.status, invoice.collection_state) == (status, state)
    assert invoice.amount_paid == Decimal(paid)


def test_a_void_invoice_may_stand_beside_its_successor(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    void = invoice_row(status="void", amount_paid="0")
    write_csv(tmp_path / "invoices.csv", [void, invoice_row("INV-2026-01-0002")])
    assert add(engine, tmp_path)["invoices.csv"] == 2


def test_history_of_nothing_is_paid(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    nothing = dict.fromkeys(
        ["usage", "subscriptions", "proration", "tax", "total", "amount_paid"], "0.00"
    )
    rows = [
        invoice_row(**nothing),
        invoice_row("INV-2025-12-0001", period="2025-12", status="void", **nothing),
    ]
    write_csv(tmp_path / "invoices.csv", rows)
    assert add(engine, tmp_path)["invoices.csv"] == 2


def test_history_that_was_paid_since_is_known_all_the_same(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    rows = [
        invoice_row(status="issued", amount_paid="0.00"),
        invoice_row("INV-2025-12-0001", period="2025-12", status="issued", amount_paid="0.00"),
    ]
    write_csv(tmp_path / "invoices.csv", rows)
    add(engine, tmp_path)
    with transaction(engine) as connection:
        connection.execute(
            text("""
                UPDATE invoices SET status = 'paid', collection_state = 'paid',
                       amount_paid = total, settled_on = '2026-03-05'
                WHERE number = 'INV-2026-01-0001'
            """)
        )
        connection.execute(
            text("UPDATE invoices SET status = 'overdue' WHERE number = 'INV-2025-12-0001'")
        )
    assert set(add(engine, tmp_path).values()) == {0}


@pytest.mark.parametrize(
    ("due_on", "paid_on"),
    [("2026-02-28", date(2026, 2, 28)), ("2026-03-01", NOW.date()), ("2026-03-03", NOW.date())],
)
def test_history_was_paid_when_due_and_never_after_the_import(
    engine: Engine, tmp_path: Path, due_on: str, paid_on: date
) -> None:
    write_billing_files(tmp_path)
    write_csv(tmp_path / "invoices.csv", [invoice_row(due_on=due_on)])
    add(engine, tmp_path)
    with transaction(engine) as connection:
        paid = connection.execute(text("SELECT business_date FROM payments")).scalar_one()
        settled = connection.execute(text("SELECT settled_on FROM invoices")).scalar_one()
    assert (paid, settled) == (paid_on, paid_on)


@pytest.mark.parametrize(
    ("status", "paid", "settled_on"),
    [("paid", "214.20", date(2026, 2, 17)), ("overdue", "14.20", None)],
)
def test_history_was_paid_on_the_day_that_it_names(
    engine: Engine, tmp_path: Path, status: str, paid: str, settled_on: date | None
) -> None:
    write_billing_files(tmp_path)
    row = invoice_row(status=status, amount_paid=paid, paid_on="2026-02-17")
    write_csv(tmp_path / "invoices.csv", [row])
    add(engine, tmp_path)
    with transaction(engine) as connection:
        payment = connection.execute(text("SELECT business_date FROM payments")).scalar_one()
        settled = connection.execute(text("SELECT settled_on FROM invoices")).scalar_one()
        entries = connection.execute(
            text("SELECT business_date, amount FROM receivable_entries ORDER BY id")
        ).all()
    assert (payment, settled) == (date(2026, 2, 17), settled_on)
    assert [tuple(entry) for entry in entries] == [
        (date(2026, 2, 1), Decimal("214.20")),
        (date(2026, 2, 17), -Decimal(paid)),
    ]


@pytest.mark.parametrize("paid_on", ["2026-02-17", "2026-02-18", ""])
def test_a_known_invoice_stays_paid_on_its_first_day(
    engine: Engine, tmp_path: Path, paid_on: str
) -> None:
    write_billing_files(tmp_path)
    write_csv(tmp_path / "invoices.csv", [invoice_row(paid_on="2026-02-17")])
    add(engine, tmp_path)
    write_csv(tmp_path / "invoices.csv", [invoice_row(paid_on=paid_on)])
    assert set(add(engine, tmp_path).values()) == {0}
    with transaction(engine) as connection:
        settled = connection.execute(text("SELECT settled_on FROM invoices")).scalar_one()
        paid = connection.execute(text("SELECT business_date FROM payments")).scalar_one()
    assert settled == paid == date(2026, 2, 17)


def test_history_without_a_payment_names_no_day(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    row = invoice_row(status="issued", amount_paid="0.00", paid_on="")
    write_csv(tmp_path / "invoices.csv", [row])
    assert add(engine, tmp_path)["invoices.csv"] == 1


def test_the_day_of_the_import_is_the_sellers(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    write_csv(tmp_path / "invoices.csv", [invoice_row()])
    import_directory(engine, tmp_path, now=NOW, time_zone="Pacific/Pago_Pago")
    with transaction(engine) as connection:
        paid = connection.execute(text("SELECT business_date FROM payments")).scalar_one()
    assert paid == date(2026, 2, 28)
