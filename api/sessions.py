"""A person's session in their browser: the cookie, and whether a request is the person's own."""

from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.requests import HTTPConnection

from settings import Settings

SECURE_COOKIE = "__Host-billwright_session"
"""No other host, not even a subdomain, can set a cookie of that name."""
PLAIN_COOKIE = "billwright_session"
"""Where there is no TLS, and a browser keeps no cookie that asks for it."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


def cookie_name(settings: Settings) -> str:
    return SECURE_COOKIE if _is_secure(settings) else PLAIN_COOKIE


def session_token(request: HTTPConnection, settings: Settings) -> str | None:
    """What the browser sent as its session's token, be it valid or not."""
    return request.cookies.get(cookie_name(settings))


def keep_session(response: Response, token: str, settings: Settings) -> None:
    """Until the browser is closed, or the session over."""
    response.set_cookie(
        cookie_name(settings),
        token,
        path="/",
        secure=_is_secure(settings),
        httponly=True,
        samesite="lax",
    )


def forget_session(response: Response, settings: Settings) -> None:
    response.delete_cookie(
        cookie_name(settings),
        path="/",
        secure=_is_secure(settings),
        httponly=True,
        samesite="lax",
    )


def why_not_our_own(request: Request, settings: Settings) -> str | None:
    """Why a request that changes something may be another site's doing; None if it is not.

    A browser sends the cookie along whoever asks it to. Which page asked, it says itself, in
    headers that no page can forge: Sec-Fetch-Site, or Origin where that is missing, as over plain
    HTTP and in old browsers.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site == "same-origin":
            return None
        return "This request comes from another site; make it from Billwright's own pages."
    origin = _origin(request.headers.get("Origin", ""))
    if origin is not None and origin in (_origin(settings.public_url), _origin(str(request.url))):
        return None
    return (
        "This request does not say that it comes from Billwright's own pages: send the header "
        "Origin with the address of BILLWRIGHT_PUBLIC_URL, or a key as Authorization: Bearer."
    )


def _is_secure(settings: Settings) -> bool:
    return urlsplit(settings.public_url).scheme == "https"


def _origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or _DEFAULT_PORTS.get(parts.scheme)
