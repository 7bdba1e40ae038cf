"""Each way to price from the files to the draft: plans, discounts, prepaid credit."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from domain.crediting import RefundTo
from domain.errors import AlreadyBilled, Conflict, TooLateToWithdraw
from domain.periods import BillingPeriod
from domain.tax import TaxPolicy
from storage.crediting import CreditRequest, credit_invoice
from storage.cycles import move_cycle, open_cycle
from storage.discarding import discard_plan
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.importing.problems import ImportRefused
from storage.invoices import Invoice, InvoiceLine, load_invoice, load_lines
from storage.master_data.prepaid import (
    KeptGrant,
    end_grant,
    list_grants,
    withdraw_grant,
)
from storage.planning import Cycle, plan_page
from storage.price_list import load_price_list
from storage.tables import discounts, invoices, prepaid_draws, prepaid_grants, subscriptions
from tests.builders import (
    ACTOR,
    FEBRUARY,
    ISSUED_ON,
    NOW,
    PLANS,
    Subscriber,
    discount_row,
    page_of_plan,
    plan_all,
    plan_entry,
    prepaid_row,
    subscription_row,
    usage_row,
    write_billing_files,
    write_csv,
    write_json,
)
from tests.storage.behind import behind
from tests.storage.collecting import credit, issue, lock, rows, standing, wrongs

FIRST = "INV-2026-02-0001"
MARCH = BillingPeriod(2026, 3)
GROWTH = plan_entry(
    "growth",
    kind="usage",
    minimum="500.00",
    charges=[
        {
            "metric": "api_calls",
            "model": "volume",
            "name": "API calls",
            "tiers": [
                {"name": "Up to 100,000", "up_to": 100_000, "unit_price": "0.001"},
                {"name": "Over 100,000", "up_to": None, "unit_price": "0.0005"},
            ],
        },
        {"metric": "GB", "model": "package", "unit_price": "4.00", "package_size": 100},
        {"metric": "sms", "model": "per_unit", "unit_price": "0.05"},
    ],
) | {"unit_price": None}
PLATFORM = plan_entry("platform", unit_price="1200.00", interval="year")


def put(
    engine: Engine,
    folder: Path,
    *,
    subscribed: list[dict[str, str]],
    used: list[dict[str, str]],
    discounts: list[dict[str, str]] | None = None,
    prepaid: list[dict[str, str]] | None = None,
) -> None:
    """Imports account 1047 with `subscribed` and `used`, beside the demo's plans and two more."""
    write_billing_files(folder, [Subscriber("1047", 0, plans=())])
    write_json(folder / "plans.json", [*PLANS, GROWTH, PLATFORM])
    write_csv(folder / "subscriptions.csv", subscribed)
    for name, found in (("usage", used), ("discounts", discounts), ("prepaid", prepaid)):
        if found:
            write_csv(folder / f"{name}.csv", found)
    import_directory(engine, folder, now=NOW)


def opened(engine: Engine, period: BillingPeriod = FEBRUARY) -> Cycle:
    with transaction(engine) as connection:
        return open_cycle(
            connection,
            period,
            issued_on=ISSUED_ON,
            terms_days=30,
            hold_reminders=False,
            actor=ACTOR,
        )


def read(engine: Engine, number: str = FIRST) -> tuple[Invoice, list[InvoiceLine]]:
    with transaction(engine) as connection:
        invoice = load_invoice(connection, number)
        return invoice, load_lines(connection, invoice.id)


def grants(engine: Engine) -> list[KeptGrant]:
    with transaction(engine) as connection:
        return list_grants(connection, None, after=None, limit=10)


def calls(quantity: int = 100_000, **changes: str) -> dict[str, str]:
    return usage_row(f"evt-{quantity}-{len(changes)}", quantity=str(quantity), **changes)


@pytest.fixture
def prepaid(engine: Engine, tmp_path: Path) -> Engine:
    """1047 with 90.00 of usage in February and in March, and a gift of 100.00."""
    put(
        engine,
        tmp_path / "files",
        subscribed=[subscription_row()],
        used=[calls(), calls(100_000, occurred_at="2026-03-01T05:00:00Z")],
        prepaid=[prepaid_row()],
    )
    return engine


def plan_march(engine: Engine) -> None:
    with transaction(engine) as connection:
        plan_page(
            connection,
            open_cycle(
                connection,
                MARCH,
                issued_on=date(2026, 4, 1),
                terms_days=30,
                hold_reminders=False,
                actor=ACTOR,
            ),
            load_price_list(connection, TaxPolicy()),
            after_account="",
            limit=10,
            failed_again=False,
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


def test_files_do_not_reach_behind_a_bill(prepaid: Engine, tmp_path: Path) -> None:
    plan_all(prepaid, opened(prepaid))
    folder = tmp_path / "late"
    folder.mkdir()
    write_csv(folder / "discounts.csv", [discount_row(valid_from="2026-02-10")])
    sold = prepaid_row(reference="PO-2", price="9.00", valid_from="2026-02-28")
    write_csv(folder / "prepaid.csv", [sold])
    with pytest.raises(ImportRefused) as refused:
        import_directory(prepaid, folder, now=NOW)
    assert ["2026-02 is planned already" in bad.reason for bad in refused.value.problems.rows] == [
        True,
        True,
    ]


# --- prepaid credit


def test_each_month_draws_what_the_one_before_left(prepaid: Engine) -> None:
    plan_all(prepaid, opened(prepaid))
    plan_march(prepaid)
    with transaction(prepaid) as connection:
        assert rows(connection, "SELECT subtotal FROM invoices ORDER BY period_start") == [
            (Decimal("0.00"),),
            (Decimal("80.00"),),
        ]
        assert rows(connection, "SELECT amount FROM prepaid_draws ORDER BY invoice_id") == [
            (Decimal("90.00"),),
            (Decimal("10.00"),),
        ]


def test_a_discarded_plan_gives_its_credit_back(prepaid: Engine) -> None:
    cycle = opened(prepaid)
    plan_all(prepaid, cycle)
    with transaction(prepaid) as connection:
        move_cycle(connection, FEBRUARY, "planned", actor=ACTOR)
    assert grants(prepaid)[0].left == 10
    with transaction(prepaid) as connection:
        discard_plan(connection, FEBRUARY, cycle.id, actor=ACTOR)
    assert grants(prepaid)[0].left == 100


def test_a_draft_that_is_rated_anew_draws_anew(prepaid: Engine) -> None:
    cycle = opened(prepaid)
    plan_all(prepaid, cycle)
    with transaction(prepaid) as connection:
        connection.execute(text("UPDATE billing_cycle_items SET outcome = 'failed', reason = 'x'"))
        connection.execute(
            insert(discounts).values(
                customer_id=select(subscriptions.c.customer_id).scalar_subquery(),
                name="Half",
                percent=50,
                valid_from=date(2026, 1, 1),
                created_by=ACTOR,
            )
        )
    page_of_plan(prepaid, cycle, failed_again=True)
    assert grants(prepaid)[0].left == 55
    assert read(prepaid)[0].subtotal == 0


def test_a_void_invoice_draws_nothing(prepaid: Engine) -> None:
    plan_all(prepaid, opened(prepaid))
    with transaction(prepaid) as connection:
        connection.execute(update(invoices).values(status="void", collection_state="void"))
    assert grants(prepaid)[0].left == 100


def test_two_plans_at_once_draw_one_after_the_other(prepaid: Engine) -> None:
    cycle = opened(prepaid)

    def february_first(connection: Connection) -> None:
        plan_page(
            connection,
            cycle,
            load_price_list(connection, TaxPolicy()),
            after_account="",
            limit=10,
            failed_again=False,
        )

    behind(prepaid, february_first, plan_march).result()
    assert grants(prepaid)[0].left == 0


def test_the_database_refuses_an_overdraft(prepaid: Engine) -> None:
    plan_all(prepaid, opened(prepaid))
    with (
        pytest.raises(IntegrityError, match=r"overdrawn: 100.01 of 100.00"),
        transaction(prepaid) as connection,
    ):
        connection.execute(update(prepaid_draws).values(amount=Decimal("100.01")))


def test_what_an_issued_invoice_drew_is_frozen(prepaid: Engine) -> None:
    plan_all(prepaid, opened(prepaid))
    with transaction(prepaid) as connection:
        issue(connection, FIRST)
    for change in (update(prepaid_draws).values(amount=1), delete(prepaid_draws)):
        with pytest.raises(IntegrityError, match="frozen"), transaction(prepaid) as connection:
            connection.execute(change)


def test_credit_that_was_drawn_ends_behind_the_month_and_is_not_withdrawn(prepaid: Engine) -> None:
    plan_all(prepaid, opened(prepaid))
    (kept,) = grants(prepaid)
    with transaction(prepaid) as connection:
        with pytest.raises(AlreadyBilled, match="discard the plan first"):
            end_grant(connection, kept.id, date(2026, 2, 1), business_date=ISSUED_ON, by=ACTOR)
        with pytest.raises(TooLateToWithdraw):
            withdraw_grant(connection, kept.id, business_date=ISSUED_ON, by=ACTOR)
        ended = end_grant(connection, kept.id, date(2026, 3, 1), business_date=ISSUED_ON, by=ACTOR)
    assert ended.expires_on == date(2026, 3, 1)
    plan_march(prepaid)
    assert grants(prepaid)[0].left == 10


def test_credit_on_a_void_invoice_can_only_lapse(prepaid: Engine) -> None:
    plan_all(prepaid, opened(prepaid))
    (kept,) = grants(prepaid)
    with transaction(prepaid) as connection:
        connection.execute(update(invoices).values(status="void", collection_state="void"))
    with pytest.raises(Conflict, match="void now"), transaction(prepaid) as connection:
        withdraw_grant(connection, kept.id, business_date=ISSUED_ON, by=ACTOR)


def test_credit_that_only_a_failed_draft_drew_is_withdrawn(prepaid: Engine) -> None:
    plan_all(prepaid, opened(prepaid))
    (kept,) = grants(prepaid)
    with transaction(prepaid) as connection:
        connection.execute(text("UPDATE billing_cycle_items SET outcome = 'failed', reason = 'x'"))
        withdraw_grant(connection, kept.id, business_date=ISSUED_ON, by=ACTOR)
    with transaction(prepaid) as connection:
        assert connection.execute(select(prepaid_grants)).first() is None


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
