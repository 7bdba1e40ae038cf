"""Plans and prices: a change of price is a new version from a day on."""

import re
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from console.billing_api import FormRefused, under
from console.forms import Fields, figure
from console.visit import Actor, Visit, Visitor

router = APIRouter()

_PLANS = "/api/billing/plans"
_TIER = re.compile(r"tier-\d{1,3}", re.ASCII)
_DIGITS = 15  # of a number of units
_TIERS = 6  # that a form has room for at least


@router.get("/plans")
async def show_all(visit: Visitor, cursor: str = "") -> HTMLResponse:
    """Every plan with the prices that are in force, and those to come."""
    found = await visit.api.get(_PLANS, cursor=cursor, limit=100)
    return visit.page("plans.html.j2", found=found)


@router.get("/new-plan")
async def blank(visit: Actor) -> HTMLResponse:
    return _new(visit, Fields())


@router.post("/new-plan")
async def add(visit: Visitor) -> Response:
    form = await visit.form()
    body = _price(form, form["kind"]) | {
        "code": form["code"],
        "name": form["name"],
        "kind": form["kind"],
        "metric": form["metric"] or None,
    }
    try:
        added = await visit.api.post(_PLANS, body)
    except FormRefused as refused:
        return _new(visit, form, refused)
    return visit.done(under("/console/plans", added["code"]), f"{added['name']} is added.")


@router.get("/plans/{code}")
async def show(visit: Visitor, code: str, currency: str = "") -> HTMLResponse:
    """A plan with every version of its prices, and the form for the next in a currency."""
    return await _page(visit, code, currency=currency)


@router.post("/plans/{code}/prices")
async def add_price(visit: Visitor, code: str) -> Response:
    form = await visit.form()
    plan = await visit.api.get(under(_PLANS, code))
    try:
        await visit.api.post(under(_PLANS, code, "prices"), _price(form, plan["kind"]))
    except FormRefused as refused:
        return await _page(visit, code, form, refused)
    return visit.done(under("/console/plans", code), "The new price is noted.")


async def _page(
    visit: Visit,
    code: str,
    form: Fields | None = None,
    refused: FormRefused | None = None,
    *,
    currency: str = "",
) -> HTMLResponse:
    plan = await visit.api.get(under(_PLANS, code))
    return visit.page(
        "plan.html.j2",
        refused.status if refused else 200,
        plan=plan,
        currencies=sorted({price["currency"] for price in plan["prices"]}),
        form=form or _latest(plan, currency),
        tiers=_tiers(max((len(price["tiers"]) for price in plan["prices"]), default=0)),
        reason=refused.reason if refused else None,
    )


def _new(visit: Visit, form: Fields, refused: FormRefused | None = None) -> HTMLResponse:
    return visit.page(
        "plan_form.html.j2",
        refused.status if refused else 200,
        form=form,
        tiers=_tiers(),
        reason=refused.reason if refused else None,
    )


def _price(form: Fields, kind: str) -> dict[str, Any]:
    """The price of the form: one for a flat plan, the tiers that are filled in for usage."""
    price: dict[str, Any] = {"currency": form["currency"].upper(), "valid_from": form["valid_from"]}
    if kind == "flat":
        return price | {"unit_price": figure(form["unit_price"])}
    places = sorted(int(name[5:]) for name in form if _TIER.fullmatch(name))
    rows = [(form[f"tier-{n}"], form[f"up-to-{n}"], figure(form[f"price-{n}"])) for n in places]
    return price | {
        "tiers": [
            {"name": name, "up_to": _units(up_to), "unit_price": unit_price}
            for name, up_to, unit_price in rows
            if name or up_to or unit_price
        ]
    }


def _tiers(known: int = 0) -> range:
    """The rows of a form: room for one tier more than there are."""
    return range(1, max(_TIERS, known + 1) + 1)


def _units(text: str) -> int | str | None:
    """None for no limit; what is no number is left for the API to refuse."""
    plain = figure(text)
    if plain.isascii() and plain.isdigit() and len(plain) <= _DIGITS:
        return int(plain)
    return text or None


def _latest(plan: dict[str, Any], currency: str) -> Fields:
    """The last version in `currency`, or of all, as the form's beginning: to be written over."""
    prices = [price for price in plan["prices"] if currency in ("", price["currency"])]
    if not prices:
        return Fields(currency=currency)
    last = max(prices, key=lambda price: (price["valid_from"], price["version"]))
    form = Fields(currency=last["currency"], unit_price=last["unit_price"] or "")
    for place, tier in enumerate(last["tiers"], start=1):
        form[f"tier-{place}"] = tier["name"]
        form[f"up-to-{place}"] = "" if tier["up_to"] is None else str(tier["up_to"])
        form[f"price-{place}"] = tier["unit_price"]
    return form
