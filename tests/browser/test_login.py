"""The page to log in, in a browser without JavaScript: by keyboard, on a phone, from elsewhere."""

import os
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.async_api import Page, async_playwright, expect
from sqlalchemy import Engine

from api.login import HOME
from storage.access import Role
from tests.api.payers import Desk, payer_app
from tests.api.people import COOKIE, EMAIL, PASSWORD, how_many_sessions, somebody
from tests.browser.conftest import (
    FAINT,
    PHONE,
    Site,
    Visit,
    chromium,
    names_in_tab_order,
    served,
)


@pytest.fixture
def site(engine: Engine) -> Iterator[Site]:
    """The application with one person who may log in, and no invoice."""
    somebody(engine, Role.FINANCE)
    with served(payer_app(engine)) as url:
        yield Site(url, "", engine, Desk())


async def type_and_send(page: Page, email: str = EMAIL, password: str = PASSWORD) -> None:
    """By keyboard alone, from where the page has put the focus, which it does once it is drawn."""
    await expect(page.get_by_label("E-mail address")).to_be_focused()
    await page.keyboard.type(email)
    await page.keyboard.press("Tab")
    await page.keyboard.type(password)
    await page.keyboard.press("Enter")


async def test_the_form_is_walked_through_by_keyboard(visit: Visit) -> None:
    page = await visit.to("/login")
    await expect(page.get_by_label("E-mail address")).to_be_focused()
    assert await names_in_tab_order(page) == ["Password", "Log in"]


async def test_somebody_logs_in_and_out_by_keyboard(visit: Visit) -> None:
    page = await visit.to("/login?next=/healthz")
    await type_and_send(page)
    await page.wait_for_url(visit.site.url + "/healthz")
    assert (await page.request.get(visit.site.url + "/api/billing/cycles")).status == 200

    await visit.to("/login")
    await expect(page.get_by_text("The finance person")).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Continue")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Log out")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Password")).to_be_visible()
    assert (await page.request.get(visit.site.url + "/api/billing/cycles")).status == 401
    assert how_many_sessions(visit.site.engine) == 0


async def test_after_a_slip_only_the_password_is_typed_again(visit: Visit) -> None:
    page = await visit.to("/login")
    await type_and_send(page, password="a slip of the pen")
    await expect(page.get_by_role("alert")).to_contain_text("do not fit")
    await expect(page).to_have_title(re.compile("Not logged in"))
    await expect(page.get_by_label("E-mail address")).to_have_value(EMAIL)
    password = page.get_by_label("Password")
    await expect(password).to_be_focused()
    await expect(password).to_have_value("")
    await expect(password).to_have_accessible_description(re.compile("do not fit"))
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url(visit.site.url + HOME)


async def test_the_browsers_own_help_knows_the_fields(visit: Visit) -> None:
    page = await visit.to("/login")
    email, password = page.get_by_label("E-mail address"), page.get_by_label("Password")
    await expect(email).to_have_attribute("autocomplete", "username")
    await expect(email).to_have_attribute("type", "email")
    await expect(password).to_have_attribute("autocomplete", "current-password")
    await expect(password).to_have_attribute("type", "password")


async def failed(page: Page) -> None:
    await type_and_send(page, password="wrong")
    await expect(page.get_by_role("alert")).to_be_visible()


async def logged_in(page: Page) -> None:
    """Back on the page to log in, which now says as whom."""
    login = page.url
    await type_and_send(page)
    await page.wait_for_url(f"**{HOME}")
    await page.goto(login)
    await expect(page.get_by_role("heading")).to_have_text("You are logged in")


async def too_often(page: Page) -> None:
    form = {"email": EMAIL, "password": "wrong"}
    origin = {"Origin": page.url.removesuffix("/login")}
    for _ in range(10):
        await page.request.post(page.url, form=form, headers=origin)
    await type_and_send(page)
    await expect(page.get_by_role("heading")).to_have_text("Please wait a moment")


async def form(page: Page) -> None:
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("reach", [form, failed, logged_in, too_often])
async def test_every_page_fits_a_small_phone_and_can_be_read(visit: Visit, reach: object) -> None:
    page = await visit.to("/login")
    assert callable(reach)
    await reach(page)
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert await page.evaluate(FAINT) == []
    await expect(page.get_by_role("heading", level=1)).to_have_count(1)
    await expect(page.get_by_role("main")).to_have_count(1)
    for target in await page.locator("input:visible, button, .button").all():
        box = await target.bounding_box()
        assert box
        assert box["height"] >= 44
        # or the phone zooms in on the field
        assert await target.evaluate("it => parseFloat(getComputedStyle(it).fontSize)") >= 16
    assert [text for text in visit.complaints if "403" not in text and "429" not in text] == []


async def test_no_script_reads_the_cookie(visit: Visit) -> None:
    page = await visit.to("/login")
    await logged_in(page)
    (cookie,) = await page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"]) == (COOKIE, True)
    assert await page.evaluate("document.cookie") == ""


def elsewhere(target: str) -> FastAPI:
    """Another site's page with a button that sends a form to `target`."""
    app = FastAPI()

    @app.get("/")
    def show() -> HTMLResponse:
        return HTMLResponse(
            f'<!doctype html><form method="post" action="{target}">'
            f'<input name="email" value="{EMAIL}"><input name="password" value="{PASSWORD}">'
            "<button>Win a prize</button></form>"
        )

    return app


@pytest.mark.parametrize("path", ["/login", "/logout", "/api/billing/cycles/2026-02/release"])
async def test_a_button_of_another_site_does_nothing(visit: Visit, path: str) -> None:
    """A neighbour's port is of the same site, so that the browser sends the cookie along."""
    page = await visit.to("/login")
    await logged_in(page)
    with served(elsewhere(visit.site.url + path)) as other:
        await page.goto(other)
        async with page.expect_response("**" + path) as refused:
            await page.get_by_role("button").click()
        response = await refused.value
        assert COOKIE in (await response.request.all_headers())["cookie"]
        assert response.status == 403
        await expect(page.get_by_text("This request comes from another site")).to_be_visible()
    assert how_many_sessions(visit.site.engine) == 1
    await visit.to("/login")
    await expect(page.get_by_role("heading")).to_have_text("You are logged in")


async def test_over_plain_http_the_browser_tells_the_origin_of_our_form(site: Site) -> None:
    """There it sends no Sec-Fetch-Site, and hides the origin where the referrer is hidden."""
    arguments = [f"--host-resolver-rules=MAP billing.example {urlsplit(site.url).netloc}"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        page = await browser.new_page()
        await page.goto("http://billing.example/login")
        async with page.expect_request("**/login") as sent:
            await type_and_send(page)
        headers = await (await sent.value).all_headers()
        assert "sec-fetch-site" not in headers
        assert headers["origin"] == "http://billing.example"
        await page.wait_for_url("http://billing.example" + HOME)
        await browser.close()
