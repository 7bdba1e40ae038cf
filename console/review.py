"""The review queue: unpaid invoices that wait for a person's decision."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from console.showing import words
from console.visit import Visitor

router = APIRouter(prefix="/review")

_PAGE = 20


@router.get("")
async def queue(visit: Visitor, cursor: str = "") -> HTMLResponse:
    """Each case with its story and the ways out of it, whoever waits longest first."""
    cases = await visit.api.get("/api/billing/review-queue", cursor=cursor, limit=_PAGE)
    for case in cases["items"]:
        case["story"] = _story(case)
    return visit.page("review.html.j2", cases=cases)


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
