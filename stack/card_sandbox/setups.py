"""SetupIntents: a card is left for later charges."""

from stack.card_sandbox import cards
from stack.card_sandbox.cards import Asks
from stack.card_sandbox.customers import attach, card_of, method_named
from stack.card_sandbox.errors import Json, declined, invalid
from stack.card_sandbox.params import LISTING, array, boolean, metadata, one_of, shape, text
from stack.card_sandbox.store import new_id, now, public
from stack.card_sandbox.world import Route, World


def create_setup(world: World, given: Json) -> Json:
    if "customer" in given:
        world.store.get("customer", given["customer"], param="customer")
    setup = new_setup(given)
    if "payment_method" in given:
        method = method_named(world, given["payment_method"], param="payment_method")
        setup |= {"payment_method": method["id"], "status": "requires_confirmation"}
    world.store.add(setup)
    world.emit("setup_intent.created", setup)
    return confirm(world, setup) if given.get("confirm") else setup


def new_setup(given: Json) -> Json:
    """A set-up that nobody has tried yet, not kept yet."""
    name = new_id("seti")
    return {
        "id": name,
        "object": "setup_intent",
        "cancellation_reason": None,
        "client_secret": new_id(f"{name}_secret"),
        "created": now(),
        "customer": given.get("customer"),
        "description": given.get("description"),
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "metadata": given.get("metadata", {}),
        "next_action": None,
        "payment_method": None,
        "payment_method_types": given.get("payment_method_types", ["card"]),
        "status": "requires_payment_method",
        "usage": given.get("usage", "off_session"),
        "_session": None,
    }


def confirm_setup(world: World, given: Json, name: str) -> Json:
    setup = world.store.get("setup_intent", name, param="intent", in_path=True)
    if setup["_session"]:
        raise invalid("You cannot confirm the SetupIntent of a Checkout Session.")
    if "payment_method" in given:
        method = method_named(world, given["payment_method"], param="payment_method")
        setup["payment_method"] = method["id"]
    if setup["status"] in ("succeeded", "canceled") or setup["payment_method"] is None:
        raise invalid(
            f"You cannot confirm this SetupIntent: it has a status of {setup['status']}, and its"
            f" payment method is {setup['payment_method']}.",
            code="setup_intent_unexpected_state",
            setup_intent=public(setup),
        )
    return confirm(world, setup)


def confirm(world: World, setup: Json) -> Json:
    """Checks the card with its bank and gives it to the customer, or asks for a confirmation.

    Raises SandboxError (402) where the bank declines it.
    """
    method = method_named(world, setup["payment_method"], param="payment_method")
    card = card_of(method)
    if not card.attaches:
        raise declined(_decline(world, setup, method, card.decline()))
    if card.asks is Asks.NEVER:
        return _succeed(world, setup, method)
    setup |= {
        "status": "requires_action",
        "next_action": {"type": "use_stripe_sdk", "use_stripe_sdk": {}},
    }
    return world.store.save(setup)


def authenticate(world: World, setup: Json, *, agreed: bool) -> Json:
    """The customer's answer to their bank. Raises SandboxError (402) for a refusal."""
    if setup["status"] != "requires_action":
        raise invalid(
            "This SetupIntent does not wait for authentication.",
            code="setup_intent_unexpected_state",
        )
    method = method_named(world, setup["payment_method"], param="payment_method")
    if agreed:
        return _succeed(world, setup, world.store.save(method | {"_set_up": True}))
    error = cards.decline("setup_intent_authentication_failure")
    raise declined(_decline(world, setup, method, error))


def _succeed(world: World, setup: Json, method: Json) -> Json:
    if setup["customer"] is not None:
        attach(world, method, setup["customer"])
    setup |= {"status": "succeeded", "last_setup_error": None, "next_action": None}
    world.store.save(setup)
    world.emit("setup_intent.succeeded", setup)
    return setup


def _decline(world: World, setup: Json, method: Json, error: Json) -> Json:
    error = error | {"payment_method": public(method)}
    setup |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "last_setup_error": error,
        "next_action": None,
    }
    world.store.save(setup)
    world.emit("setup_intent.setup_failed", setup)
    return error | {"setup_intent": public(setup)}


def cancel_setup(world: World, given: Json, name: str) -> Json:
    setup = world.store.get("setup_intent", name, param="intent", in_path=True)
    if setup["status"] in ("succeeded", "canceled"):
        raise invalid(
            f"You cannot cancel this SetupIntent: it has a status of {setup['status']}.",
            code="setup_intent_unexpected_state",
        )
    return cancel(world, setup)


def cancel(world: World, setup: Json) -> Json:
    """Ends a set-up that did not succeed."""
    setup = world.store.save(setup | {"status": "canceled", "next_action": None})
    world.emit("setup_intent.canceled", setup)
    return setup


def find_setup(world: World, given: Json, name: str) -> Json:
    return world.store.get("setup_intent", name, param="intent", in_path=True)


def list_setups(world: World, given: Json) -> Json:
    fields = {"customer": given.get("customer")}
    return world.listing("setup_intent", "/v1/setup_intents", fields, given)


ROUTES = (
    Route(
        "POST",
        "/v1/setup_intents",
        create_setup,
        {
            "customer": text,
            "payment_method": text,
            "payment_method_types": array(one_of("card")),
            "automatic_payment_methods": shape({"enabled": boolean, "allow_redirects": text}),
            "confirm": boolean,
            "usage": one_of("off_session", "on_session"),
            "description": text,
            "metadata": metadata,
            "return_url": text,
        },
    ),
    Route("GET", "/v1/setup_intents", list_setups, {**LISTING, "customer": text}),
    Route("GET", "/v1/setup_intents/{}", find_setup),
    Route(
        "POST",
        "/v1/setup_intents/{}/confirm",
        confirm_setup,
        {"payment_method": text, "return_url": text},
    ),
    Route("POST", "/v1/setup_intents/{}/cancel", cancel_setup),
)
