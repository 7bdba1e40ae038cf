"""Dunning policies over HTTP: made, replaced, given to customers, and kept by what was issued."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from storage.audit import AuditFilter, list_entries
from storage.engine import transaction
from tests.api.conftest import INVOICES, Product, assert_problem
from tests.builders import Subscriber, subscribers

POLICIES = "/api/billing/dunning-policies"
CUSTOMERS = "/api/billing/customers"
Seed = Callable[[Sequence[Subscriber]], None]

PATIENT = [
    {"after_days": 10, "notice": "reminder", "retry": True, "cc": ["legal@x.example"]},
    {"after_days": 60, "notice": "review_notice", "retry": False, "cc": []},
]
STANDARD = [
    {"after_days": 3, "notice": "reminder", "retry": True, "cc": []},
    {"after_days": 7, "notice": "urgent_notice", "retry": True, "cc": []},
    {"after_days": 14, "notice": "review_notice", "retry": False, "cc": []},
]


async def put(product: Product, path: str, body: Any) -> Any:
    answer = await product.http.put(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(product: Product, subject_kind: str) -> list[tuple[str, str, str, dict[str, Any]]]:
    with transaction(product.engine) as connection:
        found = list_entries(connection, AuditFilter(subject_kind=subject_kind), limit=100)
    return [(e.actor, e.subject, e.event, dict(e.details)) for e in found]


async def test_the_standard_is_there_before_anybody_made_a_policy(books: Product) -> None:
    assert await books.get(POLICIES) == {
        "items": [{"code": "standard", "built_in": True, "steps": STANDARD}],
        "next_cursor": None,
    }
    assert (await books.get(f"{POLICIES}/standard"))["steps"] == STANDARD


async def test_a_policy_is_made_replaced_and_told_to_the_audit_log_once(books: Product) -> None:
    made = await put(books, f"{POLICIES}/patient", {"steps": PATIENT})
    assert made == {"code": "patient", "built_in": False, "steps": PATIENT}
    await put(books, f"{POLICIES}/patient", {"steps": PATIENT})
    await put(books, f"{POLICIES}/patient", {"steps": []})
    assert (await books.get(f"{POLICIES}/patient"))["steps"] == []
    assert told(books, "dunning_policy") == [
        ("the finance key", "patient", "created", {"steps": PATIENT}),
        ("the finance key", "patient", "changed", {"steps": [], "before": PATIENT}),
    ]
    listed = await books.get(POLICIES)
    assert [policy["code"] for policy in listed["items"]] == ["patient", "standard"]


async def test_the_standard_can_be_replaced(books: Product) -> None:
    await put(books, f"{POLICIES}/standard", {"steps": PATIENT})
    (policy,) = (await books.get(POLICIES))["items"]
    assert policy == {"code": "standard", "built_in": False, "steps": PATIENT}


async def test_a_policy_applies_to_what_is_issued_afterwards(office: Product, seed: Seed) -> None:
    seed(subscribers(2))
    await put(office, f"{POLICIES}/patient", {"steps": PATIENT})
    given = await put(office, f"{CUSTOMERS}/1001/dunning-policy", {"code": "patient"})
    assert (given["account_number"], given["policy"]["code"]) == ("1001", "patient")
    await office.bill()
    await put(office, f"{POLICIES}/patient", {"steps": []})
    with transaction(office.engine) as connection:
        connection.exec_driver_sql("UPDATE invoices SET status = 'overdue'")
    steps = {}
    for number in ("INV-2026-02-0001", "INV-2026-02-0002"):
        invoice = await office.get(f"{INVOICES}/{number}")
        steps[invoice["account_number"]] = invoice["next_step"]
    # due on 31 March
    assert steps == {
        "1001": {"on": "2026-04-10", "what": "reminder", "charges_card": False},
        "1002": {"on": "2026-04-03", "what": "reminder", "charges_card": False},
    }


async def test_who_gives_a_customer_a_policy_is_told(books: Product, seed: Seed) -> None:
    seed(subscribers(1))
    path = f"{CUSTOMERS}/1001/dunning-policy"
    await put(books, f"{POLICIES}/patient", {"steps": PATIENT})
    for code in ("patient", "patient", None, "standard"):
        await put(books, path, {"code": code})
    assert told(books, "customer") == [
        ("the finance key", "1001", "dunning_policy_set", {"from": None, "to": "patient"}),
        ("the finance key", "1001", "dunning_policy_set", {"from": "patient", "to": None}),
    ]


async def test_only_known_policies_are_given_to_known_customers(books: Product, seed: Seed) -> None:
    seed(subscribers(1))
    unknown = await books.http.put(f"{CUSTOMERS}/1001/dunning-policy", json={"code": "gold"})
    assert_problem(unknown, 422, "code: there is no dunning policy gold", "make it first")
    nobody = await books.http.put(f"{CUSTOMERS}/9999/dunning-policy", json={"code": None})
    assert_problem(nobody, 404, "9999")
    assert_problem(await books.http.get(f"{POLICIES}/gold"), 404, "gold")


def step(**changes: Any) -> dict[str, Any]:
    return {"after_days": 3, "notice": "reminder", **changes}


@pytest.mark.parametrize(
    ("code", "steps", "words"),
    [
        ("Gold", [], "no policy's code"),
        ("a b", [], "no policy's code"),
        ("x" * 65, [], "no policy's code"),
        ("gold", [step(), step()], "fall on days [3, 3]"),
        ("gold", [step(after_days=7), step()], "each must come later"),
        ("gold", [step(notice="review_notice"), step(after_days=9)], "put it last"),
        ("gold", [step(after_days=-1)], "body.steps.0.after_days"),
        ("gold", [step(after_days=3_651)], "body.steps.0.after_days"),
        ("gold", [step(after_days="soon")], "body.steps.0.after_days"),
        ("gold", [step(notice="invoice")], "body.steps.0.notice"),
        ("gold", [step(retry="perhaps")], "body.steps.0.retry"),
        ("gold", [step(cc=["nobody"])], "body.steps.0.cc.0"),
        ("gold", [step(cc=["a@b.example;c@d.example"])], "body.steps.0.cc.0"),
        ("gold", [step(cc=["a@b.example\nBcc: x@y.example"])], "body.steps.0.cc.0"),
        ("gold", [step(days=3)], "body.steps.0.days"),
        ("gold", [step(after_days=False)], "body.steps.0.after_days"),
        ("gold", [step(after_days="3")], "body.steps.0.after_days"),
        ("gold", [step(retry=0)], "body.steps.0.retry"),
        ("gold", [step(after_days=n) for n in range(51)], "body.steps"),
        ("gold", None, "body.steps"),
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(
    sellerless: Product, code: str, steps: Any, words: str
) -> None:
    answer = await sellerless.http.put(f"{POLICIES}/{code}", json={"steps": steps})
    assert_problem(answer, 422, words)
    assert_problem(await sellerless.http.get(f"{POLICIES}/{code}"), 404)
