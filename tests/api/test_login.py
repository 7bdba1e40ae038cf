"""Logging in and out: who gets a session, and for how long."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from api import login
from api.login import HOME
from storage.access import Role
from storage.audit import AuditFilter, list_entries
from storage.engine import transaction
from storage.people import IDLE, LONGEST, change_password, disable_person
from tests.api.conftest import Product
from tests.api.people import BY_TEST, COOKIE, EMAIL, Browser, how_many_sessions, somebody
from tests.builders import ISSUED_ON, NOW

SECOND = timedelta(seconds=1)


@pytest.fixture
async def house(books: Product) -> Product:
    """The application with one person who may log in."""
    somebody(books.engine, Role.FINANCE)
    return books


@pytest.fixture
def browser(house: Product) -> Browser:
    return Browser(house)


def set_clock(product: Product, now: datetime) -> None:
    state = product.app.state
    state.services = replace(state.services, now=lambda: now)


# --- in and out


async def test_a_login_opens_the_api_until_the_logout(house: Product, browser: Browser) -> None:
    assert not await browser.is_in()
    answer = await browser.log_in()
    assert (answer.status_code, answer.headers["location"]) == (303, HOME)
    assert await browser.is_in()
    copied = Browser(house)
    copied.http.cookies.set(COOKIE, browser.token or "")
    assert await copied.is_in()

    answer = await browser.http.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert browser.token is None
    assert not await browser.is_in()
    assert not await copied.is_in(), "the session is over, not only its cookie gone"


async def test_a_logout_of_nobody_leads_to_the_login(browser: Browser) -> None:
    answer = await browser.http.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize(
    "attempt",
    [
        {"password": "a wrong password"},
        {"password": ""},
        {"email": "eve@billwright.example"},
        {"email": ""},
        {"email": "\x00@b.c"},
        {"email": "\ud800".encode(errors="surrogatepass").decode(errors="replace") + "@b.c"},
    ],
    ids=["password", "no password", "address", "no address", "NUL", "half a character"],
)
async def test_what_does_not_fit_is_answered_alike(
    browser: Browser, attempt: dict[str, str]
) -> None:
    wrong = await browser.log_in(password="another wrong password")
    answer = await browser.log_in(**attempt)
    assert answer.status_code == wrong.status_code == 403
    assert browser.token is None
    typed = re.compile(r'type="email" value="[^"]*"')
    assert typed.sub("", answer.text) == typed.sub("", wrong.text)
    assert 'role="alert"' in answer.text


async def test_the_address_is_shown_again_and_the_password_is_not(browser: Browser) -> None:
    answer = await browser.log_in('"><script>alert(1)</script>', "what I <typed> wrongly")
    assert "what I" not in answer.text
    assert "<script>" not in answer.text
    assert "&lt;script&gt;" in answer.text


async def test_an_unknown_address_is_verified_too(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def check(connection: Any, email: str, password: str) -> None:
        checked.append(email)

    monkeypatch.setattr(login, "check_password", check)
    await browser.log_in("eve@billwright.example")
    assert checked == ["eve@billwright.example"]


async def test_a_body_that_is_no_form_logs_nobody_in(browser: Browser) -> None:
    for content in (b"", b"\xff\xfe=%ff%00", b"{}", b"&&&==", b"email=a&email"):
        answer = await browser.http.post("/login", content=content)
        assert answer.status_code == 403, content
    answer = await browser.http.post("/login", content=b"email=" + b"a" * 16_000)
    assert answer.status_code == 413
    assert "Back to the login" in answer.text


# --- what the audit log has of it


def told(product: Product) -> list[tuple[Any, ...]]:
    """What it has about people, beyond that they were added."""
    with transaction(product.engine) as connection:
        entries = list_entries(connection, AuditFilter(subject_kind="person"), limit=100)
    return [
        (entry.event, entry.subject, entry.actor, entry.details, entry.business_date)
        for entry in entries
        if entry.event.startswith("log")
    ]


async def test_the_log_tells_who_came_in_and_from_where(house: Product, browser: Browser) -> None:
    await browser.log_in("Finance@Billwright.example")
    person = f"The finance person <{EMAIL}>"
    came_from = {"client": "203.0.113.7"}
    assert told(house) == [("logged_in", EMAIL, person, came_from, ISSUED_ON)]


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::7"])
async def test_the_log_tells_whose_password_was_tried_and_from_where(
    house: Product, address: str
) -> None:
    await Browser(house, address).log_in("Finance@Billwright.example", "a wrong password")
    assert told(house) == [("login_failed", EMAIL, EMAIL, {"client": address}, ISSUED_ON)]


async def test_who_was_disabled_is_still_known(house: Product, browser: Browser) -> None:
    with transaction(house.engine) as connection:
        disable_person(connection, EMAIL, BY_TEST)
    await browser.log_in()
    assert [event for event, *_ in told(house)] == ["login_failed"]


@pytest.mark.parametrize("email", ["eve@billwright.example", "", "\x00@b.c", "no address"])
async def test_what_nobody_logs_in_with_leaves_no_entry(
    house: Product, browser: Browser, email: str
) -> None:
    assert (await browser.log_in(email)).status_code == 403
    assert told(house) == []


async def test_an_attempt_beyond_the_limit_leaves_no_entry(house: Product) -> None:
    answers = [
        (await Browser(house, f"203.0.113.{n}").log_in(password="wrong")).status_code
        for n in range(12)
    ]
    assert len(told(house)) == answers.count(403) < len(answers)


async def test_the_entry_comes_behind_the_answer(
    house: Product, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.body":
            order.append("answered")

    def note(*_: object) -> None:
        order.append("noted")

    monkeypatch.setattr(login, "record_failed_login", note)
    request = browser.http.build_request(
        "POST", "/login", data={"email": EMAIL, "password": "a wrong password"}
    )
    await deliver(house, request, sending)
    assert order == ["answered", "noted"], "how long it takes tells nobody which addresses exist"


async def deliver(
    product: Product, request: httpx.Request, send: Callable[[Any], Awaitable[None]]
) -> None:
    """Hands the request to the application, whose answer goes to `send` piece by piece."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": request.content, "more_body": False}

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.url.path,
        "raw_path": request.url.raw_path,
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("203.0.113.7", 50_000),
        "server": ("billing.example", 80),
    }
    await product.app(scope, receive, send)


# --- the session


async def test_a_login_never_takes_over_a_token_that_the_browser_brought(
    house: Product, browser: Browser
) -> None:
    browser.http.cookies.set(COOKIE, "chosen-by-somebody-else")
    answer = await browser.log_in()
    first = answer.cookies[COOKIE]
    assert first != "chosen-by-somebody-else"
    browser.http.cookies.clear()
    browser.http.cookies.set(COOKIE, first)
    second = (await browser.log_in()).cookies[COOKIE]
    assert second != first
    assert how_many_sessions(house.engine) == 1, "the one of before is over"


async def test_a_failed_login_leaves_the_session_as_it_was(browser: Browser) -> None:
    await browser.log_in()
    before = browser.token
    assert (await browser.log_in(password="a wrong password")).status_code == 403
    assert browser.token == before
    assert await browser.is_in()


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(browser: Browser) -> None:
    kept = (await browser.log_in()).headers["set-cookie"]
    forgotten = (await browser.http.post("/logout")).headers["set-cookie"]
    for header in (kept, forgotten):
        name, *attributes = header.split("; ")
        assert name.startswith(f"{COOKIE}=")
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(attributes)
        assert not any(a.startswith(("Domain", "Secure")) for a in attributes)
    assert "expires" not in kept.lower()


async def test_with_tls_the_cookie_is_this_hosts_alone(house: Product) -> None:
    state = house.app.state
    settings = house.settings.model_copy(update={"public_url": "https://billing.example"})
    state.services = replace(state.services, settings=settings)
    browser = Browser(replace(house, settings=settings))
    kept = (await browser.log_in()).headers["set-cookie"]
    assert kept.startswith(f"__Host-{COOKIE}=")
    assert {"Secure", "HttpOnly", "SameSite=lax", "Path=/"} <= set(kept.split("; "))
    assert "Domain" not in kept
    assert await browser.is_in()

    token = browser.http.cookies[f"__Host-{COOKIE}"]
    forgotten = (await browser.http.post("/logout")).headers["set-cookie"]
    assert {"Secure", "Path=/"} <= set(forgotten.split("; "))
    browser.http.cookies.set(COOKIE, token)
    assert not await browser.is_in()


async def test_a_session_that_nobody_uses_is_over_after_eight_hours(
    house: Product, browser: Browser
) -> None:
    await browser.log_in()
    set_clock(house, NOW + IDLE - SECOND)
    assert await browser.is_in()
    set_clock(house, NOW + 2 * IDLE - 2 * SECOND)
    assert await browser.is_in()
    set_clock(house, NOW + 3 * IDLE)
    assert not await browser.is_in()
    assert 'name="password"' in (await browser.http.get("/login")).text


async def test_a_session_in_use_is_over_after_seven_days(house: Product, browser: Browser) -> None:
    await browser.log_in()
    for quarter in range(1, 4 * LONGEST.days):
        set_clock(house, NOW + quarter * timedelta(hours=6))
        assert await browser.is_in()
    set_clock(house, NOW + LONGEST)
    assert not await browser.is_in()


async def test_who_is_disabled_is_out_at_once(house: Product, browser: Browser) -> None:
    await browser.log_in()
    with transaction(house.engine) as connection:
        disable_person(connection, EMAIL, BY_TEST)
    assert not await browser.is_in()
    assert (await browser.log_in()).status_code == 403


async def test_a_new_password_ends_the_sessions_everywhere(house: Product) -> None:
    browsers = [Browser(house, f"203.0.113.{n}") for n in range(2)]
    for browser in browsers:
        await browser.log_in()
    with transaction(house.engine) as connection:
        change_password(connection, EMAIL, "another long sentence", BY_TEST)
    assert [await browser.is_in() for browser in browsers] == [False, False]
    assert (await browsers[0].log_in()).status_code == 403
    assert (await browsers[0].log_in(password="another long sentence")).status_code == 303
