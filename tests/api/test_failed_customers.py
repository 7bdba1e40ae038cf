"""Customers who cannot be billed: named with the reason, mended, billed by a retry."""

from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import select

from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.tables import invoices
from tests.activities.mail_server import MailServer
from tests.api.conftest import CYCLES, FEBRUARY, INVOICES, Product, until
from tests.builders import (
    NOW,
    SELLER,
    Subscriber,
    subscribers,
    tax_rate_row,
    usage_plan_entry,
    write_csv,
    write_json,
)

Seed = Callable[[Sequence[Subscriber]], None]
FRENCH = Subscriber("1003", columns={"country": "FR"})
SWISS_FRANCS = Subscriber("1003", columns={"currency": "CHF"})


async def test_a_missing_tax_rate_fails_its_customer_until_it_is_added(
    office: Product, seed: Seed, tmp_path: Path
) -> None:
    seed([*subscribers(2), FRENCH, Subscriber("1004", 30_000)])

    cycle = await office.bill()

    assert (cycle["issued"], cycle["failed"]) == (3, 1)
    (failure,) = cycle["failures"]
    assert (failure["account_number"], failure["number"]) == ("1003", None)
    assert failure["reason_code"] == "no_tax_rate"
    assert "FR on 2026-02-28" in failure["reason"]
    told = await office.get(f"{CYCLES}/2026-02/customers", params={"outcome": "failed"})
    (customer,) = told["items"]
    assert {name: customer[name] for name in failure} == failure
    assert (customer["invoice_status"], customer["total"]) == (None, None)

    rate = tax_rate_row(country="FR", rate_percent="20", valid_from="2014-01-01")
    mend(office, tmp_path, lambda files: write_csv(files / "tax_rates.csv", [rate]))
    mended = await office.retry()

    assert (mended["issued"], mended["failed"], mended["failures"]) == (4, 0, [])
    # the others keep theirs; who was mended later takes the next number
    assert await numbers(office) == {
        "1001": "INV-2026-02-0001",
        "1002": "INV-2026-02-0002",
        "1003": "INV-2026-02-0004",
        "1004": "INV-2026-02-0003",
    }
    french = await office.get(f"{INVOICES}/INV-2026-02-0004")
    assert [line["rate_percent"] for line in french["tax_lines"]] == ["20"]


async def test_a_missing_price_in_a_currency_fails_its_customer_until_it_is_added(
    office: Product, seed: Seed, tmp_path: Path
) -> None:
    seed([*subscribers(2), SWISS_FRANCS])

    cycle = await office.bill()

    (failure,) = cycle["failures"]
    assert failure["reason_code"] == "no_price_in_currency"
    assert "CHF" in failure["reason"]
    assert cycle["issued"] == 2

    price = usage_plan_entry(currency="CHF")
    mend(office, tmp_path, lambda files: write_json(files / "plans.json", [price]))
    mended = await office.retry()

    assert (mended["issued"], mended["failed"]) == (3, 0)
    assert [(sums["currency"], sums["total"]) for sums in mended["totals"]] == [
        ("CHF", "195.10"),  # 163.95 and 19 %
        ("USD", "24.99"),
    ]


async def test_a_broken_logo_issues_nothing_until_the_seller_mends_it(
    office: Product, seed: Seed, tmp_path: Path, mailbox: MailServer
) -> None:
    seed(subscribers(2))
    broken = {**SELLER, "logo_svg": "<svg"}
    mend(office, tmp_path / "broken", lambda files: write_json(files / "seller.json", broken))

    cycle = await office.bill()

    assert (cycle["issued"], cycle["failed"], cycle["drafted"]) == (0, 2, 0)
    assert [failure["number"] for failure in cycle["failures"]] == [
        "INV-2026-02-0001",
        "INV-2026-02-0002",
    ]
    assert {failure["reason_code"] for failure in cycle["failures"]} == {"document_will_not_render"}
    assert all("the logo is no SVG" in failure["reason"] for failure in cycle["failures"])
    assert mailbox.mails == []

    mended_seller = {**SELLER, "name": "Meridian API SE"}
    mend(office, tmp_path / "whole", lambda files: write_json(files / "seller.json", mended_seller))
    mended = await office.retry()

    assert (mended["issued"], mended["failed"]) == (2, 0)
    assert await numbers(office) == {"1001": "INV-2026-02-0001", "1002": "INV-2026-02-0002"}
    await until(lambda: len(mailbox.mails) == 2)
    # a draft that failed is planned anew, with the seller as it is by then
    assert {str(mail["Subject"]).partition(" from ")[2] for mail in mailbox.mails} == {
        "Meridian API SE"
    }


async def test_a_retry_bills_customers_who_are_new_too(
    office: Product, seed: Seed, tmp_path: Path
) -> None:
    seed(subscribers(1))
    await office.bill()
    seed(subscribers(2))
    assert (await office.retry())["issued"] == 2


async def test_a_retry_keeps_the_terms_of_the_cycle(
    office: Product, seed: Seed, tmp_path: Path
) -> None:
    seed([FRENCH])
    await office.bill(issued_on="2026-03-07", hold_reminders=True)
    rate = tax_rate_row(country="FR", rate_percent="20", valid_from="2014-01-01")
    mend(office, tmp_path, lambda files: write_csv(files / "tax_rates.csv", [rate]))
    mended = await office.retry()
    assert (mended["issued_on"], mended["hold_reminders"]) == ("2026-03-07", True)
    (invoice,) = (await office.get(INVOICES))["items"]
    assert (invoice["issued_on"], invoice["due_on"]) == ("2026-03-07", "2026-04-06")


async def test_a_retry_asked_of_a_running_cycle_comes_after_the_present_pass(
    office: Product, seed: Seed, tmp_path: Path
) -> None:
    seed([*subscribers(2), FRENCH])
    await office.http.post(CYCLES, json={**FEBRUARY, "pause_before_issue": True})
    await office.follow(lambda cycle: cycle["status"] == "planned" and cycle["paused"])
    rate = tax_rate_row(country="FR", rate_percent="20", valid_from="2014-01-01")
    mend(office, tmp_path, lambda files: write_csv(files / "tax_rates.csv", [rate]))
    with transaction(office.engine) as connection:
        connection.execute(select(invoices).with_for_update())  # nothing can be posted
        await office.http.post(f"{CYCLES}/2026-02/resume")
        await office.follow(lambda cycle: cycle["status"] == "issuing")
        assert (await office.http.post(f"{CYCLES}/2026-02/retry")).status_code == 202
    assert (await office.closed())["issued"] == 3


def mend(office: Product, folder: Path, write: Callable[[Path], None]) -> None:
    """Imports what `write` puts into a folder of its own."""
    files = folder / "mended"
    files.mkdir(parents=True)
    write(files)
    import_directory(office.engine, files, now=NOW)


async def numbers(office: Product) -> dict[str, str]:
    listed = (await office.get(INVOICES))["items"]
    return {invoice["account_number"]: invoice["number"] for invoice in listed}
