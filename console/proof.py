"""Whether a month was billed right: each equation as a sentence, and what does not agree."""

import re
from decimal import Decimal
from itertools import groupby
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from console.billing_api import Refused, under
from console.visit import Visitor

router = APIRouter(prefix="/billing")

_CYCLES = "/api/billing/cycles"
_EARLIER = 10  # proofs shown below the last one
_NUMBER = re.compile(r"INV-\d{4}-\d{2}-\d{4,9}", re.ASCII)


@router.get("/{period}/proof")
async def show(visit: Visitor, period: str) -> HTMLResponse:
    """The month's last proof."""
    found = await _last(visit, period)
    earlier = await visit.api.get(under(_CYCLES, period, "reconciliations"), limit=_EARLIER)
    return visit.page("proof.html.j2", period=period, earlier=earlier["items"], **found)


@router.get("/{period}/proof/progress")
async def progress(visit: Visitor, period: str) -> HTMLResponse:
    """The part of the page that changes while the month is proved."""
    found = await _last(visit, period)
    return visit.page("proof_figures.html.j2", period=period, **found)


@router.post("/{period}/reconcile")
async def reconcile(visit: Visitor, period: str) -> Response:
    await visit.api.post(under(_CYCLES, period, "reconcile"))
    return visit.done(f"{under('/console/billing', period)}/proof", "The month is proved anew.")


async def _last(visit: Visitor, period: str) -> dict[str, Any]:
    """What the page shows of the last proof, if there is one yet. Raises Refused where the month
    has no cycle.
    """
    try:
        found = await visit.api.get(under(_CYCLES, period, "reconciliation"))
    except Refused as refused:
        if refused.status != 404:
            raise
        cycle = await visit.api.get(under(_CYCLES, period))
        return {"under_way": cycle["proving"], **_shown(None)}
    return {"under_way": found["being_made_anew"], **_shown(found)}


def _shown(found: dict[str, Any] | None) -> dict[str, Any]:
    """The proof by parts and sentences, each with its rows; the differences with their links."""
    if found is None:
        return {"proof": None, "parts": [], "differences": []}
    wrong = {row["equation"] for row in found["differences"]}
    sentences = [
        {
            "part": rows[0]["part"],
            "sentence": rows[0]["sentence"],
            "equation": equation,
            "is_wrong": equation in wrong or any(Decimal(row["difference"]) for row in rows),
            "not_checked": rows[0]["not_checked"],
            "rows": rows,
        }
        for equation, same in groupby(found["equations"], lambda row: row["equation"])
        if (rows := list(same))
    ]
    parts = [
        {"name": name, "sentences": list(same)}
        for name, same in groupby(sentences, lambda sentence: sentence["part"])
    ]
    differences = [
        {
            "sentence": rows[0]["sentence"],
            "equation": equation,
            "rows": [{**row, "number": _number(row["subject"])} for row in rows],
        }
        for equation, same in groupby(found["differences"], lambda row: row["equation"])
        if (rows := list(same))
    ]
    return {"proof": found, "parts": parts, "differences": differences}


def _number(subject: str) -> str | None:
    """The invoice that a difference is about, where it is about one."""
    found = _NUMBER.search(subject)
    return found[0] if found else None
