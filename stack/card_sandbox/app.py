"""The sandbox as an application: who may ask, what is asked, what goes wrong, what is answered."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from stack.card_sandbox import charges, checkout, customers, disputes, events, intents, refunds
from stack.card_sandbox import setups as setup_intents
from stack.card_sandbox.control import deeds, orders
from stack.card_sandbox.errors import Json, SandboxError, internal_error, invalid
from stack.card_sandbox.faults import Fault, FaultKind, Faults, rate_limited
from stack.card_sandbox.forms import parse_form
from stack.card_sandbox.idempotency import Answer, IdempotencyKeys, description
from stack.card_sandbox.later import Later
from stack.card_sandbox.pages import pages
from stack.card_sandbox.store import Store, new_id, now, public
from stack.card_sandbox.webhooks import Deliveries, Endpoint
from stack.card_sandbox.world import API_VERSION, Origin, Route, World, expanded

ROUTES = tuple(
    (route.method, route.pattern(), route)
    for part in (charges, checkout, customers, disputes, events, intents, refunds, setup_intents)
    for route in part.ROUTES
)
TRANSPORT = "billwright.transport"
"""Where the server puts the connection into the scope of a request, for DROP_AFTER."""


@dataclass(frozen=True)
class _Asked:
    """One request to the API."""

    method: str
    path: str
    key: str | None
    request_id: str
    route: Route
    ids: tuple[str, ...]
    params: Json

    @property
    def description(self) -> str:
        return description(self.method, self.path, self.params)


def create_app(
    data: Path, *, api_key: str, base_url: str, endpoint: Endpoint | None = None
) -> FastAPI:
    """The sandbox on the SQLite file `data`.

    Args:
        api_key: What requests must carry.
        base_url: Where this application answers, for the addresses of its pages.
        endpoint: Who is told of events; None: nobody.
    """
    store = Store(data)
    world = World(store, base_url, has_webhook=endpoint is not None)
    deliveries = Deliveries(store, endpoint or Endpoint("", ""))
    later = Later(world, deliveries)
    faults = Faults(store)

    def wake() -> None:
        deliveries.wake()
        later.wake()

    api = _Api(world, faults, wake)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(part.run()) for part in (deliveries, later)]
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        store.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    async def check_key(request: Request) -> None:
        _check_key(request, api_key)

    @app.exception_handler(SandboxError)
    async def refused(request: Request, error: SandboxError) -> Response:
        return _refusal(error, new_id("req"))

    keyed = [Depends(check_key)]
    for calls in (deeds(world, wake), orders(world, faults, deliveries)):
        app.include_router(calls, prefix="/_sandbox", dependencies=keyed)
    methods = ["GET", "POST", "DELETE"]
    app.add_api_route("/v1/{path:path}", api.handle, methods=methods, dependencies=keyed)
    app.include_router(pages(world, wake))
    return app


class _Api:
    """Stripe's API: one request at a time, each in one transaction."""

    def __init__(self, world: World, faults: Faults, wake: Callable[[], None]) -> None:
        self._world = world
        self._faults = faults
        self._keys = IdempotencyKeys(world.store)
        self._wake = wake

    async def handle(self, request: Request) -> Response:
        request_id = new_id("req")
        fault: Fault | None = None
        try:
            asked = await _read(request, request_id)
            fault = self._faults.take(asked.method, asked.path)
            answer = await self._answer(asked, fault)
        except SandboxError as error:
            self._note(
                request.method,
                request.url.path,
                request_id,
                error.status,
                key=request.headers.get("idempotency-key"),
                fault=fault.kind if fault else None,
                outcome=error.error.get("code") or error.error["type"],
            )
            return _refusal(error, request_id)
        self._wake()
        if fault is not None:
            await _lose_answer(request, fault)
        headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
        if asked.key:
            headers["Idempotency-Key"] = asked.key
        if answer.replayed:
            headers["Idempotent-Replayed"] = "true"
        if answer.status >= 500:
            headers["Stripe-Should-Retry"] = "false"
        return Response(answer.body, answer.status, headers, "application/json")

    async def _answer(self, asked: _Asked, fault: Fault | None) -> Answer:
        """What is answered; all that was done is kept when this returns."""
        kind = fault.kind if fault else None
        if kind is FaultKind.RATE_LIMIT:
            raise rate_limited()
        if kind is FaultKind.ERROR_BEFORE:
            raise SandboxError(500, internal_error().error, stored=False)
        if asked.key is None:
            return await self._act(asked, fault)
        self._keys.claim(asked.key)
        try:
            return await self._act(asked, fault)
        finally:
            self._keys.release(asked.key)

    async def _act(self, asked: _Asked, fault: Fault | None) -> Answer:
        if fault is not None and fault.kind is FaultKind.DELAY:
            await asyncio.sleep(fault.seconds)
        with self._world.store.transaction():
            if asked.key is not None:
                known = self._keys.recall(asked.key, asked.description)
                if known is not None:
                    self._note_asked(asked, known, fault)
                    return known
            answer, is_stored = self._do(asked, fault.kind if fault else None)
            if asked.key is not None and is_stored:
                self._keys.store(asked.key, asked.description, answer)
            self._note_asked(asked, answer, fault)
        return answer

    def _do(self, asked: _Asked, kind: FaultKind | None) -> tuple[Answer, bool]:
        """Carries the request out; also whether the answer belongs to its key from now on."""
        if kind is FaultKind.ERROR_STORED:
            return _error(internal_error()), True
        self._world.origin = Origin(asked.request_id, asked.key)
        kept: SandboxError | None = None
        try:
            with self._world.store.attempt():
                try:
                    done = self._carry_out(asked)
                except SandboxError as error:
                    if not error.keeps:
                        raise
                    kept = error
        except SandboxError as error:
            return _error(error), error.stored
        if kind is FaultKind.ERROR_STORED_AFTER:
            return _error(internal_error()), True
        if kept is not None:
            return _error(kept), kept.stored
        return Answer(200, json.dumps(public(done))), True

    def _carry_out(self, asked: _Asked) -> Json:
        given = asked.route.read(asked.params)
        expand = given.pop("expand", [])
        done = asked.route.handler(self._world, given, *asked.ids)
        return expanded(self._world.store, done, expand)

    def _note_asked(self, asked: _Asked, answer: Answer, fault: Fault | None) -> None:
        body = json.loads(answer.body)
        error = body.get("error", {})
        self._note(
            asked.method,
            asked.path,
            asked.request_id,
            answer.status,
            key=asked.key,
            replayed=answer.replayed,
            fault=fault.kind if fault else None,
            object=body.get("id") or error.get("payment_intent", {}).get("id"),
            outcome=body.get("status") or error.get("decline_code") or error.get("code"),
        )

    def _note(
        self, method: str, path: str, request_id: str, status: int, **more: str | bool | None
    ) -> None:
        entry = {
            "at": now(),
            "method": method,
            "path": path,
            "status": status,
            "request_id": request_id,
            **more,
        }
        self._world.store.execute("INSERT INTO log (entry) VALUES (?)", json.dumps(entry))


async def _read(request: Request, request_id: str) -> _Asked:
    """Raises SandboxError for an address that the API does not have, or a malformed form."""
    method, path = request.method, request.url.path
    body = await request.body()
    encoded = request.url.query if method == "GET" else body.decode(errors="replace")
    for known, pattern, route in ROUTES:
        match = pattern.fullmatch(path) if known == method else None
        if match is not None:
            key = request.headers.get("idempotency-key") if method == "POST" else None
            params = parse_form(encoded)
            return _Asked(method, path, key or None, request_id, route, match.groups(), params)
    raise invalid(f"Unrecognized request URL ({method}: {path}).", status=404, stored=False)


async def _lose_answer(request: Request, fault: Fault) -> None:
    """For the faults in which the client never learns what became of its request."""
    if fault.kind is FaultKind.DROP_AFTER:
        request.scope[TRANSPORT].abort()
        await asyncio.sleep(0)
    elif fault.kind is FaultKind.TIMEOUT_AFTER:
        while not await request.is_disconnected():
            await asyncio.sleep(0.05)


def _check_key(request: Request, api_key: str) -> None:
    """Raises SandboxError (401) unless the request has the key: as a bearer token, or as the user
    name of basic authentication.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given).decode().partition(":")[0]
        except ValueError:
            given = ""
    if not given:
        raise invalid("You did not provide an API key.", status=401, stored=False)
    if not hmac.compare_digest(given.strip().encode(), api_key.encode()):
        raise invalid("Invalid API Key provided.", status=401, stored=False)


def _error(error: SandboxError) -> Answer:
    return Answer(error.status, json.dumps({"error": error.error}))


def _refusal(error: SandboxError, request_id: str) -> Response:
    """An error that belongs to no key: asking again may help."""
    headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
    if error.status == 500:
        headers["Stripe-Should-Retry"] = "true"
    return JSONResponse({"error": error.error}, error.status, headers)
