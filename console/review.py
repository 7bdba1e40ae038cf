"""The review queue: unpaid invoices that wait for a person's decision."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from console.billing_api import FormRefused, under
from console.forms import Fields, given
from console.showing import words
from console.told import told
from console.visit import Visit, Visitor

router = APIRouter(prefix="/review")

_PAGE = 20


@router.get("")
async def queue(visit: Visitor, cursor: str = "") -> HTMLResponse:
    """Each case with its story and the ways out of it, whoever waits longest first."""
    return await _queue(visit, cursor=cursor)


@router.post("/{number}")
async def resolve(visit: Visitor, number: str) -> Response:
    """Decides a case in one of its ways."""
    form = await visit.form()
    resolution = form["resolution"]
    until = given(form, "until") if resolution == "extend" else {}
    decision = {"resolution": resolution, "note": form["note"], **until}
    path = under("/api/billing/invoices", number, "resolve")
    try:
        answer = await visit.api.post(path, decision, key=form["key"])
    except FormRefused as refused:
        return await _queue(visit, refused, form, number)
    return visit.done("/console/review", f"{number}: {told(answer)}")


async def _queue(
    visit: Visit,
    refused: FormRefused | None = None,
    form: Fields | None = None,
    number: str = "",
    *,
    cursor: str = "",
) -> HTMLResponse:
    """`form` goes back into the case `number`, whose decision was refused."""
    cases = await visit.api.get("/api/billing/review-queue", cursor=cursor, limit=_PAGE)
    for case in cases["items"]:
        case["story"] = _story(case)
    return visit.page(
        "review.html.j2",
        refused.status if refused else 200,
        cases=cases,
        reason=f"{number}: {refused.reason}" if refused else None,
        form=form or Fields(),
        number=number,
    )


def _story(case: dict[str, Any]) -> list[dict[str, str]]:
    """What was tried and what was sent, in order; on one day the charge comes before its e-mail."""
    charges = [
        {"on": charge["business_date"], "what": _charge(charge), "words": charge["words"]}
        for charge in case["charges"]
    ]
    mails = [
        {
            "on": mail["business_date"],
            "what": f"{words(mail['kind'])} {'sent' if mail['sent_at'] else 'not sent yet'}",
            "words": "",
        }
        for mail in case["emails"]
    ]
    return sorted(charges + mails, key=lambda event: event["on"])


def _charge(charge: dict[str, Any]) -> str:
    told = f"card charged, attempt {charge['attempt']}, {charge['status']}"
    return f"{told}: {words(charge['decline'])}" if charge["decline"] else told
