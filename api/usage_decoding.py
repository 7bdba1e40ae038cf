"""The bytes of a batch of usage events to events, and a reason for each that is none.

Ten thousand events are one request, so they are read and checked at once by compiled code; only a
batch with bad events in it is looked at event by event.
"""

import zlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import (
    ConfigDict,
    Strict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import from_json, to_json
from typing_extensions import TypedDict

from domain.errors import InvalidField
from storage.usage.events import BAD_EVENT_ID, BAD_QUANTITY, EVENT_ID, QUANTITY, instant
from storage.usage.intake import Fate, Judged, SentEvent

MOST_EVENTS = 10_000
LARGEST_BYTES = 20_000_000
"""Of a batch, as it is sent and as it is unpacked."""
JSON, NDJSON = "application/json", "application/x-ndjson"
_EXACT_BELOW = 10**9
"""A number with a fraction keeps 15 digits, six of which are decimals."""
_TOO_LARGE = 10**15
_CUT_AT = 200  # characters of what is shown of a bad event's id

_Name = Annotated[
    str,
    # as a customer's own is kept, and as a form sends it by which set aside usage is assigned
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$"
    ),
]


class _Event(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    event_id: Annotated[str, StringConstraints(pattern=f"^{EVENT_ID.pattern}$")]
    account_number: _Name
    metric: _Name
    occurred_at: Annotated[str, StringConstraints(max_length=40)]
    quantity: (
        Annotated[str, StringConstraints(pattern=f"^{QUANTITY.pattern}$")]
        | Annotated[int, Strict()]
        | Annotated[float, Strict()]
    )


class _Batch(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    events: list[_Event]


class Decoded(NamedTuple):
    """What a batch holds: its events, and what stands between them and is none."""

    events: list[SentEvent]
    malformed: list[Judged]


_BATCH, _LINES, _EVENT = TypeAdapter(_Batch), TypeAdapter(list[_Event]), TypeAdapter(_Event)
_REASONS = {"event_id": BAD_EVENT_ID, "quantity": BAD_QUANTITY}


def unpack(body: bytes, encoding: str) -> bytes:
    """`body` without its Content-Encoding. Raises InvalidField."""
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip":
            unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            try:
                plain = unpacker.decompress(body, LARGEST_BYTES + 1)
            except zlib.error as error:
                raise InvalidField("body", "is not gzip, as Content-Encoding says") from error
            if len(plain) > LARGEST_BYTES:
                raise InvalidField(
                    "body", f"unpacks to more than {LARGEST_BYTES:,} bytes; send smaller batches"
                )
            if not unpacker.eof or unpacker.unused_data:
                raise InvalidField("body", "is gzip that is cut off, or goes on behind its end")
            return plain
    raise InvalidField("Content-Encoding", f"{encoding!r} is not read; send gzip or plain bytes")


def decode(body: bytes, content_type: str) -> Decoded:
    """The batch in `body`: `{"events": [...]}`, or one event a line.

    Raises InvalidField where it is no batch, or one of more than 10,000 events.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == NDJSON:
        lines = [line for line in body.split(b"\n") if line.strip()]
        events = _read_lines(lines)
        if events is None or len(events) != len(lines):
            return _line_by_line(lines)
    elif kind == JSON:
        events = _read(body)
        if events is None:
            return _one_by_one(_items(body))
    else:
        raise InvalidField("Content-Type", f"{kind!r} is not read; send {JSON} or {NDJSON}")
    _require_few(events)
    return _decoded(range(len(events)), events, [])


def _read(body: bytes) -> list[_Event] | None:
    """The events of a batch; None where one of them, or the batch, is none."""
    try:
        return _BATCH.validate_json(body)["events"]
    except ValidationError:
        return None


def _read_lines(lines: Sequence[bytes]) -> list[_Event] | None:
    """As `_read`. Within a bare list no line can end the list of events and begin another, which
    would be read in its place.
    """
    try:
        return _LINES.validate_json(b"[" + b",".join(lines) + b"]")
    except ValidationError:
        return None


def _items(body: bytes) -> list[Any]:
    """What stands in the place of events."""
    try:
        batch = from_json(body)
    except ValueError as error:
        raise InvalidField("body", f"is not JSON: {error}") from error
    if not isinstance(batch, dict) or set(batch) != {"events"}:
        raise InvalidField("body", 'has the form {"events": [...]}, and nothing beside')
    if not isinstance(batch["events"], list):
        raise InvalidField("events", "is no list of events")
    return batch["events"]


def _line_by_line(lines: Sequence[bytes]) -> Decoded:
    _require_few(lines)
    items: list[Any] = []
    unread: dict[int, Judged] = {}
    for index, line in enumerate(lines):
        try:
            items.append(from_json(line))
        except ValueError as error:
            items.append(None)
            unread[index] = _rejected(index, None, f"is not JSON: {error}")
    decoded = _one_by_one(items)
    return Decoded(
        decoded.events, [unread.get(judged.place, judged) for judged in decoded.malformed]
    )


def _one_by_one(items: Sequence[Any]) -> Decoded:
    _require_few(items)
    good: list[int] = []
    events: list[_Event] = []
    malformed: list[Judged] = []
    for place, item in enumerate(items):
        try:
            events.append(_EVENT.validate_json(to_json(item)))
            good.append(place)
        except ValidationError as refusal:
            malformed.append(_rejected(place, _id_of(item), _why(refusal)))
    return _decoded(good, events, malformed)


def _decoded(places: Sequence[int], events: Sequence[_Event], malformed: list[Judged]) -> Decoded:
    """`malformed` grows by those whose time is none, or whose number is no quantity."""
    sent = []
    for place, event in zip(places, events, strict=True):
        quantity = _as_text(event["quantity"])
        if quantity is None:
            reason = _why_no_quantity(event["quantity"])
            malformed.append(_rejected(place, event["event_id"], f"quantity: {reason}"))
            continue
        try:
            moment = instant(event["occurred_at"])
        except ValueError as error:
            malformed.append(_rejected(place, event["event_id"], f"occurred_at: {error}"))
            continue
        sent.append(
            SentEvent(
                place,
                event["event_id"],
                event["account_number"],
                event["metric"],
                moment,
                quantity,
            )
        )
    return Decoded(sent, malformed)


def _as_text(quantity: str | float) -> str | None:
    """As digits, exactly as it was sent; None for a number that is no quantity."""
    if isinstance(quantity, str):
        return quantity
    if isinstance(quantity, float) and quantity >= _EXACT_BELOW:
        return None
    digits = repr(quantity) if isinstance(quantity, int) else f"{Decimal(repr(quantity)):f}"
    return digits if QUANTITY.fullmatch(digits) else None


def _why_no_quantity(number: object) -> str:
    if isinstance(number, float) and _EXACT_BELOW <= number < _TOO_LARGE:
        return f"{number!r} is not kept exactly as a number with a fraction; send it as text"
    return f"{number!r} {BAD_QUANTITY}"


def _why(refusal: ValidationError) -> str:
    """The first reason against an event."""
    error = refusal.errors(include_url=False, include_context=False)[0]
    name = str(error["loc"][0])[:_CUT_AT] if error["loc"] else ""
    said = _REASONS.get(name) if error["type"] != "missing" else None
    return f"{name}: {said or error['msg']}" if name else str(error["msg"])


def _id_of(item: Any) -> str | None:
    found = item.get("event_id") if isinstance(item, dict) else None
    return found[:_CUT_AT] if isinstance(found, str) else None


def _rejected(place: int, event_id: str | None, reason: str) -> Judged:
    return Judged(place, event_id, Fate.REJECTED, reason)


def _require_few(items: Sequence[Any]) -> None:
    if len(items) > MOST_EVENTS:
        raise InvalidField(
            "events", f"are {len(items):,}; send at most {MOST_EVENTS:,} in one request"
        )
