"""The month whose turn it is, by the cycles that there are."""

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Engine

from activities.monthly_billing import MonthlyBillingActivities
from domain.errors import Conflict, NoFirstMonth
from domain.monthly_billing import MonthlyRule
from domain.periods import BillingPeriod
from storage.cycles import load_cycle, move_cycle, open_cycle
from storage.discarding import discard_plan
from storage.engine import transaction
from storage.monthly_billing import next_month
from tests.builders import ACTOR, FEBRUARY, KNOWN_ANSWER
from tests.storage.conftest import OpenCycle
from workflows.contracts.cycle import CycleOrder
from workflows.contracts.monthly_billing import DueMonth, DueMonthOrder, MonthlyBillingOrder

MARCH = FEBRUARY.next()
ORDER = MonthlyBillingOrder(MonthlyRule(starts=FEBRUARY), terms_days=14, customers_per_page=7)
ISSUED_ON = date(2026, 5, 20)


def due(engine: Engine, today: date, order: MonthlyBillingOrder = ORDER) -> DueMonth:
    return MonthlyBillingActivities(engine).find_due_month(DueMonthOrder(order, today))


def close(engine: Engine, period: BillingPeriod = FEBRUARY) -> None:
    with transaction(engine) as connection:
        move_cycle(connection, period, "closed", actor=ACTOR)


def test_a_month_of_an_outage_is_billed_with_the_date_of_its_issue(
    engine: Engine, february: OpenCycle
) -> None:
    february(KNOWN_ANSWER)
    close(engine)
    found = due(engine, ISSUED_ON)
    assert found == DueMonth(
        CycleOrder(
            "2026-03",
            ISSUED_ON,
            dated_by_issue=True,
            terms_days=14,
            customers_per_page=7,
            requested_by="monthly-billing",
        )
    )
    assert due(engine, date(2026, 3, 31)) == DueMonth()


def test_a_month_that_was_left_out_is_not_filled_in(engine: Engine, february: OpenCycle) -> None:
    february(KNOWN_ANSWER)
    close(engine)
    with transaction(engine) as connection:
        open_cycle(
            connection,
            MARCH.next(),
            issued_on=ISSUED_ON,
            terms_days=30,
            hold_reminders=False,
            actor=ACTOR,
        )
    close(engine, MARCH.next())
    found = due(engine, date(2026, 6, 1))
    assert found.cycle is not None
    assert found.cycle.period == "2026-05"


def test_where_plans_are_to_be_approved_a_month_waits_for_it(
    engine: Engine, february: OpenCycle
) -> None:
    february(KNOWN_ANSWER)
    close(engine)
    found = due(engine, ISSUED_ON, replace(ORDER, approval_required=True)).cycle
    assert found is not None
    assert (found.approval_required, found.pause_before_issue) == (True, True)


@pytest.mark.parametrize("issue_began", [False, True])
def test_a_cycle_that_was_begun_is_taken_up_on_its_own_terms(
    engine: Engine, february: OpenCycle, *, issue_began: bool
) -> None:
    february(KNOWN_ANSWER)
    close(engine)
    with transaction(engine) as connection:
        open_cycle(
            connection,
            MARCH,
            issued_on=date(2026, 4, 9),
            terms_days=20,
            hold_reminders=True,
            pause_before_issue=True,
            actor=ACTOR,
        )
        if issue_began:
            move_cycle(connection, MARCH, "issuing", actor=ACTOR)
    found = due(engine, ISSUED_ON).cycle
    assert found is not None
    assert (found.period, found.issued_on, found.terms_days) == ("2026-03", date(2026, 4, 9), 20)
    assert found.hold_reminders
    assert found.pause_before_issue is not issue_began


def test_a_discarded_plan_is_the_persons_who_discarded_it(
    engine: Engine, february: OpenCycle
) -> None:
    cycle = february(KNOWN_ANSWER)
    with transaction(engine) as connection:
        discard_plan(connection, FEBRUARY, cycle.id, actor="Greta Finance")
    waiting = due(engine, ISSUED_ON)
    assert waiting.cycle is None
    assert waiting.waits == "The plan of 2026-02 was discarded; start the month again."
    elsewhere = replace(ORDER, rule=MonthlyRule(starts=MARCH))
    passed_over = due(engine, ISSUED_ON, elsewhere).cycle
    assert passed_over is not None
    assert passed_over.period == "2026-03"
    with transaction(engine) as connection:
        open_cycle(
            connection,
            FEBRUARY,
            issued_on=ISSUED_ON,
            terms_days=30,
            hold_reminders=False,
            actor=ACTOR,
        )
        again = next_month(connection, ORDER.rule)
        assert (again.period, again.cycle) == (FEBRUARY, load_cycle(connection, FEBRUARY))
        assert again.waits == ""


def test_nothing_is_billed_by_itself_before_there_is_a_first_month_and_a_seller(
    engine: Engine,
) -> None:
    with pytest.raises(NoFirstMonth, match="BILLWRIGHT_BILLING_STARTS"):
        due(engine, ISSUED_ON, MonthlyBillingOrder())
    with pytest.raises(Conflict, match="seller"):
        due(engine, ISSUED_ON)
