"""PaymentIntents: made, confirmed, canceled; a confirmed one is charged at once or never."""

from stack.card_sandbox import cards
from stack.card_sandbox.cards import Asks
from stack.card_sandbox.charges import authentication_declined, charge_card, check_amount
from stack.card_sandbox.customers import attach, card_of, method_named
from stack.card_sandbox.disputes import open_dispute
from stack.card_sandbox.errors import Json, SandboxError, declined, invalid
from stack.card_sandbox.params import (
    LISTING,
    array,
    boolean,
    integer,
    metadata,
    one_of,
    shape,
    text,
)
from stack.card_sandbox.store import new_id, now, public
from stack.card_sandbox.world import Route, World


def create_intent(world: World, given: Json) -> Json:
    if "off_session" in given and not given.get("confirm"):
        raise invalid(
            "The parameter `off_session` can only be passed in when `confirm` is `true`.",
            param="off_session",
        )
    check_amount(given["amount"], given["currency"])
    intent = new_intent(given)
    if intent["customer"] is not None:
        world.store.get("customer", intent["customer"], param="customer")
    if "payment_method" in given:
        intent["payment_method"] = _usable(world, intent, given["payment_method"])["id"]
        intent["status"] = "requires_confirmation"
    world.store.add(intent)
    world.emit("payment_intent.created", intent)
    if given.get("confirm"):
        return confirm(world, intent, off_session=given.get("off_session", False))
    return intent


def new_intent(given: Json) -> Json:
    """A payment that nobody has tried yet, not kept yet."""
    name = new_id("pi")
    return {
        "id": name,
        "object": "payment_intent",
        "amount": given["amount"],
        "amount_capturable": 0,
        "amount_received": 0,
        "automatic_payment_methods": given.get("automatic_payment_methods"),
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": new_id(f"{name}_secret"),
        "confirmation_method": "automatic",
        "created": now(),
        "currency": given["currency"].lower(),
        "customer": given.get("customer"),
        "description": given.get("description"),
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": given.get("metadata", {}),
        "next_action": None,
        "payment_method": None,
        "payment_method_types": given.get("payment_method_types", ["card"]),
        "receipt_email": given.get("receipt_email"),
        "setup_future_usage": given.get("setup_future_usage"),
        "status": "requires_payment_method",
        "_session": None,
    }


def _usable(world: World, intent: Json, name: str) -> Json:
    """The payment method `name`, if `intent` may be charged to it."""
    method = method_named(world, name, param="payment_method")
    owner, customer = method["customer"], intent["customer"]
    if owner is not None and customer is None:
        raise invalid(
            f"The PaymentMethod provided ({method['id']}) is attached to a Customer. Please include"
            " the Customer in the `customer` parameter on the PaymentIntent.",
            code="payment_intent_invalid_parameter",
            param="payment_method",
        )
    if owner is not None and owner != customer:
        raise invalid(
            f"The customer does not have a payment method with the ID {method['id']}. The payment"
            " method must be attached to the customer.",
            code="resource_missing",
            param="payment_method",
        )
    return method


def unexpected(intent: Json, message: str) -> SandboxError:
    return invalid(message, code="payment_intent_unexpected_state", payment_intent=public(intent))


def confirm_intent(world: World, given: Json, name: str) -> Json:
    intent = world.store.get("payment_intent", name, param="intent", in_path=True)
    if intent["_session"]:
        raise invalid("You cannot confirm the PaymentIntent of a Checkout Session.")
    if intent["status"] not in (
        "requires_confirmation",
        "requires_payment_method",
        "requires_action",
    ):
        raise unexpected(
            intent,
            f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}.",
        )
    if "payment_method" in given:
        intent["payment_method"] = _usable(world, intent, given["payment_method"])["id"]
    if intent["payment_method"] is None:
        raise unexpected(
            intent,
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can"
            " either update the PaymentIntent with a payment method and then confirm it again, or"
            " confirm it again directly with a payment method or ConfirmationToken.",
        )
    return confirm(world, intent, off_session=given.get("off_session", False))


def confirm(world: World, intent: Json, *, off_session: bool) -> Json:
    """Charges the payment method of `intent`, or asks for the customer's confirmation.

    Raises SandboxError (402) where it is declined; the payment then waits for another card.
    """
    method = method_named(world, intent["payment_method"], param="payment_method")
    if intent["customer"] is not None:
        world.store.get("customer", intent["customer"], param="customer")
    card = card_of(method)
    if card.code:
        raise declined(_decline(world, intent, method, card.decline()))
    if card.asks is Asks.NEVER or (card.asks is Asks.UNLESS_SET_UP and method.get("_set_up")):
        return _succeed(world, intent, method)
    if off_session:
        raise declined(_decline(world, intent, method, authentication_declined()))
    intent |= {
        "status": "requires_action",
        "next_action": {"type": "use_stripe_sdk", "use_stripe_sdk": {}},
    }
    world.store.save(intent)
    world.emit("payment_intent.requires_action", intent)
    return intent


def authenticate(world: World, intent: Json, *, agreed: bool) -> Json:
    """The customer's answer to their bank.

    Raises SandboxError (402) for a refusal, and 400 where nobody was asked.
    """
    if intent["status"] != "requires_action":
        raise unexpected(intent, "This PaymentIntent does not wait for authentication.")
    method = method_named(world, intent["payment_method"], param="payment_method")
    if agreed:
        return _succeed(world, intent, world.store.save(method | {"_set_up": True}))
    error = cards.decline("payment_intent_authentication_failure")
    raise declined(_decline(world, intent, method, error))


def _succeed(world: World, intent: Json, method: Json) -> Json:
    charge = charge_card(world, intent, method, None)
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "latest_charge": charge["id"],
        "last_payment_error": None,
        "next_action": None,
    }
    world.store.save(intent)
    if intent["setup_future_usage"] and intent["customer"]:
        attach(world, method, intent["customer"])
    world.emit("payment_intent.succeeded", intent)
    reason = card_of(method).dispute
    if reason:
        open_dispute(world, charge, reason)
    return intent


def _decline(world: World, intent: Json, method: Json, error: Json) -> Json:
    """Notes the failed charge; returns the error with all that Stripe tells of it."""
    charge = charge_card(world, intent, method, error)
    error = error | {"charge": charge["id"], "payment_method": public(method)}
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "latest_charge": charge["id"],
        "last_payment_error": error,
        "next_action": None,
    }
    world.store.save(intent)
    world.emit("payment_intent.payment_failed", intent)
    return error | {"payment_intent": public(intent)}


def cancel_intent(world: World, given: Json, name: str) -> Json:
    intent = world.store.get("payment_intent", name, param="intent", in_path=True)
    session = world.store.find(intent["_session"]) if intent["_session"] else None
    if session is not None and session["status"] == "open":
        raise invalid(
            "You cannot cancel the PaymentIntent of an open Checkout Session. Expire the Checkout"
            " Session instead."
        )
    if intent["status"] in ("succeeded", "canceled"):
        raise unexpected(
            intent,
            "You cannot cancel this PaymentIntent because it has a status of"
            f" {intent['status']}. Only a PaymentIntent with one of the following statuses may be"
            " canceled: requires_payment_method, requires_capture, requires_reauthorization,"
            " requires_confirmation, requires_action, processing.",
        )
    return cancel(world, intent, given.get("cancellation_reason"))


def cancel(world: World, intent: Json, reason: str | None) -> Json:
    """Ends a payment that was not paid."""
    intent |= {
        "status": "canceled",
        "canceled_at": now(),
        "cancellation_reason": reason,
        "next_action": None,
    }
    world.store.save(intent)
    world.emit("payment_intent.canceled", intent)
    return intent


def find_intent(world: World, given: Json, name: str) -> Json:
    return world.store.get("payment_intent", name, param="intent", in_path=True)


def list_intents(world: World, given: Json) -> Json:
    fields = {"customer": given.get("customer")}
    return world.listing("payment_intent", "/v1/payment_intents", fields, given)


INTENT_FIELDS = {
    "description": text,
    "metadata": metadata,
    "receipt_email": text,
    "setup_future_usage": one_of("off_session", "on_session"),
    "capture_method": one_of("automatic", "automatic_async"),
}
_AUTOMATIC = shape({"enabled": boolean, "allow_redirects": one_of("always", "never")})

ROUTES = (
    Route(
        "POST",
        "/v1/payment_intents",
        create_intent,
        {
            **INTENT_FIELDS,
            "amount": integer,
            "currency": text,
            "customer": text,
            "payment_method": text,
            "payment_method_types": array(one_of("card")),
            "automatic_payment_methods": _AUTOMATIC,
            "confirm": boolean,
            "off_session": boolean,
            "return_url": text,
        },
        ("amount", "currency"),
    ),
    Route("GET", "/v1/payment_intents", list_intents, {**LISTING, "customer": text}),
    Route("GET", "/v1/payment_intents/{}", find_intent),
    Route(
        "POST",
        "/v1/payment_intents/{}/confirm",
        confirm_intent,
        {"payment_method": text, "off_session": boolean, "return_url": text},
    ),
    Route(
        "POST",
        "/v1/payment_intents/{}/cancel",
        cancel_intent,
        {
            "cancellation_reason": one_of(
                "abandoned", "duplicate", "fraudulent", "requested_by_customer"
            )
        },
    ),
)
