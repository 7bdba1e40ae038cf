"""One request of a person's: what it may ask, and the page that answers it."""

import re
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, unquote

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from console.billing_api import BillingApi, FormRefused, Refused
from console.charts import part_of
from console.showing import FILTERS

HOME = "/console/"
STATIC = Path(__file__).parent / "static"
_TEMPLATES = Path(__file__).resolve().parent.parent / "templates" / "console"
_NOTICE = "billwright_notice"
_NOTICE_SECONDS = 300  # time enough to log in again
_LARGEST_FORM = 64_000  # bytes
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADERS = {
    # with no-referrer a browser would hide the Origin of our own forms
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
}


class Fields(dict[str, str]):
    """What a form brought; a field that it does not have is empty."""

    def __missing__(self, name: str) -> str:
        return ""


class Visit:
    """Who is here, the API in their name, and the pages that they see.

    `me` has their name, role and the present business date; `may_act`: they may change something.
    """

    def __init__(self, request: Request, api: BillingApi, me: dict[str, Any]) -> None:
        self.api = api
        self.me = me
        self.may_act: bool = me["may_act"]
        self._request = request

    def page(self, template: str, status: int = 200, **shown: Any) -> HTMLResponse:
        """A page, with the notice that the last one left."""
        left = self._request.cookies.get(_NOTICE)
        answer = html(
            template,
            status,
            me=self.me,
            may_act=self.may_act,
            path=self._request.url.path,
            notice=unquote(left) if left else None,
            **shown,
        )
        if left:
            answer.delete_cookie(_NOTICE, path=HOME, httponly=True, samesite="strict")
        return answer

    def done(self, path: str, notice: str = "") -> RedirectResponse:
        """On to `path`, which shows `notice` once; so that reloading the page repeats nothing."""
        answer = RedirectResponse(path, 303, headers=_HEADERS)
        if notice:
            leave_notice(answer, notice)
        return answer

    async def form(self) -> Fields:
        """The fields that were sent, blanks around them cut. Raises FormRefused for too many."""
        body = b""
        async for chunk in self._request.stream():
            body += chunk
            if len(body) > _LARGEST_FORM:
                raise FormRefused(
                    413, f"A form has at most {_LARGEST_FORM:,} bytes; shorten the texts."
                )
        fields = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
        return Fields((name, clean(value)) for name, value in fields)


def leave_notice(answer: Response, notice: str) -> None:
    """The next page that is shown says `notice`, once."""
    answer.set_cookie(
        _NOTICE,
        quote(notice),
        path=HOME,
        max_age=_NOTICE_SECONDS,
        httponly=True,
        samesite="strict",
    )


_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.ASCII)


def figure(text: str) -> str:
    """A number as people write it, `1,000.50` or `19 %`, as the API takes it; the rest as it is."""
    plain = text.removesuffix("%").replace(" ", "")
    return plain.replace(",", "") if _THOUSANDS.fullmatch(plain) else plain


def clean(value: str) -> str:
    """In one line, without blanks around it."""
    return _CONTROL.sub(" ", value).strip()


def html(template: str, status: int = 200, **shown: Any) -> HTMLResponse:
    return HTMLResponse(_environment().get_template(template).render(**shown), status, _HEADERS)


async def _visit(request: Request) -> Visit:
    api = BillingApi(request.app.state.api, request)
    return Visit(request, api, await api.get("/api/billing/me"))


Visitor = Annotated[Visit, Depends(_visit)]


async def _actor(visit: Visitor) -> Visit:
    """Raises Refused before a form is filled in that would be refused."""
    if not visit.may_act:
        raise Refused(403, f"Changes need the role finance; you have {visit.me['role']}.")
    return visit


Actor = Annotated[Visit, Depends(_actor)]
"""A visitor who may change something."""


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


def given(form: Fields, *names: str) -> dict[str, str]:
    """What of `names` is not empty."""
    return {name: form[name] for name in names if form[name]}
