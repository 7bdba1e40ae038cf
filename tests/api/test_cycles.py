"""A billing cycle over HTTP: started, followed, paused, and refused where it must be."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import func, select, text

from storage.engine import transaction
from storage.tables import audit_log, invoices
from tests.activities.mail_server import MailServer
from tests.api.conftest import (
    CYCLES,
    FEBRUARY,
    INVOICES,
    BilledMonth,
    Product,
    assert_problem,
    until,
    working,
)
from tests.builders import KNOWN_ANSWER, Subscriber, subscribers
from workflows.ids import cycle_release_id

Seed = Callable[[Sequence[Subscriber]], None]


def rows(product: Product, query: str) -> list[Any]:
    with transaction(product.engine) as connection:
        return list(connection.execute(text(query)).scalars())


async def test_a_month_is_billed_from_the_request_to_the_close(office: Product, seed: Seed) -> None:
    seed([*subscribers(2), KNOWN_ANSWER, Subscriber("1048", 0, plans=())])
    answer = await office.http.post(CYCLES, json=FEBRUARY)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{CYCLES}/2026-02"
    assert answer.json()["period"] == "2026-02"

    cycle = await office.follow(lambda cycle: cycle["status"] == "closed")

    counts = {name: cycle[name] for name in ("customers", "issued", "skipped", "failed", "drafted")}
    assert counts == {"customers": 4, "issued": 3, "skipped": 1, "failed": 0, "drafted": 0}
    assert cycle["totals"] == [
        {
            "currency": "USD",
            "invoices": 3,
            "usage": "184.95",  # 10.00 + 11.00 + 163.95
            "subscriptions": "99.00",
            "proration": "0.00",
            "discounts": "0.00",
            "late": "0.00",
            "subtotal": "283.95",
            "tax": "53.95",  # 1.90 + 2.09 + 49.96
            "total": "337.90",
        }
    ]
    assert cycle["failures"] == []
    assert cycle["issued_on"] == "2026-03-01"
    assert cycle["workflow_url"].endswith("/workflows/billing-cycle%2F2026-02")


async def test_the_known_customer_owes_the_known_amount(billed: BilledMonth) -> None:
    (found,) = (await billed.product.get(INVOICES, params={"account_number": "1047"}))["items"]
    assert (found["subtotal"], found["tax"], found["total"]) == ("262.95", "49.96", "312.91")


async def test_cycles_are_listed(billed: BilledMonth) -> None:
    listed = await billed.product.get(CYCLES)
    assert [(cycle["period"], cycle["status"]) for cycle in listed["items"]] == [
        ("2026-02", "closed")
    ]
    assert listed["items"][0]["totals"] == billed.cycle["totals"]


async def test_cycles_come_in_pages(office: Product, seed: Seed) -> None:
    seed([KNOWN_ANSWER])
    for period in ("2026-01", "2026-02"):
        order = {"period": period, "issued_on": "2026-03-01"}
        assert (await office.http.post(CYCLES, json=order)).status_code == 202
        await office.closed(period)
    first = await office.get(CYCLES, params={"limit": 1})
    assert [cycle["period"] for cycle in first["items"]] == ["2026-02"]
    then = await office.get(CYCLES, params={"limit": 1, "cursor": first["next_cursor"]})
    assert [cycle["period"] for cycle in then["items"]] == ["2026-01"]
    assert then["next_cursor"] is None
    assert_problem(await office.http.get(f"{CYCLES}?cursor=never"), 422, "cursor")


CUSTOMERS = f"{CYCLES}/2026-02/customers"


async def test_each_customer_of_a_cycle_has_an_outcome(billed: BilledMonth) -> None:
    found = {c["account_number"]: c for c in (await billed.product.get(CUSTOMERS))["items"]}
    assert found["1047"] == {
        "account_number": "1047",
        "customer": "Brandt & Söhne 1047 GmbH",
        "payment_method": "bank_transfer",
        "outcome": "issued",
        "reason_code": "",
        "reason": "",
        "number": "INV-2026-02-0008",
        "invoice_status": "issued",
        "currency": "USD",
        "total": "312.91",
        "late_month": None,
    }
    assert found["1008"] | {"customer": ""} == {
        "account_number": "1008",
        "customer": "",
        "payment_method": "bank_transfer",
        "outcome": "skipped",
        "reason_code": "nothing_to_bill",
        "reason": "no usage and no active subscription",
        "number": None,
        "invoice_status": None,
        "currency": "USD",
        "total": None,
        "late_month": None,
    }
    assert (found["1007"]["payment_method"], found["1005"]["invoice_status"]) == ("card", "paid")


@pytest.mark.parametrize("limit", [1, 2, 8, 9, 10])
@pytest.mark.parametrize(
    ("outcome", "accounts"),
    [
        (None, [*(str(1001 + n) for n in range(8)), "1047"]),
        ("issued", [*(str(1001 + n) for n in range(7)), "1047"]),
        ("skipped", ["1008"]),
        ("failed", []),
    ],
)
async def test_pages_of_customers_lose_nothing_and_repeat_nothing(
    billed: BilledMonth, outcome: str | None, accounts: list[str], limit: int
) -> None:
    wanted: dict[str, Any] = {"limit": limit} | ({"outcome": outcome} if outcome else {})
    found: list[str] = []
    page: dict[str, Any] = {"next_cursor": ""}
    while page["next_cursor"] is not None:
        page = await billed.product.get(CUSTOMERS, params=wanted | {"cursor": page["next_cursor"]})
        assert len(page["items"]) <= limit
        found += [customer["account_number"] for customer in page["items"]]
    assert found == accounts


async def test_a_bad_outcome_is_named(billed: BilledMonth) -> None:
    answer = await billed.product.http.get(CUSTOMERS, params={"outcome": "lost"})
    assert_problem(answer, 422, "query.outcome")


async def test_a_second_request_answers_the_cycle_that_ran(billed: BilledMonth) -> None:
    again = await billed.product.http.post(CYCLES, json={**FEBRUARY, "issued_on": "2026-03-09"})
    assert again.status_code == 202
    assert again.json() == billed.cycle


async def test_fifty_requests_at_once_make_one_set_of_invoices(office: Product, seed: Seed) -> None:
    seed(subscribers(6))
    answers = await asyncio.gather(*(office.http.post(CYCLES, json=FEBRUARY) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    cycle = await office.closed()
    assert cycle["issued"] == 6
    numbers = rows(office, "SELECT number FROM invoices ORDER BY number")
    assert numbers == [f"INV-2026-02-{n:04d}" for n in range(1, 7)]
    assert rows(office, "SELECT count(*) FROM billing_cycles") == [1]


async def test_a_request_that_no_worker_took_up_yet_is_queued(product: Product, seed: Seed) -> None:
    seed([KNOWN_ANSWER])
    answer = await product.http.post(CYCLES, json=FEBRUARY)
    assert answer.status_code == 202
    assert answer.json()["status"] == "queued"
    assert answer.json()["in_flight"] is None


# --- refusals


async def test_a_period_that_is_not_over_is_refused_with_its_last_day(product: Product) -> None:
    answer = await product.http.post(CYCLES, json={"period": "2026-03"})
    assert_problem(answer, 422, "2026-03", "ends with 2026-03-31")
    assert answer.json()["type"] == "urn:billwright:period_not_over"


@pytest.mark.parametrize("period", ["2026-13", "2026-00", "2026-2", "february", "", "0026-02"])
async def test_what_is_no_month_is_refused_by_its_field(product: Product, period: str) -> None:
    answer = await product.http.post(CYCLES, json={"period": period})
    assert_problem(answer, 422, "body.period", "YYYY-MM")
    assert [error["field"] for error in answer.json()["errors"]] == ["body.period"]


@pytest.mark.parametrize("path", [f"{CYCLES}/2026-13", f"{CYCLES}/x", f"{INVOICES}?period=x"])
async def test_a_bad_month_in_the_address_is_named_too(product: Product, path: str) -> None:
    assert_problem(await product.http.get(path), 422, "period", "YYYY-MM")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**FEBRUARY, "issued_on": "1 March"}, "body.issued_on"),
        ({**FEBRUARY, "issued_on": 1772323200}, "body.issued_on"),
        ({**FEBRUARY, "issued_on": "1772323200"}, "body.issued_on"),
        ({**FEBRUARY, "issued_on": "2026-03-01T00:00:00"}, "body.issued_on"),
        ({**FEBRUARY, "hold_reminders": "maybe"}, "body.hold_reminders"),
        ({**FEBRUARY, "hold_reminders": "yes"}, "body.hold_reminders"),
        ({**FEBRUARY, "pause_before_issue": 0}, "body.pause_before_issue"),
        ({**FEBRUARY, "pause_before_issue": []}, "body.pause_before_issue"),
        ({**FEBRUARY, "send_reminders": True}, "body.send_reminders"),
        ({"issued_on": "2026-03-01"}, "body.period"),
        ({"period": 202602}, "body.period"),
        ({"period": None}, "body.period"),
        (["2026-02"], "body"),
        ("2026-02", "body"),
    ],
)
async def test_a_bad_body_is_refused_by_the_name_of_the_field(
    product: Product, body: object, field: str
) -> None:
    answer = await product.http.post(CYCLES, json=body)
    assert_problem(answer, 422, f"{field}: ")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("body", [b'{"period": ', b"\xff\xfe", b"[" * 5_000, b"9" * 5_000])
async def test_a_body_that_is_no_json_is_refused(product: Product, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await product.http.post(CYCLES, content=body, headers=headers)
    assert_problem(answer, 422, "body")
    assert [error["field"][:4] for error in answer.json()["errors"]] == ["body"]


@pytest.mark.parametrize("day", ["2026-02-28", "2026-01-01"])
async def test_invoices_cannot_be_dated_inside_their_period(product: Product, day: str) -> None:
    answer = await product.http.post(CYCLES, json={"period": "2026-02", "issued_on": day})
    assert_problem(answer, 422, "issued_on", day)


@pytest.mark.parametrize("day", ["2062-03-01", "9999-12-31"])
async def test_a_mistyped_year_is_refused(product: Product, day: str) -> None:
    answer = await product.http.post(CYCLES, json={"period": "2026-02", "issued_on": day})
    assert_problem(answer, 422, "issued_on", "check the year")


async def test_nothing_is_billed_without_a_seller(product: Product) -> None:
    answer = await product.http.post(CYCLES, json=FEBRUARY)
    assert_problem(answer, 409, "seller.json")
    assert (await product.http.get(f"{CYCLES}/2026-02")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{CYCLES}/2026-01"),
        ("GET", f"{CYCLES}/2026-01/customers"),
        ("POST", f"{CYCLES}/2026-01/retry"),
    ],
)
async def test_an_unknown_cycle_is_not_found(product: Product, method: str, path: str) -> None:
    assert_problem(await product.http.request(method, path), 404, "2026-01")


@pytest.mark.parametrize("action", ["pause", "resume"])
async def test_a_cycle_that_does_not_run_cannot_be_paused_or_resumed(
    billed: BilledMonth, action: str
) -> None:
    for period in ("2026-02", "2026-01"):
        answer = await billed.product.http.post(f"{CYCLES}/{period}/{action}")
        assert_problem(answer, 409, f"{period} is not running")


# --- pause


async def test_a_plan_can_be_read_before_anything_is_issued(
    office: Product, seed: Seed, mailbox: MailServer
) -> None:
    seed([*subscribers(2), KNOWN_ANSWER])
    await office.http.post(CYCLES, json={**FEBRUARY, "pause_before_issue": True})

    plan = await office.follow(lambda cycle: cycle["status"] == "planned" and cycle["paused"])

    assert (plan["drafted"], plan["issued"]) == (3, 0)
    assert plan["totals"][0]["total"] == "337.90"
    drafts = (await office.get(INVOICES, params={"status": "draft"}))["items"]
    assert [(draft["number"], draft["total"]) for draft in drafts] == [
        ("INV-2026-02-0001", "11.90"),
        ("INV-2026-02-0002", "13.09"),
        ("INV-2026-02-0003", "312.91"),
    ]
    assert {draft["open_amount"] for draft in drafts} == {"0.00"}
    assert_problem(await office.http.get(f"{INVOICES}/INV-2026-02-0003/pdf"), 404, "issued")
    timeline = await office.http.get(f"{INVOICES}/INV-2026-02-0003/timeline")
    assert timeline.json() == []

    resumed = await office.http.post(f"{CYCLES}/2026-02/resume")
    assert resumed.status_code == 200
    assert resumed.json()["paused"] is False
    issued = await office.closed()
    assert (issued["issued"], issued["drafted"]) == (3, 0)
    assert issued["totals"] == plan["totals"]


async def test_a_paused_cycle_begins_no_customer_until_it_is_resumed(
    product: Product, seed: Seed, mailbox: MailServer
) -> None:
    seed(subscribers(3))
    await product.http.post(CYCLES, json=FEBRUARY)
    assert (await product.http.post(f"{CYCLES}/2026-02/pause")).status_code == 200
    async with working(product, mailbox):
        waiting = await product.follow(lambda cycle: cycle["status"] == "planned")
        assert (waiting["paused"], waiting["in_flight"], waiting["issued"]) == (True, [], 0)
        await product.http.post(f"{CYCLES}/2026-02/resume")
        assert (await product.closed())["issued"] == 3


async def test_the_audit_log_tells_who_pressed_the_button(billed: BilledMonth) -> None:
    with transaction(billed.product.engine) as connection:
        told = connection.execute(
            select(audit_log.c.event, audit_log.c.actor)
            .where(audit_log.c.subject_kind == "cycle")
            .order_by(audit_log.c.id)
        ).all()
        issued = connection.execute(
            select(func.count()).select_from(invoices).where(invoices.c.status != "draft")
        ).scalar_one()
    assert [tuple(row) for row in told] == [
        (event, "the finance key") for event in ("opened", "planned", "issuing", "closed")
    ]
    assert issued == billed.cycle["issued"]


# --- held reminders


async def test_held_reminders_go_on_when_the_cycle_is_released(office: Product, seed: Seed) -> None:
    seed(subscribers(3))
    await office.bill(hold_reminders=True)
    numbers = [f"INV-2026-02-{n:04d}" for n in (1, 2, 3)]
    held = [await office.get(f"{INVOICES}/{number}") for number in numbers]
    assert {(i["on_hold"], i["next_step"]["what"]) for i in held} == {(True, "overdue")}

    answer = await office.http.post(f"{CYCLES}/2026-02/release")
    assert answer.status_code == 202
    assert answer.json()["hold_reminders"] is True
    await until(
        lambda: rows(office, "SELECT DISTINCT on_hold FROM invoices") == [False],
    )

    assert (await office.get(f"{CYCLES}/2026-02"))["hold_reminders"] is False
    told = rows(office, "SELECT actor FROM audit_log WHERE event = 'released' ORDER BY id")
    assert told == ["the finance key"] * 3
    again = await office.http.post(f"{CYCLES}/2026-02/release")
    assert again.status_code == 202
    await office.temporal.get_workflow_handle(cycle_release_id("2026-02")).result()
    assert len(rows(office, "SELECT id FROM instructions")) == 3


async def test_a_cycle_that_is_not_there_is_not_released(product: Product) -> None:
    assert_problem(await product.http.post(f"{CYCLES}/2026-01/release"), 404, "2026-01")
