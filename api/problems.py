"""Every refusal as problem+json (RFC 9457), mapped once."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from temporalio.client import RPCTimeoutOrCancelledError
from temporalio.service import RPCError

from domain.errors import BillwrightError, Conflict, InvalidValue, NotFound, PeriodNotOver

_STATUS: dict[type[BillwrightError], HTTPStatus] = {
    NotFound: HTTPStatus.NOT_FOUND,
    InvalidValue: HTTPStatus.UNPROCESSABLE_ENTITY,
    PeriodNotOver: HTTPStatus.UNPROCESSABLE_ENTITY,
    Conflict: HTTPStatus.CONFLICT,
}

_DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)
_TEMPORAL_AWAY = (RPCError, RPCTimeoutOrCancelledError)
_LOCK_TIMEOUT = "55P03"  # PostgreSQL's lock_not_available
_UNAVAILABLE = "does not answer; nothing was changed that you cannot ask again."
_EXAMPLES = {
    HTTPStatus.BAD_REQUEST: (
        "bad_request",
        "The signature does not fit; send it as it was signed.",
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        "request_entity_too_large",
        "An event has at most 1,000,000 bytes.",
    ),
    HTTPStatus.UNAUTHORIZED: (
        "unauthorized",
        "Send a valid key as Authorization: Bearer, or log in at /login.",
    ),
    HTTPStatus.FORBIDDEN: ("forbidden", "This needs the role finance; 'auditor' has viewer."),
    HTTPStatus.NOT_FOUND: ("not_found", "There is no invoice INV-2026-02-9999."),
    HTTPStatus.CONFLICT: ("conflict", "The cycle of 2026-02 is not running."),
    HTTPStatus.UNPROCESSABLE_ENTITY: (
        "invalid_request",
        "body.period: '2026-13' is not a period; give a month as YYYY-MM.",
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: ("unavailable", f"PostgreSQL {_UNAVAILABLE}"),
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer, for OpenAPI."""
    return {
        status.value: {
            "description": status.phrase,
            "content": {"application/problem+json": {"example": _body(status, code, detail)}},
        }
        for status, (code, detail) in _EXAMPLES.items()
        if status in statuses
    }


def install(app: FastAPI) -> None:
    """Maps exceptions to problems for the whole application."""
    app.add_exception_handler(BillwrightError, _refusal)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DataError, _unfit)
    app.add_exception_handler(ClientDisconnect, _gone)
    for outage in (*_DATABASE_AWAY, *_TEMPORAL_AWAY):
        app.add_exception_handler(outage, _unavailable)
    app.add_exception_handler(RuntimeError, _never_connected)
    app.add_exception_handler(Exception, _defect)


def problem(
    status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """A problem+json answer; `detail` names the field and the remedy."""
    return JSONResponse(
        _body(status, code, detail) | more,
        status,
        headers=headers,
        media_type="application/problem+json",
    )


def _body(status: int, code: str, detail: str) -> dict[str, Any]:
    return {
        "type": f"urn:billwright:{code}",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
    }


async def _refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BillwrightError)
    status = next(
        (status for kind, status in _STATUS.items() if isinstance(error, kind)),
        HTTPStatus.UNPROCESSABLE_ENTITY,
    )
    return problem(status, error.code, error.message)


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"field": ".".join(str(part) for part in found["loc"]), "reason": found["msg"]}
        for found in error.errors()
    ]
    detail = "; ".join(f"{found['field']}: {found['reason']}" for found in errors)
    return problem(422, "invalid_request", detail, errors=errors)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if _is_about_the_body(request, error):
        return _unreadable()
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    return problem(
        error.status_code, code, str(error.detail), headers=dict(error.headers or {}) or None
    )


def _is_about_the_body(request: Request, error: HTTPException) -> bool:
    """Whether the framework says, with 400, that it could not read the body of a route."""
    if error.status_code != HTTPStatus.BAD_REQUEST:
        return False
    expects = getattr(request.scope.get("route"), "body_field", None)
    return expects is not None or isinstance(error.__context__, MultiPartException)


def _unreadable() -> JSONResponse:
    """Bytes that are no text, a form or JSON without its end: as invalid as what does not fit."""
    reason = "cannot be read; send JSON in UTF-8, or to a route that takes a file a multipart form"
    errors = [{"field": "body", "reason": reason}]
    return problem(422, "invalid_request", f"body: {reason}.", errors=errors)


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    again = {"Retry-After": "5"}
    if isinstance(error, OperationalError) and _sqlstate(error) == _LOCK_TIMEOUT:
        detail = "Somebody else is writing; try again in a moment. Nothing was changed."
        return problem(503, "busy", detail, headers=again)
    part = "PostgreSQL" if isinstance(error, _DATABASE_AWAY) else "Temporal"
    return problem(503, "unavailable", f"{part} {_UNAVAILABLE}", headers=again)


def _sqlstate(error: OperationalError) -> str | None:
    """None where PostgreSQL did not answer."""
    return getattr(error.orig, "sqlstate", None)


def is_outage(error: Exception) -> bool:
    """Whether PostgreSQL or Temporal is away, so that the same request may succeed later."""
    return isinstance(error, (*_DATABASE_AWAY, *_TEMPORAL_AWAY)) or never_connected(error)


def never_connected(error: Exception) -> bool:
    """A client that never reached Temporal raises RuntimeError, the SDK's only kind for it."""
    return isinstance(error, RuntimeError) and str(error).startswith("Failed client connect")


async def _never_connected(request: Request, error: Exception) -> JSONResponse:
    if never_connected(error):
        return await _unavailable(request, error)
    raise error


async def _unfit(request: Request, error: Exception) -> JSONResponse:
    """What PostgreSQL cannot hold or compare, such as a text with a NUL in it."""
    detail = "A value of the request has characters or a size that no stored value has."
    return problem(422, "invalid_value", detail)


async def _gone(request: Request, error: Exception) -> JSONResponse:
    """Heard by nobody: whoever asked has gone in the middle of it, which is no defect."""
    return problem(400, "cut_off", "The request ended in the middle of its body; send it again.")


async def _defect(request: Request, error: Exception) -> JSONResponse:
    """Answers in form; the server then logs the exception."""
    return problem(500, "defect", "This is a defect of Billwright's; its log has the cause.")
