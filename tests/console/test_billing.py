"""The one button, pressed in a browser: the plan, the issue, failures, a pause."""

import re
from pathlib import Path

from playwright.async_api import Page, expect

from storage.access import Role
from tests.activities.mail_server import MailServer
from tests.api.conftest import CYCLES, INVOICES, Product, at_the_printer, working
from tests.api.people import session_cookie
from tests.api.test_failed_customers import Seed, mend
from tests.api.test_monthly_billing import automatic
from tests.builders import Subscriber, invoice_row, subscribers, tax_rate_row, write_csv
from tests.console.conftest import PHONE, SitDown


async def press_the_button(page: Page, month: str = "2026-02") -> None:
    await page.get_by_label("Month", exact=True).fill(month)
    await page.get_by_label("Date on the invoices").fill("2026-03-01")
    await page.get_by_role("button", name="Prepare the invoices").click()


async def test_a_month_is_planned_read_issued_and_watched_to_its_end(
    office: Product, seed: Seed, sit_down: SitDown
) -> None:
    seed([Subscriber("1001", 20_000), Subscriber("1047", 247_891, ("premium-support",))])
    desk = await sit_down(office)
    page = await desk.open("/billing")
    await press_the_button(page)
    await expect(page.get_by_role("heading", name="The plan is ready to be issued")).to_be_visible()
    await expect(page.get_by_role("row", name=re.compile("1047"))).to_contain_text("312.91")
    cycle = await office.get(f"{CYCLES}/2026-02")
    assert (cycle["status"], cycle["issued"]) == ("planned", 0)

    await page.get_by_role("button", name="Issue 2 invoices").click()
    await expect(page.get_by_role("heading", name="Done")).to_be_visible()
    await expect(page.get_by_text("2 invoices issued, 0 skipped.")).to_be_visible()
    assert (await office.closed())["issued"] == 2
    assert desk.complaints == []


async def test_without_javascript_the_page_loads_itself_until_the_month_is_billed(
    office: Product, seed: Seed, sit_down: SitDown
) -> None:
    seed([Subscriber("1001", 20_000)])
    desk = await sit_down(office, javascript=False)
    page = await desk.open("/billing")
    await press_the_button(page)
    await page.get_by_role("button", name="Issue 1 invoice").click()
    await expect(page.get_by_role("heading", name="Done")).to_be_visible()


async def test_who_failed_is_shown_with_the_reason_and_billed_once_it_is_mended(
    office: Product, seed: Seed, sit_down: SitDown, tmp_path: Path
) -> None:
    seed([Subscriber("1001", 20_000), Subscriber("1002", columns={"country": "FR"})])
    desk = await sit_down(office)
    page = await desk.open("/billing")
    await press_the_button(page)
    await page.get_by_role("button", name="Issue 1 invoice").click()
    await expect(page.get_by_text("1 invoice issued, 1 customer failed")).to_be_visible()
    failed = page.get_by_role("group", name="Could not be billed").get_by_role("row", name="1002")
    await expect(failed).to_contain_text("FR")

    rate = tax_rate_row(country="FR", rate_percent="20", valid_from="2014-01-01")
    mend(office, tmp_path, lambda files: write_csv(files / "tax_rates.csv", [rate]))
    await page.get_by_role("button", name="Retry what failed, and issue it").click()
    await expect(page.get_by_text("2 invoices issued, 0 skipped.")).to_be_visible()
    assert (await office.closed())["failed"] == 0


async def test_the_page_says_when_the_next_month_is_billed_by_itself(
    books: Product, sit_down: SitDown
) -> None:
    automatic(books, billing_starts="2026-02", billing_day=5)
    page = await (await sit_down(books)).open("/billing")
    told = "February 2026 is billed by itself on 5 Mar 2026, 06:00 UTC."
    await expect(page.get_by_text(told)).to_be_visible()


async def test_no_date_is_named_for_whoever_names_none(books: Product) -> None:
    """One that the form brings along would stay while the plan waits to be read."""
    automatic(books, bill_automatically=False)
    cookie = {"Cookie": session_cookie(books.engine, Role.FINANCE)}
    page = (await books.http.get("/console/billing", headers=cookie)).text
    assert 'name="issued_on" type="date" value=""' in page
    assert "Left empty: the day on which they are issued." in page


async def test_a_month_that_is_not_over_is_refused_where_it_was_asked_for(
    office: Product, seed: Seed, sit_down: SitDown
) -> None:
    seed([Subscriber("1001", 20_000)])
    desk = await sit_down(office)
    page = await desk.open("/billing")
    await press_the_button(page, "2026-03")
    await expect(page.get_by_role("alert")).to_contain_text("bill it after that day is over")
    await expect(page.get_by_label("Month", exact=True)).to_have_value("2026-03")
    assert (await office.get(CYCLES))["items"] == []


async def test_while_nobody_can_tell_how_far_a_month_is_there_is_no_button(
    product: Product, mailbox: MailServer, seed: Seed, sit_down: SitDown
) -> None:
    """The application without a worker: the plan is there, and nobody answers for it."""
    seed([Subscriber("1001", 20_000)])
    async with working(product, mailbox):
        order = {"period": "2026-02", "issued_on": "2026-03-01", "pause_before_issue": True}
        assert (await product.http.post(CYCLES, json=order)).status_code == 202
        await product.follow(lambda cycle: cycle["status"] == "planned" and cycle["paused"])
    desk = await sit_down(product)
    page = await desk.open("/billing/2026-02")
    await expect(page.get_by_role("heading", name="It cannot be told")).to_be_visible()
    progress = page.get_by_role("region", name="It cannot be told")
    await expect(progress.get_by_role("button")).to_have_count(0)


async def test_a_plan_that_is_wrong_is_discarded_and_made_anew(
    office: Product, seed: Seed, sit_down: SitDown
) -> None:
    seed([Subscriber("1001", 20_000)])
    desk = await sit_down(office)
    page = await desk.open("/billing")
    await press_the_button(page)
    await page.get_by_role("button", name="Discard the plan").click()
    await desk.told("The plan is discarded")
    assert (await office.get(CYCLES))["items"] == []

    await page.get_by_label("Month", exact=True).fill("2026-02")
    await page.get_by_label("Date on the invoices").fill("2026-03-02")
    await page.get_by_role("button", name="Prepare the invoices").click()
    await page.get_by_role("button", name="Issue 1 invoice").click()
    await expect(page.get_by_role("heading", name="Done")).to_be_visible()
    (invoice,) = (await office.get(INVOICES))["items"]
    assert (invoice["number"], invoice["issued_on"]) == ("INV-2026-02-0001", "2026-03-02")


async def test_a_month_that_is_being_issued_is_paused_and_resumed(
    office: Product, seed: Seed, sit_down: SitDown
) -> None:
    seed(subscribers(12))
    desk = await sit_down(office)
    page = await desk.open("/billing")
    await press_the_button(page)
    issue = page.get_by_role("button", name="Issue 12 invoices")
    await expect(issue).to_be_visible()
    with at_the_printer:  # ten are under way, and none of them gets on
        await issue.click()
        await page.get_by_role("button", name="Pause").click()
        await expect(page.get_by_role("heading", name="Paused")).to_be_visible()
    await office.follow(lambda cycle: cycle["issued"] == 10)
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_text("12 invoices issued, 0 skipped.")).to_be_visible()


async def test_a_plan_is_read_approved_with_a_note_and_issued(
    office: Product, seed: Seed, sit_down: SitDown, tmp_path: Path
) -> None:
    """Without JavaScript, on a phone; the customers' usage fell since January."""
    seed([Subscriber("1001", 20_000), Subscriber("1002", 60_000)])
    old = [invoice_row(f"INV-2026-01-000{n}", account_number=f"100{n}") for n in (1, 2)]
    mend(office, tmp_path, lambda files: write_csv(files / "invoices.csv", old))
    desk = await sit_down(office, viewport=PHONE, javascript=False)
    page = await desk.open("/billing")
    await page.get_by_label("Issue nothing that was not approved").check()
    await press_the_button(page)
    await expect(page.get_by_role("heading", name="ready to be approved")).to_be_visible()
    told = "The total in USD fell by 83.3 % since January 2026: from $428.40 to $71.40."
    await expect(page.get_by_role("alert")).to_contain_text(told)
    stands_out = page.get_by_role("region", name="What stands out")
    await expect(stands_out.get_by_role("row", name="1001")).to_contain_text("−$170.00")
    await expect(page.get_by_role("button", name="Issue")).to_have_count(0)

    await stands_out.get_by_role("link", name="1001").click()
    await expect(page.get_by_role("cell", name="API calls: Tier 1")).to_be_visible()
    await page.get_by_role("link", name="All customers").click()

    await page.get_by_label("Why the plan is right").fill("Carnival")
    await page.get_by_role("button", name="Approve 2 invoices").click()
    await desk.told("Approved")
    await expect(page.get_by_role("region", name="Approval")).to_contain_text("Carnival")
    await page.get_by_role("button", name="Issue 2 invoices").click()
    await expect(page.get_by_role("heading", name="Done")).to_be_visible()
    await page.get_by_role("link", name="What stood out").click()
    await expect(page.get_by_role("row", name="1002").first).to_contain_text("$50.00")
