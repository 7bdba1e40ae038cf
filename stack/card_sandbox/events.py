"""Events, as the API lists them."""

from stack.card_sandbox.errors import Json
from stack.card_sandbox.params import LISTING, array, text
from stack.card_sandbox.world import Route, World


def find_event(world: World, given: Json, name: str) -> Json:
    return world.store.get("event", name, in_path=True)


def list_events(world: World, given: Json) -> Json:
    return world.listing(
        "event", "/v1/events", {"type": given.get("types", given.get("type"))}, given
    )


ROUTES = (
    Route("GET", "/v1/events", list_events, {**LISTING, "type": text, "types": array(text)}),
    Route("GET", "/v1/events/{}", find_event),
)
