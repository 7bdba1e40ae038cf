"""Months billed by themselves, on a server that keeps schedules, and what the API tells of them."""

import itertools
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from temporalio.client import ScheduleActionStartWorkflow, ScheduleOverlapPolicy
from temporalio.service import RPCError

from domain.monthly_billing import MonthlyRule
from domain.periods import BillingPeriod, BusinessCalendar
from settings import Settings
from storage.cycles import find_cycle, move_cycle, open_cycle
from storage.engine import transaction
from tests.api.conftest import CYCLES, INVOICES, Json, Product, until
from tests.api.test_failed_customers import Seed
from tests.builders import ACTOR, FEBRUARY, FRENCH, Subscriber
from workflows.contracts.monthly_billing import BilledMonths, MonthlyBillingOrder
from workflows.ids import MONTHLY_BILLING
from workflows.monthly_billing import MonthlyBilling
from workflows.schedules import keep_billing, stop_billing

NEXT = "/api/billing/next-cycle"
BERLIN = BusinessCalendar("Europe/Berlin")


def last_but_one() -> BillingPeriod:
    return BillingPeriod.of(datetime.now(UTC).date()).previous().previous()


async def triggered(product: Product, runs: int) -> BilledMonths:
    """What the schedule's run gave, started now; `runs`: how many there are then."""
    schedule = product.temporal.get_schedule_handle(MONTHLY_BILLING)
    await schedule.trigger()
    while len(actions := (await schedule.describe()).info.recent_actions) < runs:
        pass
    run = actions[-1].action
    handle = product.temporal.get_workflow_handle_for(
        MonthlyBilling.run,
        run.workflow_id,  # type: ignore[union-attr]
    )
    return await handle.result()


async def test_what_was_missed_is_billed_in_order_and_due_a_whole_term_after_its_issue(
    office: Product, seed: Seed
) -> None:
    seed(
        [Subscriber("1001", 0, ("premium-support",)), replace(FRENCH, flat_plans=("dedicated-ip",))]
    )
    first = last_but_one()
    with transaction(office.engine) as connection:
        connection.execute(
            text("""
                INSERT INTO plan_prices
                    (plan_id, currency, version, valid_from, unit_price, charges)
                SELECT plan_id, price.currency, 2, :day, 120, charges FROM plan_prices price
                JOIN pricing_plans plan ON plan.id = plan_id WHERE plan.code = 'premium-support'
            """),
            {"day": first.end},
        )
    rule = MonthlyRule(day=1, starts=first)
    await keep_billing(
        office.temporal, MonthlyBillingOrder(rule), task_queue=office.settings.task_queue
    )
    billed = await triggered(office, 1)
    cycles = (await office.get(CYCLES))["items"][::-1]
    issued_on = date.fromisoformat(cycles[0]["issued_on"])
    assert datetime.now(UTC).date() - issued_on <= timedelta(days=1)
    months = [str(period) for period in rule.missed(None, issued_on)]
    assert months[:2] == [str(first), str(first.next())]
    assert [cycle.period for cycle in billed.closed] == months
    assert [(cycle.issued, cycle.failed) for cycle in billed.closed] == [(1, 1)] * len(months)
    assert [cycle["period"] for cycle in cycles] == months
    assert {cycle["issued_on"] for cycle in cycles} == {str(issued_on)}
    assert [cycle["totals"][0]["subtotal"] for cycle in cycles][:2] == ["99.00", "120.00"]
    for earlier, later in itertools.pairwise(cycles):
        assert earlier["closed_at"] <= later["started_at"]
    for month in months:
        invoice = await office.get(f"{INVOICES}/INV-{month}-0001")
        assert invoice["due_on"] == str(issued_on + timedelta(days=30))

    again = await triggered(office, 2)
    assert {cycle.period for cycle in again.closed}.isdisjoint(months)


async def test_the_schedule_looks_each_day_at_its_time_in_the_sellers_zone(
    product: Product,
) -> None:
    queue = product.settings.task_queue
    for rule in (MonthlyRule(), MonthlyRule(day=3, at=time(7, 30), starts=BillingPeriod(2026, 2))):
        order = MonthlyBillingOrder(rule, BERLIN, pause_before_issue=True)
        await keep_billing(product.temporal, order, task_queue=queue)
    handle = product.temporal.get_schedule_handle(MONTHLY_BILLING)
    described = await handle.describe()
    schedule = described.schedule
    (spec,) = schedule.spec.calendars
    assert ([r.start for r in spec.hour], [r.start for r in spec.minute]) == ([7], [30])
    assert schedule.spec.time_zone_name == "Europe/Berlin"
    looks = [
        look.astimezone(ZoneInfo(BERLIN.time_zone)) for look in described.info.next_action_times
    ]
    assert {look.time() for look in looks} == {time(7, 30)}
    assert [later.date() - look.date() for look, later in itertools.pairwise(looks)] == [
        timedelta(days=1)
    ] * (len(looks) - 1)
    assert schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    assert schedule.action.workflow == "MonthlyBilling"
    orders = await product.temporal.data_converter.decode(
        schedule.action.args, [MonthlyBillingOrder]
    )
    assert orders == [order]

    await handle.pause(note="while we move")
    await keep_billing(product.temporal, order, task_queue=queue)
    assert (await handle.describe()).schedule.state.paused


async def test_switched_off_the_schedule_goes_and_a_run_that_waits_begins_no_other_month(
    office: Product, seed: Seed
) -> None:
    seed([Subscriber("1001", 0, ("premium-support",))])
    await stop_billing(office.temporal)  # there is none
    order = MonthlyBillingOrder(MonthlyRule(starts=last_but_one()), pause_before_issue=True)
    await keep_billing(office.temporal, order, task_queue=office.settings.task_queue)
    schedule = office.temporal.get_schedule_handle(MONTHLY_BILLING)
    await schedule.trigger()
    first = str(last_but_one())
    await until(lambda: begun(office, last_but_one()))
    await office.follow(lambda cycle: bool(cycle["paused"]), first)
    await stop_billing(office.temporal)
    with pytest.raises(RPCError, match="not found"):
        await schedule.describe()
    await office.http.post(f"{CYCLES}/{first}/resume")
    await office.closed(first)
    assert [cycle["period"] for cycle in (await office.get(CYCLES))["items"]] == [first]


def begun(product: Product, period: BillingPeriod) -> bool:
    with transaction(product.engine) as connection:
        return find_cycle(connection, period) is not None


def automatic(product: Product, **settings: Any) -> None:
    state = product.app.state
    by_itself = {"bill_automatically": True, "day_seconds": None, **settings}
    state.services = replace(state.services, settings=product.settings.model_copy(update=by_itself))


async def test_it_is_told_when_the_next_month_is_billed_by_itself(books: Product) -> None:
    assert (await books.get(NEXT))["automatic"] is False
    automatic(books)
    assert "BILLWRIGHT_BILLING_STARTS" in (await books.get(NEXT))["waits"]
    automatic(books, billing_starts="2026-02", billing_day=5)
    assert await books.get(NEXT) == told("2026-02", "2026-03-05T06:00:00Z")
    automatic(books, billing_starts="2025-12")  # now is 1 March, 08:00
    assert await books.get(NEXT) == told(
        "2025-12", "2026-03-02T06:00:00Z", missed=["2025-12", "2026-01", "2026-02"]
    )
    automatic(books, seller_time_zone="Europe/Berlin")
    with transaction(books.engine) as connection:
        open_cycle(
            connection,
            FEBRUARY,
            issued_on=date(2026, 3, 1),
            terms_days=30,
            hold_reminders=False,
            actor=ACTOR,
        )
    assert (await books.get(NEXT))["waits"] == "2026-02 is not closed; the next month follows it."
    with transaction(books.engine) as connection:
        move_cycle(connection, FEBRUARY, "closed", actor=ACTOR)
    assert await books.get(NEXT) == told("2026-03", "2026-04-01T04:00:00Z")


def test_a_demonstrations_days_are_not_billed_by_the_real_calendar() -> None:
    with pytest.raises(ValidationError, match="BILLWRIGHT_DAY_SECONDS"):
        Settings(bill_automatically=True, day_seconds=60)


def told(period: str, at: str, *, missed: list[str] | None = None) -> Json:
    return {"automatic": True, "period": period, "at": at, "missed": missed or [], "waits": ""}
