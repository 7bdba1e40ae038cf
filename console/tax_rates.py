"""Tax rates by place: listed, added from a day on, ended."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from console.billing_api import FormRefused, under
from console.visit import Fields, Visit, Visitor, given

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
        **{name: form[name] for name in ("country", "region", "rate_percent", "name")},
        "valid_from": form["valid_from"],
        "ends_previous": "ends_previous" in form,
        **given(form, "valid_to"),
    }
    try:
        added = await visit.api.post(_RATES, body)
    except FormRefused as refused:
        return await _page(visit, form=form, refused=refused)
    return visit.done("/console/tax-rates", f"The rate of {added['country']} is added.")


@router.post("/{id}/end")
async def end(visit: Visitor, id: str) -> Response:
    form = await visit.form()
    try:
        await visit.api.patch(under(_RATES, id), {"valid_to": form["valid_to"] or None})
    except FormRefused as refused:
        return await _page(visit, refused=refused)
    return visit.done("/console/tax-rates", "Noted.")


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
