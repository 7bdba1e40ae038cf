"""Prepaid credit as drafts draw it: never twice, and back when a draft is gone."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from domain.errors import AlreadyBilled, Conflict, TooLateToWithdraw
from domain.proof import Equation
from domain.tax import TaxPolicy
from storage.approval import approve, to_approve
from storage.cycles import load_cycle, move_cycle
from storage.discarding import discard_plan
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.importing.problems import ImportRefused
from storage.late.returns import return_prepaid
from storage.master_data.prepaid import (
    end_grant,
    withdraw_grant,
)
from storage.planning import plan_page
from storage.price_list import load_price_list
from storage.tables import (
    discounts,
    invoices,
    prepaid_draws,
    prepaid_grants,
    prepaid_returns,
    subscriptions,
)
from tests.builders import (
    ACTOR,
    FEBRUARY,
    ISSUED_ON,
    NOW,
    discount_row,
    page_of_plan,
    plan_all,
    prepaid_row,
    subscription_row,
    write_csv,
)
from tests.storage.behind import behind
from tests.storage.collecting import issue, rows
from tests.storage.late_months import (
    APRIL,
    MARCH,
    begin_issue,
    bill_month,
    billed_in_all,
    credits_of,
    issue_month,
    plan_month,
    use,
)
from tests.storage.priced import FIRST, calls, grants, opened, plan_march, put, read
from tests.storage.proved import behind_its_back, named, prove


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


def test_the_proof_holds_what_an_invoice_draws_against_the_credit(prepaid: Engine) -> None:
    plan_all(prepaid, opened(prepaid))
    with prepaid.connect() as connection:
        assert named(prove(connection)) == []
        behind_its_back(
            connection,
            "UPDATE invoice_line_items SET amount = amount - 1 WHERE kind = 'prepaid_draw'",
        )
        wrong = [row for row in named(prove(connection)) if row[0] is Equation.LINES]
    assert wrong == [
        (
            Equation.LINES,
            "1047",
            f"{FIRST}, prepaid credit",
            Decimal("-90.00"),
            Decimal("-91.00"),
        )
    ]


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


# --- usage that was paid by credit, corrected behind its bill


@pytest.fixture
def paid_by_credit(engine: Engine, tmp_path: Path) -> Engine:
    """1047 billed for February: 115.00, of which a gift paid 100.00."""
    put(
        engine,
        tmp_path / "files",
        subscribed=[subscription_row()],
        used=[calls(150_000)],
        prepaid=[prepaid_row()],
    )
    bill_month(engine, FEBRUARY)
    assert (grants(engine)[0].left, read(engine)[0].subtotal) == (0, 15)
    return engine


def test_credit_comes_back_where_no_money_is_left_to_give_back(paid_by_credit: Engine) -> None:
    use(paid_by_credit, "1047", FEBRUARY, -120_000)  # of 115.00, 95.00 too much
    plan_month(paid_by_credit, MARCH)
    assert grants(paid_by_credit)[0].left == 0
    for _ in range(2):
        begin_issue(paid_by_credit, MARCH)
        assert grants(paid_by_credit)[0].left == 80
    assert credits_of(paid_by_credit, "1047") == [
        ("2026-03", "2026-02", "15.00", "asked"),
        ("2026-03", "2026-02", "0", "planned"),
    ]
    assert billed_in_all(paid_by_credit, "1047", FEBRUARY) == "20.00"
    with transaction(paid_by_credit) as connection:
        told = rows(
            connection,
            "SELECT details ->> 'amount', details ->> 'invoice' FROM audit_log "
            "WHERE subject_kind = 'prepaid' AND event = 'returned'",
        )
        assert named(prove(connection)) == []
    assert told == [("80.00", FIRST)]
    issue_month(paid_by_credit, MARCH)
    use(paid_by_credit, "1047", FEBRUARY, -30_000)
    plan_month(paid_by_credit, APRIL)
    begin_issue(paid_by_credit, APRIL)
    assert grants(paid_by_credit)[0].left == 100
    assert billed_in_all(paid_by_credit, "1047", FEBRUARY) == "0.00"


def test_what_came_back_counts_no_more_once_the_invoice_is_void(paid_by_credit: Engine) -> None:
    use(paid_by_credit, "1047", FEBRUARY, -120_000)
    bill_month(paid_by_credit, MARCH)
    assert grants(paid_by_credit)[0].left == 80
    with transaction(paid_by_credit) as connection:
        connection.execute(update(invoices).values(status="void", collection_state="void"))
    assert grants(paid_by_credit)[0].left == 100


def test_a_discarded_plan_lets_no_credit_come_back(paid_by_credit: Engine) -> None:
    use(paid_by_credit, "1047", FEBRUARY, -120_000)
    plan_month(paid_by_credit, MARCH)
    with transaction(paid_by_credit) as connection:
        discard_plan(connection, MARCH, load_cycle(connection, MARCH).id, actor=ACTOR)
        assert rows(connection, "SELECT count(*) FROM prepaid_returns") == [(0,)]
    assert grants(paid_by_credit)[0].left == 0
    bill_month(paid_by_credit, MARCH)
    assert grants(paid_by_credit)[0].left == 80


def test_credit_comes_back_once_it_is_approved(paid_by_credit: Engine) -> None:
    use(paid_by_credit, "1047", FEBRUARY, -120_000)
    plan_month(paid_by_credit, MARCH, approval_required=True)
    with transaction(paid_by_credit) as connection:
        cycle = load_cycle(connection, MARCH)
        waiting = to_approve(connection, cycle.id)
        assert (waiting.credits, waiting.credited) == (2, {"USD": Decimal("95.00")})
        assert return_prepaid(connection, cycle.id, on=ISSUED_ON, person=ACTOR) == 0
        approve(
            connection,
            MARCH,
            digest=waiting.digest,
            note="read",
            person=ACTOR,
            business_date=ISSUED_ON,
        )
        assert return_prepaid(connection, cycle.id, on=ISSUED_ON, person=ACTOR) == 1
        assert to_approve(connection, cycle.id).credits == 0
    assert grants(paid_by_credit)[0].left == 80


def test_no_more_comes_back_than_an_invoice_drew(paid_by_credit: Engine) -> None:
    use(paid_by_credit, "1047", FEBRUARY, -120_000)
    plan_month(paid_by_credit, MARCH)
    with (
        pytest.raises(IntegrityError, match="is to be returned"),
        transaction(paid_by_credit) as connection,
    ):
        connection.execute(update(prepaid_returns).values(amount=Decimal("100.01")))
