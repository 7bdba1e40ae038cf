"""The console as an application of its own, which the API mounts."""

from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from console import (
    bank,
    billing,
    customers,
    home,
    invoices,
    plans,
    preview,
    proof,
    review,
    tax_rates,
    terms,
    usage,
)
from console.billing_api import NotLoggedIn, Refused
from console.rendering import HOME, STATIC, html
from console.visit import leave_notice

PARTS = (
    *(home, proof, preview, billing, invoices, review, bank),
    *(customers, terms, plans, tax_rates, usage),
)
_TITLES = {
    403: "This is not for your role",
    404: "There is no such page",
    500: "Something went wrong",
    503: "Please try again in a minute",
}


def create_console(api: ASGIApp) -> FastAPI:
    """The console over `api`, which it asks for everything."""
    console = FastAPI(title="Billwright console", openapi_url=None, docs_url=None, redoc_url=None)
    console.state.api = api
    for part in PARTS:
        console.include_router(part.router)
    console.mount("/static", _KeptFiles(directory=STATIC))
    console.add_exception_handler(NotLoggedIn, _to_login)
    console.add_exception_handler(Refused, _refused)
    console.add_exception_handler(HTTPException, _missing)
    console.add_exception_handler(Exception, _defect)
    return console


class _KeptFiles(StaticFiles):
    """Files whose address changes with their content."""

    def file_response(self, *args: object, **more: object) -> Response:
        answer = super().file_response(*args, **more)  # type: ignore[arg-type]
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer


async def _to_login(request: Request, error: Exception) -> Response:
    """To the login, and back to the page; what was sent without a session is not sent again."""
    if request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(_login(request.url.path + query), 303)
    answer = RedirectResponse(_login(_back(request)), 303)
    leave_notice(answer, "You had been logged out: what you sent last was not saved.")
    return answer


async def _refused(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, Refused)
    return _trouble(request, error.status, error.reason)


async def _missing(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, HTTPException)
    return _trouble(request, error.status_code, str(error.detail))


async def _defect(request: Request, error: Exception) -> HTMLResponse:
    """A page for the person; the server then logs the exception."""
    reason = "This is a defect of Billwright's, and nothing that you did; its log has the cause."
    return _trouble(request, 500, reason)


def _trouble(request: Request, status: int, reason: str) -> HTMLResponse:
    otherwise = "This cannot be shown" if request.method == "GET" else "This was not done"
    title = _TITLES.get(status, otherwise)
    return html("refused.html.j2", status, title=title, reason=reason, back=_back(request))


def _login(target: str) -> str:
    return f"/login?next={quote(target, safe='')}"


def _back(request: Request) -> str:
    """The page of ours that asked, or the home page."""
    try:
        came_from = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return HOME
    is_ours = came_from.netloc == request.url.netloc and came_from.path.startswith(HOME)
    is_itself = request.method == "GET" and came_from.path == request.url.path
    if not is_ours or is_itself:
        return HOME
    return f"{came_from.path}?{came_from.query}" if came_from.query else came_from.path
