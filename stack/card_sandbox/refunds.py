"""Refunds: money that goes back to the card it came from."""

from stack.card_sandbox.charges import book, successful_charge
from stack.card_sandbox.customers import card_of
from stack.card_sandbox.errors import Json, invalid
from stack.card_sandbox.params import LISTING, integer, metadata, one_of, text
from stack.card_sandbox.store import new_id, now
from stack.card_sandbox.world import Route, World

SETTLES_AFTER = 2.0
"""Seconds until a refund to one of the two refund test cards succeeds, or fails."""


def create_refund(world: World, given: Json) -> Json:
    charge = _charge(world, given)
    if charge["disputed"]:
        disputes = world.store.select("dispute", charge=charge["id"])
        if any(dispute["status"] != "won" for dispute in disputes):
            raise invalid(
                f"Charge {charge['id']} has been charged back; cannot issue a refund.",
                code="charge_disputed",
            )
    amount = _amount(charge, given)
    method = world.store.get("payment_method", charge["payment_method"])
    later = card_of(method).refund
    refund = {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": now(),
        "currency": charge["currency"],
        "destination_details": {"type": "card"},
        "failure_reason": None,
        "metadata": given.get("metadata", {}),
        "payment_intent": charge["payment_intent"],
        "reason": given.get("reason"),
        "receipt_number": None,
        "status": "pending" if later == "succeeded" else "succeeded",
    }
    refund["balance_transaction"] = book(world, -amount, refund, "refund")
    world.store.add(refund)
    _count(world, charge, amount)
    world.emit("refund.created", refund)
    if later:
        world.store.schedule(now() + SETTLES_AFTER, f"refund_{later}", refund["id"])
    return refund


def _charge(world: World, given: Json) -> Json:
    """The paid charge that is to be refunded."""
    if "payment_intent" in given:
        name = given["payment_intent"]
        intent = world.store.get("payment_intent", name, param="payment_intent")
        charge = successful_charge(world, intent)
        if charge is None:
            raise invalid(
                f"This PaymentIntent ({name}) does not have a successful charge to refund.",
                code="payment_intent_unexpected_state",
                param="payment_intent",
            )
        return charge
    if "charge" not in given:
        raise invalid(
            "One of the following params should be provided for this request: payment_intent or"
            " charge.",
            code="parameter_missing",
            stored=False,
        )
    charge = world.store.get("charge", given["charge"], param="charge")
    if not charge["paid"]:
        raise invalid("Cannot refund a charge that was not paid.", param="charge")
    return charge


def _amount(charge: Json, given: Json) -> int:
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise invalid(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    amount = int(given.get("amount", left))
    if amount < 1:
        raise invalid("Invalid positive integer", code="parameter_invalid_integer", param="amount")
    if amount > left:
        raise invalid(
            f"Refund amount ({amount} {charge['currency']}) is greater than unrefunded amount on"
            f" charge ({left} {charge['currency']})",
            param="amount",
        )
    return amount


def _count(world: World, charge: Json, amount: int) -> None:
    """Adds `amount` to what the charge has given back; negative for a refund that failed."""
    returned = charge["amount_refunded"] + amount
    charge |= {"amount_refunded": returned, "refunded": returned == charge["amount"]}
    world.store.save(charge)
    if amount > 0:
        world.emit("charge.refunded", charge)


def settle_refund(world: World, name: str, outcome: str) -> None:
    """What the bank says a moment later: `succeeded`, or `failed`, and the money is back."""
    refund = world.store.get("refund", name)
    if refund["status"] == "failed":
        return
    previous = {"status": refund["status"]}
    refund["status"] = outcome
    if outcome == "failed":
        refund["failure_reason"] = "lost_or_stolen_card"
        refund["failure_balance_transaction"] = book(
            world, refund["amount"], refund, "refund_failure"
        )
        _count(world, world.store.get("charge", refund["charge"]), -refund["amount"])
    world.store.save(refund)
    world.emit("refund.updated", refund, previous)
    if outcome == "failed":
        world.emit("refund.failed", refund)


def update_refund(world: World, given: Json, name: str) -> Json:
    refund = world.store.get("refund", name, in_path=True)
    previous = {"metadata": refund["metadata"]}
    refund["metadata"] = refund["metadata"] | given.get("metadata", {})
    world.store.save(refund)
    world.emit("refund.updated", refund, previous)
    return refund


def find_refund(world: World, given: Json, name: str) -> Json:
    return world.store.get("refund", name, in_path=True)


def list_refunds(world: World, given: Json) -> Json:
    fields = {name: given.get(name) for name in ("charge", "payment_intent")}
    return world.listing("refund", "/v1/refunds", fields, given)


REFUND_FIELDS = {
    "payment_intent": text,
    "charge": text,
    "amount": integer,
    "reason": one_of("duplicate", "fraudulent", "requested_by_customer"),
    "metadata": metadata,
}

ROUTES = (
    Route("POST", "/v1/refunds", create_refund, REFUND_FIELDS),
    Route("GET", "/v1/refunds", list_refunds, {**LISTING, "charge": text, "payment_intent": text}),
    Route("GET", "/v1/refunds/{}", find_refund),
    Route("POST", "/v1/refunds/{}", update_refund, {"metadata": metadata}),
)
