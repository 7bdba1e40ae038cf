"""A plan that waited, and the date of its invoices."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from storage.approval import approve, list_deviations, to_approve
from storage.cycles import load_cycle, move_cycle
from storage.documents import store_document
from storage.engine import transaction
from storage.posting import issue_invoice
from storage.tables import audit_log, billing_cycles, invoices
from tests.builders import ACTOR, FEBRUARY, ISSUED_ON, Subscriber, seed_billing
from tests.storage.late_months import MARCH, begin_issue, open_month, plan_month

TERMS = 30
LATER = ISSUED_ON + timedelta(days=TERMS + 5)
FIRST, SECOND = "INV-2026-02-0001", "INV-2026-02-0002"


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> Engine:
    seed_billing(engine, tmp_path / "files", [Subscriber("1001", 20_000), Subscriber("1002")])
    return engine


def post(engine: Engine, number: str) -> None:
    with transaction(engine) as connection:
        issue_invoice(connection, number, store_document(connection, b"pdf"), actor=ACTOR)


def dates(engine: Engine) -> dict[str, tuple[date, date]]:
    """Issue and due date by number."""
    with transaction(engine) as connection:
        rows = connection.execute(
            select(invoices.c.number, invoices.c.issued_on, invoices.c.due_on)
        )
        return {row.number: (row.issued_on, row.due_on) for row in rows}


def cycle_date(engine: Engine) -> date:
    with transaction(engine) as connection:
        return load_cycle(connection, FEBRUARY).issued_on


def test_invoices_of_a_plan_that_waited_are_due_a_whole_term_later(house: Engine) -> None:
    plan_month(house, FEBRUARY, dated_by_issue=True)
    begin_issue(house, FEBRUARY, today=LATER)
    post(house, FIRST)
    in_time = (LATER, LATER + timedelta(days=TERMS))
    assert dates(house) == {FIRST: in_time, SECOND: in_time}
    assert cycle_date(house) == LATER
    with transaction(house) as connection:
        (told,) = connection.execute(select(audit_log).where(audit_log.c.event == "dated")).all()
    assert (told.business_date, told.details["drafts"]) == (LATER, 2)


def test_a_date_that_was_asked_for_stays(house: Engine) -> None:
    plan_month(house, FEBRUARY)
    begin_issue(house, FEBRUARY, today=LATER)
    assert {issued for issued, _ in dates(house).values()} == {ISSUED_ON}
    assert cycle_date(house) == ISSUED_ON


def test_a_date_ahead_is_not_drawn_back(house: Engine) -> None:
    plan_month(house, FEBRUARY, dated_by_issue=True)
    begin_issue(house, FEBRUARY, today=ISSUED_ON - timedelta(days=1))
    assert {issued for issued, _ in dates(house).values()} == {ISSUED_ON}
    assert cycle_date(house) == ISSUED_ON


def test_what_a_later_pass_issues_is_dated_then_and_the_rest_stays(house: Engine) -> None:
    plan_month(house, FEBRUARY, dated_by_issue=True)
    begin_issue(house, FEBRUARY, today=ISSUED_ON)
    post(house, FIRST)
    with transaction(house) as connection:
        for status in ("closed", "planning", "planned"):
            move_cycle(connection, FEBRUARY, status, actor=ACTOR)
    begin_issue(house, FEBRUARY, today=LATER)
    post(house, SECOND)
    assert dates(house) == {
        FIRST: (ISSUED_ON, ISSUED_ON + timedelta(days=TERMS)),
        SECOND: (LATER, LATER + timedelta(days=TERMS)),
    }
    assert cycle_date(house) == ISSUED_ON


def test_a_plan_is_issued_as_it_was_approved_whatever_day_that_is(house: Engine) -> None:
    plan_month(house, FEBRUARY, dated_by_issue=True, approval_required=True)
    with transaction(house) as connection:
        cycle = load_cycle(connection, FEBRUARY)
        approve(
            connection,
            FEBRUARY,
            digest=to_approve(connection, cycle.id).digest,
            note="",
            person="Greta",
            business_date=ISSUED_ON,
        )
    begin_issue(house, FEBRUARY, today=LATER)
    post(house, FIRST)
    post(house, SECOND)
    with transaction(house) as connection:
        assert list_deviations(connection, load_cycle(connection, FEBRUARY)) == []
        statuses = connection.execute(select(invoices.c.status).distinct()).scalars().all()
    assert statuses == ["issued"]


def test_drafts_of_another_month_keep_their_dates(house: Engine) -> None:
    plan_month(house, FEBRUARY, dated_by_issue=True)
    with transaction(house) as connection:
        before = connection.execute(select(func.count()).select_from(billing_cycles)).scalar_one()
    open_month(house, MARCH, dated_by_issue=True)
    assert before == 1
    begin_issue(house, MARCH, today=MARCH.end + timedelta(days=9))
    assert {issued for issued, _ in dates(house).values()} == {ISSUED_ON}
