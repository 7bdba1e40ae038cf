"""Usage events over HTTP: sent in batches, each event taken in once for good."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from api.dependencies import App, require
from api.usage_decoding import JSON, LARGEST_BYTES, MOST_EVENTS, NDJSON, decode, unpack
from api.usage_schemas import BatchTaken, EventTaken
from storage.access import Caller, Role
from storage.usage.intake import Fate, TakenIn, take_in

router = APIRouter(prefix="/api/billing/usage-events", tags=["usage"])

Sender = Annotated[Caller, Depends(require(Role.INGEST))]
_EXAMPLE = {
    "event_id": "req-7f3a",
    "account_number": "1047",
    "metric": "api_calls",
    "occurred_at": "2026-02-03T14:05:00Z",
    "quantity": 1,
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "type": "object",
                    "required": ["events"],
                    "additionalProperties": False,
                    "properties": {
                        "events": {
                            "type": "array",
                            "maxItems": MOST_EVENTS,
                            # what an event is not says its own answer, not a refusal of all
                            "items": {
                                "description": "event_id: 1 to 200 printable characters, unique "
                                "for good; account_number; metric; occurred_at: RFC 3339 with "
                                "its zone; quantity: 0 or more, as a number or as text."
                            },
                        }
                    },
                },
                "example": {"events": [_EXAMPLE]},
            },
            # whatever stands in a line is answered for, so no text is ruled out
            NDJSON: {"schema": {"description": "One event a line."}},
        },
    }
}


@router.post("", summary="Send usage events", openapi_extra=_BODY)
async def send(request: Request, app: App, caller: Sender) -> BatchTaken:
    """Up to 10,000 events in one transaction; `Content-Encoding: gzip` is read.

    An event is known by its `event_id` for good: sent again it is a duplicate and counts once, so
    whoever got no answer sends the same batch again. The same id with other content is rejected.
    Events of accounts that nobody has are set aside, until a person assigns them. `events` has all
    that were not accepted, each with its reason; those that it does not name are accepted.
    """
    body = await _body(request)
    encoding = request.headers.get("Content-Encoding", "")
    content_type = request.headers.get("Content-Type", "")

    def store() -> BatchTaken:
        batch = decode(unpack(body, encoding), content_type)
        taken = take_in(
            app.engine,
            batch.events,
            batch.malformed,
            now=app.now(),
            time_zone=app.settings.seller_time_zone,
            received_by=caller.name,
        )
        return _told(taken)

    return await run_in_threadpool(store)


async def _body(request: Request) -> bytes:
    """Raises 413 beyond `LARGEST_BYTES`, while reading."""
    chunks, size = [], 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST_BYTES:
            raise HTTPException(413, f"A batch has at most {LARGEST_BYTES:,} bytes.")
    return b"".join(chunks)


def _told(taken: TakenIn) -> BatchTaken:
    return BatchTaken(
        accepted=taken.accepted,
        duplicates=taken.count(Fate.DUPLICATE),
        set_aside=taken.count(Fate.SET_ASIDE),
        rejected=taken.count(Fate.REJECTED),
        events=[
            EventTaken(index=place, event_id=event_id, status=fate, reason=reason)
            for place, event_id, fate, reason in taken.others
        ],
    )
