"""The proof of a month over HTTP: made behind its cycle, read, made anew."""

import asyncio
import csv
import io
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Engine

from domain.proof import Entry, Equation, Proof, weigh
from storage.engine import transaction
from storage.proof.records import record_proof
from tests.api.conftest import CYCLES, PATIENCE, BilledMonth, Product
from tests.api.payers import issue_february
from tests.builders import FEBRUARY, ISSUED_ON, Subscriber

RECONCILIATION = f"{CYCLES}/2026-02/reconciliation"
TOO_LITTLE = Entry(
    "USD",
    "1002",
    Decimal("3400.00"),
    Decimal("0.00"),
    "INV-2026-02-0002",
    explanation="billed too little",
)


def keep(engine: Engine, proof: Proof) -> int:
    with transaction(engine) as connection:
        return record_proof(connection, FEBRUARY, proof, as_of=ISSUED_ON, made_by="Ada")


async def test_a_month_is_proved_behind_its_cycle(billed: BilledMonth) -> None:
    found = await billed.product.get(RECONCILIATION)
    assert (found["period"], found["status"], found["differences"]) == ("2026-02", "balanced", [])
    assert {row["equation"] for row in found["equations"]} == {e.value for e in Equation}
    totals = next(row for row in found["equations"] if row["equation"] == "totals")
    assert totals["left"] == totals["right"] == billed.cycle["totals"][0]["total"]
    assert totals["sentence"] == "Each total is the subtotal and the tax."


async def test_a_month_is_proved_anew_and_every_proof_is_kept(billed: BilledMonth) -> None:
    product = billed.product
    before = (await product.get(f"{CYCLES}/2026-02/reconciliations"))["items"]
    started = await product.http.post(f"{CYCLES}/2026-02/reconcile")
    assert started.status_code == 202
    assert "reconciliation" in started.json()["workflow_url"]
    async with asyncio.timeout(PATIENCE):
        while (last := await product.get(RECONCILIATION))["id"] == before[0]["id"]:
            await asyncio.sleep(0.05)
    assert (last["made_by"], before[0]["made_by"]) == ("the finance key", "the finance key")
    page = await product.get(f"{CYCLES}/2026-02/reconciliations?limit=1")
    assert [made["id"] for made in page["items"]] == [last["id"]]
    rest = await product.get(f"{CYCLES}/2026-02/reconciliations?cursor={page['next_cursor']}")
    assert rest == {"items": before, "next_cursor": None}


async def test_what_does_not_agree_is_told_by_customer_as_json_and_as_a_file(
    books: Product, tmp_path: Path
) -> None:
    issue_february(books.engine, tmp_path / "files", [Subscriber("1001"), Subscriber("1002")])
    keep(books.engine, weigh(Equation.RATED_AGAIN, []))
    keep(books.engine, weigh(Equation.RATED_AGAIN, [TOO_LITTLE] * 3))
    found = await books.get(f"{RECONCILIATION}?limit=2")
    assert (found["status"], found["difference_count"]) == ("alarm", 3)
    assert found["differences"] == 2 * [
        {
            "equation": "rated_again",
            "sentence": "Rated a second time, by another formula, the month comes to the same.",
            "measure": "money",
            "unit": "USD",
            "account_number": "1002",
            "subject": "INV-2026-02-0002",
            "expected": "3400.00",
            "found": "0.00",
            "difference": "-3400.00",
            "explanation": "billed too little",
        }
    ]
    file = await books.http.get(f"{RECONCILIATION}?format=csv")
    rows = list(csv.DictReader(io.StringIO(file.text)))
    assert [(row["account_number"], row["difference"]) for row in rows] == 3 * [
        ("1002", "-3400.00")
    ]
    waits = await books.get("/api/billing/attention")
    assert waits["unproved_months"] == [
        {"period": "2026-02", "status": "alarm", "difference_count": 3}
    ]


async def test_a_month_that_was_not_proved_is_not_found_and_one_under_way_not_proved(
    books: Product, tmp_path: Path
) -> None:
    issue_february(books.engine, tmp_path / "files", [Subscriber("1001")])
    for path in (RECONCILIATION, f"{CYCLES}/2026-03/reconciliations"):
        assert (await books.http.get(path)).status_code == 404
    early = await books.http.post(f"{CYCLES}/2026-02/reconcile")
    assert early.status_code == 409
    assert "it is proved when it is closed" in early.json()["detail"]
    assert (await books.http.post(f"{CYCLES}/2026-03/reconcile")).status_code == 404
