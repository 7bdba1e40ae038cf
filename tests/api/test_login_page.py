"""The page to log in: where it leads, from where and how often it may be asked, what guards it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from api import login
from api.login import HOME, local_path
from api.rate_limit import RateLimit
from storage.access import Role
from tests.api.conftest import Product, nowhere
from tests.api.people import COOKIE, EMAIL, Browser, how_many_sessions, somebody


@pytest.fixture
async def house(books: Product) -> Product:
    """The application with one person who may log in."""
    somebody(books.engine, Role.FINANCE)
    return books


@pytest.fixture
def browser(house: Product) -> Browser:
    return Browser(house)


# --- where it leads


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/console",
        "/console/invoices/INV-2026-02-0047",
        "/console/invoices/",
        "/console/audit?actor=Ada%20Lovelace&from=2026-02-01",
        "/console?next=//evil.example",
        "/docs",
    ],
)
async def test_a_login_leads_on_to_a_page_of_ours(browser: Browser, path: str) -> None:
    shown = await browser.http.get("/login", params={"next": path})
    assert f'name="next" value="{path.replace("&", "&amp;")}"' in shown.text
    assert (await browser.log_in(next=path)).headers["location"] == path


@pytest.mark.parametrize(
    "target",
    [
        "",
        "console",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "//",
        "//evil.example",
        "///evil.example",
        "////evil.example",
        r"/\evil.example",
        r"\/evil.example",
        r"\\evil.example",
        r"/console\..\evil",
        "/%2Fevil.example",
        "/%2fevil.example",
        "/%252fevil.example",
        "/%5Cevil.example",
        "/%09/evil.example",
        "/.//evil.example",
        "/console//evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        " //evil.example",
        "/console\r\nSet-Cookie: a=b",
        "/console\r\n",
        "/console\x00",
        "/console?a=\\b",
        "/console?a=\nb",
        "/@evil.example",
        "/console#//evil.example",
        "/\u2215evil.example",
        "/\uff0fevil.example",
        "/é",
        "/" + "a" * 20 + "//" + "b",
    ],
)
def test_no_login_leads_to_another_host(target: str) -> None:
    assert local_path(target) == HOME


@pytest.mark.parametrize("target", ["//evil.example", r"/\evil.example", "/%2Fevil.example"])
async def test_a_target_elsewhere_is_forgotten_wherever_it_is_given(
    browser: Browser, target: str
) -> None:
    shown = await browser.http.get("/login", params={"next": target})
    assert "evil" not in shown.text
    assert "evil" not in (await browser.log_in(password="wrong", next=target)).text
    assert (await browser.log_in(next=target)).headers["location"] == HOME
    assert "evil" not in (await browser.http.get("/login", params={"next": target})).text


async def test_whoever_is_logged_in_sees_as_whom_and_goes_on(browser: Browser) -> None:
    await browser.log_in()
    shown = (await browser.http.get("/login", params={"next": "/console"})).text
    assert "The finance person" in shown
    assert EMAIL in shown
    assert 'href="/console"' in shown
    assert 'action="/logout"' in shown
    assert f'href="{HOME}"' in (await browser.http.get("/login")).text


# --- from where


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://billing.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_no_other_site_logs_anybody_in_or_out(
    house: Product, browser: Browser, headers: dict[str, str]
) -> None:
    await browser.log_in()
    before = browser.token
    del browser.http.headers["Sec-Fetch-Site"]
    browser.http.headers.update(headers)
    for answer in (await browser.log_in(), await browser.http.post("/logout")):
        assert answer.status_code == 403
        assert "own pages" in answer.text.replace("&#39;", "'")
        assert "set-cookie" not in answer.headers
    assert browser.token == before
    assert how_many_sessions(house.engine) == 1


async def test_a_browser_that_says_only_its_origin_logs_in(browser: Browser) -> None:
    del browser.http.headers["Sec-Fetch-Site"]
    browser.http.headers["Origin"] = "http://billing.example"
    assert (await browser.log_in()).status_code == 303


# --- how often


async def statuses(browser: Browser, times: int, email: str = EMAIL) -> list[int]:
    return [(await browser.log_in(email, "wrong")).status_code for _ in range(times)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No password is looked at."""
    monkeypatch.setattr(login, "check_password", lambda *attempt: None)


@pytest.mark.usefixtures("quick")
async def test_one_login_is_tried_only_so_often_from_wherever(house: Product) -> None:
    spread = [Browser(house, f"203.0.113.{n}") for n in range(12)]
    seen = [(await statuses(browser, 1, EMAIL.upper()))[0] for browser in spread]
    assert seen == [403] * 10 + [429] * 2
    assert await statuses(spread[0], 1, "somebody@else.example") == [403]


@pytest.mark.usefixtures("quick")
async def test_however_an_address_is_written_it_is_one_login(house: Product) -> None:
    spread = [Browser(house, f"203.0.113.{n}") for n in range(12)]
    seen = [
        (await statuses(browser, 1, f"{';' * n} {EMAIL};{' ' * n}"))[0]
        for n, browser in enumerate(spread)
    ]
    assert seen == [403] * 10 + [429] * 2


@pytest.mark.usefixtures("quick")
async def test_one_address_tries_only_so_often_whomever(house: Product) -> None:
    browser = Browser(house)
    seen = [(await statuses(browser, 1, f"{n}@b.example"))[0] for n in range(22)]
    assert seen == [403] * 20 + [429] * 2
    assert await statuses(Browser(house, "203.0.113.8"), 1) == [403]


async def test_who_tried_too_often_is_told_when_to_come_back(
    house: Product, browser: Browser
) -> None:
    gate = house.app.state.login_gate = login.Gate()
    now = 1_000.0
    gate.logins = RateLimit(1, 30, clock=lambda: now)
    assert (await browser.log_in(password="wrong")).status_code == 403
    answer = await browser.log_in()
    assert answer.status_code == 429, "the right password comes too soon as well"
    assert answer.headers["retry-after"] == "30"
    assert "Try again in 30 seconds" in answer.text
    assert browser.token is None
    now += 30
    assert (await browser.log_in()).status_code == 303


async def test_no_more_than_two_passwords_are_looked_at_at_once(
    house: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter_at_work: list[float] = []

    def check(connection: Any, email: str, password: str) -> None:
        limiter_at_work.append(house.app.state.login_gate.hashing.borrowed_tokens)

    monkeypatch.setattr(login, "check_password", check)
    browsers = [Browser(house, f"203.0.113.{n}") for n in range(8)]
    await asyncio.gather(*(browser.log_in() for browser in browsers))
    assert len(limiter_at_work) == 8
    assert 1 <= max(limiter_at_work) <= 2


# --- the page


@pytest.mark.parametrize("path", ["/login", "/login?next=/console"])
async def test_the_page_is_kept_by_nobody_and_framed_by_nobody(browser: Browser, path: str) -> None:
    wrong = await browser.log_in(password="wrong")
    shown = await browser.http.get(path)
    right = await browser.log_in()
    for answer in (shown, wrong, right, await browser.http.post("/logout")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-robots-tag"] == "noindex"
        # with no-referrer a browser would not say where a form comes from
        assert answer.headers["referrer-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert part in policy
        assert policy.endswith("form-action 'self'")


async def test_without_postgresql_the_page_says_so(house: Product, browser: Browser) -> None:
    services = house.app.state.services
    house.app.state.services = replace(services, engine=nowhere())
    assert (await browser.http.get("/login")).status_code == 200
    browser.http.cookies.set(COOKIE, "any")
    for answer in (await browser.http.get("/login"), await browser.log_in()):
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "30"
        assert "Please try again in a minute" in answer.text
