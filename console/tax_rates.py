"""Tax rates by place: listed, added from a day on, ended."""

from collections.abc import Awaitable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from console.billing_api import FormRefused, Refused, under
from console.forms import Fields, figure, given
from console.visit import Visit, Visitor

router = APIRouter(prefix="/tax-rates")

_RATES = "/api/billing/tax-rates"
_PAGE = 100


@router.get("")
async def show(visit: Visitor, country: str = "", cursor: str = "") -> HTMLResponse:
    return await _page(visit, country=country, cursor=cursor)


@router.post("")
async def add(visit: Visitor) -> Response:
    form = await visit.form()
    body = {
        "country": form["country"].upper(),
        "region": form["region"].upper(),
        "rate_percent": figure(form["rate_percent"]),
        "name": form["name"],
        "valid_from": form["valid_from"],
        "ends_previous": "ends_previous" in form,
        **given(form, "valid_to"),
    }
    try:
        added = await visit.api.post(_RATES, body)
    except FormRefused as refused:
        return await _page(visit, form=form, refused=refused)
    return visit.done("/console/tax-rates", f"The rate of {added['country']} is added.")


@router.post("/{id}")
async def change(visit: Visitor, id: str) -> Response:
    """Ends a rate on a day, takes its end away, or withdraws it."""
    form = await visit.form()
    asked, done = _change_of(visit, under(_RATES, id), form)
    try:
        await asked
    except FormRefused as refused:
        return await _page(visit, refused=refused)
    return visit.done("/console/tax-rates", done)


def _change_of(visit: Visit, path: str, form: Fields) -> tuple[Awaitable[Any], str]:
    """What is asked of the rate at `path`, and what to say when it is done."""
    match form["what"]:
        case "end":
            return visit.api.patch(path, {"valid_to": form["valid_to"]}), "The rate ends then."
        case "open":
            return visit.api.patch(path, {"valid_to": None}), "The rate has no end any more."
        case "withdraw":
            return visit.api.delete(path), "The rate is withdrawn, as if it had never been."
    raise Refused(422, "Choose what is to become of the rate.")


async def _page(
    visit: Visit,
    *,
    country: str = "",
    cursor: str = "",
    form: Fields | None = None,
    refused: FormRefused | None = None,
) -> HTMLResponse:
    found = await visit.api.get(_RATES, country=country.upper(), cursor=cursor, limit=_PAGE)
    return visit.page(
        "tax_rates.html.j2",
        refused.status if refused else 200,
        found=found,
        country=country,
        form=form or Fields(),
        reason=refused.reason if refused else None,
    )
