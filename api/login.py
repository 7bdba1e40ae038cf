"""The page on which a person logs in, and out again. It works without JavaScript."""

import re
from collections.abc import Callable, Coroutine
from functools import cache, partial
from typing import Annotated, Any
from urllib.parse import parse_qsl

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Template
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from api.dependencies import App, Services
from api.invoices import business_date
from api.pages import address_of, client_of, private_headers, template_environment
from api.problems import is_outage
from api.rate_limit import RateLimit, TooManyRequests
from api.sessions import forget_session, keep_session, session_token, why_not_our_own
from domain.errors import InvalidValue
from storage.engine import transaction
from storage.people import (
    Login,
    canonical_address,
    check_password,
    end_session,
    find_session,
    open_session,
    record_failed_login,
    record_login,
)

HOME = "/console/"
"""Where a login leads that is not on its way to another page."""
_LARGEST_FORM = 16_000  # bytes; each of a password's may be sent as three
_HASHING = 2  # each takes 64 MiB and a core; whoever waits holds no thread that others need
# Segments of plain characters, none empty, and a query. What an encoding, a backslash or a second
# slash could make another host of is not in it, so nobody has to know how browsers read those.
_LOCAL = re.compile(r"/(?:[\w.~-]+(?:/[\w.~-]+)*/?)?(?:\?[\w.~!$&'()*+,;=:@/%-]*)?", re.ASCII)


class Gate:
    """How often passwords may be tried, from one address and for one login, and how many at once.

    A login's own limit is what a guesser with many addresses meets; it is wide enough that they
    keep nobody out for longer than minutes.
    """

    def __init__(self) -> None:
        self.clients = RateLimit(20, 10)
        self.logins = RateLimit(10, 30)
        self.hashing = CapacityLimiter(_HASHING)


def local_path(target: str) -> str:
    """`target` if it is a path of ours, else `HOME`: a login leads to no other host."""
    return target if _LOCAL.fullmatch(target) else HOME


class LoginRoute(APIRoute):
    """Refusals and outages as pages, for a reader who is no program."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except TooManyRequests as refused:
                wait = refused.retry_after
                reason = f"There were too many attempts. Try again in {wait} seconds."
                return _trouble(429, "Please wait a moment", reason, retry=wait)
            except Exception as error:
                if not is_outage(error):
                    raise
                reason = "The database does not answer. Nothing was changed."
                return _trouble(503, "Please try again in a minute", reason, retry=30)

        return answer


async def _gate(request: Request) -> Gate:
    """That of the application."""
    state = request.app.state
    if not hasattr(state, "login_gate"):
        state.login_gate = Gate()
    gate: Gate = state.login_gate
    return gate


router = APIRouter(tags=["login"], include_in_schema=False, route_class=LoginRoute)


@router.get("/login")
def show(request: Request, app: App, next: str = "") -> HTMLResponse:
    """The form; for whoever is logged in, as whom, and the way out."""
    target = local_path(next)
    token = session_token(request, app.settings)
    if token is None:
        return _form_page(target)
    with transaction(app.engine) as connection:
        person = find_session(connection, token, now=app.now())
    if person is None:
        return _form_page(target)
    return _page("logged_in.html.j2", person=person, target=target)


@router.post("/login")
async def log_in(request: Request, app: App, gate: Annotated[Gate, Depends(_gate)]) -> Response:
    """Opens a session, or shows the form again; whether address or password is wrong is not said.

    A form of another site is refused too: it could log the person in as somebody else, who then
    reads what they enter.
    """
    if reason := why_not_our_own(request, app.settings):
        return _trouble(403, "This was not sent from here", reason)
    form = await _read_form(request)
    if form is None:
        return _trouble(413, "This is too much", "A login has at most a few thousand characters.")
    email, target = form.get("email", ""), local_path(form.get("next", ""))
    gate.clients.take(client_of(request))
    gate.logins.take(_login(email))
    client = address_of(request)
    token = await to_thread.run_sync(
        partial(_open, client=client, replacing=session_token(request, app.settings)),
        app,
        email,
        form.get("password", ""),
        limiter=gate.hashing,
    )
    if token is None:
        failed = _form_page(target, 403, email=email, failed=True)
        # behind the answer, which would take longer for an address that is known
        failed.background = BackgroundTask(_note_failure, app, email, client)
        return failed
    answer = _see_other(target)
    keep_session(answer, token, app.settings)
    return answer


@router.post("/logout")
async def log_out(request: Request, app: App) -> Response:
    """Ends the session, here and for whoever has a copy of its token."""
    if reason := why_not_our_own(request, app.settings):
        return _trouble(403, "This was not sent from here", reason)
    token = session_token(request, app.settings)
    if token is not None:
        await run_in_threadpool(_end, app, token)
    answer = _see_other("/login")
    forget_session(answer, app.settings)
    return answer


def _open(
    app: Services, email: str, password: str, *, client: str, replacing: str | None
) -> str | None:
    """A new session's token, never one that the browser had; None where nobody logs in so."""
    with transaction(app.engine) as connection:
        person = check_password(connection, email, password)
        if person is None:
            return None
        record_login(connection, person, Login(client, business_date(app, connection)))
        if replacing is not None:
            end_session(connection, replacing)
        return open_session(connection, person, now=app.now())


def _note_failure(app: Services, email: str, client: str) -> None:
    with transaction(app.engine) as connection:
        login = Login(client, business_date(app, connection))
        record_failed_login(connection, email, login)


def _login(email: str) -> str:
    """Whose password is being tried, however the address is written."""
    try:
        return canonical_address(email)
    except InvalidValue:
        return ""  # nobody's


def _end(app: Services, token: str) -> None:
    with transaction(app.engine) as connection:
        end_session(connection, token)


async def _read_form(request: Request) -> dict[str, str] | None:
    """The fields of the form, the last of each name; None beyond `_LARGEST_FORM`."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_FORM:
            return None
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _form_page(
    target: str, status: int = 200, *, email: str = "", failed: bool = False
) -> HTMLResponse:
    return _page("login.html.j2", status, target=target, email=email, failed=failed)


def _trouble(status: int, title: str, reason: str, *, retry: int = 0) -> HTMLResponse:
    answer = _page("trouble.html.j2", status, title=title, reason=reason)
    if retry:
        answer.headers["Retry-After"] = str(retry)
    return answer


def _page(name: str, status: int = 200, **shown: Any) -> HTMLResponse:
    return HTMLResponse(_template(name).render(**shown), status, headers=_private())


def _see_other(path: str) -> RedirectResponse:
    return RedirectResponse(path, 303, headers=_private())


def _private() -> dict[str, str]:
    # with no-referrer a browser would hide the Origin of our own forms
    return private_headers(referrer="same-origin")


@cache
def _template(name: str) -> Template:
    return template_environment("console").get_template(name)
