"""A plan that was read and found wrong: discarded, mended, and made once more."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from api.cycle_orders import order_discard
from storage.engine import transaction
from tests.activities.mail_server import MailServer
from tests.api.conftest import (
    CYCLES,
    FEBRUARY,
    INVOICES,
    BilledMonth,
    Json,
    Product,
    assert_problem,
    working,
)
from tests.api.master_data import PLANS, SUBSCRIPTIONS, TAX_RATES, plan_february, post
from tests.builders import KNOWN_ANSWER, Subscriber, subscribers
from workflows.ids import billing_cycle_id

Seed = Callable[[Sequence[Subscriber]], None]
TO_BE_READ = {**FEBRUARY, "pause_before_issue": True}
MONTH = f"{CYCLES}/2026-02"
DISCARD, RETRY, RESUME = f"{MONTH}/discard", f"{MONTH}/retry", f"{MONTH}/resume"
WAITS = "The plan of 2026-02 waits to be issued; resume issues it, discard throws it away."


async def plan_to_be_read(product: Product, **order: Any) -> Json:
    answer = await product.http.post(CYCLES, json={**TO_BE_READ, **order})
    assert answer.status_code == 202, answer.text
    return await product.follow(lambda cycle: cycle["status"] == "planned" and cycle["paused"])


async def discard(product: Product) -> Json:
    answer = await product.http.post(DISCARD)
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


async def drafts(product: Product) -> list[Json]:
    found: list[Json] = (await product.get(INVOICES, params={"period": "2026-02"}))["items"]
    return found


def change(product: Product, statement: str) -> None:
    with transaction(product.engine) as connection:
        connection.execute(text(statement))


async def test_a_wrong_plan_is_discarded_mended_and_issued(
    office: Product, seed: Seed, mailbox: MailServer
) -> None:
    seed([*subscribers(2), KNOWN_ANSWER])
    await plan_to_be_read(office)
    read = await drafts(office)
    rate = {"country": "DE", "rate_percent": "16", "name": "VAT", "valid_from": "2026-02-01"}
    new = {"account_number": "1001", "plan_code": "dedicated-ip", "starts_on": "2026-02-01"}
    refusal = "2026-02 is planned already ({}); discard the plan first"
    for path, body, planned_as in (
        (TAX_RATES, {**rate, "ends_previous": True}, "INV-2026-02-0001"),
        (SUBSCRIPTIONS, {**new, "quantity": 1}, "INV-2026-02-0001"),
    ):
        answer = await office.http.post(path, json=body)
        assert_problem(answer, 409, refusal.format(planned_as), "2026-03-01")
        assert "credit note" not in answer.json()["detail"]

    assert await discard(office) == {"period": "2026-02", "drafts": 3}

    assert_problem(
        await office.http.get(MONTH),
        404,
        "There is no billing cycle for 2026-02; start it first.",
    )
    assert await drafts(office) == []
    assert (await office.get(CYCLES))["items"] == []
    await post(office, TAX_RATES, {**rate, "ends_previous": True})
    await post(office, SUBSCRIPTIONS, {**new, "quantity": 1})
    plan = await plan_to_be_read(office, issued_on="2026-03-09", hold_reminders=True)
    assert (plan["issued_on"], plan["hold_reminders"], plan["drafted"]) == ("2026-03-09", True, 3)
    assert (await office.http.post(RESUME)).status_code == 200
    cycle = await office.closed()
    assert (cycle["issued"], cycle["failed"]) == (3, 0)
    issued = {invoice["number"]: invoice for invoice in await drafts(office)}
    assert sorted(issued) == sorted(invoice["number"] for invoice in read)
    assert issued["INV-2026-02-0001"]["subscriptions"] == "49.00"
    assert (issued["INV-2026-02-0003"]["tax"], issued["INV-2026-02-0003"]["total"]) == (
        "42.07",  # 16 % of 262.95
        "305.02",
    )
    assert {invoice["issued_on"] for invoice in issued.values()} == {"2026-03-09"}


async def test_the_same_data_give_the_same_plan_again(office: Product, seed: Seed) -> None:
    seed([*subscribers(2), KNOWN_ANSWER])
    first = await plan_to_be_read(office)
    read = await drafts(office)
    await discard(office)
    again = await plan_to_be_read(office)
    assert await drafts(office) == read
    assert again["totals"] == first["totals"]


async def test_the_audit_log_tells_who_discarded_what(office: Product, seed: Seed) -> None:
    seed(subscribers(2))
    await plan_to_be_read(office)
    await discard(office)
    asked = {"subject_kind": "cycle", "subject": "2026-02"}
    entries = (await office.get("/api/billing/audit", params=asked))["items"]
    (entry,) = [entry for entry in entries if entry["event"] == "discarded"]
    assert (entry["actor"], entry["from_state"], entry["details"]["drafts"]) == (
        "the finance key",
        "planned",
        2,
    )


async def test_a_plan_whose_workflow_broke_down_is_discarded_too(
    office: Product, seed: Seed
) -> None:
    seed(subscribers(2))
    await plan_to_be_read(office)
    await office.temporal.get_workflow_handle(billing_cycle_id("2026-02")).terminate("a mistake")
    assert await discard(office) == {"period": "2026-02", "drafts": 2}
    assert (await office.http.get(MONTH)).status_code == 404
    assert (await plan_to_be_read(office))["drafted"] == 2


async def test_what_is_issued_is_not_discarded(billed: BilledMonth) -> None:
    answer = await billed.product.http.post(DISCARD)
    assert_problem(answer, 409, "8 invoices of 2026-02 are issued; credit or void what is wrong.")
    assert await billed.product.get(MONTH) == billed.cycle


async def test_a_month_that_was_closed_meanwhile_is_not_taken_up_to_be_discarded(
    office: Product, seed: Seed
) -> None:
    seed(subscribers(1))
    await office.bill()
    change(office, "UPDATE billing_cycles SET issue_began_at = NULL")  # as it was when read
    assert_problem(await office.http.post(DISCARD), 409, "2026-02 is closed")
    assert (await office.get(MONTH))["status"] == "closed"


async def test_what_the_workflow_refuses_is_told_with_its_reason(
    office: Product, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(subscribers(1))
    await plan_to_be_read(office)

    def then_it_began(*args: Any, **options: Any) -> Any:
        found = order_discard(*args, **options)
        change(office, "UPDATE billing_cycles SET issue_began_at = now()")
        return found

    monkeypatch.setattr("api.cycles.order_discard", then_it_began)
    assert_problem(await office.http.post(DISCARD), 409, "The issue of 2026-02 has begun")
    await office.http.post(RESUME)
    assert (await office.closed())["issued"] == 1


async def test_only_a_cycle_that_is_there_is_discarded(product: Product) -> None:
    assert_problem(await product.http.post(DISCARD), 404, "no billing cycle for 2026-02")


async def test_without_a_worker_nobody_waits_for_ever(
    product: Product, seed: Seed, mailbox: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(subscribers(1))
    async with working(product, mailbox):
        await plan_to_be_read(product)
    monkeypatch.setattr("api.cycles._DISCARD_SECONDS", 0.2)
    assert_problem(await product.http.post(DISCARD), 409, "not discarded yet", "no worker")


# --- other orders for a month that is planned


async def test_another_order_than_the_plans_is_refused_by_what_differs(
    office: Product, seed: Seed
) -> None:
    seed(subscribers(1))
    plan = await plan_to_be_read(office)
    for order, words in (
        ({"issued_on": "2026-03-09"}, "where issued_on is 2026-03-01, not 2026-03-09;"),
        ({"hold_reminders": True}, "where hold_reminders is false, not true;"),
        ({"pause_before_issue": False}, "where pause_before_issue is true, not false;"),
    ):
        answer = await office.http.post(CYCLES, json={**TO_BE_READ, **order})
        assert_problem(answer, 409, "2026-02 is planned already", words, "discard the plan first")
    other = {**TO_BE_READ, "issued_on": "2026-03-09", "hold_reminders": True}
    assert_problem(
        await office.http.post(CYCLES, json=other),
        409,
        "issued_on is 2026-03-01, not 2026-03-09 and hold_reminders is false, not true",
    )
    for same in (TO_BE_READ, {"period": "2026-02", "pause_before_issue": True}):
        again = await office.http.post(CYCLES, json=same)
        assert again.status_code == 202
        assert again.json() == plan


async def test_a_date_is_not_given_to_a_plan_that_is_dated_by_its_issue(
    office: Product, seed: Seed
) -> None:
    """It would be dated otherwise all the same, however well the date fits on the day itself."""
    seed(subscribers(1))
    order = {"period": "2026-02", "pause_before_issue": True}
    assert (await office.http.post(CYCLES, json=order)).status_code == 202
    plan = await office.follow(lambda cycle: cycle["status"] == "planned" and cycle["paused"])
    assert plan["dated_by_issue"]
    answer = await office.http.post(CYCLES, json={**order, "issued_on": plan["issued_on"]})
    words = f"issued_on is the day of the issue, not {plan['issued_on']}"
    assert_problem(answer, 409, "2026-02 is planned already", words)
    assert (await office.http.post(CYCLES, json=order)).status_code == 202


async def test_a_cycle_that_has_begun_to_issue_answers_any_order(billed: BilledMonth) -> None:
    other = {"period": "2026-02", "issued_on": "2026-03-09", "hold_reminders": True}
    again = await billed.product.http.post(CYCLES, json=other)
    assert again.status_code == 202
    assert again.json() == billed.cycle


# --- retry of a plan


async def test_a_plan_that_waits_is_not_retried(office: Product, seed: Seed) -> None:
    seed([Subscriber("1001"), Subscriber("1002", plans=())])
    await plan_to_be_read(office)
    assert_problem(await office.http.post(RETRY), 409, WAITS)
    seed([Subscriber("1003")])  # would have been billed unread by the retry
    await office.http.post(RESUME)
    cycle = await office.closed()
    assert (cycle["issued"], cycle["failed"], cycle["customers"]) == (1, 1, 2)


async def test_a_plan_that_was_paused_is_not_retried(
    product: Product, seed: Seed, mailbox: MailServer
) -> None:
    seed(subscribers(2))
    await product.http.post(CYCLES, json=FEBRUARY)
    await product.http.post(f"{MONTH}/pause")
    async with working(product, mailbox):
        await product.follow(lambda cycle: cycle["status"] == "planned" and cycle["paused"])
        assert_problem(await product.http.post(RETRY), 409, WAITS)
        await product.http.post(RESUME)
        assert (await product.closed())["issued"] == 2


# --- many at once


async def test_discards_and_a_resume_at_once_leave_a_plan_or_invoices(
    office: Product, seed: Seed
) -> None:
    seed(subscribers(4))
    await plan_to_be_read(office)
    _, *discarded = await asyncio.gather(
        *(office.http.post(path) for path in (RESUME, DISCARD, DISCARD, DISCARD))
    )
    if (await office.http.get(MONTH)).status_code == 404:
        assert {answer.status_code for answer in discarded} <= {200, 404}
        assert await drafts(office) == []
    else:
        assert {answer.status_code for answer in discarded} == {409}
        assert (await office.closed())["issued"] == 4


# --- a month only planned, without workflows


async def test_a_price_of_a_planned_month_waits_for_the_discard(
    books: Product, tmp_path: Path
) -> None:
    plan_february(books, tmp_path / "files", [KNOWN_ANSWER])
    price = {"currency": "USD", "unit_price": "120.00", "valid_from": "2026-02-01"}
    path = f"{PLANS}/premium-support/prices"
    planned = "2026-02 is planned already (the cycle of 2026-02); discard the plan first"
    assert_problem(await books.http.post(path, json=price), 409, planned)
    change(books, "UPDATE billing_cycles SET issue_began_at = now()")
    billed = "2026-02 is billed already (the cycle of 2026-02)"
    assert_problem(await books.http.post(path, json=price), 409, billed, "credit note")


async def test_an_older_systems_invoice_of_a_planned_month_is_billed(
    books: Product, tmp_path: Path
) -> None:
    plan_february(books, tmp_path / "files", subscribers(2))
    change(books, "UPDATE invoices SET cycle_id = NULL WHERE number = 'INV-2026-02-0001'")
    rate = {"country": "DE", "rate_percent": "16", "name": "VAT", "valid_from": "2026-02-01"}
    answer = await books.http.post(TAX_RATES, json={**rate, "ends_previous": True})
    assert_problem(answer, 409, "2026-02 is billed already (INV-2026-02-0001)")
