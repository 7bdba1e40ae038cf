"""A real browser in which a person is logged in."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from playwright.sync_api import Page, sync_playwright
from sqlalchemy import Engine

from api.sessions import PLAIN_COOKIE
from stack.errors import StackError
from storage.engine import transaction
from storage.people import Person, open_session

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def logged_in(engine: Engine, url: str, person: Person, **screen: Any) -> Iterator[Page]:
    """A page of `person` at `url`, the address of an API over `engine` without TLS.

    `screen`: what the browser's context is to be like. Raises StackError without a Chromium.
    """
    program = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        raise StackError("There is no Chromium here; install it (Debian: apt-get install chromium)")
    with transaction(engine) as connection:
        token = open_session(connection, person, now=datetime.now(UTC))
    # root has no sandbox; the pages are ours
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        context = browser.new_context(**screen)
        context.add_cookies([{"name": PLAIN_COOKIE, "value": token, "url": url}])
        yield context.new_page()
        browser.close()
