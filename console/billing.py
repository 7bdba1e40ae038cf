"""The one button: choose a month, read the plan, issue it, and watch."""

from datetime import date, timedelta
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from console.billing_api import FormRefused, Refused, under
from console.forms import Fields
from console.visit import Visitor

router = APIRouter(prefix="/billing")

_CYCLES = "/api/billing/cycles"
_OUTCOMES = ("drafted", "issued", "skipped", "failed")
_PAGE = 50
_MONTHS = 12  # on a page of the list
_ORDERS = {
    "pause": "Paused. Whoever is being billed just now is finished.",
    "resume": "It goes on.",
    "retry": "Who failed is billed once more.",
    "discard": "The plan is discarded; prepare the month anew once all is right.",
    "release": "The reminders that were held count from now on.",
}


@router.get("")
async def overview(visit: Visitor, cursor: str = "") -> HTMLResponse:
    """The month to bill next, and the cycles that were."""
    return await _overview(visit, cursor=cursor)


@router.post("")
async def plan(visit: Visitor) -> Response:
    """Rates the month into drafts that wait to be read; nothing is issued or sent."""
    form = await visit.form()
    order = {
        "period": form["period"],
        "hold_reminders": "hold_reminders" in form,
        "pause_before_issue": True,
    }
    if form["issued_on"]:
        order["issued_on"] = form["issued_on"]
    try:
        cycle = await visit.api.post(_CYCLES, order)
    except FormRefused as refused:
        return await _overview(visit, refused, form)
    return visit.done(under("/console/billing", cycle["period"]))


@router.get("/{period}")
async def show(visit: Visitor, period: str, outcome: str = "", cursor: str = "") -> HTMLResponse:
    """A cycle: its plan, its progress, its failures, and what became of each customer."""
    cycle, customers = await visit.api.all(
        visit.api.get(under(_CYCLES, period)), _customers(visit, period, outcome, cursor)
    )
    return visit.page(
        "cycle.html.j2",
        cycle=cycle,
        stage=_stage(cycle),
        outcomes=_OUTCOMES,
        outcome=outcome,
        customers=customers,
    )


@router.get("/{period}/progress")
async def progress(visit: Visitor, period: str) -> HTMLResponse:
    """The part of the page that changes while the cycle runs."""
    cycle = await visit.api.get(under(_CYCLES, period))
    return visit.page("cycle_progress.html.j2", cycle=cycle, stage=_stage(cycle))


@router.post("/{period}/{order}")
async def give_order(visit: Visitor, period: str, order: str) -> Response:
    if order not in _ORDERS:
        raise Refused(404, f"There is no order {order!r} for a cycle.")
    await visit.api.post(under(_CYCLES, period, order))
    page = "/console/billing" if order == "discard" else under("/console/billing", period)
    return visit.done(page, _ORDERS[order])


async def _overview(
    visit: Visitor,
    refused: FormRefused | None = None,
    form: Fields | None = None,
    *,
    cursor: str = "",
) -> HTMLResponse:
    cycles, attention, by_itself = await visit.api.all(
        visit.api.get(_CYCLES, cursor=cursor, limit=_MONTHS),
        visit.api.get("/api/billing/attention"),
        visit.api.get("/api/billing/next-cycle"),
    )
    return visit.page(
        "billing.html.j2",
        422 if refused else 200,
        cycles=cycles,
        by_itself=by_itself,
        months=_months(visit, attention),
        form=form or Fields(),
        reason=refused.reason if refused else None,
    )


def _months(visit: Visitor, attention: dict[str, Any]) -> list[str]:
    """What can be billed: the months that nobody has billed yet, else the last one that is over."""
    if attention["unbilled_periods"]:
        return list(attention["unbilled_periods"])
    first = date.fromisoformat(visit.me["business_date"]).replace(day=1)
    return [f"{first - timedelta(days=1):%Y-%m}"]


async def _customers(visit: Visitor, period: str, outcome: str, cursor: str) -> dict[str, Any]:
    """A page of outcomes; none while a cycle that was just started has no row yet."""
    try:
        found: dict[str, Any] = await visit.api.get(
            under(_CYCLES, period, "customers"), outcome=outcome, cursor=cursor, limit=_PAGE
        )
    except Refused as refused:
        if refused.status != 404:
            raise
        return {"items": [], "next_cursor": None}
    return found


def _stage(cycle: dict[str, Any]) -> str:
    """How far the cycle is, as a person sees it: planning, ready, issuing, paused, done, or
    unknown where its workflow does not answer."""
    if cycle["status"] == "closed":
        return "done"
    if cycle["status"] in ("queued", "planning"):
        return "planning"
    if cycle["paused"] is None:
        return "unknown"
    if cycle["paused"]:
        issued = cycle["issued"] + cycle["late_issued"]
        return "ready" if cycle["status"] == "planned" and not issued else "paused"
    return "issuing"
