"""Charges and the account's balance: what really happened to money that is none."""

from decimal import Decimal
from typing import Any

from domain.card_amounts import from_stripe, minimum_charge
from domain.errors import BillwrightError
from stack.card_sandbox import cards
from stack.card_sandbox.errors import Json, invalid
from stack.card_sandbox.params import LISTING, text
from stack.card_sandbox.store import new_id, now
from stack.card_sandbox.world import Route, World

_LARGEST = 99_999_999
_FIXED_FEE = 25


def check_amount(amount: int, currency: str) -> None:
    """Raises SandboxError for an amount that Stripe does not charge."""
    if amount < 1:
        raise invalid(
            "This value must be greater than or equal to 1.",
            code="parameter_invalid_integer",
            param="amount",
        )
    if amount > _LARGEST:
        raise invalid(
            "Amount must be no more than $999,999.99", code="amount_too_large", param="amount"
        )
    try:
        exact = from_stripe(amount, currency.upper())
    except BillwrightError as refusal:
        raise invalid(f"Invalid amount: {refusal.message}", param="amount") from refusal
    least = minimum_charge(currency.upper()) or Decimal(0)
    if exact < least:
        raise invalid(
            f"Amount must be at least {least} {currency.lower()}",
            code="amount_too_small",
            param="amount",
        )


def charge_card(world: World, intent: Json, method: Json, error: Json | None) -> Json:
    """The charge of `intent` to `method`; failed where `error` says why."""
    charge = new_id("ch")
    paid = error is None
    made = {
        "id": charge,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if paid else 0,
        "amount_refunded": 0,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "captured": paid,
        "created": now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_code": error and error["code"],
        "failure_message": error and error["message"],
        "livemode": False,
        "metadata": intent["metadata"],
        "outcome": _outcome(error),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"card": method["card"], "type": "card"},
        "receipt_email": intent["receipt_email"],
        "refunded": False,
        "status": "succeeded" if paid else "failed",
    }
    if paid:
        made["balance_transaction"] = book(
            world, made["amount"], made, "charge", fee=_processing_fee(made["amount"])
        )
    world.store.add(made)
    world.emit("charge.succeeded" if paid else "charge.failed", made)
    return made


def _outcome(error: Json | None) -> Json:
    if error is None:
        return {
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "seller_message": "Payment complete.",
            "type": "authorized",
        }
    return {
        "network_status": "declined_by_network",
        "reason": error.get("decline_code", error["code"]),
        "risk_level": "normal",
        "seller_message": "The bank did not accept the charge.",
        "type": "issuer_declined",
    }


def book(world: World, amount: int, source: Json, kind: str, *, fee: int = 0) -> str:
    """Books `amount`, negative where money leaves, for `source`; returns the transaction's id.

    `fee`: what the processor keeps of it, below zero where it gives that back.
    """
    transaction = {
        "id": new_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": now(),
        "created": now(),
        "currency": source["currency"],
        "description": source.get("description"),
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [_fee_detail(fee, source["currency"])] if fee else [],
        "net": amount - fee,
        "reporting_category": "dispute" if kind == "adjustment" else kind,
        "source": source["id"],
        "status": "available",
        "type": kind,
    }
    world.store.add(transaction)
    return str(transaction["id"])


def _fee_detail(fee: int, currency: str) -> Json:
    return {
        "amount": fee,
        "application": None,
        "currency": currency,
        "description": "Stripe processing fees",
        "type": "stripe_fee",
    }


def _processing_fee(amount: int) -> int:
    """What Stripe keeps of a charge: 1.5 % and 25 of the smallest units."""
    return amount * 15 // 1_000 + _FIXED_FEE


def successful_charge(world: World, intent: Json) -> Json | None:
    """The charge that paid `intent`, if it was paid."""
    if intent["status"] != "succeeded":
        return None
    return world.store.get("charge", intent["latest_charge"])


def authentication_declined(**more: Any) -> Json:
    """The error of a charge that the bank wants confirmed, in the customer's absence."""
    return cards.decline("authentication_required", "authentication_required", **more)


def find_charge(world: World, given: Json, name: str) -> Json:
    return world.store.get("charge", name, in_path=True)


def list_charges(world: World, given: Json) -> Json:
    fields = {name: given.get(name) for name in ("customer", "payment_intent")}
    return world.listing("charge", "/v1/charges", fields, given)


def find_transaction(world: World, given: Json, name: str) -> Json:
    return world.store.get("balance_transaction", name, in_path=True)


def list_transactions(world: World, given: Json) -> Json:
    fields = {name: given.get(name) for name in ("currency", "source", "type")}
    return world.listing("balance_transaction", "/v1/balance_transactions", fields, given)


ROUTES = (
    Route(
        "GET", "/v1/charges", list_charges, {**LISTING, "customer": text, "payment_intent": text}
    ),
    Route("GET", "/v1/charges/{}", find_charge),
    Route(
        "GET",
        "/v1/balance_transactions",
        list_transactions,
        {**LISTING, "currency": text, "source": text, "type": text},
    ),
    Route("GET", "/v1/balance_transactions/{}", find_transaction),
)
