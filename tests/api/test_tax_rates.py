"""Tax rates over HTTP: added, ended, and never behind a bill that they taxed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from storage.cycles import load_cycle
from storage.engine import transaction
from tests.api.conftest import INVOICES, Product, assert_problem
from tests.api.master_data import (
    TAX_RATES,
    bill_february,
    every_page,
    patch,
    post,
    told,
    withdraw,
)
from tests.builders import FEBRUARY, FRENCH, Subscriber, plan_all, subscribers

Seed = Callable[[Sequence[Subscriber]], None]


def rate(**changes: Any) -> dict[str, Any]:
    """France's 20 % since 2014."""
    body = {"country": "FR", "rate_percent": "20", "name": "TVA", "valid_from": "2014-01-01"}
    return {**body, **changes}


GERMAN = rate(country="DE", rate_percent="16", name="VAT", valid_from="2026-07-01")


async def days_of(product: Product, country: str) -> list[tuple[str, str, str | None]]:
    found = await every_page(product, TAX_RATES, country=country)
    return [(item["rate_percent"], item["valid_from"], item["valid_to"]) for item in found]


async def test_rates_are_listed_by_place_and_day(books: Product) -> None:
    await post(books, TAX_RATES, rate(valid_from="2014-01-01", valid_to="2020-01-01"))
    await post(books, TAX_RATES, rate(valid_from="2020-01-01", rate_percent="20.50"))
    new_york = rate(country="US", region="NY", rate_percent="8.875", name="Sales tax")
    added = await post(books, TAX_RATES, new_york)
    assert added == {"id": added["id"], **new_york, "valid_to": None}
    listed = await every_page(books, TAX_RATES)
    assert [item["rate_percent"] for item in listed] == ["20", "20.50", "8.875"]

    async def on(day: str) -> list[str]:
        found = await every_page(books, TAX_RATES, on=day, country="FR")
        return [item["rate_percent"] for item in found]

    assert [await on(day) for day in ("2013-12-31", "2019-12-31", "2020-01-01")] == [
        *([], ["20"], ["20.50"]),
    ]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"country": "UK"}, "query.country"),
        ({"on": "0001-01-01"}, "query.on"),
        ({"cursor": "WyJERSJd"}, "cursor"),
    ],
)
async def test_a_bad_filter_is_named(
    sellerless: Product, wanted: dict[str, str], field: str
) -> None:
    assert_problem(await sellerless.http.get(TAX_RATES, params=wanted), 422, field)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"country": "UK"}, "body.country"),
        ({"country": "US"}, "region: is empty; a place in the US needs its state"),
        ({"country": "US", "region": "Bavaria"}, "region: 'Bavaria' is no US state"),
        ({"region": "\x00"}, "body.region"),
        ({"rate_percent": "100.1"}, "body.rate_percent"),
        ({"rate_percent": "-1"}, "body.rate_percent"),
        ({"rate_percent": 20}, "body.rate_percent"),
        ({"name": ""}, "body.name"),
        ({"valid_from": "9999-12-31"}, "body.valid_from"),
        ({"valid_to": "2014-01-01"}, "ends before it begins"),
        ({"ends_previous": "yes"}, "body.ends_previous"),
        ({"id": 1}, "body.id"),
    ],
)
async def test_a_rate_that_taxes_nobody_is_refused(
    sellerless: Product, changes: dict[str, Any], words: str
) -> None:
    before = await sellerless.get(TAX_RATES)
    assert_problem(await sellerless.http.post(TAX_RATES, json=rate(**changes)), 422, words)
    assert await sellerless.get(TAX_RATES) == before


async def test_a_rate_follows_the_one_before_in_one_request(books: Product, seed: Seed) -> None:
    seed(subscribers(1))
    alone = await books.http.post(TAX_RATES, json=GERMAN)
    words = ("valid_from: overlaps tax rate 1 of DE, 19 % from 2007-01-01 on", "ends_previous")
    assert_problem(alone, 409, *words)
    added = await post(books, TAX_RATES, {**GERMAN, "ends_previous": True})
    assert await days_of(books, "DE") == [
        ("19", "2007-01-01", "2026-07-01"),
        ("16", "2026-07-01", None),
    ]
    assert told(books, "tax_rate") == [
        (
            "DE",
            "created",
            {
                "id": added["id"],
                "rate_percent": "16",
                "name": "VAT",
                "valid_from": "2026-07-01",
                "valid_to": None,
                "ended": {"id": 1, "valid_to": "2026-07-01"},
            },
        )
    ]


async def test_there_must_be_a_rate_to_end(books: Product, seed: Seed) -> None:
    seed(subscribers(1))
    words = "ends_previous: {} has no open-ended rate that begins before {}"
    none = await books.http.post(TAX_RATES, json=rate(ends_previous=True))
    assert_problem(none, 409, words.format("FR", "2014-01-01"))
    same_day = {**GERMAN, "valid_from": "2007-01-01", "ends_previous": True}
    none = await books.http.post(TAX_RATES, json=same_day)
    assert_problem(none, 409, words.format("DE", "2007-01-01"))
    assert await days_of(books, "DE") == [("19", "2007-01-01", None)]


async def test_an_end_is_set_and_cleared_while_none_follows(books: Product, seed: Seed) -> None:
    seed(subscribers(1))
    path = f"{TAX_RATES}/1"
    for end in ("2026-07-01", "2026-07-01", None, "2026-07-01"):
        assert (await patch(books, path, {"valid_to": end}))["valid_to"] == end
    await post(books, TAX_RATES, GERMAN)
    for later in (None, "2026-07-02"):
        answer = await books.http.patch(path, json={"valid_to": later})
        assert_problem(answer, 409, "valid_to: overlaps tax rate 2 of DE, 16 % from 2026-07-01 on")
    early = await books.http.patch(path, json={"valid_to": "2007-01-01"})
    assert_problem(early, 422, "valid_to: 2007-01-01 is not after")
    assert_problem(await books.http.patch(path, json={}), 422, "body.valid_to")
    assert [details.get("valid_to") for _, _, details in told(books, "tax_rate")] == [
        {"from": None, "to": "2026-07-01"},
        {"from": "2026-07-01", "to": None},
        {"from": None, "to": "2026-07-01"},
        None,
    ]


async def test_a_mistyped_rate_is_withdrawn_and_what_it_ended_opened_by_hand(
    books: Product, seed: Seed
) -> None:
    seed(subscribers(1))
    added = await post(books, TAX_RATES, {**GERMAN, "ends_previous": True})
    path = f"{TAX_RATES}/{added['id']}"
    await withdraw(books, path)
    assert await days_of(books, "DE") == [("19", "2007-01-01", "2026-07-01")]
    (_, _, created), withdrawn = told(books, "tax_rate")
    was = {name: value for name, value in created.items() if name != "ended"}
    assert withdrawn == ("DE", "withdrawn", was)
    assert_problem(await books.http.delete(path), 404, "There is no tax rate")
    await patch(books, f"{TAX_RATES}/1", {"valid_to": None})
    await post(books, TAX_RATES, {**GERMAN, "rate_percent": "17", "ends_previous": True})
    assert await days_of(books, "DE") == [
        ("19", "2007-01-01", "2026-07-01"),
        ("17", "2026-07-01", None),
    ]


async def test_only_rates_that_are_there_change(sellerless: Product) -> None:
    answer = await sellerless.http.patch(f"{TAX_RATES}/7", json={"valid_to": None})
    assert_problem(answer, 404, "There is no tax rate 7")
    answer = await sellerless.http.patch(f"{TAX_RATES}/{2**63}", json={"valid_to": None})
    assert_problem(answer, 422, "path.id")


# --- billed months


AMERICANS = [
    Subscriber("1003", 20_000, columns={"country": "US", "region": "NY"}),
    Subscriber("1004", 20_000, columns={"country": "FR", "tax_id": "FR40303265045"}),
    Subscriber("1005", 20_000, columns={"country": "AT", "tax_exempt": "true"}),
]


async def test_a_billed_month_is_not_taxed_again(books: Product, tmp_path: Path) -> None:
    bill_february(books, tmp_path / "files", [*subscribers(1), *AMERICANS])
    february = "2026-02 is billed already (INV-2026-02-000{})"
    for day in ("2026-02-28", "2020-05-01"):
        new = {**GERMAN, "valid_from": day, "ends_previous": True}
        answer = await books.http.post(TAX_RATES, json=new)
        assert_problem(
            answer, 409, f"valid_from: {february.format(1)}", "2026-03-01", "credit note"
        )
        answer = await books.http.patch(f"{TAX_RATES}/1", json={"valid_to": day})
        assert_problem(answer, 409, f"valid_to: {february.format(1)}")
    # the last day decides, so the month may end in the rate's first days
    new_york = rate(country="US", region="NY", valid_to="2026-03-01")
    answer = await books.http.post(TAX_RATES, json=new_york)
    assert_problem(answer, 409, f"valid_from: {february.format(2)}")
    await post(books, TAX_RATES, {**new_york, "valid_to": "2026-02-28"})
    await post(books, TAX_RATES, rate(country="US", region="CA"))
    assert await days_of(books, "DE") == [("19", "2007-01-01", None)]
    await post(books, TAX_RATES, {**GERMAN, "valid_from": "2026-03-01", "ends_previous": True})


async def test_a_rate_that_taxed_a_month_ends_and_is_not_withdrawn(
    books: Product, tmp_path: Path
) -> None:
    bill_february(books, tmp_path / "files", subscribers(1))
    answer = await books.http.delete(f"{TAX_RATES}/1")
    words = "Tax rate 1 cannot be withdrawn; end it instead: valid_to: 2026-02 is billed already"
    assert_problem(answer, 409, words, "from 2026-03-01 on")
    await post(books, TAX_RATES, {**GERMAN, "valid_from": "2026-03-01", "ends_previous": True})
    assert_problem(await books.http.delete(f"{TAX_RATES}/1"), 409, words)
    assert len(await days_of(books, "DE")) == 2
    unused = await post(books, TAX_RATES, rate())
    await withdraw(books, f"{TAX_RATES}/{unused['id']}")


async def test_who_needs_no_rate_stands_in_no_rates_way(books: Product, tmp_path: Path) -> None:
    bill_february(books, tmp_path / "files", AMERICANS)
    for country in ("FR", "AT"):
        await post(books, TAX_RATES, rate(country=country))


async def test_a_rate_mends_who_failed_for_want_of_it(books: Product, tmp_path: Path) -> None:
    bill_february(books, tmp_path / "files", [*subscribers(1), FRENCH])
    await post(books, TAX_RATES, rate())
    with transaction(books.engine) as connection:
        cycle = load_cycle(connection, FEBRUARY)
    assert plan_all(books.engine, cycle, failed_again=True).drafted == 1
    (invoice,) = (await books.get(INVOICES, params={"account_number": "1002"}))["items"]
    assert invoice["number"] == "INV-2026-02-0002"
