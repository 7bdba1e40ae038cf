"""What is issued is what was approved, to the cent, on whatever way it comes to be issued."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select, text

from api.cycle_orders import order_retry
from domain.errors import (
    Conflict,
    InvalidField,
    NotApproved,
    NotAsApproved,
    PlanChanged,
    PlanNotApproved,
)
from settings import Settings
from storage.approval import (
    Approval,
    Deviation,
    approve,
    list_approvals,
    list_deviations,
    to_approve,
)
from storage.cycles import fail_item, load_cycle, move_cycle, open_cycle
from storage.discarding import discard_plan
from storage.documents import store_document
from storage.drafts import Cycle
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.late.credits import ask_for_credits
from storage.posting import issue_invoice
from storage.tables import approved_drafts, audit_log, cycle_approvals, invoices
from tests.builders import (
    ACTOR,
    FEBRUARY,
    FRENCH,
    ISSUED_ON,
    NOW,
    Subscriber,
    plan_all,
    seed_billing,
    tax_rate_row,
    write_csv,
)
from tests.storage.late_months import JANUARY, begin_issue, bill_month, use

GRETA, HUGO = "Greta Finance", "Hugo Finance"
TODAY = date(2026, 3, 2)
FIRST, SECOND = "INV-2026-02-0001", "INV-2026-02-0002"
Begin = Callable[..., Cycle]


@pytest.fixture
def planned(engine: Engine, tmp_path: Path) -> Begin:
    """A plan of February that is to be approved, which Greta started."""

    def begin(*customers: Subscriber, approval_required: bool = True) -> Cycle:
        seed_billing(engine, tmp_path / "files", customers)
        return plan(engine, approval_required=approval_required)

    return begin


def plan(engine: Engine, *, approval_required: bool = True) -> Cycle:
    with transaction(engine) as connection:
        cycle = open_cycle(
            connection,
            FEBRUARY,
            issued_on=ISSUED_ON,
            terms_days=30,
            hold_reminders=False,
            approval_required=approval_required,
            actor=GRETA,
        )
    plan_all(engine, cycle)
    move(engine, "planned")
    return cycle


def move(engine: Engine, status: str, by: str = GRETA) -> None:
    with transaction(engine) as connection:
        move_cycle(connection, FEBRUARY, status, actor=by)


def retry(engine: Engine, cycle: Cycle, by: str = GRETA) -> None:
    """Rates who failed once more, as a retry does, up to the issue of it."""
    move(engine, "closed", by)
    move(engine, "planning", by)
    plan_all(engine, cycle, failed_again=True)
    move(engine, "planned", by)
    begin_issue(engine, FEBRUARY)


def digest_of(engine: Engine, cycle: Cycle) -> str:
    with transaction(engine) as connection:
        return to_approve(connection, cycle.id).digest


def approved(engine: Engine, digest: str, by: str = HUGO, **more: Any) -> Approval:
    values = {"note": "", **more}
    with transaction(engine) as connection:
        return approve(
            connection, FEBRUARY, digest=digest, person=by, business_date=TODAY, **values
        )


def approve_all(engine: Engine, cycle: Cycle) -> Approval:
    return approved(engine, digest_of(engine, cycle))


def post(engine: Engine, number: str = FIRST) -> None:
    """As the activities do: what cannot be posted fails its customer."""
    try:
        with transaction(engine) as connection:
            issue_invoice(connection, number, store_document(connection, b"pdf"), actor=ACTOR)
    except Conflict as refusal:
        with transaction(engine) as connection:
            fail_item(connection, number, code=refusal.code, reason=refusal.message, actor=ACTOR)
        raise


def change_draft(engine: Engine, number: str = FIRST, statement: str = "") -> None:
    with transaction(engine) as connection:
        connection.execute(
            text(f"UPDATE invoices SET {statement} WHERE number = :number"),  # noqa: S608
            {"number": number},
        )


def status_of(connection: Connection, number: str) -> str:
    found = select(invoices.c.status).where(invoices.c.number == number)
    return str(connection.execute(found).scalar_one())


def deviations(engine: Engine) -> list[Deviation]:
    with transaction(engine) as connection:
        return list_deviations(connection, load_cycle(connection, FEBRUARY))


ONE = Subscriber("1001", 20_000)  # 10.00 and 1.90 of tax
TWO = Subscriber("1002", 60_000)  # 50.00 and 9.50


def test_the_issue_begins_once_the_plan_is_approved(engine: Engine, planned: Begin) -> None:
    cycle = planned(ONE, TWO)
    with pytest.raises(PlanNotApproved, match="2 of its drafts are not"):
        begin_issue(engine, FEBRUARY)
    made = approve_all(engine, cycle)
    assert (made.person, made.drafts, made.business_date) == (HUGO, 2, TODAY)
    begin_issue(engine, FEBRUARY)
    post(engine, FIRST)
    post(engine, SECOND)
    assert deviations(engine) == []


def test_a_plan_that_needs_no_approval_is_issued_without(engine: Engine, planned: Begin) -> None:
    cycle = planned(ONE, approval_required=False)
    with pytest.raises(Conflict, match="needs no approval"):
        approve_all(engine, cycle)
    begin_issue(engine, FEBRUARY)
    post(engine)


def test_a_plan_of_nothing_needs_nobody(engine: Engine, planned: Begin) -> None:
    cycle = planned(Subscriber("1001", 0, plans=()))
    with pytest.raises(Conflict, match="Nothing of 2026-02 waits"):
        approve_all(engine, cycle)
    begin_issue(engine, FEBRUARY)


def test_who_approved_what_is_in_the_audit_log(engine: Engine, planned: Begin) -> None:
    cycle = planned(ONE)
    digest = digest_of(engine, cycle)
    approved(engine, digest, note="  as agreed ")
    with transaction(engine) as connection:
        entry = connection.execute(select(audit_log).where(audit_log.c.event == "approved")).one()
        (made,) = list_approvals(connection, cycle.id)
    assert (entry.actor, entry.subject, entry.reason) == (HUGO, "2026-02", "as agreed")
    assert entry.details == {
        "digest": digest,
        "drafts": 1,
        "credits": 0,
        "totals": {"USD": "11.90"},
    }
    assert (made.note, made.digest) == ("as agreed", digest)


def test_approving_twice_is_approving_once(engine: Engine, planned: Begin) -> None:
    cycle = planned(ONE)
    digest = digest_of(engine, cycle)
    first = approved(engine, digest)
    assert approved(engine, digest, by=GRETA) == first
    assert digest_of(engine, cycle) == ""
    with pytest.raises(Conflict, match="Nothing of 2026-02 waits to be approved"):
        approved(engine, "1:0:11.90USD:other")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "usage_amount = usage_amount + 1, subtotal = subtotal + 1, total = total + 1",
            "1 draft over 11.90 USD when you read it, and 1 draft over 12.90 USD now",
        ),
        ("due_on = due_on + 1", "1 draft over 11.90 USD still, but not the same ones"),
        (
            "customer = jsonb_set(customer, '{tax_id}', '\"DE1\"')",
            "1 draft over 11.90 USD still, but not the same ones",
        ),
    ],
)
def test_a_plan_that_changed_since_it_was_read_is_not_approved(
    engine: Engine, planned: Begin, statement: str, told: str
) -> None:
    digest = digest_of(engine, planned(ONE))
    change_draft(engine, statement=statement)
    with pytest.raises(PlanChanged) as refused:
        approved(engine, digest)
    assert told in refused.value.message


def test_anything_else_is_no_digest(engine: Engine, planned: Begin) -> None:
    planned(ONE)
    with pytest.raises(PlanChanged, match="was something else when you read it"):
        approved(engine, "x")


def test_where_it_is_sent_is_no_part_of_what_is_approved(engine: Engine, planned: Begin) -> None:
    cycle = planned(ONE)
    digest = digest_of(engine, cycle)
    change_draft(engine, statement='customer = customer || \'{"billing_emails": ["new@x"]}\'')
    assert digest_of(engine, cycle) == digest


def test_a_line_that_changed_changes_the_digest(engine: Engine, planned: Begin) -> None:
    cycle = planned(ONE)
    digest = digest_of(engine, cycle)
    with transaction(engine) as connection:
        connection.execute(
            text("UPDATE invoice_line_items SET quantity = quantity + 1 WHERE position = 1")
        )
    assert digest_of(engine, cycle) != digest


def test_a_draft_that_is_not_what_was_approved_is_not_issued(
    engine: Engine, planned: Begin
) -> None:
    approve_all(engine, planned(ONE, TWO))
    change_draft(
        engine,
        SECOND,
        "usage_amount = usage_amount + 5, subtotal = subtotal + 5, total = total + 5",
    )
    change_draft(engine, FIRST, "issued_on = issued_on + 1")
    move(engine, "issuing")
    with pytest.raises(NotAsApproved, match=r"at 59\.50 USD and comes to 64\.50 USD now"):
        post(engine, SECOND)
    with pytest.raises(NotAsApproved, match="though the same total"):
        post(engine, FIRST)
    with transaction(engine) as connection:
        assert status_of(connection, SECOND) == "draft"
    assert [
        (it.account_number, str(it.approved_total), str(it.total)) for it in deviations(engine)
    ] == [("1001", "11.90", "11.90"), ("1002", "59.50", "64.50")]


def test_what_a_retry_brings_is_issued_once_it_is_approved_too(
    engine: Engine, planned: Begin, tmp_path: Path
) -> None:
    cycle = planned(ONE, FRENCH)
    approve_all(engine, cycle)
    begin_issue(engine, FEBRUARY)
    post(engine, FIRST)
    mend_france(engine, tmp_path)

    retry(engine, cycle)
    with pytest.raises(NotApproved, match="came about after the plan was approved"):
        post(engine, SECOND)
    (deviation,) = deviations(engine)
    assert (deviation.account_number, deviation.approved_total) == (FRENCH.account_number, None)
    assert "approve what is new" in deviation.why

    second = approve_all(engine, cycle)
    assert second.drafts == 1
    retry(engine, cycle)  # the same draft anew, under its number
    post(engine, SECOND)
    assert deviations(engine) == []


def mend_france(engine: Engine, folder: Path) -> None:
    (folder / "more").mkdir()
    rate = tax_rate_row(country="FR", rate_percent="20", valid_from="2014-01-01")
    write_csv(folder / "more" / "tax_rates.csv", [rate])
    import_directory(engine, folder / "more", now=NOW)


def test_a_draft_that_failed_otherwise_and_is_rated_the_same_needs_no_second_approval(
    engine: Engine, planned: Begin
) -> None:
    cycle = planned(ONE)
    approve_all(engine, cycle)
    begin_issue(engine, FEBRUARY)
    with transaction(engine) as connection:
        fail_item(connection, FIRST, code="pdf", reason="no paper", actor=ACTOR)
    (deviation,) = deviations(engine)
    assert (deviation.why, deviation.total) == ("no paper", deviation.approved_total)
    retry(engine, cycle)
    post(engine)
    assert deviations(engine) == []


def test_one_who_has_nothing_to_bill_any_more_differs_from_what_was_approved(
    engine: Engine, planned: Begin
) -> None:
    cycle = planned(ONE)
    approve_all(engine, cycle)
    begin_issue(engine, FEBRUARY)
    with transaction(engine) as connection:
        fail_item(connection, FIRST, code="pdf", reason="no paper", actor=ACTOR)
        for table in ("subscriptions", "usage_daily", "usage_monthly"):
            connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608
    retry(engine, cycle)
    (deviation,) = deviations(engine)
    assert (deviation.total, deviation.why) == (None, "no usage and no active subscription")


def test_a_later_approval_counts_over_an_earlier_one(engine: Engine, planned: Begin) -> None:
    approve_all(engine, cycle := planned(ONE))
    change_draft(engine, statement="due_on = due_on + 1")
    approve_all(engine, cycle)
    change_draft(engine, statement="due_on = due_on - 1")  # as the first one has it
    with pytest.raises(PlanNotApproved):
        begin_issue(engine, FEBRUARY)


def test_a_draft_behind_the_approval_holds_up_the_whole_issue(
    engine: Engine, planned: Begin, tmp_path: Path
) -> None:
    """As where a cycle broke down, was started again and found a new customer."""
    cycle = planned(ONE)
    approve_all(engine, cycle)
    seed_billing(engine, tmp_path / "new", [TWO])
    plan_all(engine, cycle)
    with pytest.raises(PlanNotApproved, match="1 of its drafts are not"):
        begin_issue(engine, FEBRUARY)


def test_an_approval_goes_with_the_plan_that_is_discarded(engine: Engine, planned: Begin) -> None:
    cycle = planned(ONE)
    approve_all(engine, cycle)
    with transaction(engine) as connection:
        discard_plan(connection, FEBRUARY, cycle.id, actor=GRETA)
        for table in (approved_drafts, cycle_approvals):
            assert connection.execute(select(table)).all() == []
    plan(engine)
    with pytest.raises(PlanNotApproved):
        begin_issue(engine, FEBRUARY)


def test_a_plan_in_the_making_is_not_approved(engine: Engine, planned: Begin) -> None:
    cycle = planned(ONE)
    digest = digest_of(engine, cycle)
    move(engine, "planning")
    with pytest.raises(Conflict, match="still being made"):
        approved(engine, digest)


def test_where_two_are_asked_for_who_made_the_plan_does_not_approve_it(
    engine: Engine, planned: Begin
) -> None:
    digest = digest_of(engine, planned(ONE))
    with pytest.raises(Conflict, match="somebody else is to approve it"):
        approved(engine, digest, by=GRETA, by_another=True)
    assert approved(engine, digest, by=HUGO, by_another=True).person == HUGO


def test_who_retries_a_plan_makes_it_too(engine: Engine, planned: Begin, tmp_path: Path) -> None:
    cycle = planned(ONE, FRENCH)
    approve_all(engine, cycle)
    begin_issue(engine, FEBRUARY)
    mend_france(engine, tmp_path)
    retry(engine, cycle, by=HUGO)
    with pytest.raises(Conflict, match=f"{HUGO} had the plan"):
        approved(engine, digest_of(engine, cycle), by=HUGO, by_another=True)


def test_who_has_a_cycle_that_runs_make_another_pass_makes_the_plan_too(
    engine: Engine, planned: Begin, tmp_path: Path
) -> None:
    """The pass is made in the name of whoever started the cycle."""
    cycle = planned(ONE, FRENCH)
    approve_all(engine, cycle)
    begin_issue(engine, FEBRUARY)
    mend_france(engine, tmp_path)
    order_retry(engine, Settings(), FEBRUARY, requested_by=HUGO)
    retry(engine, cycle, by=GRETA)
    with pytest.raises(Conflict, match=f"{HUGO} had the plan"):
        approved(engine, digest_of(engine, cycle), by=HUGO, by_another=True)


def test_a_note_may_be_asked_for(engine: Engine, planned: Begin) -> None:
    digest = digest_of(engine, planned(ONE))
    with pytest.raises(InvalidField, match="note: say why"):
        approved(engine, digest, note="  ", note_required=True)
    assert approved(engine, digest, note="It was Carnival.", note_required=True).note


def test_what_is_given_back_is_approved_with_the_drafts(engine: Engine, planned: Begin) -> None:
    """A credit note for January, whose usage was corrected below what February could bear."""
    seeded = Subscriber("1001", 60_000, month=JANUARY)
    cycle = planned(seeded)
    with transaction(engine) as connection:
        discard_plan(connection, FEBRUARY, cycle.id, actor=GRETA)
    bill_month(engine, JANUARY)
    use(engine, "1001", JANUARY, -30_000)
    cycle = plan(engine)
    digest = digest_of(engine, cycle)
    assert digest.startswith("0:1::")
    with transaction(engine) as connection:
        assert ask_for_credits(connection, cycle.id, person=GRETA) == 0
        waiting = to_approve(connection, cycle.id)
    assert {unit: str(net) for unit, net in waiting.credited.items()} == {"USD": "30.00"}
    approved(engine, digest)
    with transaction(engine) as connection:
        assert ask_for_credits(connection, cycle.id, person=GRETA) == 1


def test_a_credit_that_a_retry_plans_is_told_and_waits_for_an_approval(
    engine: Engine, planned: Begin
) -> None:
    cycle = planned(ONE)
    approve_all(engine, cycle)
    begin_issue(engine, FEBRUARY)
    post(engine)
    with transaction(engine) as connection:
        connection.execute(
            text("""
                INSERT INTO planned_credits
                    (cycle_id, customer_id, month, invoice_id, lines, credit, net, reason)
                SELECT :cycle, customer_id, '2026-01-01', id, '[]', '{"1": "3.00"}', 3.00,
                       'Usage for 2026-01, corrected'
                FROM invoices
            """),
            {"cycle": cycle.id},
        )
    (deviation,) = deviations(engine)
    assert (deviation.number, str(deviation.total)) == (FIRST, "-3.00")
    approve_all(engine, cycle)
    assert deviations(engine) == []


def test_approvals_are_not_rewritten(engine: Engine, planned: Begin) -> None:
    approve_all(engine, planned(ONE))
    for statement in (
        "UPDATE cycle_approvals SET person = 'x'",
        "UPDATE approved_drafts SET total = 0",
    ):
        with pytest.raises(Exception, match="append-only"), transaction(engine) as connection:
            connection.execute(text(statement))
