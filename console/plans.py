"""Plans and prices: a change of price is a new version from a day on."""

import re
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from console.billing_api import FormRefused, under
from console.forms import Fields, figure
from console.visit import Actor, Visit, Visitor

router = APIRouter()

_PLANS = "/api/billing/plans"
_CHARGE = re.compile(r"charge-(\d{1,3})-metric", re.ASCII)
_TIER = re.compile(r"charge-(\d{1,3})-tier-(\d{1,3})", re.ASCII)
_DIGITS = 15  # of a number of units
_CHARGES, _TIERS = 3, 6  # that a form has room for at least
_MODELS = (
    ("graduated", "by tiers, each unit at its own"),
    ("volume", "by tiers, all units at the one reached"),
    ("package", "by package, a begun one as a whole"),
    ("per_unit", "by unit"),
)


@dataclass(frozen=True)
class Room:
    """The places that a form has: one charge and one tier more than there are."""

    charges: range
    tiers: range


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
        "interval": form["interval"] if form["kind"] == "flat" else "month",
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
        room=_room(plan["prices"]),
        models=_MODELS,
        reason=refused.reason if refused else None,
    )


def _new(visit: Visit, form: Fields, refused: FormRefused | None = None) -> HTMLResponse:
    return visit.page(
        "plan_form.html.j2",
        refused.status if refused else 200,
        form=form,
        room=_room([]),
        models=_MODELS,
        reason=refused.reason if refused else None,
    )


def _price(form: Fields, kind: str) -> dict[str, Any]:
    """The price of the form: one for a flat plan, the charges that are filled in for usage."""
    price: dict[str, Any] = {"currency": form["currency"].upper(), "valid_from": form["valid_from"]}
    if kind == "flat":
        return price | {"unit_price": figure(form["unit_price"])}
    places = sorted(int(found[1]) for name in form if (found := _CHARGE.fullmatch(name)))
    return price | {
        "charges": [_charge(form, place) for place in places if _is_filled(form, place)],
        "minimum": figure(form["minimum"]) or None,
    }


def _is_filled(form: Fields, place: int) -> bool:
    """Whether anything but the choice of the model stands in a charge's fields."""
    at = f"charge-{place}-"
    return any(form[name] for name in form if name.startswith(at) and name != f"{at}model")


def _charge(form: Fields, place: int) -> dict[str, Any]:
    """A charge as it was filled in; tiers that are empty are none."""
    at = f"charge-{place}-"
    tiers = sorted(
        (int(found[2]), name)
        for name in form
        if (found := _TIER.fullmatch(name)) and int(found[1]) == place
    )
    rows = [(form[name], form[f"{name}-up-to"], figure(form[f"{name}-price"])) for _, name in tiers]
    return {
        "metric": form[f"{at}metric"],
        "name": form[f"{at}name"],
        "model": form[f"{at}model"],
        "unit_price": figure(form[f"{at}price"]) or None,
        "package_size": _units(form[f"{at}size"]),
        "tiers": [
            {"name": name, "up_to": _units(up_to), "unit_price": unit_price}
            for name, up_to, unit_price in rows
            if name or up_to or unit_price
        ],
    }


def _room(prices: list[dict[str, Any]]) -> Room:
    charges = [price["charges"] for price in prices]
    most = max((len(of_price) for of_price in charges), default=0)
    tiers = max((len(one["tiers"]) for of_price in charges for one in of_price), default=0)
    return Room(range(1, max(_CHARGES, most + 1) + 1), range(1, max(_TIERS, tiers + 1) + 1))


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
    form = Fields(
        currency=last["currency"],
        unit_price=last["unit_price"] or "",
        minimum=last["minimum"] or "",
    )
    for place, charge in enumerate(last["charges"], start=1):
        at = f"charge-{place}-"
        form[f"{at}metric"] = charge["metric"]
        form[f"{at}name"] = charge["name"]
        form[f"{at}model"] = charge["model"]
        form[f"{at}price"] = charge["unit_price"] or ""
        form[f"{at}size"] = "" if charge["package_size"] is None else str(charge["package_size"])
        for number, tier in enumerate(charge["tiers"], start=1):
            inside = f"{at}tier-{number}"
            form[inside] = tier["name"]
            form[f"{inside}-up-to"] = "" if tier["up_to"] is None else str(tier["up_to"])
            form[f"{inside}-price"] = tier["unit_price"]
    return form
