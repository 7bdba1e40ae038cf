"""Every refusal as problem+json (RFC 9457), mapped once."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from temporalio.service import RPCError

from domain.errors import BillwrightError, Conflict, InvalidValue, NotFound, PeriodNotOver

_STATUS: dict[type[BillwrightError], HTTPStatus] = {
    NotFound: HTTPStatus.NOT_FOUND,
    InvalidValue: HTTPStatus.UNPROCESSABLE_ENTITY,
    PeriodNotOver: HTTPStatus.UNPROCESSABLE_ENTITY,
    Conflict: HTTPStatus.CONFLICT,
}

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status.value: {
        "description": status.phrase,
        "content": {
            "application/problem+json": {
                "example": {
                    "type": f"urn:billwright:{code}",
                    "title": status.phrase,
                    "status": status.value,
                    "detail": detail,
                }
            }
        },
    }
    for status, code, detail in [
        (HTTPStatus.UNAUTHORIZED, "unauthorized", "Send a valid key as Authorization: Bearer."),
        (HTTPStatus.FORBIDDEN, "forbidden", "This needs the role finance; the key is a viewer's."),
        (HTTPStatus.NOT_FOUND, "not_found", "There is no invoice INV-2026-02-9999."),
    ]
}
"""What every route may answer, for OpenAPI."""


def install(app: FastAPI) -> None:
    """Maps exceptions to problems for the whole application."""
    app.add_exception_handler(BillwrightError, _refusal)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OperationalError, _unavailable)
    app.add_exception_handler(RPCError, _unavailable)


def problem(
    status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """A problem+json answer; `detail` names the field and the remedy."""
    return JSONResponse(
        {
            "type": f"urn:billwright:{code}",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            **more,
        },
        status,
        headers=headers,
        media_type="application/problem+json",
    )


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
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    return problem(
        error.status_code, code, str(error.detail), headers=dict(error.headers or {}) or None
    )


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    part = "PostgreSQL" if isinstance(error, OperationalError) else "Temporal"
    return problem(
        503,
        "unavailable",
        f"{part} does not answer; nothing was changed that you cannot ask again.",
        headers={"Retry-After": "5"},
    )
