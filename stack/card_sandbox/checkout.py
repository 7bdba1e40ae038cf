"""Checkout sessions: a page to pay on, or to leave a card on."""

from stack.card_sandbox import intents, setups
from stack.card_sandbox.charges import check_amount
from stack.card_sandbox.customers import method_of_number
from stack.card_sandbox.errors import Json, SandboxError, invalid
from stack.card_sandbox.params import (
    LISTING,
    array,
    integer,
    metadata,
    one_of,
    shape,
    text,
)
from stack.card_sandbox.store import new_id, now
from stack.card_sandbox.world import Route, World

OPEN_FOR = 86_400
"""Seconds until a session expires by itself, where nothing else is asked."""


def create_session(world: World, given: Json) -> Json:
    mode = given["mode"]
    if "customer" in given:
        world.store.get("customer", given["customer"], param="customer")
        if "customer_email" in given:
            raise invalid(
                "You may only specify one of these parameters: customer, customer_email.",
                param="customer_email",
            )
    expires_at = given.get("expires_at", now() + OPEN_FOR)
    if not now() + 1_800 - 60 <= expires_at <= now() + OPEN_FOR + 60:
        raise invalid(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from now.",
            param="expires_at",
        )
    session = _new_session(world, given, expires_at)
    if mode == "payment":
        _price(session, given)
    else:
        _prepare_setup(world, session, given)
    world.store.add(session)
    world.store.schedule(expires_at, "session_expires", session["id"])
    return session


def _new_session(world: World, given: Json, expires_at: int) -> Json:
    name = new_id("cs_test")
    return {
        "id": name,
        "object": "checkout.session",
        "amount_subtotal": None,
        "amount_total": None,
        "cancel_url": given.get("cancel_url"),
        "client_reference_id": given.get("client_reference_id"),
        "created": now(),
        "currency": None,
        "customer": given.get("customer"),
        "customer_details": None,
        "customer_email": given.get("customer_email"),
        "expires_at": expires_at,
        "livemode": False,
        "metadata": given.get("metadata", {}),
        "mode": given["mode"],
        "payment_intent": None,
        "payment_method_types": given.get("payment_method_types", ["card"]),
        "payment_status": "unpaid" if given["mode"] == "payment" else "no_payment_required",
        "setup_intent": None,
        "status": "open",
        "success_url": given["success_url"],
        "ui_mode": "hosted_page",
        "url": f"{world.base_url}/c/pay/{name}",
        "_items": [],
        "_intent": given.get("payment_intent_data", {}),
    }


def _price(session: Json, given: Json) -> None:
    """The amounts of a session in mode payment. Raises SandboxError for what cannot be charged."""
    if not given.get("line_items"):
        raise invalid(
            "Missing required param: line_items.", code="parameter_missing", param="line_items"
        )
    prices = [item["price_data"] for item in given["line_items"]]
    currencies = {price["currency"].lower() for price in prices}
    if len(currencies) > 1:
        raise invalid("All line items must have the same currency.", param="line_items")
    if "setup_intent_data" in given:
        raise invalid("You can not pass `setup_intent_data` in `payment` mode.")
    total = sum(i["price_data"]["unit_amount"] * i["quantity"] for i in given["line_items"])
    currency = currencies.pop()
    check_amount(total, currency)
    session |= {"amount_subtotal": total, "amount_total": total, "currency": currency}
    session["_items"] = [price["product_data"]["name"] for price in prices]


def _prepare_setup(world: World, session: Json, given: Json) -> None:
    """The set-up of a session in mode setup, which exists from the start."""
    for name in ("line_items", "payment_intent_data"):
        if name in given:
            raise invalid(f"You can not pass `{name}` in `setup` mode.", param=name)
    data = given.get("setup_intent_data", {})
    setup = setups.new_setup(data | {"customer": given.get("customer")})
    world.store.add(setup | {"_session": session["id"]})
    world.emit("setup_intent.created", setup)
    session |= {"setup_intent": setup["id"], "currency": given.get("currency")}


def submit(world: World, session: Json, card: Json) -> Json:
    """The payer pays with `card`, or leaves it; returns the session as it is then.

    It is complete, or waits for the payer's confirmation to the bank. Raises SandboxError for a
    card that is declined: the page stays open for another one.
    """
    method = world.store.add(method_of_number(card))
    if session["mode"] == "setup":
        setup = world.store.get("setup_intent", session["setup_intent"])
        setup["payment_method"] = method["id"]
        return _concluded(world, session, setups.confirm(world, setup))
    intent = _intent_of(world, session)
    intent["payment_method"] = method["id"]
    return _concluded(world, session, intents.confirm(world, intent, off_session=False))


def answer_bank(world: World, session: Json, *, agreed: bool) -> Json:
    """The payer's answer to their bank. Raises SandboxError for a refusal."""
    if session["mode"] == "setup":
        setup = world.store.get("setup_intent", session["setup_intent"])
        return _concluded(world, session, setups.authenticate(world, setup, agreed=agreed))
    intent = _intent_of(world, session)
    return _concluded(world, session, intents.authenticate(world, intent, agreed=agreed))


def waits_for_bank(world: World, session: Json) -> bool:
    """Whether the payer has given a card and is to confirm it to the bank."""
    name = session["setup_intent"] or session["payment_intent"]
    found = world.store.find(name) if name else None
    return found is not None and found["status"] == "requires_action"


def _intent_of(world: World, session: Json) -> Json:
    """The payment of the session, made when the payer first submits the page."""
    if session["payment_intent"]:
        return world.store.get("payment_intent", session["payment_intent"])
    data = session["_intent"] | {
        "amount": session["amount_total"],
        "currency": session["currency"],
    }
    if session["customer"]:
        data["customer"] = session["customer"]
    intent = world.store.add(intents.new_intent(data) | {"_session": session["id"]})
    world.emit("payment_intent.created", intent)
    session["payment_intent"] = intent["id"]
    world.store.save(session)
    return intent


def _concluded(world: World, session: Json, intent: Json) -> Json:
    if intent["status"] != "succeeded":
        return session
    method = world.store.get("payment_method", intent["payment_method"])
    customer = world.store.find(session["customer"]) if session["customer"] else None
    email = customer["email"] if customer else session["customer_email"]
    session |= {
        "status": "complete",
        "url": None,
        "customer_details": {"email": email, "name": method["billing_details"]["name"]},
    }
    if session["mode"] == "payment":
        session["payment_status"] = "paid"
    world.store.save(session)
    world.emit("checkout.session.completed", session)
    return session


def expire_session(world: World, given: Json, name: str) -> Json:
    session = world.store.get("checkout.session", name, param="session", in_path=True)
    if session["status"] != "open":
        raise invalid(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout'
            f" Session has a status of {session['status']}."
        )
    return expire(world, session)


def expire(world: World, session: Json) -> Json:
    """Closes an open page; what it has begun is canceled."""
    session = world.store.save(session | {"status": "expired", "url": None})
    if session["setup_intent"]:
        setups.cancel(world, world.store.get("setup_intent", session["setup_intent"]))
    if session["payment_intent"]:
        intent = world.store.get("payment_intent", session["payment_intent"])
        intents.cancel(world, intent, "abandoned")
    world.emit("checkout.session.expired", session)
    return session


def expire_when_due(world: World, name: str) -> None:
    """Closes the page `name` if it is still open."""
    session = world.store.get("checkout.session", name)
    if session["status"] == "open":
        expire(world, session)


def find_session(world: World, given: Json, name: str) -> Json:
    return world.store.get("checkout.session", name, param="session", in_path=True)


def list_sessions(world: World, given: Json) -> Json:
    fields = {name: given.get(name) for name in ("customer", "payment_intent", "status")}
    return world.listing("checkout.session", "/v1/checkout/sessions", fields, given)


def page_session(world: World, name: str) -> Json | None:
    """The session whose page is asked for; None: there is none."""
    try:
        return world.store.get("checkout.session", name)
    except SandboxError:
        return None


_PRODUCT = shape({"name": text, "description": text, "metadata": metadata}, required=("name",))
_ITEM = shape(
    {
        "quantity": integer,
        "price_data": shape(
            {"currency": text, "unit_amount": integer, "product_data": _PRODUCT},
            required=("currency", "unit_amount", "product_data"),
        ),
    },
    required=("quantity", "price_data"),
)
_SETUP_DATA = shape({"description": text, "metadata": metadata})

ROUTES = (
    Route(
        "POST",
        "/v1/checkout/sessions",
        create_session,
        {
            "mode": one_of("payment", "setup"),
            "payment_method_types": array(one_of("card")),
            "line_items": array(_ITEM),
            "currency": text,
            "customer": text,
            "customer_email": text,
            "client_reference_id": text,
            "metadata": metadata,
            "payment_intent_data": shape(intents.INTENT_FIELDS),
            "setup_intent_data": _SETUP_DATA,
            "success_url": text,
            "cancel_url": text,
            "expires_at": integer,
        },
        ("mode", "success_url"),
    ),
    Route(
        "GET",
        "/v1/checkout/sessions",
        list_sessions,
        {**LISTING, "customer": text, "payment_intent": text, "status": text},
    ),
    Route("GET", "/v1/checkout/sessions/{}", find_session),
    Route("POST", "/v1/checkout/sessions/{}/expire", expire_session),
)
