"""A plan's preview over HTTP, and the approval without which nothing of it is issued."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError

from api.cycle_orders import order_cycle
from storage.access import Role
from storage.cycles import move_cycle
from storage.engine import transaction
from storage.importing.directory import import_directory
from tests.api.conftest import CYCLES, FEBRUARY, Json, Product, assert_problem, bearer
from tests.api.test_failed_customers import mend
from tests.builders import (
    ACTOR,
    FRENCH,
    NOW,
    Subscriber,
    invoice_row,
    open_february,
    plan_all,
    tax_rate_row,
    write_billing_files,
    write_csv,
)
from tests.builders import FEBRUARY as MONTH
from workflows.billing_cycle import BillingCycle
from workflows.ids import billing_cycle_id

Seed = Callable[[Sequence[Subscriber]], None]
CYCLE = f"{CYCLES}/2026-02"
PREVIEW = f"{CYCLE}/preview"
ONE = Subscriber("1001", 20_000)  # 10.00 and 1.90 of tax


async def planned(product: Product, **order: Any) -> Json:
    """Starts February and follows it to where its plan waits."""
    answer = await product.http.post(CYCLES, json={**FEBRUARY, **order})
    assert answer.status_code == 202, answer.text
    return await product.follow(lambda cycle: cycle["status"] == "planned" and cycle["paused"])


async def approve(product: Product, note: str = "") -> Json:
    digest = (await product.get(PREVIEW))["to_approve"]["digest"]
    answer = await product.http.post(f"{CYCLE}/approve", json={"digest": digest, "note": note})
    assert answer.status_code == 200, answer.text
    approval: Json = answer.json()
    return approval


async def test_a_plan_is_issued_once_it_is_approved_and_in_no_other_way(
    office: Product, seed: Seed
) -> None:
    seed([ONE, Subscriber("1002", 60_000)])
    cycle = await planned(office, approval_required=True)
    assert (cycle["approval_required"], cycle["approvals"]) == (True, [])
    assert_problem(await office.http.post(f"{CYCLE}/resume"), 409, "is to be approved", "2 of its")
    assert_problem(await office.http.post(f"{CYCLE}/retry"), 409, "waits to be issued")

    # nor by a signal that goes past the API
    handle = office.temporal.get_workflow_handle(billing_cycle_id("2026-02"))
    await handle.signal(BillingCycle.resume)
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    cycle = await planned(office, approval_required=True)
    assert (cycle["drafted"], cycle["issued"]) == (2, 0)

    preview = await office.get(PREVIEW)
    assert preview["to_approve"] | {"digest": ""} == {
        "drafts": 2,
        "totals": [{"currency": "USD", "amount": "71.40"}],
        "credits": 0,
        "credited": [],
        "digest": "",
        "note_required": False,
    }
    other = await office.http.post(f"{CYCLE}/approve", json={"digest": "1:0:11.90USD:abc"})
    assert_problem(
        other, 409, "1 draft over 11.90 USD when you read it", "2 drafts over 71.40 USD now"
    )
    approval = await approve(office, "as agreed")
    assert (approval["person"], approval["drafts"]) == ("the finance key", 2)
    assert (await office.http.post(f"{CYCLE}/resume")).status_code == 200

    cycle = await office.closed()
    assert (cycle["issued"], cycle["deviations"], cycle["approvals"]) == (2, [], [approval])
    assert (await office.get(PREVIEW))["to_approve"]["drafts"] == 0


async def test_what_a_retry_brings_waits_for_another_approval(
    office: Product, seed: Seed, tmp_path: Path
) -> None:
    seed([ONE, FRENCH])
    await planned(office, approval_required=True)
    await approve(office)
    assert (await office.http.post(f"{CYCLE}/resume")).status_code == 200
    assert (await office.closed())["issued"] == 1
    rate = tax_rate_row(country="FR", rate_percent="20", valid_from="2014-01-01")
    mend(office, tmp_path, lambda files: write_csv(files / "tax_rates.csv", [rate]))

    cycle = await office.retry()

    (failure,) = cycle["failures"]
    assert (cycle["issued"], failure["reason_code"]) == (1, "not_approved")
    assert cycle["deviations"] == [
        {
            "account_number": FRENCH.account_number,
            "number": "INV-2026-02-0002",
            "approved_currency": None,
            "approved_total": None,
            "currency": "USD",
            "total": "196.74",
            "why": failure["reason"],
        }
    ]
    assert (await approve(office))["drafts"] == 1
    cycle = await office.retry()
    assert (cycle["issued"], cycle["failed"], cycle["deviations"]) == (2, 0, [])
    assert [approval["drafts"] for approval in cycle["approvals"]] == [1, 1]


@pytest.fixture
def plan(books: Product, tmp_path: Path) -> Product:
    """February planned, without a workflow: 1001 is as ever, 1002 uses less, 1003 is new, 1004 has
    left, 1005 has no tax rate.
    """
    files = tmp_path / "files"
    customers = [
        Subscriber("1001", 247_891, ("premium-support",)),
        Subscriber("1002", 20_000),
        Subscriber("1003", 150_000),
        Subscriber("1004", 0, plans=()),
        Subscriber("1005", columns={"country": "FR"}),
    ]
    write_billing_files(files, customers)
    history = [
        invoice_row(f"INV-2026-01-{n:04d}", account_number=account, **amounts)
        for n, (account, amounts) in enumerate(
            {
                "1001": {"usage": "163.95", "proration": "0.00", "tax": "49.96",
                         "total": "312.91", "amount_paid": "312.91"},
                "1002": {},
                "1004": {},
            }.items(),
            start=1,
        )
    ]  # fmt: skip
    write_csv(files / "invoices.csv", history)
    import_directory(books.engine, files, now=NOW)
    plan_all(books.engine, open_february(books.engine, tmp_path / "again", customers))
    with transaction(books.engine) as connection:
        move_cycle(connection, MONTH, "planned", actor=ACTOR)
    return books


async def test_a_preview_tells_what_stands_out_with_figures(plan: Product) -> None:
    preview = await plan.get(PREVIEW)
    assert [
        (it["kind"], it["account_number"], it["before"], it["now"], it["percent"])
        for it in preview["findings"]
    ] == [
        ("failed", "1005", None, None, None),
        ("gone", "1004", "180.00", None, "-100.0"),
        ("drop", "1002", "180.00", "10.00", "-94.4"),
        ("new", "1003", None, "115.00", None),
    ]
    assert preview["counts"] == {"failed": 1, "gone": 1, "drop": 1, "new": 1}
    assert (preview["compared_with"], preview["customers"], preview["customers_before"]) == (
        *("2026-01", 3, 3),
    )
    (usd,) = preview["totals"]
    assert (usd["before"]["total"], usd["now"]["total"], usd["difference"], usd["percent"]) == (
        *("741.31", "461.66", "-279.65", "-37.7"),
    )
    assert [(it["kind"], it["unit"], it["percent"]) for it in preview["whole"]] == [
        ("total_fell", "USD", "-37.7")
    ]
    assert preview["to_approve"]["note_required"]
    assert preview["approval_required"] is False


async def test_findings_come_in_pages_and_by_kind(plan: Product) -> None:
    first = await plan.get(PREVIEW, params={"limit": 3})
    then = await plan.get(PREVIEW, params={"limit": 3, "cursor": first["next_cursor"]})
    found = [it["kind"] for it in first["findings"] + then["findings"]]
    assert (found, then["next_cursor"]) == (["failed", "gone", "drop", "new"], None)
    drops = await plan.get(PREVIEW, params={"kind": "drop"})
    assert [it["account_number"] for it in drops["findings"]] == ["1002"]
    assert drops["counts"] == first["counts"]
    assert_problem(await plan.http.get(PREVIEW, params={"kind": "odd"}), 422, "query.kind")


async def test_findings_are_a_file_too(plan: Product) -> None:
    answer = await plan.http.get(PREVIEW, params={"format": "csv"})
    assert answer.headers["content-disposition"] == 'attachment; filename="preview-2026-02.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert [(row["kind"], row["account_number"], row["difference"]) for row in rows] == [
        ("failed", "1005", ""),
        ("gone", "1004", "-180.00"),
        ("drop", "1002", "-170.00"),
        ("new", "1003", "115.00"),
    ]


async def test_each_customer_comes_with_the_lines_of_the_draft(plan: Product) -> None:
    page = await plan.get(f"{PREVIEW}/customers", params={"limit": 2})
    known = page["items"][0]
    assert (known["total"], known["before"]) == (
        "312.91",
        {"number": "INV-2026-01-0001", "currency": "USD", "total": "312.91"},
    )
    amounts = [line["amount"] for line in known["lines"]]
    assert amounts == ["0.00", "90.00", "73.95", "99.00"]
    assert [line["rate_percent"] for line in known["tax_lines"]] == ["19"]
    rest = await plan.get(f"{PREVIEW}/customers", params={"cursor": page["next_cursor"]})
    assert [
        (it["account_number"], it["outcome"], len(it["lines"]), it["before"] is None)
        for it in rest["items"]
    ] == [("1003", "drafted", 3, True), ("1004", "skipped", 0, False), ("1005", "failed", 0, True)]
    one = await plan.get(f"{PREVIEW}/customers", params={"account_number": "1002"})
    assert [it["account_number"] for it in one["items"]] == ["1002"]


async def test_a_month_without_a_plan_has_no_preview(books: Product) -> None:
    for path in (PREVIEW, f"{PREVIEW}/customers"):
        assert_problem(await books.http.get(path), 404, "start it first")
    answer = await books.http.post(f"{CYCLE}/approve", json={"digest": "x"})
    assert_problem(answer, 404, "start it first")


async def test_a_viewer_reads_and_does_not_approve(plan: Product) -> None:
    plan.http.headers["Authorization"] = bearer(plan.engine, Role.VIEWER)
    assert (await plan.get(PREVIEW))["findings"]
    answer = await plan.http.post(f"{CYCLE}/approve", json={"digest": "x"})
    assert answer.status_code == 403


async def test_where_every_plan_is_to_be_approved_none_is_started_otherwise(
    books: Product, seed: Seed
) -> None:
    seed([ONE])
    settings = books.settings.model_copy(update={"approval_required": True})
    order = order_cycle(books.engine, settings, MONTH, now=NOW, requested_by=ACTOR)
    assert (order.approval_required, order.pause_before_issue) == (True, True)
    books.app.state.services = replace(books.app.state.services, settings=settings)
    answer = await books.http.post(CYCLES, json={**FEBRUARY, "approval_required": False})
    assert_problem(answer, 422, "approval_required", "BILLWRIGHT_APPROVAL_REQUIRED")
