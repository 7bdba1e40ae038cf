"""Late months beside what else happens: events at the same moment, retries, discards and voids."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from domain.crediting import RefundTo
from domain.periods import BillingPeriod
from domain.tax import TaxPolicy
from storage.approval import approve, to_approve
from storage.crediting import CreditRequest, credit_invoice
from storage.cycles import fail_item, load_cycle, summarize_cycle
from storage.discarding import discard_plan
from storage.engine import transaction
from storage.instructions import carry_out
from storage.master_data.subscriptions import add_subscription, end_subscription
from storage.planning import plan_page
from storage.price_list import load_price_list
from tests.builders import (
    ACTOR,
    FEBRUARY,
    Subscriber,
    discount_row,
    prepaid_row,
    seed_billing,
    subscription_row,
)
from tests.storage.behind import behind
from tests.storage.collecting import lock
from tests.storage.late_months import (
    APRIL,
    JANUARY,
    MARCH,
    accounted_for,
    add_usage,
    ask_void,
    begin_issue,
    bill_month,
    billed_in_all,
    change_customer,
    change_subscription,
    credits_of,
    decide_credits,
    invoices_of,
    issue_month,
    late_lines,
    numbers_of,
    open_month,
    outcomes_of,
    paid,
    plan_month,
    subscribe,
    use,
)
from tests.storage.priced import grants, put
from tests.storage.proved import prove

MAY, JUNE = BillingPeriod(2026, 5), BillingPeriod(2026, 6)
ONE, YEARLY = "1001", "1047"
FEBRUARYS, MARCHS = "INV-2026-02-0001", "INV-2026-03-0001"
ARRIVED = "Usage for 2026-02, arrived late: API calls"


@pytest.fixture
def billed(engine: Engine, tmp_path: Path) -> Engine:
    """One customer, billed 10.00 for 20,000 calls of February, and 1.00 to come for March."""
    seed_billing(engine, tmp_path / "files", [Subscriber(ONE, calls=0)])
    use(engine, ONE, FEBRUARY, 20_000)
    bill_month(engine, FEBRUARY)
    use(engine, ONE, MARCH, 11_000)
    return engine


@pytest.fixture
def gone(billed: Engine) -> Engine:
    """As `billed`, with nothing to bill in March, and 10.00 that came late for February."""
    with transaction(billed) as connection:
        for table in ("billing_events", "usage_daily", "usage_monthly"):
            column = {"billing_events": "occurred_at", "usage_daily": "day"}.get(table, "month")
            connection.execute(text(f"DELETE FROM {table} WHERE {column} >= '2026-03-01'"))  # noqa: S608
    use(billed, ONE, FEBRUARY, 10_000)
    return billed


def plan_uncommitted(connection: Connection) -> None:
    plan_page(
        connection,
        load_cycle(connection, MARCH, for_update=True),
        load_price_list(connection, TaxPolicy()),
        after_account="",
        limit=10,
        failed_again=False,
    )


def void(engine: Engine, number: str, *, reissue: bool) -> None:
    assert ask_void(engine, number, reissue=reissue).outcome == "done"


def discard(engine: Engine, period: BillingPeriod = MARCH) -> int:
    with transaction(engine) as connection:
        return discard_plan(connection, period, load_cycle(connection, period).id, actor=ACTOR)


# --- at the same moment


def test_an_event_that_commits_behind_the_reading_counts_in_the_next_cycle(
    billed: Engine,
) -> None:
    open_month(billed, MARCH)
    with transaction(billed) as planning:
        plan_uncommitted(planning)
        use(billed, ONE, FEBRUARY, 10_000)
        use(billed, ONE, MARCH, 2_000)
    plan_month(billed, MARCH)
    issue_month(billed, MARCH)
    assert late_lines(billed, ONE, MARCH) == []
    plan_month(billed, APRIL)
    assert [row[:2] for row in invoices_of(billed, ONE, APRIL)] == [
        ("late", "2026-02"),
        ("late", "2026-03"),
    ]
    assert billed_in_all(billed, ONE, FEBRUARY) == "20.00"
    assert billed_in_all(billed, ONE, MARCH) == "3.00"


def test_an_event_that_waits_to_commit_while_the_month_is_rated_is_not_lost(
    billed: Engine,
) -> None:
    with transaction(billed) as arriving:
        add_usage(arriving, ONE, FEBRUARY, 10_000)
        plan_month(billed, MARCH)
    issue_month(billed, MARCH)
    assert late_lines(billed, ONE, MARCH) == []
    plan_month(billed, APRIL)
    assert billed_in_all(billed, ONE, FEBRUARY) == "20.00"


def test_usage_of_a_month_that_is_only_planned_waits_for_the_cycle_after_its_issue(
    billed: Engine,
) -> None:
    plan_month(billed, MARCH)
    use(billed, ONE, MARCH, 2_000)
    plan_month(billed, APRIL)
    assert invoices_of(billed, ONE, APRIL) == []
    assert discard(billed, APRIL) == 0
    issue_month(billed, MARCH)
    plan_month(billed, APRIL)
    assert [row[:2] for row in invoices_of(billed, ONE, APRIL)] == [("late", "2026-03")]


def test_a_retry_and_a_later_month_do_not_bill_the_same_usage(gone: Engine) -> None:
    """A customer who was skipped in February, when it is retried while March is being planned."""
    with transaction(gone) as connection:
        connection.execute(text("UPDATE billing_cycle_items SET outcome = 'skipped', reason = 'x'"))
        connection.execute(text("DELETE FROM billed_usage"))
        connection.execute(text("UPDATE invoices SET status = 'void', collection_state = 'void'"))
    open_month(gone, MARCH)

    def retry(engine: Engine) -> None:
        plan_month(engine, FEBRUARY, again=True)

    assert behind(gone, plan_uncommitted, retry).exception() is None
    assert outcomes_of(gone, ONE, FEBRUARY) == [("", "skipped", "already_invoiced")]
    assert billed_in_all(gone, ONE, FEBRUARY) == "20.00"


# --- discarded


def test_a_discarded_plan_takes_its_late_lines_and_credits_along(billed: Engine) -> None:
    use(billed, ONE, FEBRUARY, -19_000)
    plan_month(billed, MARCH)
    assert credits_of(billed, ONE) == [("2026-03", "2026-02", "10.00", "planned")]
    assert discard(billed) == 1
    assert credits_of(billed, ONE) == []
    use(billed, ONE, FEBRUARY, 29_000)
    plan_month(billed, MARCH)
    assert late_lines(billed, ONE, MARCH) == [("2026-02", ARRIVED, "10.00")]


def test_what_a_later_plan_counted_beside_a_discarded_one_is_rated_again(billed: Engine) -> None:
    use(billed, ONE, FEBRUARY, 10_000)
    plan_month(billed, MARCH)
    use(billed, ONE, FEBRUARY, 3_000)
    plan_month(billed, APRIL)
    discard(billed)
    plan_month(billed, MARCH)
    issue_month(billed, MARCH)
    discard(billed, APRIL)
    plan_month(billed, APRIL)
    assert billed_in_all(billed, ONE, FEBRUARY) == "23.00"


# --- retried


def test_a_late_draft_keeps_its_number_when_it_is_planned_again(gone: Engine) -> None:
    plan_month(gone, MARCH)
    assert numbers_of(gone, MARCH) == [(MARCHS, ONE, "2026-02")]
    begin_issue(gone, MARCH)
    with transaction(gone) as connection:
        fail_item(connection, MARCHS, code="pdf", reason="No PDF.", actor=ACTOR)
    assert outcomes_of(gone, ONE, MARCH)[1] == ("2026-02", "failed", "pdf")
    use(gone, ONE, FEBRUARY, 1_000)
    page = plan_month(gone, MARCH, again=True)
    assert (page.skipped, page.late) == (1, 1)
    assert numbers_of(gone, MARCH) == [(MARCHS, ONE, "2026-02")]
    assert billed_in_all(gone, ONE, FEBRUARY) == "21.00"
    issue_month(gone, MARCH)
    assert outcomes_of(gone, ONE, MARCH) == [
        ("", "skipped", "nothing_to_bill"),
        ("2026-02", "issued", ""),
    ]


def test_a_late_draft_that_is_not_needed_any_more_becomes_void(gone: Engine) -> None:
    plan_month(gone, MARCH)
    use(gone, ONE, FEBRUARY, -10_000)
    plan_month(gone, MARCH, again=True)
    (late,) = invoices_of(gone, ONE, MARCH)
    assert late[:3] == ("late", "2026-02", "void")
    assert outcomes_of(gone, ONE, MARCH)[1] == ("2026-02", "skipped", "nothing_to_bill")
    assert billed_in_all(gone, ONE, FEBRUARY) == "10.00"


def test_a_late_month_that_was_mended_is_billed_by_the_retry_alone(billed: Engine) -> None:
    change_subscription(billed, ONE, starts_on=date(2026, 2, 5))
    use(billed, ONE, FEBRUARY, 1_000, day=2)
    plan_month(billed, MARCH)
    issue_month(billed, MARCH)
    with transaction(billed) as connection:
        summary = summarize_cycle(connection, MARCH)
    assert (summary.customers, summary.failed, summary.late_failed) == (1, 0, 1)
    change_subscription(billed, ONE, starts_on=date(2026, 2, 1))
    use(billed, ONE, MARCH, 5_000)
    page = plan_month(billed, MARCH, again=True)
    assert (page.drafted, page.late) == (0, 1)
    regular, late = invoices_of(billed, ONE, MARCH)
    assert (regular[4], late[:2], late[4]) == ("1.00", ("late", "2026-02"), "1.00")


def test_a_month_that_was_billed_late_is_not_billed_by_its_retry(gone: Engine) -> None:
    with transaction(gone) as connection:
        connection.execute(text("DELETE FROM billed_usage"))
        connection.execute(text("UPDATE invoices SET status = 'void', collection_state = 'void'"))
        connection.execute(text("UPDATE billing_cycle_items SET outcome = 'skipped', reason = 'x'"))
    bill_month(gone, MARCH)
    assert [row[4] for row in invoices_of(gone, ONE, MARCH)] == ["20.00"]
    plan_month(gone, FEBRUARY, again=True)
    assert outcomes_of(gone, ONE, FEBRUARY) == [("", "skipped", "already_invoiced")]
    with gone.connect() as connection:
        reason = connection.execute(
            text("SELECT reason FROM billing_cycle_items WHERE reason_code = 'already_invoiced'")
        ).scalar_one()
    assert reason.startswith(f"billed late with {MARCHS}")


# --- void


def test_what_a_void_invoice_charged_late_comes_again(gone: Engine) -> None:
    bill_month(gone, MARCH)
    void(gone, MARCHS, reissue=False)
    plan_month(gone, APRIL)
    assert [row[:2] for row in invoices_of(gone, ONE, APRIL)] == [("late", "2026-02")]
    assert billed_in_all(gone, ONE, FEBRUARY) == "20.00"


def test_an_invoice_issued_anew_has_its_late_lines_again(billed: Engine) -> None:
    use(billed, ONE, FEBRUARY, 10_000)
    bill_month(billed, MARCH)
    void(billed, MARCHS, reissue=True)
    plan_month(billed, MARCH, again=True)
    assert late_lines(billed, ONE, MARCH) == [("2026-02", ARRIVED, "10.00")]
    assert billed_in_all(billed, ONE, MARCH) == "1.00"


def test_a_late_invoice_issued_anew_takes_the_next_number(gone: Engine) -> None:
    bill_month(gone, MARCH)
    void(gone, MARCHS, reissue=True)
    plan_month(gone, MARCH, again=True)
    assert numbers_of(gone, MARCH)[1] == ("INV-2026-03-0002", ONE, "2026-02")
    assert billed_in_all(gone, ONE, FEBRUARY) == "20.00"


def test_what_is_left_of_a_void_month_that_was_billed_late_comes_with_the_next_cycle(
    billed: Engine,
) -> None:
    use(billed, ONE, FEBRUARY, 10_000)
    bill_month(billed, MARCH)
    void(billed, FEBRUARYS, reissue=True)
    plan_month(billed, FEBRUARY, again=True)
    assert outcomes_of(billed, ONE, FEBRUARY) == [("", "skipped", "already_invoiced")]
    plan_month(billed, APRIL)
    assert billed_in_all(billed, ONE, FEBRUARY) == "20.00"


def test_a_void_month_that_nobody_issues_anew_stays_unbilled(billed: Engine) -> None:
    void(billed, FEBRUARYS, reissue=False)
    use(billed, ONE, FEBRUARY, 10_000)
    plan_month(billed, MARCH)
    assert late_lines(billed, ONE, MARCH) == []


# --- given back


def test_a_credit_is_asked_for_once(billed: Engine) -> None:
    use(billed, ONE, FEBRUARY, -19_000)
    plan_month(billed, MARCH)
    for _ in range(2):
        begin_issue(billed, MARCH)
    with billed.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM instructions")).scalar_one() == 1
    assert credits_of(billed, ONE) == [("2026-03", "2026-02", "10.00", "asked")]
    assert billed_in_all(billed, ONE, FEBRUARY) == "0.00"


def test_what_people_credited_before_is_not_given_back_again(billed: Engine) -> None:
    with transaction(billed) as connection:
        request = CreditRequest("goodwill", RefundTo.CREDIT, lines={2: Decimal("7.00")})
        credit_invoice(lock(connection, FEBRUARYS), request)
    use(billed, ONE, FEBRUARY, -20_000)
    plan_month(billed, MARCH)
    assert credits_of(billed, ONE) == [("2026-03", "2026-02", "3.00", "planned")]
    assert billed_in_all(billed, ONE, FEBRUARY) == "0.00"
    begin_issue(billed, MARCH)
    with transaction(billed) as connection:
        instruction = connection.execute(text("SELECT id FROM instructions")).scalar_one()
        done = carry_out(connection, FEBRUARYS, instruction, business_date=date(2026, 4, 2))
    assert done.outcome == "done"


def test_what_an_invoice_refuses_to_give_back_comes_with_the_next_cycle(billed: Engine) -> None:
    use(billed, ONE, FEBRUARY, -20_000)
    plan_month(billed, MARCH)
    with transaction(billed) as connection:
        request = CreditRequest("goodwill", RefundTo.CREDIT, lines={2: Decimal("7.00")})
        credit_invoice(lock(connection, FEBRUARYS), request)
    begin_issue(billed, MARCH)
    assert decide_credits(billed) == [(FEBRUARYS, "refused")]
    assert billed_in_all(billed, ONE, FEBRUARY) == "10.00"
    assert accounted_for(billed, ONE, FEBRUARY) == [("2026-02", FEBRUARYS, 20_000)]
    issue_month(billed, MARCH)
    plan_month(billed, APRIL)
    begin_issue(billed, APRIL)
    assert decide_credits(billed) == [(FEBRUARYS, "done")]
    assert credits_of(billed, ONE) == [
        ("2026-03", "2026-02", "10.00", "refused"),
        ("2026-04", "2026-02", "3.00", "done"),
    ]
    assert billed_in_all(billed, ONE, FEBRUARY) == "0.00"
    with billed.connect() as connection:
        reason = connection.execute(
            text("SELECT reason FROM credit_notes ORDER BY id DESC LIMIT 1")
        ).scalar_one()
    assert reason == "Usage for 2026-02, corrected: API calls"


def test_a_cycle_gives_back_more_of_a_month_where_it_bills_the_customer_anew(
    billed: Engine,
) -> None:
    use(billed, ONE, FEBRUARY, -5_000)
    bill_month(billed, MARCH)
    void(billed, MARCHS, reissue=True)
    use(billed, ONE, FEBRUARY, -10_000)
    plan_month(billed, MARCH, again=True)
    assert credits_of(billed, ONE) == [
        ("2026-03", "2026-02", "5.00", "asked"),
        ("2026-03", "2026-02", "5.00", "planned"),
    ]
    assert accounted_for(billed, ONE, FEBRUARY)[1:] == [("2026-03", "", -15_000)]
    assert billed_in_all(billed, ONE, FEBRUARY) == "0.00"
    plan_month(billed, APRIL)
    assert late_lines(billed, ONE, APRIL) == []


def test_what_people_credited_before_is_no_late_line_either(billed: Engine) -> None:
    with transaction(billed) as connection:
        request = CreditRequest("goodwill", RefundTo.CREDIT, lines={2: Decimal("7.00")})
        credit_invoice(lock(connection, FEBRUARYS), request)
    use(billed, ONE, MARCH, 20_000)
    use(billed, ONE, FEBRUARY, -20_000)
    bill_month(billed, MARCH)
    corrected = "Usage for 2026-02, corrected: API calls"
    assert late_lines(billed, ONE, MARCH) == [("2026-02", corrected, "-3.00")]
    use(billed, ONE, FEBRUARY, 15_000)
    use(billed, ONE, FEBRUARY, -15_000)
    plan_month(billed, APRIL)
    assert (late_lines(billed, ONE, APRIL), credits_of(billed, ONE)) == ([], [])
    assert billed_in_all(billed, ONE, FEBRUARY) == "0.00"


def test_an_approved_credit_that_a_retry_planned_outlives_the_next_retry(
    engine: Engine, tmp_path: Path
) -> None:
    seed_billing(engine, tmp_path / "files", [Subscriber(ONE, calls=0)])
    use(engine, ONE, FEBRUARY, 20_000)
    bill_month(engine, FEBRUARY)
    plan_month(engine, MARCH, approval_required=True)
    issue_month(engine, MARCH)
    use(engine, ONE, FEBRUARY, -15_000)
    plan_month(engine, MARCH, again=True)
    approve_all(engine, MARCH)
    for _ in range(2):
        plan_month(engine, MARCH, again=True)
        begin_issue(engine, MARCH)
        assert [row[2:] for row in credits_of(engine, ONE)] == [("10.00", "asked")]


def approve_all(engine: Engine, period: BillingPeriod) -> None:
    with transaction(engine) as connection:
        waiting = to_approve(connection, load_cycle(connection, period).id)
        approve(
            connection,
            period,
            digest=waiting.digest,
            note="read",
            person=ACTOR,
            business_date=date(2026, 4, 1),
        )


def test_a_void_month_that_the_next_cycle_bills_is_no_alarm_of_the_proof(billed: Engine) -> None:
    use(billed, ONE, FEBRUARY, 10_000)
    bill_month(billed, MARCH)
    void(billed, FEBRUARYS, reissue=True)
    plan_month(billed, FEBRUARY, again=True)
    with billed.connect() as connection:
        assert prove(connection, FEBRUARY, as_of=date(2026, 5, 1)).differences == ()


def test_a_note_that_took_every_line_leaves_what_is_corrected_later(
    billed: Engine,
) -> None:
    """Support and calls of April less a correction of February; then neither holds."""
    support = subscribe(billed, ONE, "premium-support", date(2026, 4, 1))
    use(billed, ONE, APRIL, 15_000)
    bill_month(billed, MARCH)
    use(billed, ONE, FEBRUARY, -5_000)
    bill_month(billed, APRIL)
    assert [row[4] for row in invoices_of(billed, ONE, APRIL)] == ["99.00"]
    with transaction(billed) as connection:
        end_subscription(
            connection, support, date(2026, 4, 2), business_date=date(2026, 5, 2), by=ACTOR
        )
    bill_month(billed, MAY)
    assert decide_credits(billed) == [("INV-2026-04-0001", "done")]
    use(billed, ONE, APRIL, -15_000)
    bill_month(billed, JUNE)
    decide_credits(billed)
    assert billed_in_all(billed, ONE, APRIL) == "3.30"
    assert paid(billed) == Decimal("5.00") + 1 + Decimal("3.30")


def test_a_late_line_is_given_back_by_the_invoice_that_has_it(billed: Engine) -> None:
    use(billed, ONE, FEBRUARY, 30_000)
    bill_month(billed, MARCH)
    use(billed, ONE, FEBRUARY, -49_000)  # 40.00, of which each of the two has a part
    plan_month(billed, APRIL)
    assert credits_of(billed, ONE) == [
        ("2026-04", "2026-02", "10.00", "planned"),
        ("2026-04", "2026-02", "30.00", "planned"),
    ]
    begin_issue(billed, APRIL)
    assert decide_credits(billed) == [(FEBRUARYS, "done"), (MARCHS, "done")]
    assert billed_in_all(billed, ONE, FEBRUARY) == "0.00"


# --- contracts


def test_a_contract_that_changes_behind_a_bill_is_rated_anew_once(billed: Engine) -> None:
    def subscribe(quantity: int, starts_on: date, ends_on: date | None) -> tuple[str, ...]:
        with transaction(billed) as connection:
            return add_subscription(
                connection,
                ONE,
                "premium-support",
                Decimal(quantity),
                starts_on,
                ends_on,
                business_date=date(2026, 3, 20),
                by="Greta Finance",
            ).counts_late

    assert subscribe(1, date(2026, 2, 1), date(2026, 3, 1)) == ("2026-02",)
    bill_month(billed, MARCH)
    support = "Change of contract for 2026-02: Premium support"
    assert late_lines(billed, ONE, MARCH) == [("2026-02", support, "99.00")]
    assert subscribe(1, date(2026, 4, 1), None) == ()
    plan_month(billed, APRIL)
    assert late_lines(billed, ONE, APRIL) == []


def end_year(engine: Engine, ends_on: date) -> tuple[str, ...]:
    """Ends the customer's one subscription to a year; the months that count late by it."""
    with transaction(engine) as connection:
        id = connection.execute(
            text(
                "SELECT sub.id FROM subscriptions sub "
                "JOIN pricing_plans plan ON plan.id = plan_id WHERE interval = 'year'"
            )
        ).scalar_one()
        return end_subscription(
            connection, id, ends_on, business_date=date(2026, 3, 20), by="Greta Finance"
        ).counts_late


@pytest.fixture
def yearly(engine: Engine, tmp_path: Path) -> Engine:
    """One customer who paid 1,200.00 in January for a year of 365 days, and used nothing since."""
    put(
        engine,
        tmp_path / "files",
        subscribed=[subscription_row(YEARLY, "platform", starts_on="2026-01-01")],
        used=[],
    )
    for month in (JANUARY, FEBRUARY):
        bill_month(engine, month)
    assert [row[4] for row in invoices_of(engine, YEARLY, JANUARY)] == ["1200.00"]
    assert outcomes_of(engine, YEARLY, FEBRUARY) == [("", "skipped", "nothing_to_bill")]
    return engine


@pytest.mark.parametrize(
    ("ends_on", "month", "left"),
    [
        (date(2026, 2, 15), "2026-02", "-1052.05"),  # 320 of 365 days
        (date(2026, 2, 1), "2026-01", "101.92"),  # less 334 of them: January has the last day
    ],
)
def test_a_paid_year_that_ended_behind_the_bill_is_given_back(
    yearly: Engine, ends_on: date, month: str, left: str
) -> None:
    assert end_year(yearly, ends_on)[0] == month
    bill_month(yearly, MARCH)
    assert billed_in_all(yearly, YEARLY, BillingPeriod.parse(month)) == left
    plan_month(yearly, APRIL)
    assert invoices_of(yearly, YEARLY, APRIL) == []


def test_what_a_year_gives_back_beyond_its_months_bill_is_an_invoice_below_zero(
    yearly: Engine,
) -> None:
    end_year(yearly, date(2026, 2, 15))
    bill_month(yearly, MARCH)
    ((kind, month, status, _, net, tax, total),) = invoices_of(yearly, YEARLY, MARCH)
    assert (kind, month, status) == ("late", "2026-02", "paid")
    assert (net, tax, total) == ("-1052.05", "-199.89", "-1251.94")
    with yearly.connect() as connection:
        credit = connection.execute(text("SELECT reason, amount FROM credit_entries")).all()
        assert [tuple(row) for row in credit] == [("below_zero", Decimal("1251.94"))]
        assert prove(connection, FEBRUARY).differences == ()
        assert prove(connection, MARCH).differences == ()


def test_a_year_given_back_makes_the_next_regular_invoice_less_than_nothing(
    yearly: Engine,
) -> None:
    subscribe(yearly, YEARLY, "premium-support", date(2026, 3, 1))
    end_year(yearly, date(2026, 2, 15))
    bill_month(yearly, MARCH)
    ((kind, _, status, _, net, *_),) = invoices_of(yearly, YEARLY, MARCH)
    assert (kind, status, net) == ("regular", "paid", "-953.05")


def test_a_correction_of_an_invoice_below_zero_makes_another_one(yearly: Engine) -> None:
    end_year(yearly, date(2026, 3, 15))
    subscribe(yearly, YEARLY, "api-calls", date(2026, 3, 1))
    use(yearly, YEARLY, MARCH, 20_000)
    bill_month(yearly, MARCH)
    assert [row[4] for row in invoices_of(yearly, YEARLY, MARCH)] == ["-950.00"]
    use(yearly, YEARLY, MARCH, -5_000)
    bill_month(yearly, APRIL)
    assert [row[:5] for row in invoices_of(yearly, YEARLY, APRIL)] == [
        ("late", "2026-03", "paid", "USD", "-5.00")
    ]
    assert billed_in_all(yearly, YEARLY, MARCH) == "-955.00"


def test_a_customer_who_came_behind_the_cycle_is_billed_late(
    billed: Engine, tmp_path: Path
) -> None:
    newcomer = Subscriber("2000", calls=15_000)
    seed_billing(billed, tmp_path / "newcomer", [newcomer])
    plan_month(billed, MARCH)
    assert [row[:2] for row in invoices_of(billed, "2000", MARCH)] == [("late", "2026-02")]
    assert billed_in_all(billed, "2000", FEBRUARY) == "5.00"


# --- nobody's trouble is everybody's


def test_late_usage_that_a_discount_takes_off_whole_is_an_invoice_of_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    free = discount_row(account_number=YEARLY, percent="100")
    put(
        engine,
        tmp_path / "files",
        subscribed=[subscription_row()],
        used=[],
        discounts=[free],
    )
    bill_month(engine, FEBRUARY)
    use(engine, YEARLY, FEBRUARY, 20_000)
    bill_month(engine, MARCH)
    assert [row[:5] for row in invoices_of(engine, YEARLY, MARCH)] == [
        ("late", "2026-02", "paid", "USD", "0.00")
    ]
    plan_month(engine, APRIL)
    assert invoices_of(engine, YEARLY, APRIL) == []


def test_two_months_are_given_back_by_an_invoice_that_prepaid_credit_paid(
    engine: Engine, tmp_path: Path
) -> None:
    put(
        engine,
        tmp_path / "files",
        subscribed=[subscription_row()],
        used=[],
        prepaid=[prepaid_row(amount="70.00", valid_from="2026-01-01")],
    )
    bill_month(engine, JANUARY)
    use(engine, YEARLY, JANUARY, 60_000)
    use(engine, YEARLY, FEBRUARY, 60_000)
    bill_month(engine, FEBRUARY)  # 50.00 each, of which the credit pays 70.00
    for month in (JANUARY, FEBRUARY):
        use(engine, YEARLY, month, -60_000)
    bill_month(engine, MARCH)
    decide_credits(engine)
    assert paid(engine) == 0
    assert grants(engine)[0].left == 70


def test_a_failed_late_draft_keeps_what_it_draws(engine: Engine, tmp_path: Path) -> None:
    """What another draft of the customer may draw is what that one leaves."""
    put(
        engine,
        tmp_path / "files",
        subscribed=[subscription_row()],
        used=[],
        prepaid=[prepaid_row(valid_from="2026-01-01")],
    )
    use(engine, YEARLY, MARCH, 20_000)
    bill_month(engine, MARCH)
    change_customer(engine, YEARLY, country="CH", region="")
    use(engine, YEARLY, MARCH, 100_000)
    use(engine, YEARLY, APRIL, 60_000)
    plan_month(engine, APRIL)  # 50.00 draws 50.00, and what is late the 40.00 that are left
    begin_issue(engine, APRIL)
    numbers = [number for number, *_ in numbers_of(engine, APRIL)]
    with transaction(engine) as connection:
        for number in numbers:
            fail_item(connection, number, code="pdf", reason="No PDF.", actor=ACTOR)
    change_subscription(engine, YEARLY, starts_on=date(2026, 3, 12))
    use(engine, YEARLY, APRIL, 40_000)
    plan_month(engine, APRIL, again=True)
    assert [row[1] for row in outcomes_of(engine, YEARLY, APRIL)] == ["drafted", "failed"]
    with engine.connect() as connection:
        draws = connection.execute(
            text("SELECT amount FROM prepaid_draws ORDER BY invoice_id")
        ).scalars()
        assert list(draws) == [10, 50, 40]


def test_an_invoice_that_sold_credit_is_not_billed_anew_beside_late_lines_of_its_month(
    engine: Engine, tmp_path: Path
) -> None:
    put(
        engine,
        tmp_path / "files",
        subscribed=[subscription_row()],
        used=[],
        prepaid=[prepaid_row(price="90.00", valid_from="2026-02-01")],
    )
    bill_month(engine, FEBRUARY)
    use(engine, YEARLY, FEBRUARY, 200_000)
    bill_month(engine, MARCH)
    refused = ask_void(engine, FEBRUARYS, reissue=True)
    assert refused.outcome == "refused"
    assert "INV-2026-03-0001 bills a part of its month" in refused.answer
