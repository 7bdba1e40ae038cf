"""Every page on a laptop and on a phone, in light and in dark, by keyboard."""

import pytest
from playwright.async_api import Page, expect

from tests.api.conftest import BilledMonth
from tests.browser.conftest import FAINT
from tests.console.conftest import LAPTOP, PHONE, Scheme, SitDown

PAGES = (
    "/",
    "/billing",
    "/billing/2026-02",
    "/billing/2026-02/preview",
    "/billing/2026-02/proof",
    "/invoices",
    "/invoices/INV-2026-02-0001",
    "/invoices/INV-2026-02-0006",
    "/review",
    "/bank",
    "/customers",
    "/customers/1006",
    "/customers/1006/change",
    "/plans",
    "/plans/api-calls",
    "/new-plan",
    "/tax-rates",
    "/usage",
    "/usage/event?id=evt-1006-2026-02-0",
    "/usage/corrections",
    "/usage/set-aside",
)
NAMELESS = """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), select')]
  .filter(it => !(it.labels?.length || it.getAttribute('aria-label') || it.textContent.trim()))
  .map(it => it.outerHTML)"""
"""What a person who hears the page could not tell apart."""
TWICE = """() => { const ids = [...document.querySelectorAll('[id]')].map(it => it.id);
  return ids.filter((id, place) => ids.indexOf(id) !== place); }"""
SMALL = """() => [...document.querySelectorAll('button, .button, input, select')]
  .filter(it => it.offsetParent && !['checkbox', 'radio', 'hidden'].includes(it.type))
  .filter(it => it.getBoundingClientRect().height < 44
    || parseFloat(getComputedStyle(it).fontSize) < 16 && it.matches('input, select'))
  .map(it => it.outerHTML)"""
"""What a thumb misses, and fields into which a phone zooms."""


async def open_all_parts(page: Page) -> None:
    await page.evaluate("document.querySelectorAll('details').forEach(it => it.open = true)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_fits_and_can_be_read(
    billed: BilledMonth, sit_down: SitDown, scheme: Scheme
) -> None:
    for viewport in (LAPTOP, PHONE):
        desk = await sit_down(billed.product, viewport=viewport, scheme=scheme)
        for path in PAGES:
            page = await desk.open(path)
            await open_all_parts(page)
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= viewport["width"], path
            assert await page.evaluate(FAINT) == [], path
        assert desk.complaints == []


async def test_every_page_can_be_heard_and_touched(billed: BilledMonth, sit_down: SitDown) -> None:
    desk = await sit_down(billed.product, viewport=PHONE)
    for path in PAGES:
        page = await desk.open(path)
        await open_all_parts(page)
        assert await page.evaluate(NAMELESS) == [], path
        assert await page.evaluate(TWICE) == [], path
        assert await page.evaluate(SMALL) == [], path
        await expect(page.get_by_role("heading", level=1)).to_have_count(1)
        await expect(page.get_by_role("main")).to_have_count(1)
        current = page.locator("nav[aria-label=Console] a[aria-current=page]")
        await expect(current).to_have_count(1)


async def test_the_keyboard_reaches_what_the_mouse_does(
    billed: BilledMonth, sit_down: SitDown
) -> None:
    desk = await sit_down(billed.product)
    page = await desk.open("/invoices/INV-2026-02-0001")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(
        page.get_by_role("region", name="Summary").get_by_role("link").first
    ).to_be_focused()
    summary = page.locator("summary", has_text="Credit note")
    while not await summary.evaluate("it => it === document.activeElement"):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Reason, printed on the credit note").first).to_be_focused()
