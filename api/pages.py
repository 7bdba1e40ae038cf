"""What pages for people share: their templates, their headers, and who asks for them."""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Literal

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


def template_environment(folder: str) -> Environment:
    """The templates of `templates/<folder>`; what they show is escaped."""
    return Environment(
        loader=FileSystemLoader(_TEMPLATES / folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def private_headers(
    *, referrer: Literal["no-referrer", "same-origin"], form_targets: Iterable[str] = ()
) -> dict[str, str]:
    """Nobody else learns the address, keeps the page or frames it.

    `form_targets`: origins beside our own to which a form may lead; a redirect that answers a form
    is held to them too.
    """
    targets = ["'self'", *form_targets]
    return {
        "Referrer-Policy": referrer,
        "Cache-Control": "no-store",
        "X-Robots-Tag": "noindex",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
        "img-src data:; frame-ancestors 'none'; base-uri 'none'; "
        f"form-action {' '.join(targets)}",
    }


def address_of(request: Request) -> str:
    """The address from which a request came; empty where none is known."""
    return request.client.host if request.client else ""


def client_of(request: Request) -> str:
    """Who asks: an address, or the network that one subscriber of IPv6 has to themselves."""
    host = address_of(request)
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(int(address) >> 64) if isinstance(address, IPv6Address) else host
