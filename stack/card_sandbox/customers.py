"""Customers and their payment methods."""

from datetime import UTC, datetime

from stack.card_sandbox import cards, params
from stack.card_sandbox.errors import Json, declined, invalid, missing
from stack.card_sandbox.params import LISTING, integer, metadata, one_of, shape, text
from stack.card_sandbox.store import new_id, now
from stack.card_sandbox.world import Route, World

_ADDRESS = shape(dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), text))
_FIELDS: params.Shape = {
    "name": text,
    "email": text,
    "description": text,
    "phone": text,
    "address": _ADDRESS,
    "metadata": metadata,
    "preferred_locales": params.array(text),
    "invoice_settings": shape({"default_payment_method": text}),
}


def create_customer(world: World, given: Json) -> Json:
    customer = new_customer(new_id("cus"), given)
    default = customer["invoice_settings"]["default_payment_method"]
    if default is not None:
        raise missing("PaymentMethod", default, param="invoice_settings[default_payment_method]")
    world.store.add(customer)
    world.emit("customer.created", customer)
    return customer


def new_customer(name: str, given: Json) -> Json:
    """A customer under the id `name`, not kept yet."""
    settings = given.get("invoice_settings") or {}
    return {
        "id": name,
        "object": "customer",
        "address": given.get("address"),
        "balance": 0,
        "created": now(),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": given.get("description"),
        "email": given.get("email"),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": settings.get("default_payment_method"),
            "footer": None,
        },
        "livemode": False,
        "metadata": given.get("metadata", {}),
        "name": given.get("name"),
        "phone": given.get("phone"),
        "preferred_locales": given.get("preferred_locales", []),
        "shipping": None,
        "tax_exempt": "none",
    }


def find_customer(world: World, given: Json, name: str) -> Json:
    found = world.store.find(name)
    if found is not None and found.get("deleted"):
        return found
    return world.store.get("customer", name, in_path=True)


def update_customer(world: World, given: Json, name: str) -> Json:
    customer = world.store.get("customer", name, in_path=True)
    settings = given.pop("invoice_settings", {})
    default = settings.get("default_payment_method")
    if default is not None:
        method = world.store.find(default)
        if method is None or method.get("customer") != name:
            raise missing(
                "PaymentMethod", default, param="invoice_settings[default_payment_method]"
            )
        given["invoice_settings"] = customer["invoice_settings"] | settings
    if "metadata" in given:
        kept = customer["metadata"] | given["metadata"]
        given["metadata"] = {key: value for key, value in kept.items() if value != ""}
    changed = {key: value for key, value in given.items() if customer[key] != value}
    previous = {key: customer[key] for key in changed}
    world.store.save(customer | changed)
    if changed:
        world.emit("customer.updated", customer | changed, previous)
    return customer | changed


def delete_customer(world: World, given: Json, name: str) -> Json:
    customer = world.store.get("customer", name, in_path=True)
    for method in world.store.select("payment_method", customer=name):
        world.store.save(method | {"customer": None, "_detached": True})
    gone = {"id": name, "object": "customer", "deleted": True}
    world.store.save(gone)
    world.emit("customer.deleted", customer)
    return gone


def list_customers(world: World, given: Json) -> Json:
    return world.listing("customer", "/v1/customers", {"email": given.get("email")}, given)


_CARD = shape({"number": text, "exp_month": integer, "exp_year": integer, "cvc": text})
_BILLING = shape({"name": text, "email": text, "phone": text, "address": _ADDRESS})


def create_payment_method(world: World, given: Json) -> Json:
    card = given.get("card")
    if card is None or not {"number", "exp_month", "exp_year"} <= card.keys():
        raise invalid("Missing required param: card.", code="parameter_missing", param="card")
    method = method_of_number(card)
    method["billing_details"] |= given.get("billing_details", {})
    method["metadata"] = given.get("metadata", {})
    return world.store.add(method)


def method_of_number(card: Json) -> Json:
    """A payment method, not kept yet. Raises SandboxError for a number that is no test card."""
    found = cards.by_number(card["number"], card["exp_month"], card["exp_year"], card.get("cvc"))
    return new_method(new_id("pm"), found, card["exp_month"], card["exp_year"])


def new_method(
    name: str, card: cards.TestCard, exp_month: int = 12, exp_year: int | None = None
) -> Json:
    """A payment method under the id `name`, not kept yet; it expires in four years by itself."""
    return {
        "id": name,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {"address": None, "email": None, "name": None, "phone": None},
        "card": {
            "brand": card.brand,
            "checks": {"cvc_check": "pass"},
            "country": "US",
            "exp_month": exp_month,
            "exp_year": exp_year or datetime.now(UTC).year + 4,
            "fingerprint": cards.fingerprint(card),
            "funding": card.funding,
            "last4": card.last4,
            "three_d_secure_usage": {"supported": True},
        },
        "created": now(),
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def card_of(method: Json) -> cards.TestCard:
    """The test card behind a payment method."""
    return cards.by_last4(method["card"]["last4"], method["card"]["brand"])


def method_named(world: World, name: str, *, param: str, in_path: bool = False) -> Json:
    """The payment method `name`; a token such as `pm_card_visa` makes a new one.

    Raises SandboxError if there is none, or if it was detached: then it is used up.
    """
    found = world.store.find(name)
    card = cards.by_token(name) if found is None else None
    if card is not None:
        return world.store.add(new_method(new_id("pm"), card))
    method = world.store.get("payment_method", name, param=param, in_path=in_path)
    if method.get("_detached"):
        raise invalid(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer"
            " attachment, or was detached from a Customer. It may not be used again.",
            param=param,
        )
    return method


def find_payment_method(world: World, given: Json, name: str) -> Json:
    return world.store.get("payment_method", name, param="payment_method", in_path=True)


def attach_payment_method(world: World, given: Json, name: str) -> Json:
    method = method_named(world, name, param="payment_method", in_path=True)
    customer = world.store.get("customer", given["customer"], param="customer")
    card = card_of(method)
    if not card.attaches:
        raise declined(card.decline())
    return attach(world, method, customer["id"])


def attach(world: World, method: Json, customer: str) -> Json:
    """Makes `method` one of the customer's; nothing happens where it is already.

    Raises SandboxError where it is another's.
    """
    if method["customer"] == customer:
        return method
    if method["customer"] is not None:
        raise invalid(
            "The payment method you provided has already been attached to a customer.",
            code="payment_method_unexpected_state",
        )
    method = world.store.save(method | {"customer": customer})
    world.emit("payment_method.attached", method)
    return method


def detach_payment_method(world: World, given: Json, name: str) -> Json:
    method = world.store.get("payment_method", name, param="payment_method", in_path=True)
    owner = method["customer"]
    if owner is None:
        raise invalid(
            "The payment method you provided is not attached to a customer so detachment is"
            " impossible.",
            code="payment_method_unexpected_state",
        )
    method = world.store.save(method | {"customer": None, "_detached": True})
    customer = world.store.get("customer", owner)
    if customer["invoice_settings"]["default_payment_method"] == name:
        customer["invoice_settings"]["default_payment_method"] = None
        world.store.save(customer)
    world.emit("payment_method.detached", method, {"customer": owner})
    return method


def list_payment_methods(world: World, given: Json) -> Json:
    fields = {"customer": given.get("customer"), "type": given.get("type")}
    return world.listing("payment_method", "/v1/payment_methods", fields, given)


def list_of_customer(world: World, given: Json, name: str) -> Json:
    world.store.get("customer", name, in_path=True)
    url = f"/v1/customers/{name}/payment_methods"
    return world.listing("payment_method", url, {"customer": name}, given)


_LISTED = {**LISTING, "customer": text, "type": one_of("card")}

ROUTES = (
    Route("POST", "/v1/customers", create_customer, _FIELDS),
    Route("GET", "/v1/customers", list_customers, {**LISTING, "email": text}),
    Route("GET", "/v1/customers/{}", find_customer),
    Route("POST", "/v1/customers/{}", update_customer, _FIELDS),
    Route("DELETE", "/v1/customers/{}", delete_customer),
    Route("GET", "/v1/customers/{}/payment_methods", list_of_customer, _LISTED),
    Route(
        "POST",
        "/v1/payment_methods",
        create_payment_method,
        {
            "type": one_of("card"),
            "card": _CARD,
            "billing_details": _BILLING,
            "metadata": metadata,
        },
        ("type",),
    ),
    Route("GET", "/v1/payment_methods", list_payment_methods, _LISTED),
    Route("GET", "/v1/payment_methods/{}", find_payment_method),
    Route(
        "POST",
        "/v1/payment_methods/{}/attach",
        attach_payment_method,
        {"customer": text},
        ("customer",),
    ),
    Route("POST", "/v1/payment_methods/{}/detach", detach_payment_method),
)
