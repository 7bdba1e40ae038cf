"""What a customer pays less, and what they paid before: discounts and prepaid credit."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from console.billing_api import Refused, under
from console.customers import answer
from console.forms import Fields, figure
from console.visit import Visitor

router = APIRouter()

_DISCOUNTS = "/api/billing/discounts"
_PREPAID = "/api/billing/prepaid"


@router.post("/customers/{account}/discounts")
async def discount(visit: Visitor, account: str) -> Response:
    form = await visit.form()
    of = _part(form, "discount")
    body: dict[str, Any] = {
        "account_number": account,
        "plan_code": of["plan"] or None,
        "name": of["name"],
        "valid_from": of["from"],
        "valid_to": of["to"] or None,
    }
    if of["by"] == "percent":
        body["percent"] = figure(of["worth"])
    else:
        body |= {"amount": figure(of["worth"]), "currency": of["currency"]}
    asked = visit.api.post(_DISCOUNTS, body)
    return await answer(visit, account, form, asked, "The discount is added.")


@router.post("/customers/{account}/discounts/{id}")
async def change_discount(visit: Visitor, account: str, id: str) -> Response:
    """Ends it on a day, takes that end away, or withdraws it altogether."""
    form = await visit.form()
    path = under(_DISCOUNTS, id)
    match form["what"]:
        case "end":
            asked = visit.api.patch(path, {"valid_to": form["day"]})
            return await answer(visit, account, form, asked, "The discount ends on that day.")
        case "open":
            asked = visit.api.patch(path, {"valid_to": None})
            return await answer(visit, account, form, asked, "The discount has no end any more.")
        case "withdraw":
            asked = visit.api.delete(path)
            return await answer(visit, account, form, asked, "The discount is withdrawn.")
    raise Refused(422, "Choose what is to become of the discount.")


@router.post("/customers/{account}/prepaid")
async def grant(visit: Visitor, account: str) -> Response:
    form = await visit.form()
    of = _part(form, "prepaid")
    body = {
        "account_number": account,
        "reference": of["reference"],
        "currency": of["currency"],
        "amount": figure(of["amount"]),
        "price": figure(of["price"]) or "0",
        "valid_from": of["from"],
        "expires_on": of["expires"] or None,
        "note": of["note"],
    }
    asked = visit.api.post(_PREPAID, body)
    return await answer(visit, account, form, asked, "The credit is granted.")


@router.post("/customers/{account}/prepaid/{id}")
async def change_grant(visit: Visitor, account: str, id: str) -> Response:
    """Lets it lapse on a day, takes that day away, or withdraws it altogether."""
    form = await visit.form()
    path = under(_PREPAID, id)
    match form["what"]:
        case "end":
            asked = visit.api.patch(path, {"expires_on": form["day"]})
            return await answer(visit, account, form, asked, "The credit lapses on that day.")
        case "open":
            asked = visit.api.patch(path, {"expires_on": None})
            return await answer(visit, account, form, asked, "The credit does not lapse any more.")
        case "withdraw":
            asked = visit.api.delete(path)
            return await answer(visit, account, form, asked, "The credit is withdrawn.")
    raise Refused(422, "Choose what is to become of the credit.")


def _part(form: Fields, of: str) -> Fields:
    """The fields of one of the page's forms, `discount-name` as `name`."""
    return Fields(
        {
            name.removeprefix(f"{of}-"): value
            for name, value in form.items()
            if name.startswith(f"{of}-")
        }
    )
