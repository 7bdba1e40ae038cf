"""The payer's pages on a phone: read, walked through by keyboard, and paid."""

import re
from decimal import Decimal

import pytest
from playwright.async_api import expect

from tests.api.payers import card_link, change, contents, pay_link
from tests.browser.conftest import (
    CARD,
    EUROS,
    FAINT,
    LONG,
    NOTHING,
    PART,
    PHONE,
    Visit,
    names_in_tab_order,
)

TOTAL = Decimal("195.10")

PAGES = {
    "open, with a code": pay_link(EUROS),
    "card on file": pay_link(CARD),
    "nothing to pay": pay_link(NOTHING),
    "long name, large amount": pay_link(LONG),
    "partly paid, in review": pay_link(PART),
    "being confirmed": pay_link(EUROS) + "?returned=1",
    "not valid": "/pay/unknown",
    "update the card": card_link(CARD),
    "card updated": card_link(CARD) + "?returned=1",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("link", PAGES.values(), ids=PAGES)
async def test_every_page_fits_a_small_phone_and_can_be_read(visit: Visit, link: str) -> None:
    change(visit.site.engine, PART, amount_paid=Decimal("95.10"), collection_state="manual_review")
    page = await visit.to(link)
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert await page.evaluate(FAINT) == []
    assert await page.locator("html").get_attribute("lang") == "en"
    await expect(page.get_by_role("heading", level=1)).to_have_count(1)
    await expect(page.get_by_role("main")).to_have_count(1)
    assert visit.complaints == [
        complaint for complaint in visit.complaints if link == "/pay/unknown" and "404" in complaint
    ]


async def test_an_open_invoice_is_walked_through_by_keyboard(visit: Visit) -> None:
    page = await visit.to(pay_link(EUROS))
    assert await names_in_tab_order(page) == [
        "Pay EUR 195.10 by card",
        "Invoice as PDF",
        "billing@meridian-api.example",
    ]


async def test_what_has_the_focus_shows_it(visit: Visit) -> None:
    page = await visit.to(pay_link(EUROS))
    for _ in range(3):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        assert await focused.evaluate("it => getComputedStyle(it).outlineStyle") == "solid"
        assert await focused.evaluate("it => getComputedStyle(it).outlineWidth") == "3px"


async def test_a_screen_reader_is_told_what_is_what(visit: Visit) -> None:
    page = await visit.to(pay_link(EUROS))
    await expect(page.get_by_role("button", name="Pay EUR 195.10 by card")).to_be_visible()
    await expect(page.get_by_role("table", name="What the invoice is made of")).to_be_visible()
    await expect(page.get_by_role("rowheader", name="Total")).to_be_visible()
    await expect(page.get_by_role("img", name="QR code for your banking app")).to_be_visible()
    await expect(page).to_have_title(re.compile(EUROS))


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_code_is_drawn(visit: Visit) -> None:
    page = await visit.to(pay_link(EUROS))
    image = page.get_by_role("img")
    assert await image.evaluate("it => it.complete && it.naturalWidth > 100")


async def test_the_button_is_wide_enough_for_a_thumb(visit: Visit) -> None:
    page = await visit.to(pay_link(EUROS))
    box = await page.get_by_role("button").bounding_box()
    assert box
    assert box["height"] >= 44
    assert box["width"] > PHONE["width"] / 2


@pytest.mark.parametrize("by_keyboard", [True, False])
async def test_the_button_leads_to_the_payment_on_another_host(
    visit: Visit, by_keyboard: bool
) -> None:
    page = await visit.to(pay_link(EUROS))
    if by_keyboard:
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
    else:
        await page.get_by_role("button").tap()
    await expect(page.get_by_role("heading")).to_have_text("Hosted checkout")
    assert visit.site.desk.checkouts == [EUROS]
    assert visit.complaints == []


async def test_the_button_leads_to_where_a_card_is_entered(visit: Visit) -> None:
    page = await visit.to(card_link(CARD))
    assert (await names_in_tab_order(page))[0] == "Update card"
    await page.get_by_role("button", name="Update card").tap()
    await expect(page.get_by_role("heading")).to_have_text("Hosted card")
    assert visit.site.desk.setups == [CARD]


async def test_the_form_goes_to_no_host_that_was_not_named(visit: Visit) -> None:
    visit.site.desk.checkout_url = visit.site.hosted.replace("127.0.0.1", "localhost") + "/checkout"
    page = await visit.to(pay_link(EUROS))
    async with page.expect_event("console") as refused:
        await page.get_by_role("button").tap()
    assert "form-action" in (await refused.value).text
    assert page.url == visit.site.url + pay_link(EUROS)


async def test_back_from_the_payment_the_page_finds_out_by_itself(visit: Visit) -> None:
    page = await visit.to(pay_link(EUROS) + "?returned=1")
    await expect(page.get_by_role("status")).to_contain_text("we are confirming your payment")
    change(visit.site.engine, EUROS, status="paid", amount_paid=TOTAL)
    await expect(page.get_by_text("Paid. Thank you!")).to_be_visible()
    await expect(page.get_by_role("button")).to_have_count(0)


async def test_whoever_gave_up_the_payment_finds_the_invoice_again(visit: Visit) -> None:
    page = await visit.to(pay_link(EUROS))
    await page.get_by_role("button").tap()
    await expect(page.get_by_role("heading")).to_have_text("Hosted checkout")
    await visit.to(pay_link(EUROS) + "?returned=1")
    await page.get_by_role("link", name="Back to the invoice").tap()
    await expect(page.get_by_role("button", name="Pay EUR 195.10 by card")).to_be_visible()


async def test_following_every_link_changes_nothing(visit: Visit) -> None:
    before = contents(visit.site.engine)
    to_visit, seen = [pay_link(EUROS), pay_link(EUROS) + "?returned=1", card_link(CARD)], set()
    while to_visit:
        link = to_visit.pop()
        seen.add(link)
        if link.endswith("/pdf"):
            answer = await visit.page.request.get(visit.site.url + link)
            assert answer.status == 200
            continue
        page = await visit.to(link)
        found = await page.locator("a[href^='/']").evaluate_all(
            "links => links.map(link => link.getAttribute('href'))"
        )
        to_visit += [link for link in found if link not in seen]
    assert pay_link(EUROS) + "/pdf" in seen
    assert contents(visit.site.engine) == before
    assert (visit.site.desk.checkouts, visit.site.desk.setups) == ([], [])
