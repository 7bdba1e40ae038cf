"""The plan of a cycle: who is drafted, skipped or failed, and which number a draft gets."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from activities.billing_cycle import CycleActivities
from domain.invoice import NOTHING_TO_BILL
from domain.tax import TaxPolicy
from storage.cycles import (
    cycle_failures,
    fail_item,
    load_cycle,
    move_cycle,
    open_cycle,
    summarize_cycle,
)
from storage.documents import store_document
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.invoices import load_invoice, load_lines
from storage.planning import Cycle, PageOfPlan, number_drafts, plan_page
from storage.posting import issue_invoice
from storage.price_list import load_price_list
from storage.tables import billing_cycle_items, billing_events, customers, invoices
from storage.usage.rollups import rebuild_rollups
from tests.builders import (
    ACTOR,
    FEBRUARY,
    FRENCH,
    ISSUED_ON,
    NOW,
    Subscriber,
    customer_row,
    invoice_row,
    page_of_plan,
    plan_all,
    plan_entry,
    subscribers,
    subscription_row,
    tax_rate_row,
    write_csv,
    write_json,
)
from workflows.contracts.cycle import PlanPageOrder

OpenCycle = Callable[..., Cycle]


def numbers(engine: Engine) -> dict[str, str | None]:
    """Invoice number by account."""
    with transaction(engine) as connection:
        rows = connection.execute(
            select(customers.c.account_number, invoices.c.number).join(
                invoices, invoices.c.customer_id == customers.c.id
            )
        )
        return {row.account_number: row.number for row in rows}


def items(engine: Engine) -> dict[str, tuple[str, str, str]]:
    """Outcome, code and reason by account."""
    item = billing_cycle_items.c
    with transaction(engine) as connection:
        rows = connection.execute(
            select(item.account_number, item.outcome, item.reason_code, item.reason)
        )
        return {row[0]: (row[1], row[2], row[3]) for row in rows}


def tax_france(engine: Engine, directory: Path) -> None:
    directory.mkdir()
    write_csv(directory / "tax_rates.csv", [tax_rate_row(country="FR", rate_percent="20")])
    import_directory(engine, directory, now=NOW)


def test_account_1047_is_drafted_with_its_known_answer(engine: Engine, draft_1047: str) -> None:
    with transaction(engine) as connection:
        invoice = load_invoice(connection, draft_1047)
        lines = load_lines(connection, invoice.id)
    assert invoice.status == "draft"
    assert (invoice.usage, invoice.subscriptions, invoice.proration) == (
        Decimal("163.95"),
        Decimal("99.00"),
        Decimal("0.00"),
    )
    assert (invoice.subtotal, invoice.tax, invoice.total) == (
        Decimal("262.95"),
        Decimal("49.96"),
        Decimal("312.91"),
    )
    assert (invoice.issued_on, invoice.due_on) == (date(2026, 3, 1), date(2026, 3, 31))
    assert [line.description for line in lines] == [
        "API calls: Free tier",
        "API calls: Tier 1",
        "API calls: Tier 2",
        "Premium support",
    ]
    assert [line.position for line in lines] == [1, 2, 3, 4]


def test_a_draft_keeps_its_customer_as_billed(engine: Engine, draft_1047: str) -> None:
    with transaction(engine) as connection:
        connection.execute(update(customers).values(name="Renamed GmbH"))
        invoice = load_invoice(connection, draft_1047)
    assert invoice.customer.name == "Brandt & Söhne 1047 GmbH"
    assert invoice.seller_version == 1


def test_pages_follow_the_account_number(engine: Engine, february: OpenCycle) -> None:
    cycle = february(*subscribers(5))
    ends: list[str | None] = []
    after = ""
    while (done := page_of_plan(engine, cycle, after, 2)).last_account is not None:
        ends.append(done.last_account)
        after = done.last_account
    assert ends == ["1002", "1004", "1005"]


def test_accounts_are_compared_as_text(engine: Engine, february: OpenCycle) -> None:
    accounts = ["10", "9", "a", "B"]
    plan_all(engine, february(*(Subscriber(account) for account in accounts)), limit=2)
    given = numbers(engine)
    assert sorted(given, key=lambda account: str(given[account])) == ["10", "9", "B", "a"]


def test_a_page_planned_again_changes_nothing(engine: Engine, february: OpenCycle) -> None:
    cycle = february(*subscribers(3))
    assert page_of_plan(engine, cycle) == PageOfPlan("1003", drafted=3)
    assert page_of_plan(engine, cycle) == PageOfPlan(None)
    assert len(numbers(engine)) == 3


def test_a_page_that_failed_halfway_leaves_nothing(engine: Engine, february: OpenCycle) -> None:
    cycle = february(*subscribers(2))
    with transaction(engine) as connection:
        # the second customer's draft will not be written
        connection.execute(
            text(
                "ALTER TABLE invoices ADD CONSTRAINT broken "
                "CHECK (customer ->> 'account_number' <> '1002')"
            )
        )
    with pytest.raises(IntegrityError, match="broken"):
        page_of_plan(engine, cycle)
    assert numbers(engine) == {}
    assert items(engine) == {}
    with transaction(engine) as connection:
        connection.execute(text("ALTER TABLE invoices DROP CONSTRAINT broken"))
    assert page_of_plan(engine, cycle).drafted == 2


def test_numbers_have_no_gaps_in_account_order(engine: Engine, february: OpenCycle) -> None:
    idle = Subscriber("1003", calls=0)
    cycle = february(Subscriber("1004"), FRENCH, Subscriber("1001"), idle)
    assert plan_all(engine, cycle, limit=1) == PageOfPlan("1004", drafted=2, skipped=1, failed=1)
    assert numbers(engine) == {"1001": "INV-2026-02-0001", "1004": "INV-2026-02-0002"}


def test_the_same_data_gives_the_same_invoices_page_by_page(
    engine: Engine, february: OpenCycle
) -> None:
    plan_all(engine, february(*subscribers(7)), limit=3)
    given = numbers(engine)
    assert list(given.values()) == [f"INV-2026-02-{n:04d}" for n in range(1, 8)]
    assert list(given) == sorted(given)


def test_numbering_twice_gives_no_new_numbers(engine: Engine, february: OpenCycle) -> None:
    cycle = february(*subscribers(2))
    plan_all(engine, cycle)
    before = numbers(engine)
    with transaction(engine) as connection:
        assert number_drafts(connection, cycle.id) == 0
    assert numbers(engine) == before


def import_history(engine: Engine, directory: Path, **changes: str) -> None:
    """One invoice of February 2026 that an older system issued."""
    directory.mkdir()
    dates = {"period": "2026-02", "issued_on": "2026-03-01", "due_on": "2026-03-31"}
    write_csv(directory / "invoices.csv", [invoice_row(**{**dates, **changes})])
    import_directory(engine, directory, now=NOW)


def test_who_was_invoiced_by_an_older_system_is_skipped(
    engine: Engine, february: OpenCycle, tmp_path: Path
) -> None:
    cycle = february(*subscribers(2))
    import_history(engine, tmp_path / "history", number="INV-2026-02-9000", account_number="1001")
    assert plan_all(engine, cycle) == PageOfPlan("1002", drafted=1, skipped=1)
    assert items(engine)["1001"][2] == "already invoiced as INV-2026-02-9000"


def test_numbers_continue_behind_those_of_an_older_system(
    engine: Engine, february: OpenCycle, tmp_path: Path
) -> None:
    cycle = february(*subscribers(3))
    import_history(engine, tmp_path / "history", number="INV-2026-02-0001", account_number="1003")
    plan_all(engine, cycle)
    assert numbers(engine) == {
        "1001": "INV-2026-02-0002",
        "1002": "INV-2026-02-0003",
        "1003": "INV-2026-02-0001",
    }


def test_who_has_nothing_to_bill_is_skipped_with_the_reason(
    engine: Engine, february: OpenCycle
) -> None:
    plan_all(engine, february(Subscriber("1001", calls=0)))
    assert items(engine) == {"1001": ("skipped", "nothing_to_bill", NOTHING_TO_BILL)}


@pytest.mark.parametrize("status", ["active", "paused", "churned"])
def test_usage_is_billed_whatever_the_customers_status(
    engine: Engine, february: OpenCycle, status: str
) -> None:
    cycle = february(Subscriber("1001", columns={"status": status}))
    assert plan_all(engine, cycle).drafted == 1


def test_usage_inside_the_free_tier_is_drafted(engine: Engine, february: OpenCycle) -> None:
    plan_all(engine, february(Subscriber("1001", calls=10_000)))
    with transaction(engine) as connection:
        assert load_invoice(connection, "INV-2026-02-0001").total == 0


@pytest.mark.parametrize(
    ("customer", "code"),
    [
        (FRENCH, "no_tax_rate"),
        (Subscriber(plans=()), "usage_without_plan"),
        (Subscriber(columns={"currency": "EUR"}), "no_price_in_currency"),
    ],
)
def test_who_cannot_be_rated_fails_with_the_reason(
    engine: Engine, february: OpenCycle, customer: Subscriber, code: str
) -> None:
    cycle = february(customer, Subscriber("2000"))
    assert plan_all(engine, cycle) == PageOfPlan("2000", drafted=1, failed=1)
    outcome, given, reason = items(engine)[customer.account_number]
    assert (outcome, given) == ("failed", code)
    with transaction(engine) as connection:
        (failure,) = cycle_failures(connection, FEBRUARY)
    assert (failure.account_number, failure.reason) == (customer.account_number, reason)
    assert failure.number is None


def test_an_absurd_amount_fails_its_customer_alone(
    engine: Engine, february: OpenCycle, tmp_path: Path
) -> None:
    cycle = february(*subscribers(1))
    extra = tmp_path / "extra"
    extra.mkdir()
    write_json(extra / "plans.json", [plan_entry("gold", unit_price="9" * 15)])
    write_csv(extra / "customers.csv", [customer_row("2000")])
    write_csv(extra / "subscriptions.csv", [subscription_row("2000", "gold", quantity="9" * 15)])
    import_directory(engine, extra, now=NOW)
    assert plan_all(engine, cycle) == PageOfPlan("2000", drafted=1, failed=1)
    assert items(engine)["2000"][1] == "amount_too_large"


def test_a_customer_mended_later_takes_the_next_number(
    engine: Engine, february: OpenCycle, tmp_path: Path
) -> None:
    cycle = february(Subscriber("1001"), FRENCH, Subscriber("1003"))
    plan_all(engine, cycle)
    tax_france(engine, tmp_path / "mended")
    assert plan_all(engine, cycle, failed_again=True).drafted == 1
    assert numbers(engine)["1002"] == "INV-2026-02-0003"
    assert items(engine)["1002"] == ("drafted", "", "")


def test_who_is_not_mended_fails_again(engine: Engine, february: OpenCycle) -> None:
    cycle = february(Subscriber("1001"), FRENCH)
    plan_all(engine, cycle)
    before = items(engine)
    assert plan_all(engine, cycle, failed_again=True) == PageOfPlan("1002", failed=1)
    assert items(engine) == before


def test_a_draft_that_failed_is_rated_anew_and_keeps_its_number(
    engine: Engine, draft_1047: str, tmp_path: Path
) -> None:
    with transaction(engine) as connection:
        fail_item(connection, draft_1047, code="pdf", reason="No PDF could be made.", actor=ACTOR)
        cycle = load_cycle(connection, FEBRUARY)
    more = tmp_path / "more"
    more.mkdir()
    write_csv(more / "subscriptions.csv", [subscription_row("1047", "dedicated-ip")])
    import_directory(engine, more, now=NOW)
    assert plan_all(engine, cycle, failed_again=True).drafted == 1
    with transaction(engine) as connection:
        invoice = load_invoice(connection, draft_1047)
        lines = load_lines(connection, invoice.id)
    assert invoice.subtotal == Decimal("311.95")
    assert [line.plan_code for line in lines][-2:] == ["dedicated-ip", "premium-support"]
    assert len(numbers(engine)) == 1


def test_a_failed_draft_with_nothing_left_to_bill_becomes_void(
    engine: Engine, draft_1047: str
) -> None:
    with transaction(engine) as connection:
        fail_item(connection, draft_1047, code="pdf", reason="No PDF could be made.", actor=ACTOR)
        connection.execute(text("DELETE FROM billing_events"))
        rebuild_rollups(connection, time_zone="UTC", by=ACTOR, business_date=ISSUED_ON)
        connection.execute(text("DELETE FROM subscriptions"))
        cycle = load_cycle(connection, FEBRUARY)
    assert plan_all(engine, cycle, failed_again=True).skipped == 1
    with transaction(engine) as connection:
        assert load_invoice(connection, draft_1047).status == "void"


def test_an_issued_invoice_does_not_fail(engine: Engine, draft_1047: str) -> None:
    with transaction(engine) as connection:
        issue_invoice(connection, draft_1047, store_document(connection, b"pdf"), actor=ACTOR)
        fail_item(connection, draft_1047, code="late", reason="Too late.", actor=ACTOR)
    assert items(engine)["1047"][0] == "issued"


def test_usage_counts_in_the_sellers_month(engine: Engine, february: OpenCycle) -> None:
    february(Subscriber("1001", calls=1, events=1))
    first_of_march_in_berlin = "2026-02-28T23:30:00Z"
    with transaction(engine) as connection:
        connection.execute(
            text("UPDATE billing_events SET occurred_at = CAST(:at AS timestamptz)"),
            {"at": first_of_march_in_berlin},
        )
        rebuild_rollups(connection, time_zone="Europe/Berlin", by=ACTOR, business_date=ISSUED_ON)
        done = plan_page(
            connection,
            load_cycle(connection, FEBRUARY),
            load_price_list(connection, TaxPolicy()),
            after_account="",
            limit=9,
            failed_again=False,
        )
    assert (done.drafted, done.skipped) == (0, 1)


def test_a_closed_cycle_is_opened_again_for_a_retry(engine: Engine, february: OpenCycle) -> None:
    february(*subscribers(1))
    with transaction(engine) as connection:
        move_cycle(connection, FEBRUARY, "closed", actor=ACTOR)
        again = open_cycle(
            connection,
            FEBRUARY,
            issued_on=date(2026, 4, 1),
            terms_days=14,
            hold_reminders=True,
            actor=ACTOR,
        )
        assert summarize_cycle(connection, FEBRUARY).status == "planning"
    assert (again.issued_on, again.terms_days) == (date(2026, 3, 1), 30)


def test_a_page_waits_for_another_attempt_at_the_same_cycle(
    engine: Engine, february: OpenCycle, database_url: str
) -> None:
    february(*subscribers(1))
    impatient = create_engine(
        database_url, connect_args={"options": "-c lock_timeout=50", "prepare_threshold": None}
    )
    office = CycleActivities(impatient, tax_policy=TaxPolicy())
    with transaction(engine) as connection:
        load_cycle(connection, FEBRUARY, for_update=True)
        with pytest.raises(OperationalError, match="lock timeout"):
            office.plan_page(PlanPageOrder("2026-02", "", 100))
    assert office.plan_page(PlanPageOrder("2026-02", "", 100)).drafted == 1
    impatient.dispose()


def test_a_defect_in_rating_fails_its_customer_alone(
    engine: Engine, february: OpenCycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defective(subject: object, contract: object, used: object, *_: object, **__: object):  # type: ignore[no-untyped-def]
        if used:
            raise ZeroDivisionError("division by zero")

    cycle = february(Subscriber("1001"), Subscriber("1002", calls=0))
    monkeypatch.setattr("storage.planning.draft_invoice", defective)
    assert plan_all(engine, cycle) == PageOfPlan("1002", skipped=1, failed=1)
    assert "ZeroDivisionError" in items(engine)["1001"][2]


def test_a_retry_rates_the_skipped_again(engine: Engine, february: OpenCycle) -> None:
    cycle = february(Subscriber("1001", calls=0))
    plan_all(engine, cycle)
    with transaction(engine) as connection:
        customer = connection.execute(select(customers.c.id)).scalar_one()
        connection.execute(
            insert(billing_events).values(
                customer_id=customer,
                metric="api_calls",
                occurred_at=datetime(2026, 2, 3, tzinfo=UTC),
                quantity=5,
                event_id="late",
            )
        )
        rebuild_rollups(connection, time_zone="UTC", by=ACTOR, business_date=ISSUED_ON)
    assert plan_all(engine, cycle, failed_again=True).drafted == 1
