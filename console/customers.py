"""Customers and what they subscribe to: found, read, added, changed."""

import json
from collections.abc import Awaitable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from console.billing_api import FormRefused, Refused, under
from console.forms import Fields, figure, given
from console.visit import Actor, Visit, Visitor

router = APIRouter()

_CUSTOMERS = "/api/billing/customers"
_SUBSCRIPTIONS = "/api/billing/subscriptions"
_PAGE = 50
_INVOICES = 24  # of a customer, on its page
_TERMS = 100  # of discounts, and of prepaid credit
_TEXTS = (
    *("name", "country", "region", "address_line1", "postal_code", "city", "tax_id"),
    *("currency", "segment", "payment_method", "status", "po_number"),
)
_CODES = ("country", "region", "currency")
_CARD = ("stripe_customer_id", "stripe_payment_method_id")
_STATUSES = ("active", "paused", "churned")
_PAYMENT_METHODS = ("bank_transfer", "card")


@router.get("/customers")
async def search(
    visit: Visitor, q: str = "", status: str = "", payment_method: str = "", cursor: str = ""
) -> HTMLResponse:
    """The customers that are asked for, by account number."""
    wanted = {"q": q, "status": status, "payment_method": payment_method}
    found = await visit.api.get(_CUSTOMERS, **wanted, cursor=cursor, limit=_PAGE)
    return visit.page("customers.html.j2", wanted=wanted, found=found, **_choices())


@router.get("/new-customer")
async def blank(visit: Actor) -> HTMLResponse:
    """The form for a customer who is not there yet."""
    return _form(visit, Fields(status="active"))


@router.post("/new-customer")
async def add(visit: Visitor) -> Response:
    form = await visit.form()
    body = {
        "account_number": form["account_number"],
        **_values(form),
        **{name: form[name] or None for name in _CARD},
    }
    try:
        added = await visit.api.post(_CUSTOMERS, body)
    except FormRefused as refused:
        return _form(visit, form, refused)
    account = added["account_number"]
    return visit.done(under("/console/customers", account), f"{added['name']} is added.")


@router.get("/customers/{account}")
async def show(visit: Visitor, account: str) -> HTMLResponse:
    """A customer with subscriptions, credit and invoices."""
    return await _page(visit, account)


@router.get("/customers/{account}/change")
async def change_form(visit: Actor, account: str) -> HTMLResponse:
    """The form with what is kept now, and that once more, unseen: to tell what was changed."""
    customer = await visit.api.get(under(_CUSTOMERS, account))
    form = _as_form(customer)
    return _form(visit, Fields(form, was=json.dumps(form)), account=account)


@router.post("/customers/{account}/change")
async def change(visit: Visitor, account: str) -> Response:
    """Changes what the person changed, and nothing that somebody else may have meanwhile."""
    form = await visit.form()
    page = under("/console/customers", account)
    before = _values(_was(form))
    changes = {name: value for name, value in _values(form).items() if value != before[name]}
    if not changes:
        return visit.done(page, "Nothing was changed.")
    try:
        changed = await visit.api.patch(under(_CUSTOMERS, account), changes)
    except FormRefused as refused:
        return _form(visit, form, refused, account=account)
    return visit.done(page, f"{changed['name']} is changed.")


@router.post("/customers/{account}/subscriptions")
async def subscribe(visit: Visitor, account: str) -> Response:
    form = await visit.form()
    body = {
        "account_number": account,
        "plan_code": form["plan_code"],
        "quantity": figure(form["quantity"]) or "1",
        "starts_on": form["starts_on"],
        **given(form, "ends_on"),
    }
    return await answer(visit, account, form, visit.api.post(_SUBSCRIPTIONS, body), "Subscribed.")


@router.post("/customers/{account}/subscriptions/{id}")
async def change_subscription(visit: Visitor, account: str, id: str) -> Response:
    """Ends it on a day, changes its quantity from a day on, or withdraws it altogether."""
    form = await visit.form()
    asked, done = _change_of(visit, under(_SUBSCRIPTIONS, id), form)
    return await answer(visit, account, form, asked, done)


def _change_of(visit: Visit, path: str, form: Fields) -> tuple[Awaitable[Any], str]:
    """What is asked of the subscription at `path`, and what to say when it is done."""
    match form["what"]:
        case "end":
            return visit.api.patch(path, {"ends_on": form["day"]}), "It ends on that day."
        case "open":
            return visit.api.patch(path, {"ends_on": None}), "It has no end any more."
        case "quantity":
            body = {"quantity": figure(form["quantity"]), "from": form["day"]}
            return visit.api.patch(path, body), "The quantity is another one from that day on."
        case "withdraw":
            return visit.api.delete(path), "It is withdrawn, as if it had never been."
    raise Refused(422, "Choose what is to become of the subscription.")


async def answer(
    visit: Visit, account: str, form: Fields, asked: Awaitable[Any], done: str
) -> Response:
    """The customer's page: with the notice `done`, or with the form and why it was refused."""
    try:
        told = await asked
    except FormRefused as refused:
        return await _page(visit, account, form, refused)
    if late := (told or {}).get("counts_late"):
        done += f" The next cycle bills or gives back the difference for {', '.join(late)}."
    return visit.done(under("/console/customers", account), done)


async def _page(
    visit: Visit, account: str, form: Fields | None = None, refused: FormRefused | None = None
) -> HTMLResponse:
    customer, invoices, plans, discounts, prepaid = await visit.api.all(
        visit.api.get(under(_CUSTOMERS, account)),
        visit.api.get("/api/billing/invoices", account_number=account, limit=_INVOICES),
        visit.api.get("/api/billing/plans", limit=500),
        visit.api.get("/api/billing/discounts", account_number=account, limit=_TERMS),
        visit.api.get("/api/billing/prepaid", account_number=account, limit=_TERMS),
    )
    return visit.page(
        "customer.html.j2",
        refused.status if refused else 200,
        customer=customer,
        invoices=invoices,
        plans=plans["items"],
        discounts=discounts["items"],
        prepaid=prepaid["items"],
        form=form or Fields(),
        reason=refused.reason if refused else None,
    )


def _form(
    visit: Visit, form: Fields, refused: FormRefused | None = None, *, account: str = ""
) -> HTMLResponse:
    """`account`: the customer that is changed, none for one that is added."""
    return visit.page(
        "customer_form.html.j2",
        refused.status if refused else 200,
        form=form,
        account=account,
        reason=refused.reason if refused else None,
        **_choices(),
    )


def _choices() -> dict[str, Any]:
    return {"statuses": _STATUSES, "payment_methods": _PAYMENT_METHODS}


def _values(form: Fields) -> dict[str, Any]:
    """What a form says of a customer, as the API wants it."""
    emails = form["billing_emails"].replace(",", ";").split(";")
    return {
        **{name: form[name] for name in _TEXTS},
        **{name: form[name].upper() for name in _CODES},
        "billing_emails": [email.strip() for email in emails if email.strip()],
        "tax_exempt": bool(form["tax_exempt"]),
    }


def _as_form(customer: dict[str, Any]) -> Fields:
    """What the form begins with. The card is not in it: the payer may change it meanwhile."""
    form = Fields({name: customer[name] for name in _TEXTS})
    form["billing_emails"] = "; ".join(customer["billing_emails"])
    form["tax_exempt"] = "on" if customer["tax_exempt"] else ""
    return form


def _was(form: Fields) -> Fields:
    """What the form began with. Raises Refused for what is none of ours."""
    try:
        return Fields(json.loads(form["was"]))
    except (ValueError, TypeError):
        raise Refused(422, "The form is incomplete; open it once more.") from None
