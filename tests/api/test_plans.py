"""Plans over HTTP: read with their versions, added, priced anew, and never behind a bill."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from storage.cycles import load_cycle
from storage.engine import transaction
from tests.api.conftest import Product, assert_problem
from tests.api.master_data import MRR, PLANS, bill_february, every_page, post, told
from tests.builders import FEBRUARY, KNOWN_ANSWER, Subscriber, plan_all, subscribers

Seed = Callable[[Sequence[Subscriber]], None]
TIERS: list[dict[str, Any]] = [
    {"name": "Free tier", "up_to": 1_000, "unit_price": "0"},
    {"name": "Tier 1", "up_to": None, "unit_price": "0.002"},
]


def flat(**changes: Any) -> dict[str, Any]:
    """A body that adds a flat plan at 10.00 USD from April 2026 on."""
    return {
        "code": "onboarding",
        "name": "Onboarding",
        "kind": "flat",
        "currency": "USD",
        "unit_price": "10.00",
        "valid_from": "2026-04-01",
        **changes,
    }


def metered(**changes: Any) -> dict[str, Any]:
    """A body that adds a usage plan."""
    body = flat(code="exports", name="Exports", kind="usage", metric="exports", tiers=TIERS)
    return {**body, "unit_price": None, **changes}


def price(unit_price: str | None = "109.00", **changes: Any) -> dict[str, Any]:
    return {"currency": "USD", "unit_price": unit_price, "valid_from": "2026-04-01", **changes}


async def test_plans_are_listed_by_code_with_their_prices(books: Product, seed: Seed) -> None:
    seed(subscribers(1))
    found = await every_page(books, PLANS)
    assert [plan["code"] for plan in found] == ["api-calls", "dedicated-ip", "premium-support"]
    assert found[0] == await books.get(f"{PLANS}/api-calls")
    assert (found[0]["kind"], found[0]["metric"]) == ("usage", "api_calls")
    (only,) = found[0]["prices"]
    assert (only["version"], only["valid_from"], only["standing"]) == (1, "0001-01-01", "in_force")
    assert only["tiers"][1] == {"name": "Tier 1", "up_to": 100_000, "unit_price": "0.001"}
    assert_problem(await books.http.get(f"{PLANS}/gold"), 404, "There is no plan gold")
    assert_problem(await books.http.get(PLANS, params={"cursor": "x"}), 422, "cursor")


async def test_a_plan_is_added_with_its_first_price_and_told(books: Product) -> None:
    added = await post(books, PLANS, flat())
    assert added == await books.get(f"{PLANS}/onboarding")
    assert added["prices"] == [
        {
            "currency": "USD",
            "version": 1,
            "valid_from": "2026-04-01",
            "standing": "upcoming",
            "unit_price": "10.00",
            "tiers": [],
            "charges": [],
            "minimum": None,
        }
    ]
    await post(books, PLANS, metered())
    assert [(subject, event) for subject, event, _ in told(books, "plan")] == [
        ("onboarding", "created"),
        ("exports", "created"),
    ]
    assert told(books, "plan")[1][2] == {
        "currency": "USD",
        "version": 1,
        "valid_from": "2026-04-01",
        "unit_price": None,
        "charges": [
            {
                "metric": "exports",
                "model": "graduated",
                "name": "",
                "tiers": TIERS,
                "unit_price": None,
                "package_size": None,
            }
        ],
        "minimum": None,
    }


async def test_the_same_plan_or_price_again_changes_nothing(books: Product) -> None:
    first = await post(books, PLANS, flat())
    assert await post(books, PLANS, flat(), 200) == first
    again = price("10.0")
    assert await post(books, f"{PLANS}/onboarding/prices", again, 200) == first
    assert len(told(books, "plan")) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Another"}, "plan onboarding is known with another name, kind or interval"),
        ({"unit_price": "11"}, "plan onboarding is known with another price in USD"),
        ({"valid_from": "2026-05-01"}, "code: plan onboarding is there"),
        ({"currency": "EUR"}, "code: plan onboarding is there"),
    ],
)
async def test_a_code_is_taken_once(books: Product, changes: dict[str, Any], words: str) -> None:
    before = await post(books, PLANS, flat())
    assert_problem(await books.http.post(PLANS, json=flat(**changes)), 409, words)
    assert await books.get(f"{PLANS}/onboarding") == before


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (flat(code="a/b"), "body.code"),
        (flat(name="\x00"), "body.name"),
        (flat(kind="both"), "body.kind"),
        (flat(currency="dollar"), "body.currency"),
        (flat(unit_price="-1"), "body.unit_price"),
        (flat(unit_price=10), "body.unit_price"),
        (flat(unit_price=10.5), "body.unit_price"),
        (flat(unit_price="1e3"), "body.unit_price"),
        (flat(unit_price="1" * 16), "body.unit_price"),
        (flat(unit_price="0." + "1" * 13), "body.unit_price"),
        (flat(valid_from="0001-01-01"), "body.valid_from"),
        (flat(valid_from="9999-12-31"), "body.valid_from"),
        (flat(valid_from="2026-02-30"), "body.valid_from"),
        (flat(valid_from=1_800_000_000), "body.valid_from"),
        (flat(valid_from=None), "body.valid_from"),
        (flat(unit_price=None), "needs a unit_price"),
        (flat(metric="calls"), "neither tiers nor a metric"),
        (flat(tiers=TIERS), "neither tiers nor a metric"),
        (metered(metric=None), "needs the metric"),
        (metered(unit_price="1"), "priced by tiers"),
        (metered(tiers=[]), "must have up_to null"),
        (metered(tiers=TIERS[:1]), "must have up_to null"),
        (metered(tiers=[TIERS[0], *TIERS]), "ascending up_to"),
        (metered(tiers=[{**TIERS[0], "up_to": 10**15}, TIERS[1]]), "body.tiers.0.up_to"),
        (metered(tiers=[{**TIERS[0], "up_to": "9"}, TIERS[1]]), "body.tiers.0.up_to"),
        (metered(tiers=TIERS * 26), "body.tiers"),
        (flat(version=3), "body.version"),
    ],
)
async def test_a_plan_that_prices_nothing_is_refused(
    sellerless: Product, body: dict[str, Any], words: str
) -> None:
    before = await sellerless.get(PLANS)
    assert_problem(await sellerless.http.post(PLANS, json=body), 422, words)
    assert await sellerless.get(PLANS) == before


async def test_a_price_holds_from_its_day_on(books: Product, seed: Seed) -> None:
    seed([KNOWN_ANSWER])
    path = f"{PLANS}/premium-support/prices"
    await post(books, path, price("109.00", valid_from="2026-04-01"))
    await post(books, path, price("104.00", valid_from="2026-02-20"))
    found = await post(books, path, price("79.00", currency="EUR"))
    assert [
        (kept["currency"], kept["version"], kept["valid_from"], kept["standing"])
        for kept in found["prices"]
    ] == [
        ("EUR", 1, "2026-04-01", "upcoming"),
        ("USD", 1, "0001-01-01", "past"),
        ("USD", 2, "2026-04-01", "upcoming"),
        ("USD", 3, "2026-02-20", "in_force"),
    ]
    assert [event for _, event, _ in told(books, "plan")] == ["price_added"] * 3
    nowhere = await books.http.post(f"{PLANS}/gold/prices", json=price())
    assert_problem(nowhere, 404, "There is no plan gold")
    tiered = await books.http.post(path, json=price(None, tiers=TIERS, valid_from="2026-05-01"))
    assert_problem(tiered, 422, "neither tiers nor a metric")


async def test_a_mistyped_price_is_replaced_until_a_cycle_may_have_billed_by_it(
    books: Product, tmp_path: Path
) -> None:
    bill_february(books, tmp_path / "files", [KNOWN_ANSWER])
    path = f"{PLANS}/premium-support/prices"
    may = {"valid_from": "2026-05-01"}
    mrr = {"as_of": "2026-05-31"}
    await post(books, path, price("1090.00", **may))
    assert (await books.get(MRR, params=mrr))["subscriptions"] == "1090.00"
    for again in ("109.00", "109.0"):
        found = await post(books, path, price(again, **may), 200)
        assert [(kept["version"], kept["unit_price"]) for kept in found["prices"]] == [
            (1, "99.00"),
            (2, "109.00"),
        ]
    assert (await books.get(MRR, params=mrr))["subscriptions"] == "109.00"
    assert told(books, "plan")[1:] == [
        (
            "premium-support",
            "price_replaced",
            {
                "currency": "USD",
                "version": 2,
                "valid_from": "2026-05-01",
                "unit_price": {"from": "1090.00", "to": "109.00"},
            },
        )
    ]
    # a first price may begin in a month that has a cycle; it stays as it was all the same
    euro = {"currency": "EUR", "valid_from": "2026-02-28"}
    await post(books, path, price("79.00", **euro))
    answer = await books.http.post(path, json=price("97.00", **euro))
    assert_problem(answer, 409, "valid_from: 2026-02 is billed already", "from 2026-03-01 on")
    assert (await books.get(f"{PLANS}/premium-support"))["prices"][0]["unit_price"] == "79.00"


async def test_mistyped_tiers_are_replaced(books: Product) -> None:
    await post(books, PLANS, metered())
    cheaper = [TIERS[0], {**TIERS[1], "unit_price": "0.001"}]
    found = await post(books, f"{PLANS}/exports/prices", price(None, tiers=cheaper), 200)
    assert found["prices"][0]["tiers"] == cheaper
    changed = told(books, "plan")[1][2]["charges"]
    assert [charges[0]["tiers"] for charges in (changed["from"], changed["to"])] == [TIERS, cheaper]


async def test_recurring_revenue_follows_a_new_price(books: Product, seed: Seed) -> None:
    seed([KNOWN_ANSWER])

    async def flat_revenue(day: str) -> str:
        found: str = (await books.get(MRR, params={"as_of": day}))["subscriptions"]
        return found

    assert [await flat_revenue(day) for day in ("2026-03-31", "2026-04-30")] == ["99.00"] * 2
    await post(books, f"{PLANS}/premium-support/prices", price("109.00", valid_from="2026-04-01"))
    # the price of a month is that of its first day
    assert [await flat_revenue(day) for day in ("2026-03-31", "2026-04-30")] == ["99.00", "109.00"]


async def test_a_billed_month_is_not_priced_again(books: Product, tmp_path: Path) -> None:
    bill_february(books, tmp_path / "files", [KNOWN_ANSWER])
    path = f"{PLANS}/premium-support/prices"
    for day in ("2025-11-30", "2026-02-01", "2026-02-28"):
        refused = await books.http.post(path, json=price(valid_from=day))
        assert_problem(
            refused, 409, "valid_from: 2026-02 is billed already", "2026-03-01", "credit note"
        )
        assert refused.json()["type"] == "urn:billwright:already_billed"
    assert len((await books.get(f"{PLANS}/premium-support"))["prices"]) == 1
    await post(books, path, price(valid_from="2026-03-01"))


async def test_a_price_in_another_currency_mends_who_failed_for_want_of_it(
    books: Product, tmp_path: Path
) -> None:
    customers = [Subscriber("1001", 20_000, columns={"currency": "EUR"})]
    bill_february(books, tmp_path / "files", customers)
    tiers = (await books.get(f"{PLANS}/api-calls"))["prices"][0]["tiers"]
    euro = price(None, tiers=tiers, currency="EUR", valid_from="2026-01-01")
    await post(books, f"{PLANS}/api-calls/prices", euro)
    with transaction(books.engine) as connection:
        cycle = load_cycle(connection, FEBRUARY)
    assert plan_all(books.engine, cycle, failed_again=True).drafted == 1
