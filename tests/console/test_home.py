"""The home page shows what the reports say, and what waits for a person."""

import csv

from playwright.async_api import expect

from console.showing import money
from tests.api.conftest import BilledMonth, Product
from tests.console.conftest import SitDown

REPORTS = ("mrr", "outstanding", "revenue-by-customer", "churn-risk", "collections")


async def test_the_figures_are_those_of_the_reports(billed: BilledMonth, sit_down: SitDown) -> None:
    product = billed.product
    desk = await sit_down(product)
    page = await desk.open("/?as_of=2026-03-01")
    mrr = await product.get("/api/billing/mrr?as_of=2026-03-01")
    outstanding = await product.get("/api/billing/outstanding?as_of=2026-03-01")
    figures = page.locator(".figures")
    for shown in (mrr["mrr"], mrr["billed"]["amount"], outstanding["total"]):
        await expect(figures).to_contain_text(money(shown, "USD"))
    trend = page.get_by_role("group", name="Recurring revenue by week").locator("tbody tr")
    await (
        page.get_by_role("region", name="Recurring revenue by week")
        .get_by_text("As a table")
        .click()
    )
    await expect(trend).to_have_count(len(mrr["trend"]))
    await expect(trend.last).to_contain_text(money(mrr["mrr"], "USD"))
    assert desk.complaints == []


async def test_every_chart_stands_beside_its_table(billed: BilledMonth, sit_down: SitDown) -> None:
    desk = await sit_down(billed.product)
    page = await desk.open()
    for panel in await page.locator(".panel:has(svg)").all():
        assert await panel.locator("table").count() >= 1


async def test_each_report_is_had_as_a_file_of_the_day_that_is_shown(
    billed: BilledMonth, sit_down: SitDown
) -> None:
    desk = await sit_down(billed.product)
    page = await desk.open("/?as_of=2026-03-01")
    links = page.get_by_role("link", name="CSV")
    await expect(links).to_have_count(len(REPORTS))
    for link in await links.all():
        async with page.expect_download() as downloading:
            await link.click()
        download = await downloading.value
        assert download.suggested_filename.endswith(".csv")
        with open(await download.path(), encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
        assert len(rows[0]) > 3
    assert "as_of=2026-03-01" in (await links.first.get_attribute("href") or "")


async def test_a_day_is_chosen_and_left_again(billed: BilledMonth, sit_down: SitDown) -> None:
    desk = await sit_down(billed.product)
    page = await desk.open()
    await page.get_by_label("As of").fill("2026-02-14")
    await page.get_by_role("button", name="Show").click()
    await expect(
        page.get_by_text("The figures are those at the end of 14 Feb 2026")
    ).to_be_visible()
    await page.get_by_role("link", name="Today").click()
    await expect(page.get_by_label("As of")).to_have_value("2026-03-01")


async def test_a_day_that_is_none_is_today(billed: BilledMonth, sit_down: SitDown) -> None:
    desk = await sit_down(billed.product)
    for mistyped in ("2026-02-31", "yesterday", "%00"):
        page = await desk.open(f"/?as_of={mistyped}")
        await expect(page.get_by_label("As of")).to_have_value("2026-03-01")


async def test_a_day_of_another_age_is_answered(billed: BilledMonth, sit_down: SitDown) -> None:
    desk = await sit_down(billed.product)
    for far in ("0001-01-01", "9999-12-31"):
        page = await desk.open(f"/?as_of={far}")
        await expect(page.get_by_role("heading", name="Home")).to_be_visible()


async def test_an_empty_house_has_a_home_too(books: Product, sit_down: SitDown) -> None:
    desk = await sit_down(books)
    page = await desk.open()
    await expect(page.get_by_text("Nothing waits for you.")).to_be_visible()
    await expect(page.locator(".figures")).to_contain_text("$0.00")
    for path in ("/billing", "/invoices", "/review", "/bank", "/customers", "/plans", "/tax-rates"):
        await desk.open(path)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert desk.complaints == []
