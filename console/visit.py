"""One request of a person's: what it may ask, and the page that answers it."""

from typing import Annotated, Any
from urllib.parse import quote, unquote

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from console.billing_api import BillingApi, Refused
from console.forms import Fields, read_form
from console.rendering import HEADERS, HOME, html

_NOTICE = "billwright_notice"
_NOTICE_SECONDS = 300  # time enough to log in again


class Visit:
    """Who is here, the API in their name, and the pages that they see.

    `me` has their name, role and the present business date; `may_act`: they may change something.
    """

    def __init__(self, request: Request, api: BillingApi, me: dict[str, Any]) -> None:
        self.api = api
        self.me = me
        self.may_act: bool = me["may_act"]
        self._request = request

    async def form(self) -> Fields:
        """What was filled in. Raises FormRefused for too much."""
        return await read_form(self._request)

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
        answer = RedirectResponse(path, 303, headers=HEADERS)
        if notice:
            leave_notice(answer, notice)
        return answer


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
