"""Each way to price from the files to the draft, below zero, and credited."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.crediting import RefundTo
from domain.errors import Conflict
from storage.allocation import add_credit
from storage.crediting import CreditRequest, credit_invoice, void_invoice
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.importing.problems import ImportRefused
from tests.builders import (
    NOW,
    discount_row,
    plan_all,
    prepaid_row,
    subscription_row,
    usage_row,
    write_billing_files,
    write_csv,
)
from tests.storage.collecting import credit, issue, lock, standing, wrongs
from tests.storage.priced import (
    FIRST,
    calls,
    grants,
    opened,
    put,
    read,
)


def test_every_kind_of_line_is_drafted_and_adds_up(engine: Engine, tmp_path: Path) -> None:
    put(
        engine,
        tmp_path / "files",
        subscribed=[
            subscription_row(plan_code="growth"),
            subscription_row(plan_code="platform", starts_on="2026-02-10"),
            subscription_row(plan_code="dedicated-ip", starts_on="2026-02-15"),
        ],
        used=[
            calls(247_891),
            usage_row("gb", metric="GB", quantity="1247"),
            usage_row("sms", metric="sms", quantity="1250"),
        ],
        discounts=[
            discount_row(plan_code="growth"),
            discount_row(name="Loyalty", percent="", amount="10.00", currency="USD"),
        ],
        prepaid=[
            prepaid_row(amount="300.00"),
            prepaid_row(reference="PO-2", price="90.00", valid_from="2026-02-20"),
        ],
    )
    plan_all(engine, opened(engine))
    invoice, lines = read(engine)
    assert [(line.kind.value, line.description, f"{line.amount:f}") for line in lines] == [
        (
            "usage",
            "Growth, API calls: Volume tier 'Over 100,000', all 247,891 at 0.0005",
            "123.95",
        ),
        ("usage", "Growth, GB: 13 packages of 100 GB, 1,247 used", "52.00"),
        ("usage", "Growth, sms: 1,250 sms at 0.05 each", "62.50"),
        (
            "minimum",
            "Minimum commitment: Growth, 500.00 a month less usage of 238.45",
            "261.55",
        ),
        ("discount", "Discount: Launch offer, 20 % of 500.00", "-100.00"),
        ("flat", "Dedicated ip", "49.00"),
        ("proration", "Proration: Dedicated ip, 14 of 28 days (from 2026-02-15)", "-24.50"),
        ("flat", "Platform, year from 2026-02-10 to 2027-02-09", "1200.00"),
        ("discount", "Discount: Loyalty, 10.00 a month", "-10.00"),
        ("prepaid_purchase", "Prepaid credit of 100.00 from 2026-02-20", "90.00"),
        ("prepaid_draw", "Prepaid credit from 2026-01-15, 0.00 of 300.00 left", "-300.00"),
        ("prepaid_draw", "Prepaid credit from 2026-02-20, 0.00 of 100.00 left", "-100.00"),
    ]
    sums = (invoice.usage, invoice.subscriptions, invoice.proration, invoice.discounts)
    assert [f"{amount:f}" for amount in sums] == ["500.00", "1339.00", "-24.50", "-510.00"]
    assert sum(sums) == invoice.subtotal == sum(line.amount for line in lines)
    assert [kept.left for kept in grants(engine)] == [0, 0]


def test_the_same_files_again_change_nothing(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    put(
        engine,
        folder,
        subscribed=[subscription_row(plan_code="growth")],
        used=[calls()],
        discounts=[discount_row()],
        prepaid=[prepaid_row(price="50.00", valid_from="2026-02-01")],
    )
    plan_all(engine, opened(engine))
    again = import_directory(engine, folder, now=NOW).added
    assert set(again.values()) == {0}


@pytest.mark.parametrize(
    ("file", "row", "column", "reason"),
    [
        ("discounts.csv", discount_row("9999"), "account_number", "is no customer"),
        ("discounts.csv", discount_row(plan_code="gold"), "plan_code", "gold is no plan"),
        ("discounts.csv", discount_row(percent="0"), "", "above 0 and at most 100"),
        ("discounts.csv", discount_row(amount="5"), "", "either percent or amount"),
        (
            "discounts.csv",
            discount_row(percent="", amount="5", currency="EUR"),
            "currency",
            "billed in USD",
        ),
        (
            "discounts.csv",
            discount_row(percent="", amount="5.001", currency="USD"),
            "amount",
            "fraction of a USD cent",
        ),
        ("discounts.csv", discount_row(valid_to="2025-01-01"), "", "after valid_from"),
        ("discounts.csv", discount_row(percent="many"), "percent", "is not a number"),
        ("prepaid.csv", prepaid_row("9999"), "account_number", "is no customer"),
        ("prepaid.csv", prepaid_row(currency="EUR"), "currency", "billed in USD"),
        ("prepaid.csv", prepaid_row(amount="0"), "amount", "above 0"),
        ("prepaid.csv", prepaid_row(price="-1"), "price", "must not be below 0"),
        ("prepaid.csv", prepaid_row(price="1.005"), "price", "fraction of a USD cent"),
        ("prepaid.csv", prepaid_row(expires_on="2026-01-15"), "expires_on", "is not after"),
        ("prepaid.csv", prepaid_row(reference=""), "reference", "is empty"),
    ],
)
def test_terms_that_do_not_fit_are_named(
    engine: Engine, tmp_path: Path, file: str, row: dict[str, str], column: str, reason: str
) -> None:
    write_billing_files(tmp_path)
    write_csv(tmp_path / file, [row])
    with pytest.raises(ImportRefused) as refused:
        import_directory(engine, tmp_path, now=NOW)
    (bad,) = refused.value.problems.rows
    assert (bad.file, bad.line, bad.column) == (file, 2, column)
    assert reason in bad.reason


# --- below zero, and credit notes


def test_what_a_year_gives_back_beyond_the_invoice_becomes_credit(
    engine: Engine, tmp_path: Path
) -> None:
    ended = subscription_row(plan_code="platform", starts_on="2025-07-01", ends_on="2026-03-01")
    put(engine, tmp_path / "files", subscribed=[ended], used=[])
    plan_all(engine, opened(engine))
    invoice, _ = read(engine)
    assert [f"{amount:f}" for amount in (invoice.subtotal, invoice.total)] == [
        "-401.10",
        "-477.31",
    ]
    with transaction(engine) as connection:
        for _ in range(2):
            issue(connection, FIRST)
        assert standing(connection, FIRST)[0] == "paid"
        assert credit(connection) == Decimal("477.31")
        assert wrongs(connection) == []


@pytest.mark.parametrize("used", [Decimal("0.00"), Decimal("0.01")])
def test_a_void_takes_back_the_credit_of_an_invoice_below_zero(
    engine: Engine, tmp_path: Path, used: Decimal
) -> None:
    ended = subscription_row(plan_code="platform", starts_on="2025-07-01", ends_on="2026-03-01")
    put(engine, tmp_path / "files", subscribed=[ended], used=[])
    plan_all(engine, opened(engine))
    with transaction(engine) as connection:
        issue(connection, FIRST)
        if used:
            add_credit(lock(connection, FIRST), -used, reason="applied", key="used")
    with transaction(engine) as connection:
        if used:
            with pytest.raises(Conflict, match=r"477\.30 is left"):
                void_invoice(lock(connection, FIRST), reason="wrong")
            return
        void_invoice(lock(connection, FIRST), reason="wrong")
        assert standing(connection, FIRST)[0] == "void"
        assert credit(connection) == 0


@pytest.fixture
def discounted(engine: Engine, tmp_path: Path) -> Engine:
    """1047 owes 90.00 less 20 % and 99.00 less 20 %, of which 30.00 are prepaid: 121.20 net."""
    put(
        engine,
        tmp_path / "files",
        subscribed=[subscription_row(), subscription_row(plan_code="premium-support")],
        used=[calls()],
        discounts=[discount_row(plan_code="api-calls"), discount_row(plan_code="premium-support")],
        prepaid=[prepaid_row(amount="30.00")],
    )
    plan_all(engine, opened(engine))
    with transaction(engine) as connection:
        issue(connection, FIRST)
    return engine


@pytest.mark.parametrize(
    ("request_", "total"),
    [
        ({"amount": Decimal("50.00")}, "50.00"),
        ({"lines": {4: None, 5: None}}, "94.25"),  # 79.20 of support and its tax
        ({}, "144.23"),
    ],
)
def test_an_invoice_with_negative_lines_is_credited(
    discounted: Engine, request_: dict[str, Any], total: str
) -> None:
    assert f"{read(discounted)[0].total:f}" == "144.23"
    with transaction(discounted) as connection:
        request = CreditRequest(
            "An outage.",
            RefundTo.CREDIT,
            request_.get("amount"),
            request_.get("lines", {}),
        )
        credit_invoice(lock(connection, FIRST), request)
        assert standing(connection, FIRST)[2] == Decimal(total)
        assert wrongs(connection) == []


def test_the_sums_of_an_issued_invoice_are_frozen_with_its_discounts(discounted: Engine) -> None:
    change = (
        "UPDATE invoices SET discount_amount = 0, usage_amount = usage_amount + discount_amount"
    )
    with pytest.raises(IntegrityError, match="frozen"), transaction(discounted) as connection:
        connection.execute(text(change))


def test_lines_of_every_kind_are_kept_and_no_other(discounted: Engine) -> None:
    add: Callable[[str], str] = (
        "INSERT INTO invoice_line_items SELECT id, 99, '{}', 'x', 1, NULL, 0, '', 0 "
        "FROM invoices".format
    )
    with pytest.raises(IntegrityError), transaction(discounted) as connection:
        connection.execute(text(add("late fee")))
