"""Plans and prices: a change of price is a new version from a day on."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from console.billing_api import FormRefused, under
from console.visit import Fields, Visit, Visitor

router = APIRouter(prefix="/plans")

_PLANS = "/api/billing/plans"
_TIERS = 6  # that a form has room for


@router.get("")
async def show_all(visit: Visitor, cursor: str = "") -> HTMLResponse:
    """Every plan with the prices that are in force, and those to come."""
    found = await visit.api.get(_PLANS, cursor=cursor, limit=100)
    return visit.page("plans.html.j2", found=found)


@router.get("/new")
async def blank(visit: Visitor) -> HTMLResponse:
    return _new(visit, Fields())


@router.post("/new")
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


@router.get("/{code}")
async def show(visit: Visitor, code: str) -> HTMLResponse:
    """A plan with every version of its prices, and the form for the next."""
    return await _page(visit, code)


@router.post("/{code}/prices")
async def add_price(visit: Visitor, code: str) -> Response:
    form = await visit.form()
    plan = await visit.api.get(under(_PLANS, code))
    try:
        await visit.api.post(under(_PLANS, code, "prices"), _price(form, plan["kind"]))
    except FormRefused as refused:
        return await _page(visit, code, form, refused)
    return visit.done(under("/console/plans", code), "The new price is noted.")


async def _page(
    visit: Visit, code: str, form: Fields | None = None, refused: FormRefused | None = None
) -> HTMLResponse:
    plan = await visit.api.get(under(_PLANS, code))
    return visit.page(
        "plan.html.j2",
        refused.status if refused else 200,
        plan=plan,
        form=form or _latest(plan),
        tiers=range(1, _TIERS + 1),
        reason=refused.reason if refused else None,
    )


def _new(visit: Visit, form: Fields, refused: FormRefused | None = None) -> HTMLResponse:
    return visit.page(
        "plan_form.html.j2",
        refused.status if refused else 200,
        form=form,
        tiers=range(1, _TIERS + 1),
        reason=refused.reason if refused else None,
    )


def _price(form: Fields, kind: str) -> dict[str, Any]:
    """The price of the form: one for a flat plan, the tiers that are filled in for usage."""
    price: dict[str, Any] = {"currency": form["currency"], "valid_from": form["valid_from"]}
    if kind == "flat":
        return price | {"unit_price": form["unit_price"]}
    return price | {
        "tiers": [
            {
                "name": form[f"tier-{place}"],
                "up_to": _units(form[f"up-to-{place}"]),
                "unit_price": form[f"price-{place}"],
            }
            for place in range(1, _TIERS + 1)
            if form[f"price-{place}"]
        ]
    }


def _units(text: str) -> int | str | None:
    """None for no limit; what is no number is left for the API to refuse."""
    plain = text.replace(",", "").replace(" ", "")
    if plain.isascii() and plain.isdigit():
        return int(plain)
    return text or None


def _latest(plan: dict[str, Any]) -> Fields:
    """The last version as the form's beginning: what changes is written over."""
    if not plan["prices"]:
        return Fields()
    last = max(plan["prices"], key=lambda price: (price["valid_from"], price["version"]))
    form = Fields(currency=last["currency"], unit_price=last["unit_price"] or "")
    for place, tier in enumerate(last["tiers"], start=1):
        form[f"tier-{place}"] = tier["name"]
        form[f"up-to-{place}"] = "" if tier["up_to"] is None else str(tier["up_to"])
        form[f"price-{place}"] = tier["unit_price"]
    return form
