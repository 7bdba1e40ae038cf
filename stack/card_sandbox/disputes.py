"""Disputes: a cardholder takes a payment back through the bank."""

from stack.card_sandbox.charges import book
from stack.card_sandbox.errors import Json, invalid
from stack.card_sandbox.params import LISTING, text
from stack.card_sandbox.store import new_id, now
from stack.card_sandbox.world import Route, World

OPEN = "needs_response"
CLOSED = ("won", "lost")
FEE = 1_500
"""What Stripe keeps of a dispute, and gives back where it is won; in the smallest units."""


def open_dispute(world: World, charge: Json, reason: str) -> Json:
    """Disputes a charge; the money leaves the balance at once, as it does at Stripe.

    Raises SandboxError if it is disputed already.
    """
    if charge["disputed"]:
        raise invalid(f"{charge['id']} is disputed already.", code="charge_disputed")
    amount = charge["amount"] - charge["amount_refunded"]
    dispute = {
        "id": new_id("du"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now(),
        "currency": charge["currency"],
        "evidence_details": {"due_by": now() + 7 * 86_400, "has_evidence": False},
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "status": OPEN,
    }
    dispute["_booked"] = book(world, -amount, dispute, "adjustment", fee=FEE)
    world.store.add(dispute)
    world.store.save(charge | {"disputed": True})
    world.emit("charge.dispute.created", dispute)
    world.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(world: World, dispute: Json, status: str) -> Json:
    """The bank's decision, `won` or `lost`; where it is won the money comes back."""
    if dispute["status"] in CLOSED:
        raise invalid(f"{dispute['id']} is closed already: {dispute['status']}.")
    dispute = world.store.save(dispute | {"status": status})
    world.emit("charge.dispute.closed", dispute)
    if status == "won":
        book(world, dispute["amount"], dispute, "adjustment", fee=-FEE)
        world.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


def find_dispute(world: World, given: Json, name: str) -> Json:
    return world.store.get("dispute", name, in_path=True)


def list_disputes(world: World, given: Json) -> Json:
    fields = {name: given.get(name) for name in ("charge", "payment_intent")}
    return world.listing("dispute", "/v1/disputes", fields, given)


ROUTES = (
    Route(
        "GET", "/v1/disputes", list_disputes, {**LISTING, "charge": text, "payment_intent": text}
    ),
    Route("GET", "/v1/disputes/{}", find_dispute),
)
