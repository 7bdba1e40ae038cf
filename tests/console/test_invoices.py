"""Invoices and the review queue: what a person decides there is done, and told."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.api.collected import Month
from tests.api.conftest import INVOICES
from tests.console.conftest import SitDown


async def state_of(month: Month, number: str) -> tuple[str, str]:
    invoice = await month.get(number)
    return invoice["status"], invoice["open_amount"]


async def test_an_invoice_is_found_by_a_part_of_its_number_and_read(
    month: Month, sit_down: SitDown
) -> None:
    number = month.take("paid")
    desk = await sit_down(month.product)
    page = await desk.open("/invoices")
    await page.get_by_label("Number, account or customer").fill(number.lower())
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("link", name=number).click()
    await expect(page.get_by_role("heading", name=number)).to_be_visible()
    await expect(page.get_by_role("region", name="Lines")).to_contain_text("API calls")
    await expect(page.get_by_role("region", name="Payments")).to_contain_text("succeeded")
    await expect(page.get_by_role("region", name="Timeline")).to_contain_text("Issued")
    pdf = await page.get_by_role("link", name="Open the PDF").get_attribute("href")
    answer = await page.request.get(f"{desk.url}{pdf}")
    assert (answer.status, (await answer.body())[:5]) == (200, b"%PDF-")
    history = await page.get_by_role("link", name="History in Temporal").get_attribute("href")
    assert history
    assert history.startswith("http://temporal.example/")
    assert number in history
    assert desk.complaints == []


async def test_filters_show_what_they_say(month: Month, sit_down: SitDown) -> None:
    desk = await sit_down(month.product)
    page = await desk.open("/invoices")
    await page.get_by_label("Collection").select_option("manual review")
    await page.get_by_label("Open", exact=True).check()
    await page.get_by_role("button", name="Search").click()
    rows = page.get_by_role("group", name="Invoices").locator("tbody tr")
    found = (await month.product.get(f"{INVOICES}?collection_state=manual_review&open=true"))[
        "items"
    ]
    await expect(rows).to_have_count(len(found))
    for text in await rows.all_text_contents():
        assert "manual review" in text


async def test_reminders_are_held_and_released(month: Month, sit_down: SitDown) -> None:
    number = month.take("wired")
    desk = await sit_down(month.product)
    page = await desk.open(f"/invoices/{number}")
    await page.get_by_text("Hold", exact=True).first.click()
    await page.get_by_label("Why").first.fill("they dispute the quantity")
    await page.get_by_role("button", name="Hold").click()
    await desk.told("nobody is reminded until you release it")
    assert (await month.get(number))["on_hold"]
    await expect(page.get_by_role("region", name="Timeline")).to_contain_text(
        "they dispute the quantity"
    )
    await expect(page.get_by_role("region", name="Timeline")).to_contain_text("The finance person")

    await page.get_by_text("Release", exact=True).first.click()
    await page.get_by_role("button", name="Release").click()
    await desk.told("count from today")
    assert not (await month.get(number))["on_hold"]


async def credit(page: Page, amount: str) -> None:
    await page.get_by_text("Credit note", exact=True).click()
    await page.get_by_label("Reason, printed on the credit note").first.fill("an outage")
    await page.get_by_label(re.compile("^Amount in")).fill(amount)
    await page.get_by_role("button", name="Issue the credit note").click()


async def test_an_amount_is_credited_once_though_the_form_is_sent_twice(
    month: Month, sit_down: SitDown
) -> None:
    number = month.take("wired")
    desk = await sit_down(month.product)
    page = await desk.open(f"/invoices/{number}")
    key = await page.locator("form[action$=credit-notes] [name=key]").get_attribute("value")
    await credit(page, "5.00")
    await desk.told("Credit note CN-")
    again = await page.request.post(
        f"{desk.url}/console/invoices/{number}/credit-notes",
        form={"key": key or "", "reason": "an outage", "what": "amount", "amount": "5.00"},
        headers={"Origin": desk.url},
    )
    assert again.ok
    assert len(await month.get(number, "/credit-notes")) == 1
    assert await state_of(month, number) == ("issued", "18.80")


async def test_a_credit_beyond_the_invoice_is_refused_and_the_form_keeps_its_words(
    month: Month, sit_down: SitDown
) -> None:
    number = month.take("wired")
    desk = await sit_down(month.product)
    page = await desk.open(f"/invoices/{number}")
    await credit(page, "500.00")
    await expect(page.get_by_role("alert")).to_contain_text("23.80")
    await expect(page.get_by_label(re.compile("^Amount in"))).to_have_value("500.00")
    await expect(page.get_by_label(re.compile("^Amount in"))).to_be_visible()
    await expect(page.locator("details[open]")).to_have_count(1)
    assert await month.get(number, "/credit-notes") == []


async def test_an_invoice_is_taken_back(month: Month, sit_down: SitDown) -> None:
    number = month.take("wired")
    desk = await sit_down(month.product)
    page = await desk.open(f"/invoices/{number}")
    await page.get_by_text("Take the invoice back").click()
    await (
        page.locator("form[action$=void]").get_by_label(re.compile("^Reason")).fill("wrong entity")
    )
    await page.get_by_role("button", name=f"Void {number}").click()
    await desk.told("Credit note CN-")
    assert await state_of(month, number) == ("void", "0.00")


async def test_an_invoice_is_sent_again(month: Month, sit_down: SitDown) -> None:
    number = month.take("paid")
    before = len(await month.get(number, "/emails"))
    desk = await sit_down(month.product)
    page = await desk.open(f"/invoices/{number}")
    await page.get_by_role("button", name="Send again").click()
    await desk.told("sent once more")
    assert len(await month.get(number, "/emails")) == before + 1


async def test_a_button_that_is_pressed_twice_sends_one_email(
    month: Month, sit_down: SitDown
) -> None:
    number = month.take("paid")
    before = len(await month.get(number, "/emails"))
    desk = await sit_down(month.product)
    page = await desk.open(f"/invoices/{number}")
    key = await page.locator("form[action$=resend] [name=key]").get_attribute("value")
    for _ in range(2):
        sent = await page.request.post(
            f"{desk.url}/console/invoices/{number}/resend",
            form={"key": key or ""},
            headers={"Origin": desk.url},
        )
        assert sent.ok
    assert len(await month.get(number, "/emails")) == before + 1


async def test_an_invoice_that_nobody_issued_is_no_page(month: Month, sit_down: SitDown) -> None:
    desk = await sit_down(month.product)
    page = await desk.open("/invoices/INV-2026-02-9999")
    await expect(page.get_by_text("There is no invoice INV-2026-02-9999")).to_be_visible()
    for hostile in ("..%3Fx=1", "%252e%252e", "%00", "<script>", "x" * 5_000):
        answer = await page.request.get(f"{desk.url}/console/invoices/{hostile}")
        assert answer.status in (404, 422), hostile


# --- the review queue


async def test_a_case_tells_its_story_and_is_resolved_by_a_button(
    month: Month, sit_down: SitDown
) -> None:
    number = month.take("refused")
    desk = await sit_down(month.product)
    page = await desk.open("/review")
    case = page.get_by_role("region", name=re.compile(number))
    await expect(case).to_contain_text("card charged, attempt 1, failed")
    await case.get_by_label("Your note").fill("insolvent, says their lawyer")
    await case.get_by_role("button", name="Write it off").click()
    await desk.told(f"{number}: written off")
    await expect(page.get_by_role("region", name=re.compile(number))).to_have_count(0)
    assert (await state_of(month, number))[0] == "uncollectible"
    (entry,) = [e for e in await month.get(number, "/timeline") if e["event"] == "written_off"]
    assert entry["actor"] == "The finance person <finance@billwright.example>"


async def test_the_enter_key_decides_nothing(month: Month, sit_down: SitDown) -> None:
    number = month.take("refused")
    desk = await sit_down(month.product)
    page = await desk.open("/review")
    case = page.get_by_role("region", name=re.compile(number))
    await case.get_by_label("Your note").fill("called them, will call back")
    await page.keyboard.press("Enter")
    await desk.open(f"/invoices/{number}")
    await expect(page.get_by_role("heading", name=number)).to_be_visible()
    assert await state_of(month, number) == ("issued", "23.80")


async def test_more_time_needs_a_day(month: Month, sit_down: SitDown) -> None:
    number = month.take("refused")
    desk = await sit_down(month.product)
    page = await desk.open("/review")
    case = page.get_by_role("region", name=re.compile(number))
    await case.get_by_label("Your note").fill("agreed by telephone")
    await case.get_by_role("button", name="Give more time").click()
    await expect(page.get_by_role("alert")).to_contain_text("give the day to extend to")
    await expect(case.get_by_label("Your note")).to_have_value("agreed by telephone")

    await case.get_by_label("More time until").fill("2026-04-30")
    await case.get_by_role("button", name="Give more time").click()
    await desk.told("the customer has more time")
    (extended,) = [e for e in await month.get(number, "/timeline") if "extend" in e["event"]]
    assert "2026-04-30" in str(extended)


@pytest.mark.parametrize(
    ("button", "status"),
    [("It was paid elsewhere", "paid"), ("Take it back by credit note", "void")],
)
async def test_a_case_ends(month: Month, sit_down: SitDown, button: str, status: str) -> None:
    number = month.take("refused")
    desk = await sit_down(month.product)
    page = await desk.open("/review")
    case = page.get_by_role("region", name=re.compile(number))
    await case.get_by_label("Your note").fill("seen on the other account")
    await case.get_by_role("button", name=button).click()
    await desk.told(number)
    assert await state_of(month, number) == (status, "0.00")


async def test_a_card_that_is_charged_again_and_refused_leaves_the_case(
    month: Month, sit_down: SitDown
) -> None:
    number = month.take("refused")
    desk = await sit_down(month.product)
    page = await desk.open("/review")
    case = page.get_by_role("region", name=re.compile(number))
    await case.get_by_label("Your note").fill("they say it works now")
    await case.get_by_role("button", name="Charge the card again").click()
    await desk.told(number)
    await page.reload()
    await expect(case).to_contain_text("attempt 2, failed")
