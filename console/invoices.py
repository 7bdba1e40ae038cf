"""Invoices: found, read from issue to settlement, and acted upon."""

import re
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from console.billing_api import FormRefused, Refused, under
from console.forms import Fields, figure
from console.told import told
from console.visit import Visitor

router = APIRouter(prefix="/invoices")

_INVOICES = "/api/billing/invoices"
_PAGE = 50
_STATUSES = ("draft", "issued", "overdue", "paid", "void", "uncollectible")
_STATES = (
    *("issued", "payment_attempted", "retry_scheduled", "reminder_sent", "urgent_notice"),
    *("manual_review", "paid", "void", "uncollectible"),
)
_FLAGS = ("open", "overdue", "on_hold", "disputed")
_ORDERS = ("hold", "release", "resend", "renew-links", "void", "credit-notes")
_LINE = re.compile(r"line-\d{1,9}", re.ASCII)


@router.get("")
async def search(
    visit: Visitor,
    q: str = "",
    account_number: str = "",
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
        "account_number": account_number,
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
        return await _page(visit, number, refused, form, order)
    return visit.done(under("/console/invoices", number), f"{number}: {told(answer)}")


async def _page(
    visit: Visitor,
    number: str,
    refused: FormRefused | None = None,
    form: Fields | None = None,
    order: str = "",
) -> HTMLResponse:
    """`form` goes back into the one of the `order` that was refused."""
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
        waiting=[one for one in asked if one["outcome"] is None],
        form=form or Fields(),
        refused_order=order,
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
    return {"note": form["note"]}


def _credit(form: Fields) -> dict[str, Any]:
    """All that is left, an amount, or the lines that have one."""
    body: dict[str, Any] = {
        "reason": form["reason"],
        "refund_to": form["refund_to"] or "credit",
    }
    what = form["what"]
    if what == "amount":
        body["amount"] = figure(form["amount"])
    elif what == "lines":
        body["lines"] = [
            {"position": int(name.removeprefix("line-")), "amount": None}
            for name in form
            if _LINE.fullmatch(name)
        ]
    return body
