"""The console in a real browser, before the real application with its worker."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from storage.access import Role
from tests.api.conftest import (
    Product,
    billed,
    books,
    card_sandbox,
    mailbox,
    month,
    office,
    product,
    seed,
    stranger,
    temporal_server,
)
from tests.api.people import session_cookie
from tests.browser.conftest import chromium

__all__ = [
    "billed",
    "books",
    "card_sandbox",
    "mailbox",
    "month",
    "office",
    "product",
    "seed",
    "stranger",
    "temporal_server",
]
Scheme = Literal["light", "dark"]
LAPTOP = ViewportSize(width=1280, height=800)
PHONE = ViewportSize(width=360, height=740)
_HOST = "127.0.0.1"
_PATIENCE = 30  # seconds


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """`app`, which is started already, on a free port of the tests' own event loop; its address."""
    with socket.socket() as listener:
        listener.bind((_HOST, 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield f"http://{_HOST}:{listener.getsockname()[1]}"
        server.should_exit = True
        await serving


@dataclass
class Desk:
    """A person at the console. `complaints`: what the browser wrote on its own console, and what
    it could not load; answers of 4xx to what the person sends are no complaint.
    """

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str = "/") -> Page:
        await self.page.goto(f"{self.url}/console{path}")
        return self.page

    async def told(self, words: str) -> None:
        """The page gives a notice with `words`."""
        await expect(self.page.locator(".notice", has_text=words)).to_be_visible()


SitDown = Callable[..., Awaitable[Desk]]
"""Who sits down at whose console, as what, before which screen."""


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    # root has no sandbox; the pages are ours
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    expect.set_options(timeout=_PATIENCE * 1_000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        await browser.close()


@pytest.fixture
async def sit_down(browser: Browser) -> AsyncIterator[SitDown]:
    """Logs somebody in at a product's console, until the test is over."""
    async with AsyncExitStack() as open_until_the_end:

        async def sit_down(
            product: Product,
            role: Role = Role.FINANCE,
            *,
            viewport: ViewportSize = LAPTOP,
            scheme: Scheme = "light",
            javascript: bool = True,
        ) -> Desk:
            url = await open_until_the_end.enter_async_context(served(product.app))
            context = await open_until_the_end.enter_async_context(
                await browser.new_context(
                    viewport=viewport, color_scheme=scheme, java_script_enabled=javascript
                )
            )
            name, _, token = session_cookie(product.engine, role).partition("=")
            await context.add_cookies([{"name": name, "value": token, "url": url}])
            page = await context.new_page()
            page.set_default_timeout(_PATIENCE * 1_000)
            desk = Desk(page, url)
            page.on("console", lambda message: desk.complaints.append(message.text))
            page.on("requestfailed", lambda request: desk.complaints.append(request.url))
            return desk

        yield sit_down
