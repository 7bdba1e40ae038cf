"""Templates made into pages, with the headers that every page has."""

from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import quote

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from console.charts import part_of
from console.showing import FILTERS

HOME = "/console/"
STATIC = Path(__file__).parent / "static"
HEADERS = {
    # with no-referrer a browser would hide the Origin of our own forms
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
}
_TEMPLATES = Path(__file__).resolve().parent.parent / "templates" / "console"


def html(template: str, status: int = 200, **shown: Any) -> HTMLResponse:
    return HTMLResponse(_environment().get_template(template).render(**shown), status, HEADERS)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    environment.globals |= {
        "part_of": part_of,
        "asset": _asset,
        "link": _link,
        "new_key": partial(token_urlsafe, 16),
    }
    return environment


def _link(path: str, **query: Any) -> str:
    """`path` with what of `query` is given."""
    given = [f"{name}={quote(str(v), safe='')}" for name, v in query.items() if v not in (None, "")]
    return f"{path}?{'&'.join(given)}" if given else path


@cache
def _asset(name: str) -> str:
    """The address of a file of ours; it changes with the content, so that it can be kept."""
    version = sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"{HOME}static/{name}?v={version}"
