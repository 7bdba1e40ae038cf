"""Bank statements in the console: uploaded, matched, and the rest settled by hand."""

import re
from collections.abc import Iterable

from playwright.async_api import FilePayload, Page, expect

from tests.api.collected import TOTAL, Month
from tests.console.conftest import SitDown

HEADER = "bank_reference,booked_on,amount,currency,payer_name,payer_iban,remittance"


def statement(lines: Iterable[str]) -> FilePayload:
    text = "\n".join((HEADER, *lines)) + "\n"
    return FilePayload(name="march.csv", mimeType="text/csv", buffer=text.encode())


async def upload(page: Page, *lines: str) -> None:
    await page.get_by_label("CAMT.053, MT940 or CSV").set_input_files(statement(lines))
    await page.get_by_role("button", name="Upload").click()


async def test_a_statement_is_uploaded_matched_and_known_the_second_time(
    month: Month, sit_down: SitDown
) -> None:
    number = month.take("wired")
    desk = await sit_down(month.product)
    page = await desk.open("/bank")
    await upload(page, f"C-1,2026-03-09,{TOTAL},USD,,,Payment of {number}")
    await desk.told("1 new entry: 1 matched, 0 to settle by hand")
    await page.get_by_role("link", name="Matched").click()
    wire = page.get_by_role("article", name="Transaction C-1")
    await expect(wire).to_contain_text("by its reference")
    await wire.get_by_role("link", name=number).click()
    await expect(page.get_by_role("region", name="Payments")).to_contain_text("bank transfer")

    await desk.open("/bank")
    await upload(page, f"C-1,2026-03-09,{TOTAL},USD,,,Payment of {number}")
    await desk.told("Nothing new: all 1 entry were known.")
    assert desk.complaints == []


async def test_what_matched_nothing_is_booked_by_hand(month: Month, sit_down: SitDown) -> None:
    number = month.take("wired")
    desk = await sit_down(month.product)
    page = await desk.open("/bank")
    await upload(page, f"C-2,2026-03-09,{TOTAL},USD,Somebody Else,,many thanks")
    await desk.told("1 to settle by hand")
    wire = page.get_by_role("article", name="Transaction C-2")
    await wire.get_by_text("Another invoice, or several").click()
    await wire.get_by_label("Invoice", exact=True).fill(number)
    await wire.get_by_role("textbox", name="Note").fill("confirmed by telephone")
    await wire.get_by_role("button", name="Book", exact=True).click()
    await desk.told("Booked.")
    await expect(page.get_by_role("article", name="Transaction C-2")).to_have_count(0)
    assert (await month.get(number))["open_amount"] == "0.00"


async def test_a_mistake_is_refused_where_it_was_made(month: Month, sit_down: SitDown) -> None:
    desk = await sit_down(month.product)
    page = await desk.open("/bank")
    await upload(page, "C-3,2026-03-09,1.00,USD,Nobody,,nothing")
    wire = page.get_by_role("article", name="Transaction C-3")
    await wire.get_by_text("Another invoice, or several").click()
    await wire.get_by_label("Invoice", exact=True).fill("INV-2026-02-9999")
    await wire.get_by_role("button", name="Book", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("INV-2026-02-9999")
    await expect(wire.get_by_label("Invoice", exact=True)).to_have_value("INV-2026-02-9999")

    await wire.get_by_text("It is for no invoice").click()
    await wire.get_by_label("Why").fill("a refund of the landlord's")
    await wire.get_by_role("button", name="Set aside").click()
    await desk.told("Set aside.")
    await page.get_by_role("link", name="Set aside").click()
    await expect(wire).to_contain_text("a refund of the landlord's")


async def test_what_is_no_statement_is_refused_whole(month: Month, sit_down: SitDown) -> None:
    desk = await sit_down(month.product)
    page = await desk.open("/bank")
    garbage = FilePayload(name="photo.jpg", mimeType="image/jpeg", buffer=b"\xff\xd8\x00" * 500)
    await page.get_by_label("CAMT.053, MT940 or CSV").set_input_files(garbage)
    await page.get_by_role("button", name="Upload").click()
    await expect(page.get_by_role("alert")).to_contain_text("photo.jpg")
    await expect(page.get_by_role("alert")).to_contain_text(re.compile("Nothing of the file"))
