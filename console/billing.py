"""The one button: choose a month, read the plan, issue it, and watch."""

from datetime import date, timedelta
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from console.billing_api import FormRefused, Refused, under
from console.forms import Fields
from console.preview import CYCLES, KINDS, can_be_read, read_customers, read_preview
from console.visit import Visit, Visitor

router = APIRouter(prefix="/billing")

_OUTCOMES = ("drafted", "issued", "skipped", "failed")
_MONTHS = 12  # on a page of the list
_CUSTOMERS = 50  # on a page of a cycle
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
    if "approval_required" in form:
        order["approval_required"] = True
    try:
        cycle = await visit.api.post(CYCLES, order)
    except FormRefused as refused:
        return await _overview(visit, refused, form)
    return visit.done(under("/console/billing", cycle["period"]))


@router.get("/{period}")
async def show(
    visit: Visitor,
    period: str,
    outcome: str = "",
    cursor: str = "",
    kind: str = "",
    account: str = "",
) -> HTMLResponse:
    """A cycle: its plan and what stands out of it, its progress, its failures, and what became of
    each customer.
    """
    return await _cycle_page(visit, period, outcome, cursor, kind, account)


@router.get("/{period}/progress")
async def progress(visit: Visitor, period: str) -> HTMLResponse:
    """The part of the page that changes while the cycle runs."""
    cycle = await visit.api.get(under(CYCLES, period))
    preview = await _preview(visit, cycle)
    return visit.page("cycle_progress.html.j2", cycle=cycle, stage=_stage(cycle), preview=preview)


@router.post("/{period}/approve")
async def approve(visit: Visitor, period: str) -> Response:
    form = await visit.form()
    approval = {"digest": form["digest"], "note": form["note"]}
    try:
        await visit.api.post(under(CYCLES, period, "approve"), approval)
    except FormRefused as refused:
        return await _cycle_page(visit, period, refused=refused, form=form)
    return visit.done(under("/console/billing", period), "Approved; it can be issued now.")


@router.post("/{period}/{order}")
async def give_order(visit: Visitor, period: str, order: str) -> Response:
    if order not in _ORDERS:
        raise Refused(404, f"There is no order {order!r} for a cycle.")
    await visit.api.post(under(CYCLES, period, order))
    page = "/console/billing" if order == "discard" else under("/console/billing", period)
    return visit.done(page, _ORDERS[order])


async def _cycle_page(
    visit: Visit,
    period: str,
    outcome: str = "",
    cursor: str = "",
    kind: str = "",
    account: str = "",
    *,
    refused: FormRefused | None = None,
    form: Fields | None = None,
) -> HTMLResponse:
    cycle = await visit.api.get(under(CYCLES, period))
    preview, customers = await visit.api.all(
        _preview(visit, cycle, kind),
        read_customers(visit, period, outcome=outcome, cursor=cursor, account=account)
        if can_be_read(cycle)
        else _customers(visit, period, outcome, cursor),
    )
    return visit.page(
        "cycle.html.j2",
        422 if refused else 200,
        cycle=cycle,
        stage=_stage(cycle),
        outcomes=_OUTCOMES,
        outcome=outcome,
        customers=customers,
        account=account,
        preview=preview,
        kinds=KINDS,
        kind=kind,
        form=form or Fields(),
        reason=refused.reason if refused else None,
    )


async def _preview(visit: Visit, cycle: dict[str, Any], kind: str = "") -> dict[str, Any] | None:
    """What stands out, while a person decides: of a plan that waits, and of what a retry brought
    that is to be approved.
    """
    differs = _stage(cycle) in ("done", "paused") and cycle["deviations"]
    if _stage(cycle) == "ready" or differs:
        return await read_preview(visit, cycle["period"], kind)
    return None


async def _overview(
    visit: Visitor,
    refused: FormRefused | None = None,
    form: Fields | None = None,
    *,
    cursor: str = "",
) -> HTMLResponse:
    cycles, attention, by_itself = await visit.api.all(
        visit.api.get(CYCLES, cursor=cursor, limit=_MONTHS),
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
            under(CYCLES, period, "customers"), outcome=outcome, cursor=cursor, limit=_CUSTOMERS
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
