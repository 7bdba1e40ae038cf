"""What comes behind February: March's usage over HTTP, February's stragglers, and March's plan."""

import json
import time
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any

import httpx
from rich.console import Console

from demo.answers import answer_once, checked
from demo.dataset import BILLED_MONTH, NEXT_MONTH, USAGE_COLUMNS, events_of
from demo.figures import Figure, money

ISSUED_ON = date(2026, 4, 1)
BATCH = 10_000
LATE_ACCOUNT, LATE_EVENTS, LATE_CALLS = "1047", 20, 1_000
"""Its gateway was cut off for twenty hours of February and sent their calls in March."""
CORRECTED_ACCOUNT, CORRECTED_EVENTS, CORRECTED_CALLS = "1168", 20, 500
"""Its own health checks were counted too, 500 in each of the first twenty events that have them."""
REASON = "health checks of the gateway were counted too"
_PATIENCE_SECONDS = 120
_CYCLE = f"/api/billing/cycles/{NEXT_MONTH}"

Event = tuple[str, str, str, str, int]


def send_usage(sender: httpx.Client, out: Console) -> None:
    """March, then a batch of it once more, then what came late for February."""
    events = events_of(NEXT_MONTH)
    batches = list(iter(lambda: list(islice(events, BATCH)), []))
    began = time.monotonic()
    taken = [_send(sender, batch) for batch in batches]
    seconds = time.monotonic() - began
    accepted = sum(told["accepted"] for told in taken)
    out.print(
        f"{accepted:,} usage events of {NEXT_MONTH} sent over HTTP in {len(batches)} batches, "
        f"{accepted / seconds:,.0f} a second",
        soft_wrap=True,
    )
    again = _send(sender, batches[0])
    out.print(
        f"  the first batch once more: {again['accepted']:,} accepted, "
        f"{again['duplicates']:,} known already",
        soft_wrap=True,
    )
    late = _send(sender, _late_events())
    out.print(
        f"  {late['accepted']} events of {BILLED_MONTH} for account {LATE_ACCOUNT}, "
        f"{LATE_EVENTS * LATE_CALLS:,} calls, come behind its bill",
        soft_wrap=True,
    )


def correct_february(api: httpx.Client, out: Console) -> None:
    """Takes calls off events that were billed, each with the reason."""
    billed = events_of(BILLED_MONTH, CORRECTED_ACCOUNT)
    wrong = [event for event in billed if event[-1] >= CORRECTED_CALLS][:CORRECTED_EVENTS]
    off = 0
    for event_id, _, _, _, quantity in wrong:
        told = checked(
            api.post(
                f"/api/billing/usage-events/{event_id}/amend",
                json={"quantity": quantity - CORRECTED_CALLS, "reason": REASON},
            )
        )
        off += quantity - int(Decimal(told["quantity"]))
    out.print(
        f"  {len(wrong)} events of {BILLED_MONTH} of account "
        f"{CORRECTED_ACCOUNT} amended, {off:,} calls less: {REASON}",
        soft_wrap=True,
    )


def plan(api: httpx.Client) -> Any:
    """March's preview, once everybody is rated; the plan waits to be approved."""
    order = {"period": NEXT_MONTH, "issued_on": str(ISSUED_ON), "approval_required": True}
    checked(api.post("/api/billing/cycles", json=order))
    answer_once(
        api,
        _CYCLE,
        lambda cycle: cycle["status"] == "planned",
        f"{NEXT_MONTH} was not planned",
        patience_seconds=_PATIENCE_SECONDS,
    )
    return checked(api.get(f"{_CYCLE}/preview"))


def late_lines(api: httpx.Client) -> list[Figure]:
    """What March's drafts have of February, for the two accounts that this is about."""
    found = []
    for account in (LATE_ACCOUNT, CORRECTED_ACCOUNT):
        page = checked(api.get(f"{_CYCLE}/preview/customers", params={"account_number": account}))
        found += [
            Figure(f"late: account {account}, {line['description']}", money(line["amount"]))
            for customer in page["items"]
            for line in customer["lines"]
            if line["kind"] == "late"
        ]
    return found


def _send(sender: httpx.Client, events: Sequence[Event]) -> Any:
    lines = (json.dumps(dict(zip(USAGE_COLUMNS, event, strict=True))) for event in events)
    return checked(
        sender.post(
            "/api/billing/usage-events",
            content="\n".join(lines),
            headers={"Content-Type": "application/x-ndjson"},
        )
    )


def _late_events() -> list[Event]:
    return [
        (
            f"late-{LATE_ACCOUNT}-{hour:02d}",
            LATE_ACCOUNT,
            "api_calls",
            f"{BILLED_MONTH}-27T{hour:02d}:30:00Z",
            LATE_CALLS,
        )
        for hour in range(LATE_EVENTS)
    ]
