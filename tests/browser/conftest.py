"""A real browser, without JavaScript, before the real application on a real database."""

import os
import shutil
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect
from sqlalchemy import Engine

from api import payer_pages
from tests.api.payers import Desk, issue_february, payer_app
from tests.builders import Subscriber

HOST = "127.0.0.1"
EUROS, CARD, NOTHING, LONG, PART = (f"INV-2026-02-{n:04d}" for n in range(1, 6))
CUSTOMERS = (
    Subscriber("1001", columns={"currency": "EUR"}),
    Subscriber("1002", columns={"payment_method": "card"}),
    Subscriber("1003", 500),
    Subscriber(
        "1004",
        90_000_000_000,
        columns={"name": "Rindfleischetikettierungsüberwachungsaufgabe" * 3 + " 株式会社 שלום"},
    ),
    Subscriber("1005", columns={"currency": "EUR"}),
)
PHONE = ViewportSize(width=320, height=640)
_PATIENCE = 30

FAINT = """() => {
  const luminance = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(part => part / 255)
      .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (colour !== 'rgba(0, 0, 0, 0)') return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  return [...document.body.querySelectorAll('*')]
    .filter(element => [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .map(element => {
      const [a, b] = [getComputedStyle(element).color, behind(element)].map(luminance);
      return [element.textContent.trim(), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
    }).filter(([, contrast]) => contrast < 4.5);
}"""
"""The texts of a page that stand out too little from what is behind them, with the contrast."""


def chromium() -> str:
    """The browser of this machine."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.fail(
        "The tests of the pages need Chromium: install it (Debian: apt-get install chromium)."
    )


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """`app` under uvicorn on a free port; its address."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            until = time.monotonic() + _PATIENCE
            while not server.started:
                assert thread.is_alive(), "the application did not start"
                assert time.monotonic() < until, "the application did not start in time"
                time.sleep(0.01)
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(_PATIENCE)


def hosted_pages() -> FastAPI:
    """Stands for the pages where cards are entered, on a host of their own."""
    app = FastAPI()

    @app.get("/{page}")
    def show(page: str) -> HTMLResponse:
        return HTMLResponse(f"<!doctype html><title>Hosted</title><h1>Hosted {page}</h1>")

    return app


@dataclass
class Site:
    """Where the pages are, and what stands behind them."""

    url: str
    hosted: str
    engine: Engine
    desk: Desk


@dataclass
class Visit:
    """A page of the browser; `complaints`: what it wrote on its console, or could not load."""

    page: Page
    site: Site
    complaints: list[str] = field(default_factory=list)

    async def to(self, link: str) -> Page:
        await self.page.goto(self.site.url + link)
        return self.page


async def names_in_tab_order(page: Page) -> list[str]:
    """What the tab key leads to, until it leaves the page."""
    names: list[str] = []
    while True:
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if not await focused.count() or len(names) > 20:
            return names
        name = await focused.evaluate("it => (it.labels?.[0] ?? it).innerText")
        names.append(" ".join(name.split()))


@pytest.fixture
def site(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    issue_february(engine, tmp_path / "files", CUSTOMERS)
    with served(hosted_pages()) as hosted:
        desk = Desk(f"{hosted}/checkout", f"{hosted}/card")
        monkeypatch.setattr(payer_pages, "open_checkout", desk.open_checkout)
        monkeypatch.setattr(payer_pages, "open_card_setup", desk.open_card_setup)
        with served(payer_app(engine, stripe_api_base=hosted)) as url:
            yield Site(url, hosted, engine, desk)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    # root has no sandbox; the pages are ours
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        await browser.close()


@pytest.fixture
def scheme() -> Literal["light", "dark"]:
    """The colours that the payer prefers."""
    return "light"


@pytest.fixture
async def visit(
    browser: Browser, site: Site, scheme: Literal["light", "dark"]
) -> AsyncIterator[Visit]:
    """A small phone whose browser runs no JavaScript."""
    context = await browser.new_context(
        viewport=PHONE, color_scheme=scheme, java_script_enabled=False, has_touch=True
    )
    page = await context.new_page()
    page.set_default_timeout(_PATIENCE * 1_000)
    expect.set_options(timeout=_PATIENCE * 1_000)
    visit = Visit(page, site)
    page.on("console", lambda message: visit.complaints.append(message.text))
    page.on("requestfailed", lambda request: visit.complaints.append(request.url))
    yield visit
    await context.close()
