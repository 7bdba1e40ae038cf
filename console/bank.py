"""Bank statements: uploaded, and what matched no invoice settled by hand."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from console.billing_api import FormRefused, under
from console.forms import Fields, figure
from console.showing import plural
from console.visit import Visitor

router = APIRouter(prefix="/bank")

_TRANSACTIONS = "/api/billing/bank-transactions"
_STATUSES = ("unmatched", "matched", "reversed", "ignored")
_PAGE = 50
_PARTS = 3  # of a transaction, in the form


@router.get("")
async def show(visit: Visitor, status: str = "unmatched", cursor: str = "") -> HTMLResponse:
    """What waits for a person, or what became of the rest."""
    return await _page(visit, status=status, cursor=cursor)


@router.post("/statements")
async def upload(visit: Visitor, request: Request) -> Response:
    """Takes a statement in; what is certain is booked, the rest waits on this page."""
    try:
        stored = await visit.api.pass_on("/api/billing/bank-statements", request)
    except FormRefused as refused:
        return await _page(visit, reason=refused.reason)
    return visit.done("/console/bank", _told(stored))


@router.post("/{id}/assign")
async def assign(visit: Visitor, id: str) -> Response:
    """Books a transaction for the invoices that were named."""
    form = await visit.form()
    allocations = [
        {"number": form[f"number-{place}"], "amount": figure(form[f"amount-{place}"])}
        for place in range(1, _PARTS + 1)
        if form[f"number-{place}"]
    ]
    order = {"allocations": allocations, "note": form["note"]}
    return await _decide(visit, id, "assign", order, "Booked.", form)


@router.post("/{id}/ignore")
async def ignore(visit: Visitor, id: str) -> Response:
    """Notes that a transaction is for no invoice."""
    form = await visit.form()
    return await _decide(visit, id, "ignore", {"note": form["note"]}, "Set aside.", form)


async def _decide(
    visit: Visitor, id: str, what: str, order: dict[str, Any], done: str, form: Fields
) -> Response:
    try:
        await visit.api.post(under(_TRANSACTIONS, id, what), order)
    except FormRefused as refused:
        return await _page(
            visit,
            status=form["which"],
            cursor=form["cursor"],
            reason=refused.reason,
            form=form,
            decided=id,
        )
    return visit.done("/console/bank", done)


async def _page(
    visit: Visitor,
    *,
    status: str = "unmatched",
    cursor: str = "",
    reason: str | None = None,
    form: Fields | None = None,
    decided: str = "",
) -> HTMLResponse:
    """`form` goes back into the transaction `decided`, with the `reason` why it was not taken."""
    if status not in _STATUSES:
        status = "unmatched"
    found = await visit.api.get(_TRANSACTIONS, status=status, cursor=cursor, limit=_PAGE)
    return visit.page(
        "bank.html.j2",
        422 if reason else 200,
        found=found,
        which=status,
        cursor=cursor,
        statuses=_STATUSES,
        reason=reason,
        form=form or Fields(),
        decided=decided,
        parts=range(1, _PARTS + 1),
    )


def _told(stored: dict[str, Any]) -> str:
    """What an upload came to, as a notice."""
    if not stored["new"] and not stored["known_before"]:
        return "The statement has no entries."
    if not stored["new"]:
        return f"Nothing new: all {plural(stored['known_before'], 'entry', 'entries')} were known."
    out = stored["new"] - stored["matched"] - stored["waiting"] - stored["reversed"]
    return (
        f"{plural(stored['new'], 'new entry', 'new entries')}: {stored['matched']} matched, "
        f"{stored['waiting']} to settle by hand, {stored['reversed']} taken back by the bank, "
        f"{out} that went out."
    )
