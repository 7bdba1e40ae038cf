"""The HTTP API, asked from within its own process in the name of a person."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any
from urllib.parse import quote

import httpx
from fastapi import Request
from starlette.types import ASGIApp

from console.refusals import in_words

_PASSED_ON = (b"cookie", b"host", b"origin", b"sec-fetch-site")
"""What the API needs to know whose request it is, and from which page."""
_FORM_AGAIN = (404, 409, 413, 422, 503)


class NotLoggedIn(Exception):
    """There is no session, or it is over."""


class Refused(Exception):
    """The API refuses, or cannot answer now. `reason` is its own sentence, made for people."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class FormRefused(Refused):
    """Other values would be taken, or the same ones later: the form is shown again."""


def under(path: str, *parts: str) -> str:
    """An address below `path`; what is no plain name in `parts` stays within its part.

    Raises Refused for a part that would lead elsewhere.
    """
    if any(part in ("", ".", "..") for part in parts):
        raise Refused(404, "There is no such thing.")
    return "/".join((path, *(quote(part, safe="") for part in parts)))


class BillingApi:
    """Asks `api` with the session of `request`, so that the same rules hold and the same name is
    in the audit log. Every method raises NotLoggedIn or Refused.
    """

    def __init__(self, api: ASGIApp, request: Request) -> None:
        self._transport = httpx.ASGITransport(api)
        self._base = f"{request.url.scheme}://{request.url.netloc}"
        # as they came: another application of the domain may have set a cookie beyond ASCII
        self._headers = [pair for pair in request.headers.raw if pair[0] in _PASSED_ON]

    async def get(self, path: str, **query: Any) -> Any:
        """The JSON under `path`; what of `query` is None or empty is left out."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        return await self._ask("GET", path, params=given)

    async def all(self, *questions: Awaitable[Any]) -> list[Any]:
        """The answers to several questions, asked at once."""
        return await asyncio.gather(*questions)

    async def post(self, path: str, body: Any = None, *, key: str = "") -> Any:
        """`key` names the request, so that a form that is sent twice acts once."""
        headers = [(b"idempotency-key", key.encode())] if key else []
        return await self._ask("POST", path, json=body, headers=headers)

    async def patch(self, path: str, body: Any) -> Any:
        return await self._ask("PATCH", path, json=body)

    async def delete(self, path: str) -> Any:
        return await self._ask("DELETE", path)

    async def pass_on(self, path: str, request: Request) -> Any:
        """The form that `request` brings, unread, such as one with a file."""
        content_type = [pair for pair in request.headers.raw if pair[0] == b"content-type"]
        return await self._ask("POST", path, content=_body(request), headers=content_type)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        **options: Any,
    ) -> Any:
        asked = httpx.Request(
            method, self._base + path, headers=[*self._headers, *headers], **options
        )
        answer = await self._transport.handle_async_request(asked)
        content = await answer.aread()
        told = httpx.Response(answer.status_code, headers=answer.headers, content=content)
        if told.status_code == 401:
            raise NotLoggedIn
        if told.is_error:
            kind = FormRefused if told.status_code in _FORM_AGAIN else Refused
            raise kind(told.status_code, in_words(told.json()))
        return told.json() if content else None


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        yield chunk
