"""Usage: what came in lately, what is nobody's, and events looked up and put right."""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from console.billing_api import FormRefused, Refused, under
from console.forms import Fields, figure, given
from console.showing import plural
from console.visit import Visit, Visitor

router = APIRouter(prefix="/usage")

_EVENTS = "/api/billing/usage-events"
_ASIDE = "/api/billing/set-aside-events"
_ACCOUNTS = "/api/billing/set-aside-accounts"
_CORRECTIONS = "/api/billing/usage-corrections"
_DAYS = 14
_PAGE = 50
_LATELY = 10  # corrections on the first page
_PATH = "/console/usage"
_STATES = ("waiting", "assigned", "dismissed")
_DONE = {"assign": "assigned", "dismiss": "dismissed"}


@router.get("")
async def show(visit: Visitor, cursor: str = "") -> HTMLResponse:
    """What came in, what waits for a person, and what was corrected lately."""
    return await _overview(visit, cursor=cursor)


@router.get("/set-aside")
async def set_aside(
    visit: Visitor, account_number: str = "", state: str = "waiting", cursor: str = ""
) -> HTMLResponse:
    """The events of an account that nobody had when they came."""
    wanted = {"account_number": account_number, "state": state}
    found = await visit.api.get(_ASIDE, **wanted, cursor=cursor, limit=_PAGE)
    return visit.page("usage_set_aside.html.j2", found=found, wanted=wanted, states=_STATES)


@router.get("/corrections")
async def corrections(
    visit: Visitor, account_number: str = "", month: str = "", cursor: str = ""
) -> HTMLResponse:
    """All that was corrected, by customer and month, the last one first."""
    wanted, found, reason = {"account_number": account_number, "month": month}, None, None
    try:
        found = await visit.api.get(_CORRECTIONS, **wanted, cursor=cursor, limit=_PAGE)
    except FormRefused as refused:
        reason = refused.reason
    return visit.page(
        "usage_corrections.html.j2",
        422 if reason else 200,
        found=found or {"items": [], "next_cursor": None},
        wanted=wanted,
        reason=reason,
    )


@router.get("/event")
async def event(visit: Visitor, id: str = "") -> HTMLResponse:
    """An event by its id, or the first page with the reason why there is none."""
    try:
        return await _event(visit, id.strip())
    except Refused as refused:
        return await _overview(visit, reason=refused.reason, sought=id)


@router.post("/event/{what}")
async def correct(visit: Visitor, what: str) -> Response:
    """Amends or cancels an event."""
    if what not in ("amend", "cancel"):
        raise Refused(404, f"An event is amended or cancelled, and no {what!r} is known.")
    form = await visit.form()
    order = {"reason": form["reason"]}
    if what == "amend":
        order["quantity"] = figure(form["quantity"])
    path = under(_EVENTS, form["event_id"], what)
    try:
        corrected = await visit.api.post(path, order, key=form["key"])
    except FormRefused as refused:
        return await _event(visit, form["event_id"], refused.reason, form, what)
    told = f"{corrected['event_id']} counts {corrected['quantity']} from now on."
    return visit.done(_address(corrected["event_id"]), told)


@router.post("/set-aside/{what}")
async def decide(visit: Visitor, what: str) -> Response:
    """Says whose usage it is, of one event or of all of an account, or that it is nobody's."""
    if what not in _DONE:
        raise Refused(404, f"Usage is assigned or dismissed, and no {what!r} is known.")
    form = await visit.form()
    chosen = given(form, "event_id") or given(form, "account_number")
    order = {**chosen, "note": form["note"], **given(form, "assign_to")}
    try:
        decided = await visit.api.post(under(_ASIDE, what), order)
    except FormRefused as refused:
        if form["event_id"]:
            return await _event(visit, form["event_id"], refused.reason, form, what)
        return await _overview(visit, reason=refused.reason, form=form)
    told = f"{plural(decided['events'], 'event')} of {decided['account_number']}: {_DONE[what]}."
    return visit.done(_address(form["event_id"]) if form["event_id"] else _PATH, told)


async def _overview(
    visit: Visit,
    *,
    cursor: str = "",
    reason: str | None = None,
    sought: str = "",
    form: Fields | None = None,
) -> HTMLResponse:
    """`form` goes back to the account of which it was; `sought`: an id that no event has."""
    days, accounts, lately = await visit.api.all(
        visit.api.get("/api/billing/usage-arrivals", days=_DAYS),
        visit.api.get(_ACCOUNTS, cursor=cursor, limit=_PAGE),
        visit.api.get(_CORRECTIONS, limit=_LATELY),
    )
    return visit.page(
        "usage.html.j2",
        422 if reason else 200,
        days=days,
        accounts=accounts,
        lately=lately,
        reason=reason,
        sought=sought,
        form=form or Fields(),
    )


async def _event(
    visit: Visit,
    event_id: str,
    reason: str | None = None,
    form: Fields | None = None,
    refused: str = "",
) -> HTMLResponse:
    """`form` goes back into the one of what was `refused`."""
    found: dict[str, Any] = await visit.api.get(under(_EVENTS, event_id))
    return visit.page(
        "usage_event.html.j2",
        422 if reason else 200,
        event=found,
        reason=reason,
        form=form or Fields(),
        refused=refused,
    )


def _address(event_id: str) -> str:
    return f"{_PATH}/event?id={quote(event_id, safe='')}"
