"""Customers, plans and prices, tax rates: added and changed by somebody who is no engineer."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.api.conftest import Product
from tests.api.test_failed_customers import Seed
from tests.builders import Subscriber
from tests.console.conftest import SitDown

CUSTOMERS = "/api/billing/customers"


@pytest.fixture
def house(books: Product, seed: Seed) -> Product:
    """One customer, the demo's three plans, Germany's tax, and no invoice."""
    seed([Subscriber("1001", 20_000)])
    return books


async def fill(page: Page, **values: str) -> None:
    """Fills fields by their labels; `_` stands for a blank."""
    for label, value in values.items():
        await page.get_by_label(label.replace("_", " "), exact=True).fill(value)


async def test_a_customer_is_added_found_and_subscribed(house: Product, sit_down: SitDown) -> None:
    desk = await sit_down(house)
    page = await desk.open("/customers")
    await page.get_by_role("link", name="Add a customer").click()
    await fill(
        page,
        Account_number="2001",
        Name="Brandt & Söhne GmbH",
        Street="Hafenstraße 47",
        City="Hamburg",
        Country="DE",
        Currency="USD",
        Segment="growth",
    )
    await page.get_by_label("E-mail addresses").fill("a@brandt.example; b@brandt.example")
    await page.get_by_role("button", name="Save").click()
    await desk.told("Brandt & Söhne GmbH is added.")

    await page.get_by_text("Subscribe to a plan").click()
    await page.get_by_label("Plan", exact=True).select_option("Premium support")
    await page.get_by_label("Quantity", exact=True).fill("3")
    await page.get_by_label("First day", exact=True).fill("2026-04-01")
    await page.get_by_role("button", name="Subscribe").click()
    await desk.told("Subscribed.")

    added = await house.get(f"{CUSTOMERS}/2001")
    assert added["billing_emails"] == ["a@brandt.example", "b@brandt.example"]
    (one,) = added["subscriptions"]
    assert (one["plan_code"], one["quantity"], one["starts_on"]) == (
        "premium-support",
        "3",
        "2026-04-01",
    )
    await desk.open("/customers")
    await page.get_by_label("Account, name or e-mail").fill("söhne")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("link", name="2001")).to_be_visible()
    assert desk.complaints == []


async def test_a_customer_who_cannot_be_taken_in_is_refused_and_the_form_stays_filled(
    house: Product, sit_down: SitDown
) -> None:
    desk = await sit_down(house)
    page = await desk.open("/customers/1001/change")
    await fill(page, Name="Renamed GmbH", Country="Germany")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("country")
    await expect(page.get_by_label("Name", exact=True)).to_have_value("Renamed GmbH")
    before = await house.get(f"{CUSTOMERS}/1001")
    assert before["name"] != "Renamed GmbH"

    await fill(page, Country="DE")
    await page.get_by_role("button", name="Save").click()
    await desk.told("Renamed GmbH is changed.")
    after = await house.get(f"{CUSTOMERS}/1001")
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"name"}


async def test_saving_a_customer_leaves_alone_what_somebody_else_changed_meanwhile(
    house: Product, sit_down: SitDown
) -> None:
    desk = await sit_down(house)
    page = await desk.open("/customers/1001/change")
    card = {"stripe_customer_id": "cus_1", "stripe_payment_method_id": "pm_new", "city": "Kiel"}
    assert (await house.http.patch(f"{CUSTOMERS}/1001", json=card)).status_code == 200
    await page.get_by_label("Order number, printed on invoices").fill("PO-7731")
    await page.get_by_role("button", name="Save").click()
    await desk.told("is changed.")
    kept = await house.get(f"{CUSTOMERS}/1001")
    assert kept["po_number"] == "PO-7731"
    assert {name: kept[name] for name in card} == card

    await desk.open("/customers/1001/change")
    await page.get_by_role("button", name="Save").click()
    await desk.told("Nothing was changed.")


async def test_a_subscription_changes_its_quantity_from_a_day_and_ends(
    house: Product, sit_down: SitDown
) -> None:
    desk = await sit_down(house)
    page = await desk.open("/customers/1001")
    await page.get_by_text("Subscribe to a plan").click()
    await page.get_by_label("Plan", exact=True).select_option("Dedicated ip")
    await page.get_by_label("First day", exact=True).fill("2026-04-01")
    await page.get_by_role("button", name="Subscribe").click()
    row = page.get_by_role("row", name="Dedicated ip").first
    await row.get_by_text("Change").first.click()
    await row.get_by_label("What").select_option("Another quantity from the day on")
    await row.get_by_label("Quantity").fill("5")
    await row.get_by_label("Day").fill("2026-05-01")
    await row.get_by_role("button", name="Save").click()
    await desk.told("another one from that day on")

    row = page.get_by_role("row", name=re.compile("Dedicated ip.*open-ended"))
    await row.get_by_text("Change").first.click()
    await row.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("give a day")
    await row.get_by_text("Change").first.click()
    await row.get_by_label("Day").fill("2026-06-01")
    await row.get_by_role("button", name="Save").click()
    await desk.told("It ends on that day.")
    rows = (await house.get(f"{CUSTOMERS}/1001"))["subscriptions"]
    assert [
        (one["quantity"], one["starts_on"], one["ends_on"])
        for one in rows
        if one["plan_code"] == "dedicated-ip"
    ] == [("1", "2026-04-01", "2026-05-01"), ("5", "2026-05-01", "2026-06-01")]


async def test_a_price_change_is_a_new_version_from_a_day(
    house: Product, sit_down: SitDown
) -> None:
    desk = await sit_down(house)
    page = await desk.open("/plans")
    await page.get_by_role("link", name="API calls").click()
    await expect(page.get_by_label("Price a unit").nth(1)).to_have_value("0.001")
    await fill(page, In_force_from="2026-05-01")
    await page.get_by_label("Price a unit").nth(1).fill("0.0012")
    await page.get_by_role("button", name="Save the new price").click()
    await desk.told("The new price is noted.")
    await expect(page.get_by_role("row", name=re.compile("1 May 2026"))).to_contain_text("$0.0012")
    plan = await house.get("/api/billing/plans/api-calls")
    new = [price for price in plan["prices"] if price["valid_from"] == "2026-05-01"]
    assert [(t["up_to"], t["unit_price"]) for t in new[0]["tiers"]] == [
        (10_000, "0"),
        (100_000, "0.0012"),
        (None, "0.0005"),
    ]


async def test_a_tier_without_a_price_is_no_tier_less(house: Product, sit_down: SitDown) -> None:
    desk = await sit_down(house)
    page = await desk.open("/plans/api-calls")
    await fill(page, In_force_from="2026-05-01")
    await page.get_by_label("Price a unit").first.fill("")
    await page.get_by_role("button", name="Save the new price").click()
    await expect(page.get_by_role("alert")).to_contain_text("Tiers, 1, Price")
    plan = await house.get("/api/billing/plans/api-calls")
    assert all(len(price["tiers"]) == 3 for price in plan["prices"])


async def test_a_plan_with_tiers_that_do_not_fit_is_refused_and_mended(
    house: Product, sit_down: SitDown
) -> None:
    desk = await sit_down(house)
    page = await desk.open("/new-plan")
    await page.get_by_label("Name, printed on invoices").fill("Storage")
    await page.get_by_label("Code", exact=True).fill("storage")
    await page.get_by_label("Kind").select_option("usage")
    await page.get_by_label("What usage counts", exact=True).fill("gigabytes")
    await fill(page, Currency="USD", In_force_from="2026-04-01", Tier_1="All")
    await page.get_by_label("Up to and with").first.fill("many")
    await page.get_by_label("Price a unit").first.fill("0.02")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("Up to and with: is not a number")

    await page.get_by_label("Up to and with").first.fill("")
    await page.get_by_role("button", name="Save").click()
    await desk.told("Storage is added.")
    plan = await house.get("/api/billing/plans/storage")
    assert plan["prices"][0]["tiers"] == [{"name": "All", "up_to": None, "unit_price": "0.02"}]


async def test_a_flat_plan_is_added(house: Product, sit_down: SitDown) -> None:
    desk = await sit_down(house)
    page = await desk.open("/new-plan")
    await page.get_by_label("Name, printed on invoices").fill("Single sign-on")
    await page.get_by_label("Code", exact=True).fill("sso")
    await fill(page, Currency="EUR", In_force_from="2026-04-01", Price="29.50")
    await page.get_by_role("button", name="Save").click()
    await desk.told("Single sign-on is added.")
    await desk.open("/plans")
    await expect(page.get_by_role("region", name="Single sign-on")).to_contain_text(
        "€29.50 a month"
    )


async def test_a_plan_of_several_charges_with_a_minimum_is_added_and_priced_anew(
    house: Product, sit_down: SitDown
) -> None:
    desk = await sit_down(house)
    page = await desk.open("/new-plan")
    await page.get_by_label("Name, printed on invoices").fill("Growth")
    await page.get_by_label("Code", exact=True).fill("growth")
    await page.get_by_label("Kind").select_option("usage")
    await fill(page, Currency="USD", In_force_from="2026-04-01", Minimum_a_month="1,000")
    await page.get_by_label("What usage counts", exact=True).fill("exports")
    await page.get_by_label("Priced", exact=True).select_option(
        "by package, a begun one as a whole"
    )
    await fill(page, Price_of_a_unit_or_package="4.00", Units_in_a_package="100")
    await page.get_by_text("Charge 2, for another metric").click()
    await page.get_by_label("Charge 2: What usage counts").fill("sms")
    await page.get_by_label("Charge 2: Priced").select_option("by unit")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("sms needs a unit_price")
    await page.get_by_label("Charge 2: Price of a unit or package").fill("0.05")
    await page.get_by_role("button", name="Save").click()
    await desk.told("Growth is added.")

    row = page.get_by_role("row", name=re.compile("1 Apr 2026"))
    for words in ("$4.00 for each 100 exports begun", "sms: $0.05 each", "at least $1,000.00"):
        await expect(row).to_contain_text(words)
    await fill(page, In_force_from="2026-06-01", Minimum_a_month="")
    await page.get_by_role("button", name="Save the new price").click()
    await desk.told("The new price is noted.")
    plan = await house.get("/api/billing/plans/growth")
    first, second = plan["prices"]
    assert second["charges"] == first["charges"]
    assert [price["minimum"] for price in (first, second)] == ["1000", None]


async def test_a_yearly_plan_is_added(house: Product, sit_down: SitDown) -> None:
    desk = await sit_down(house)
    page = await desk.open("/new-plan")
    await page.get_by_label("Name, printed on invoices").fill("Platform")
    await page.get_by_label("Code", exact=True).fill("platform")
    await page.get_by_label("A flat price is charged").select_option("each year, in advance")
    await fill(page, Currency="USD", In_force_from="2026-04-01", Price="1,200")
    await page.get_by_role("button", name="Save").click()
    await desk.told("Platform is added.")
    await expect(page.get_by_role("row", name=re.compile("1 Apr 2026"))).to_contain_text("a year")


async def test_a_discount_is_added_ends_and_is_withdrawn(house: Product, sit_down: SitDown) -> None:
    desk = await sit_down(house)
    page = await desk.open("/customers/1001")
    await page.get_by_text("Add a discount").click()
    await fill(page, Name_of_the_discount="Loyalty", How_much="10", Discount_from="2026-04-01")
    await page.get_by_label("By", exact=True).select_option("USD a month")
    await fill(page, First_day_without_the_discount="2026-04-01")
    await page.get_by_role("button", name="Add the discount").click()
    await expect(page.get_by_role("alert")).to_contain_text("must be after")
    await fill(page, First_day_without_the_discount="")
    await page.get_by_role("button", name="Add the discount").click()
    await desk.told("The discount is added.")
    row = page.get_by_role("row", name=re.compile("Loyalty everything.*10.00 a month"))
    await row.get_by_text("Change").click()
    await row.get_by_label("Day").fill("2026-09-01")
    await row.get_by_role("button", name="Save").click()
    await desk.told("The discount ends on that day.")
    await expect(row).to_contain_text("before 1 Sep 2026")
    await row.get_by_text("Change").click()
    await row.get_by_label("What").select_option("Was a mistake: withdraw it")
    await row.get_by_role("button", name="Save").click()
    await desk.told("The discount is withdrawn.")
    assert (await house.get("/api/billing/discounts"))["items"] == []


async def test_prepaid_credit_is_granted_and_lapses(house: Product, sit_down: SitDown) -> None:
    desk = await sit_down(house)
    page = await desk.open("/customers/1001")
    await page.get_by_text("Grant prepaid credit").click()
    await fill(page, Reference="PO-1", Credit_in_USD="1,000", Price_of_the_credit="900")
    await fill(page, Credit_from="2026-04-01")
    await page.get_by_role("button", name="Grant the credit").click()
    await desk.told("The credit is granted.")
    row = page.get_by_role("row", name=re.compile(r"PO-1 \$1,000.00 \$900.00 \$1,000.00"))
    await row.get_by_text("Change").click()
    await row.get_by_label("Day").fill("2027-04-01")
    await row.get_by_role("button", name="Save").click()
    await desk.told("The credit lapses on that day.")
    (kept,) = (await house.get("/api/billing/prepaid"))["items"]
    assert (kept["reference"], kept["price"], kept["expires_on"]) == ("PO-1", "900", "2027-04-01")


async def test_a_tax_rate_follows_another_and_ends(house: Product, sit_down: SitDown) -> None:
    desk = await sit_down(house)
    page = await desk.open("/tax-rates")
    form = page.get_by_role("region", name="Add a rate")
    await form.get_by_label("Country").fill("DE")
    await form.get_by_label("Percent").fill("16")
    await form.get_by_label("Name, printed on invoices").fill("VAT")
    await form.get_by_label("Valid from").fill("2026-07-01")
    await form.get_by_role("button", name="Add the rate").click()
    await desk.told("The rate of DE is added.")

    row = page.get_by_role("row", name=re.compile("16 %"))
    await row.get_by_text("Change").click()
    await row.get_by_label("Day").fill("2027-01-01")
    await row.get_by_role("button", name="Save").click()
    await desk.told("The rate ends then.")
    rates = (await house.get("/api/billing/tax-rates?country=DE"))["items"]
    assert [(rate["rate_percent"], rate["valid_to"]) for rate in rates] == [
        ("19", "2026-07-01"),
        ("16", "2027-01-01"),
    ]


async def test_a_rate_that_overlaps_is_refused(house: Product, sit_down: SitDown) -> None:
    desk = await sit_down(house)
    page = await desk.open("/tax-rates")
    form = page.get_by_role("region", name="Add a rate")
    await form.get_by_label("Country").fill("DE")
    await form.get_by_label("Percent").fill("16")
    await form.get_by_label("Name, printed on invoices").fill("VAT")
    await form.get_by_label("Valid from").fill("2026-07-01")
    await form.get_by_label("The rate before it ends then").uncheck()
    await form.get_by_role("button", name="Add the rate").click()
    await expect(page.get_by_role("alert")).to_contain_text("19")
    await expect(form.get_by_label("Percent")).to_have_value("16")


async def test_what_was_added_by_mistake_is_withdrawn(house: Product, sit_down: SitDown) -> None:
    desk = await sit_down(house)
    page = await desk.open("/customers/1001")
    await page.get_by_text("Subscribe to a plan").click()
    await page.get_by_label("Plan", exact=True).select_option("Premium support")
    await page.get_by_label("First day", exact=True).fill("2026-04-01")
    await page.get_by_role("button", name="Subscribe").click()
    row = page.get_by_role("row", name="Premium support").first
    await row.get_by_text("Change").first.click()
    await row.get_by_label("What").select_option("Was a mistake: withdraw it")
    await row.get_by_role("button", name="Save").click()
    await desk.told("It is withdrawn")
    rows = (await house.get(f"{CUSTOMERS}/1001"))["subscriptions"]
    assert [one["plan_code"] for one in rows] == ["api-calls"]

    await desk.open("/tax-rates")
    row = page.get_by_role("row", name="DE")
    await row.get_by_text("Change").click()
    await row.get_by_label("What").select_option("Was a mistake: withdraw it")
    await row.get_by_role("button", name="Save").click()
    await desk.told("The rate is withdrawn")
    assert (await house.get("/api/billing/tax-rates"))["items"] == []
