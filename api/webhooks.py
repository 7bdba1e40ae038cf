"""What the card processor sends: its signature checked, stored, then told to the invoice."""

import hashlib
import hmac
import json
from datetime import timedelta
from math import isfinite
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from api.dependencies import App, Services
from api.invoice_signals import tell_invoices, told
from storage.engine import transaction
from storage.importing.fields import is_whole_text
from storage.webhooks import store_event

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

LARGEST_BYTES = 1_000_000
_LONGEST_NAME = 255  # of ids and types, as Stripe has it
_DEEPEST = 100  # levels; Stripe's have a dozen
TOLERANCE = timedelta(minutes=5)
"""How old a signature may be, as Stripe's own libraries have it."""


@router.post("/stripe", summary="Stripe's webhook", status_code=200)
async def stripe(request: Request, app: App) -> dict[str, str]:
    """Takes an event that Stripe signed. An event that is known already changes nothing.

    Stored before anything else: once this answers 200, the event is applied, whatever dies. A
    Temporal that is away is no reason to refuse it: the sweep tells the invoice later.
    """
    body = await _body(request)
    _check_signature(body, request.headers.get("Stripe-Signature", ""), app)
    event = _event(body)

    def store() -> str | None:
        with transaction(app.engine) as connection:
            return store_event(connection, event)

    number = await run_in_threadpool(store)
    if number is not None:
        await told(tell_invoices(app, [number], f"{event['type']} {event['id']}"))
    return {"received": event["id"]}


async def _body(request: Request) -> bytes:
    """Raises 413 beyond `LARGEST_BYTES`, while reading."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BYTES:
            raise HTTPException(413, f"An event has at most {LARGEST_BYTES:,} bytes.")
    return body


def _check_signature(body: bytes, header: str, app: Services) -> None:
    """Raises 400 unless Stripe signed this very body lately.

    Source: docs.stripe.com/webhooks, "Verify webhook signatures manually".
    """
    parts = [part.partition("=") for part in header.split(",")]
    stamps = [value for name, _, value in parts if name.strip() == "t"]
    signatures = [value for name, _, value in parts if name.strip() == "v1"]
    refused = HTTPException(400, "The signature does not fit; send the event as Stripe signs it.")
    if len(stamps) != 1 or not (stamps[0].isascii() and stamps[0].isdigit()):
        raise refused
    secret = app.settings.stripe_webhook_secret
    if secret is None:
        raise HTTPException(503, "STRIPE_WEBHOOK_SECRET is not set; no event can be checked.")
    signed = stamps[0].encode() + b"." + body
    expected = hmac.new(secret.get_secret_value().encode(), signed, hashlib.sha256).hexdigest()
    if not any(hmac.compare_digest(expected.encode(), s.encode()) for s in signatures):
        raise refused
    age = app.now().timestamp() - int(stamps[0][:12])
    if abs(age) > TOLERANCE.total_seconds():
        raise HTTPException(400, "The signature is too old; let Stripe send the event again.")


def _event(body: bytes) -> dict[str, Any]:
    """Raises 400 for what is no event, or holds what PostgreSQL cannot keep."""
    refused = HTTPException(400, "This is no event of Stripe's; send it as Stripe makes it.")
    try:
        event = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise refused from error
    if not (isinstance(event, dict) and _has_the_parts(event) and _can_be_kept(event)):
        raise refused
    return event


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON's.")


def _has_the_parts(event: dict[str, Any]) -> bool:
    """Whether the parts by which an event is filed have the kinds that Stripe documents.

    Source: docs.stripe.com/api/events/object.
    """
    data = event.get("data")
    thing = data.get("object") if isinstance(data, dict) else None
    created = event.get("created")
    return (
        _is_name(event.get("id"))
        and _is_name(event.get("type"))
        and type(created) is int
        and 0 <= created < 2**53
        and isinstance(thing, dict)
        and (_is_name(thing.get("id")) or thing.get("object") != "payment_intent")
        and isinstance(thing.get("metadata") or {}, dict)
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME


def _can_be_kept(event: dict[str, Any]) -> bool:
    """No NUL, no half of a character, no number without an end, and not nested without end."""
    level: list[Any] = [event]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                inner += value
            elif not _fits(value):
                return False
        if not inner:
            return True
        level = inner
    return False


def _fits(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value and is_whole_text(value)
    return not isinstance(value, float) or isfinite(value)
