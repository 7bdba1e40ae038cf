"""What the sandbox's operations work on, and how they are registered."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stack.card_sandbox import params
from stack.card_sandbox.errors import Json
from stack.card_sandbox.store import Store, new_id, now, public

API_VERSION = "2026-10-28.endive"
"""The version of Stripe's API whose shapes these are; that of the SDK."""


@dataclass(frozen=True)
class Origin:
    """The request that an event comes from; both None for what happens by itself."""

    request_id: str | None = None
    key: str | None = None


@dataclass
class World:
    """One sandbox.

    Attributes:
        base_url: Where its own pages answer; no slash at the end.
        has_webhook: Whether anybody is to be told of events.
        origin: Of what is being done now.
    """

    store: Store
    base_url: str
    has_webhook: bool = False
    origin: Origin = field(default_factory=Origin)

    def emit(self, kind: str, thing: Json, previous: Json | None = None) -> None:
        """Notes that something happened to `thing`, and that the webhook is to be told.

        `previous`: the former values of what changed, for `….updated`.
        """
        data: Json = {"object": public(thing)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": int(self.has_webhook),
            "request": {"id": self.origin.request_id, "idempotency_key": self.origin.key},
            "type": kind,
        }
        self.store.add(event)
        if self.has_webhook:
            self.store.execute("INSERT INTO deliveries (event) VALUES (?)", event["id"])

    def listing(self, kind: str, url: str, fields: Json, listing: Json) -> Json:
        """A page of objects in Stripe's form. Raises SandboxError for an unknown cursor."""
        things, has_more = self.store.page(kind, fields, listing)
        return {"object": "list", "url": url, "has_more": has_more, "data": things}


Handler = Callable[..., Json]
"""Takes the world, the ids in the path, and the parameters as read; returns an object."""


@dataclass(frozen=True)
class Route:
    """One operation of the API: `path` has `{}` where an id stands."""

    method: str
    path: str
    handler: Handler
    shape: params.Shape = field(default_factory=dict)
    required: tuple[str, ...] = ()

    def pattern(self) -> "re.Pattern[str]":
        return re.compile(self.path.replace("{}", "([^/]+)"))

    def read(self, sent: Json) -> Json:
        """Raises SandboxError for parameters that the operation does not take."""
        return params.read(sent, {**params.EXPAND, **self.shape}, required=self.required)


def expanded(store: Store, thing: Json, paths: list[str]) -> Json:
    """`thing` with the objects that `expand` asks for in place of their ids."""
    for path in paths:
        _expand(store, thing, path.split("."))
    return thing


def _expand(store: Store, thing: Any, path: list[str]) -> None:
    if isinstance(thing, list):
        for item in thing:
            _expand(store, item, path)
        return
    if not isinstance(thing, dict) or not isinstance(thing.get(path[0]), (str, dict, list)):
        return
    if isinstance(thing[path[0]], str):
        thing[path[0]] = store.find(thing[path[0]]) or thing[path[0]]
    if len(path) > 1:
        _expand(store, thing[path[0]], path[1:])


__all__ = ["API_VERSION", "Handler", "Origin", "Route", "World", "expanded"]
