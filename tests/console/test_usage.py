"""Usage in the console: events found and put right, and usage of nobody's account settled."""

from collections.abc import Callable, Sequence

from playwright.async_api import Page, expect

from storage.access import Role
from tests.api.conftest import Product
from tests.api.test_usage_corrections import EVENTS, take_in
from tests.builders import Subscriber
from tests.console.conftest import Desk, SitDown

Seed = Callable[[Sequence[Subscriber]], None]
ODD = "req/7?a=b"


async def sit_at(
    books: Product, seed: Seed, sit_down: SitDown, role: Role = Role.FINANCE
) -> tuple[Desk, Page]:
    """At the page of usage, with an event of a customer and three of nobody."""
    seed([Subscriber("1001", 0)])
    take_in(
        books,
        (ODD, "1001", "2026-02-03T10:00:00Z", "5000"),
        ("stray-1", "9998", "2026-02-03T10:00:00Z", "1"),
        ("stray-2", "9999", "2026-02-04T10:00:00Z", "20"),
        ("stray-3", "9999", "2026-02-05T10:00:00Z", "300"),
    )
    desk = await sit_down(books, role)
    return desk, await desk.open("/usage")


async def find(page: Page, event_id: str) -> None:
    await page.get_by_label("Event id, as it was sent").fill(event_id)
    await page.get_by_role("button", name="Show").click()


async def test_an_event_is_found_amended_and_cancelled(
    books: Product, seed: Seed, sit_down: SitDown
) -> None:
    desk, page = await sit_at(books, seed, sit_down)
    await find(page, ODD)
    await expect(page.get_by_role("region", name="Summary")).to_contain_text("5,000 api calls")
    await page.get_by_text("It should count something else").click()
    await page.get_by_label("Right quantity").fill("1,200.5")
    await page.get_by_label("Reason").first.fill("the meter counted twice")
    await page.get_by_role("button", name="Amend").click()
    await desk.told("counts 1200.5 from now on")
    await page.get_by_text("It should not count at all").click()
    await page.get_by_label("Reason").last.fill("a load test of ours")
    await page.get_by_role("button", name="Cancel the event").click()
    await desk.told("counts 0 from now on")
    history = page.get_by_role("region", name="Corrections")
    await expect(history.locator("tbody tr")).to_have_count(2)
    await expect(history).to_contain_text("a load test of ours")
    await expect(page.get_by_text("It should not count at all")).to_have_count(0)
    await page.get_by_role("link", name="Usage").click()
    lately = page.get_by_role("region", name="Corrected lately")
    await expect(lately.locator("tbody tr").first).to_contain_text("cancelled")
    assert desk.complaints == []


async def test_what_is_refused_is_shown_where_it_was_filled_in(
    books: Product, seed: Seed, sit_down: SitDown
) -> None:
    _, page = await sit_at(books, seed, sit_down)
    await find(page, "nobody-sent-this")
    await expect(page.get_by_role("alert")).to_contain_text("no usage event nobody-sent-this")
    await find(page, ODD)
    await page.get_by_text("It should count something else").click()
    await page.get_by_label("Right quantity").fill("5,000")
    await page.get_by_label("Reason").first.fill("the meter counted twice")
    await page.get_by_role("button", name="Amend").click()
    await expect(page.get_by_role("alert")).to_contain_text("counts 5000 api_calls already")
    await expect(page.get_by_label("Reason").first).to_have_value("the meter counted twice")


async def test_usage_of_nobodys_account_is_assigned_or_dismissed(
    books: Product, seed: Seed, sit_down: SitDown
) -> None:
    desk, page = await sit_at(books, seed, sit_down)
    account = page.get_by_role("article", name="Account 9999")
    await account.get_by_text("They are a customer's").click()
    await account.get_by_label("Customer's account").fill("7777")
    await account.get_by_role("button", name="Assign all").click()
    await expect(page.get_by_role("alert")).to_contain_text("7777 is no customer")
    await account.get_by_label("Customer's account").fill("1001")
    await account.get_by_role("button", name="Assign all").click()
    await desk.told("2 events of 9999: assigned.")
    await expect(account).to_have_count(0)

    other = page.get_by_role("article", name="Account 9998")
    await other.get_by_role("link", name="1 event").click()
    await page.get_by_role("link", name="stray-1").click()
    await page.get_by_text("It is nobody's").click()
    await page.get_by_label("Why").fill("a load test of ours")
    await page.get_by_role("button", name="Dismiss").click()
    await desk.told("1 event of 9998: dismissed.")
    assert (await books.get(f"{EVENTS}/stray-1"))["state"] == "dismissed"
    assert (await books.get(f"{EVENTS}/stray-3"))["account_number"] == "1001"


async def test_a_viewer_sees_usage_and_changes_nothing(
    books: Product, seed: Seed, sit_down: SitDown
) -> None:
    desk, page = await sit_at(books, seed, sit_down, Role.VIEWER)
    days = page.get_by_role("region", name="What came in")
    await expect(days.locator("tbody tr")).to_have_count(1)
    await expect(page.get_by_role("article")).to_have_count(2)
    await expect(page.get_by_role("button", name="Assign all")).to_have_count(0)
    await find(page, ODD)
    await expect(page.get_by_role("region", name="Summary")).to_be_visible()
    await expect(page.get_by_role("button", name="Amend")).to_have_count(0)
    assert desk.complaints == []


async def test_corrections_are_looked_up_by_customer_and_month(
    books: Product, seed: Seed, sit_down: SitDown
) -> None:
    desk, page = await sit_at(books, seed, sit_down)
    await find(page, ODD)
    await page.get_by_text("It should not count at all").click()
    await page.get_by_label("Reason").last.fill("a load test of ours")
    await page.get_by_role("button", name="Cancel the event").click()
    page = await desk.open("/usage/corrections")
    found = page.get_by_role("region", name="Found")
    await expect(found.locator("tbody tr")).to_have_count(1)
    await page.get_by_label("Customer's account").fill("1002")
    await page.get_by_role("button", name="Search").click()
    await expect(found).to_contain_text("None.")
