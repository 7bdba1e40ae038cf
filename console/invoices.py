"""Invoices: found, read from issue to settlement, and acted upon."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from console.billing_api import FormRefused, Refused, under
from console.visit import Fields, Visitor, given

router = APIRouter(prefix="/invoices")

_INVOICES = "/api/billing/invoices"
_PAGE = 50
_STATUSES = ("draft", "issued", "overdue", "paid", "void", "uncollectible")
_STATES = (
    *("issued", "payment_attempted", "retry_scheduled", "reminder_sent", "urgent_notice"),
    *("manual_review", "paid", "void", "uncollectible"),
)
_FLAGS = ("open", "overdue", "on_hold", "disputed")
_ORDERS = {
    "hold": "On hold: nobody is reminded until you release it.",
    "release": "Released: the reminders count from today.",
    "resend": "Sent once more.",
    "renew-links": "The links sent so far open nothing any more.",
    "void": "Taken back.",
    "credit-notes": "Credited.",
    "resolve": "Decided as you said.",
}


@router.get("")
async def search(
    visit: Visitor,
    q: str = "",
    period: str = "",
    status: str = "",
    collection_state: str = "",
    open: str = "",
    overdue: str = "",
    on_hold: str = "",
    disputed: str = "",
    cursor: str = "",
) -> HTMLResponse:
    """The invoices that are asked for, the newest month first."""
    wanted = {
        "q": q,
        "period": period,
        "status": status,
        "collection_state": collection_state,
        "open": open,
        "overdue": overdue,
        "on_hold": on_hold,
        "disputed": disputed,
    }
    found: dict[str, Any] = {"items": [], "next_cursor": None}
    reason = None
    try:
        found = await visit.api.get(_INVOICES, **wanted, cursor=cursor, limit=_PAGE)
    except FormRefused as refused:
        reason = refused.reason
    return visit.page(
        "invoices.html.j2",
        422 if reason else 200,
        wanted=wanted,
        found=found,
        statuses=_STATUSES,
        states=_STATES,
        flags=_FLAGS,
        reason=reason,
    )


@router.get("/{number}")
async def show(visit: Visitor, number: str) -> HTMLResponse:
    """An invoice with everything that is known of it."""
    return await _page(visit, number)


@router.post("/{number}/{order}")
async def give_order(visit: Visitor, number: str, order: str) -> Response:
    """What the invoice's workflow carries out, or refuses with the reason."""
    if order not in _ORDERS:
        raise Refused(404, f"There is no order {order!r} for an invoice.")
    form = await visit.form()
    try:
        answer = await visit.api.post(
            under(_INVOICES, number, order), _body(order, form), key=form["key"]
        )
    except FormRefused as refused:
        return await _page(visit, number, refused, form)
    back = "/console/review" if order == "resolve" else under("/console/invoices", number)
    return visit.done(back, f"{number}: {_told(order, answer)}")


async def _page(
    visit: Visitor,
    number: str,
    refused: FormRefused | None = None,
    form: Fields | None = None,
) -> HTMLResponse:
    base = under(_INVOICES, number)
    invoice, payments, emails, credits, timeline, asked = await visit.api.all(
        visit.api.get(base),
        visit.api.get(f"{base}/payments"),
        visit.api.get(f"{base}/emails"),
        visit.api.get(f"{base}/credit-notes"),
        visit.api.get(f"{base}/timeline"),
        visit.api.get(f"{base}/instructions"),
    )
    return visit.page(
        "invoice.html.j2",
        422 if refused else 200,
        invoice=invoice,
        payments=payments,
        emails=emails,
        credits=credits,
        timeline=timeline,
        asked=[one for one in asked if one["outcome"] != "done"],
        form=form or Fields(),
        reason=refused.reason if refused else None,
    )


def _body(order: str, form: Fields) -> dict[str, Any] | None:
    """The form as the API wants it."""
    if order == "resend":
        return None
    if order == "void":
        return {"reason": form["reason"], "reissue": "reissue" in form}
    if order == "credit-notes":
        return _credit(form)
    if order == "resolve":
        resolution = form["resolution"]
        until = given(form, "until") if resolution == "extend" else {}
        return {"resolution": resolution, "note": form["note"], **until}
    return {"note": form["note"]}


def _credit(form: Fields) -> dict[str, Any]:
    """All that is left, an amount, or the lines that have one."""
    body: dict[str, Any] = {
        "reason": form["reason"],
        "refund_to": form["refund_to"] or "credit",
    }
    what = form["what"]
    if what == "amount":
        body["amount"] = form["amount"]
    elif what == "lines":
        body["lines"] = [
            {"position": int(name.removeprefix("line-")), "amount": None}
            for name in form
            if name.startswith("line-") and name.removeprefix("line-").isdigit()
        ]
    return body


def _told(order: str, answer: dict[str, Any]) -> str:
    """What became of it, as a notice."""
    if answer["instruction"]["outcome"] is None:
        return "It is noted, and will be decided in a moment; this page shows what becomes of it."
    if answer["credit_note"]:
        return f"Credit note {answer['credit_note']} is issued."
    return _ORDERS[order]
