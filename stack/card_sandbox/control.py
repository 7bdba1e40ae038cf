"""The sandbox's own calls, under `/_sandbox/`: what no API of Stripe's can do on request."""

import json
from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from stack.card_sandbox import cards, intents, setups
from stack.card_sandbox.charges import successful_charge
from stack.card_sandbox.customers import new_customer, new_method
from stack.card_sandbox.disputes import CLOSED, OPEN, close_dispute, open_dispute
from stack.card_sandbox.errors import Json, SandboxError, invalid
from stack.card_sandbox.faults import Fault, FaultKind, Faults
from stack.card_sandbox.refunds import create_refund
from stack.card_sandbox.store import public
from stack.card_sandbox.webhooks import Deliveries
from stack.card_sandbox.world import Origin, World


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SeededMethod(_Order):
    id: str
    token: str = ""
    """Such as `pm_card_visa`; where empty, what stands before the last underscore of `id`."""


class SeededCustomer(_Order):
    id: str
    name: str = ""
    email: str = ""
    payment_method: SeededMethod | None = None


class Seed(_Order):
    customers: list[SeededCustomer]


class FaultOrder(_Order):
    kind: FaultKind
    method: str = "POST"
    path: str = "/v1/*"
    times: int = Field(1, ge=1)
    seconds: float = Field(0, ge=0)


class WebhookOrder(_Order):
    """What is absent stays as it is."""

    duplicate: int | None = Field(None, ge=0)
    reorder: bool | None = None
    hold: bool | None = None
    drop_next: int | None = Field(None, ge=0)
    deliver: bool = False


class DisputeOrder(_Order):
    payment_intent: str
    status: Literal["needs_response", "won", "lost"] = "needs_response"
    reason: str = "fraudulent"


class RefundOrder(_Order):
    payment_intent: str
    amount: int | None = Field(None, ge=1)
    """In Stripe's units; all that is left where it is absent."""


class BankAnswer(_Order):
    intent: str
    """Of a PaymentIntent or a SetupIntent."""
    agreed: bool = True


def deeds(world: World, wake: Callable[[], None]) -> APIRouter:
    """What a customer, a bank or the seller's dashboard does; who may call is checked before."""
    router = APIRouter()

    def done(deed: Callable[[], Json]) -> JSONResponse:
        world.origin = Origin()
        with world.store.transaction():
            try:
                answer, status = deed(), 200
            except SandboxError as error:
                if not error.keeps:
                    raise
                answer, status = {"error": error.error}, error.status
        wake()
        return JSONResponse(public(answer), status)

    @router.post("/seed")
    async def seed(order: Seed) -> JSONResponse:
        return done(lambda: _seed(world, order))

    @router.post("/disputes")
    async def dispute(order: DisputeOrder) -> JSONResponse:
        return done(lambda: _dispute(world, order))

    @router.post("/refunds")
    async def refund(order: RefundOrder) -> JSONResponse:
        return done(lambda: create_refund(world, order.model_dump(exclude_none=True)))

    @router.post("/authenticate")
    async def authenticate(answer: BankAnswer) -> JSONResponse:
        return done(lambda: _authenticate(world, answer))

    return router


def orders(world: World, faults: Faults, deliveries: Deliveries) -> APIRouter:
    """What is to go wrong, and what was asked; who may call is checked before."""
    router = APIRouter()

    @router.post("/faults")
    async def order_fault(order: FaultOrder) -> JSONResponse:
        faults.order(Fault(**order.model_dump()))
        return JSONResponse({"faults": faults.waiting()})

    @router.get("/faults")
    async def list_faults() -> JSONResponse:
        return JSONResponse({"faults": faults.waiting()})

    @router.delete("/faults")
    async def clear_faults() -> JSONResponse:
        faults.clear()
        return JSONResponse({"faults": []})

    @router.post("/webhooks")
    async def order_webhooks(order: WebhookOrder) -> JSONResponse:
        for name, value in order.model_dump(exclude={"deliver"}, exclude_none=True).items():
            world.store.set_order(name, value)
        if order.deliver:
            deliveries.deliver_now()
        deliveries.wake()
        names = ("duplicate", "reorder", "hold", "drop_next")
        state = {name: world.store.order(name) for name in names}
        return JSONResponse(state | {"deliveries": deliveries.counts()})

    @router.get("/log")
    async def log(after: int = 0) -> JSONResponse:
        return JSONResponse({"requests": read_log(world, after)})

    return router


def read_log(world: World, after: int = 0) -> list[Json]:
    """The requests to the API in order, those whose `seq` is larger than `after`."""
    rows = world.store.execute("SELECT seq, entry FROM log WHERE seq > ? ORDER BY seq", after)
    return [{"seq": seq, **json.loads(entry)} for seq, entry in rows]


def _seed(world: World, order: Seed) -> Json:
    """Customers under given ids; what is there already is left as it is. No webhook is told."""
    made = 0
    for wanted in order.customers:
        if world.store.find(wanted.id) is None:
            given: dict[str, Any] = {"name": wanted.name or None, "email": wanted.email or None}
            world.store.add(new_customer(wanted.id, given))
            made += 1
        method = wanted.payment_method
        if method is not None and world.store.find(method.id) is None:
            world.store.add(_seeded_method(method) | {"customer": wanted.id})
            customer = world.store.get("customer", wanted.id)
            customer["invoice_settings"]["default_payment_method"] = method.id
            world.store.save(customer)
    return {"customers": len(order.customers), "new": made}


def _seeded_method(method: SeededMethod) -> Json:
    token = method.token or method.id.rpartition("_")[0]
    card = cards.by_token(token)
    if card is None:
        raise invalid(f"{token} of {method.id} is no token of a test card.", param="token")
    return new_method(method.id, card)


def _dispute(world: World, order: DisputeOrder) -> Json:
    """Opens a dispute where there is none, and closes it where the status says so."""
    intent = world.store.get("payment_intent", order.payment_intent, param="payment_intent")
    charge = successful_charge(world, intent)
    if charge is None:
        raise invalid("Only a payment that succeeded can be disputed.", param="payment_intent")
    known = world.store.select("dispute", charge=charge["id"])
    dispute = known[-1] if known else open_dispute(world, charge, order.reason)
    if order.status in CLOSED:
        return close_dispute(world, dispute, order.status)
    if dispute["status"] != OPEN:
        raise invalid(f"{dispute['id']} is closed already: {dispute['status']}.")
    return dispute


def _authenticate(world: World, answer: BankAnswer) -> Json:
    """The customer's answer to the bank, where no page asks for it."""
    found = world.store.find(answer.intent)
    if found is not None and found["object"] == "setup_intent":
        return setups.authenticate(world, found, agreed=answer.agreed)
    intent = world.store.get("payment_intent", answer.intent, param="intent")
    return intents.authenticate(world, intent, agreed=answer.agreed)
