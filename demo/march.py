"""What comes behind February: March's usage over HTTP, February's stragglers, and March's plan."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any

import httpx
from rich.console import Console

from demo.answers import checked
from demo.dataset import BILLED_MONTH, NEXT_MONTH, USAGE_COLUMNS, events_of
from demo.figures import Figure
from stack.errors import StackError

ISSUED_ON = date(2026, 4, 1)
BATCH = 10_000
LATE_ACCOUNT, LATE_EVENTS, LATE_CALLS = "1047", 20, 1_000
"""Its gateway was cut off for twenty hours of February and sent their calls in March."""
CORRECTED_ACCOUNT, CORRECTED_EVENTS, CORRECTED_CALLS = "1168", 20, 500
"""Its own health checks were counted too, 500 in each of the first twenty events that have them."""
REASON = "health checks of the gateway were counted too"
_PATIENCE_SECONDS = 120

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
    late = _send(sender, list(_late_events()))
    out.print(
        f"  {late['accepted']} events of {BILLED_MONTH} for account {LATE_ACCOUNT}, "
        f"{LATE_EVENTS * LATE_CALLS:,} calls, come behind its bill",
        soft_wrap=True,
    )


def correct_february(api: httpx.Client, out: Console) -> None:
    """Takes calls off events that were billed, each with the reason."""
    wrong = [event for event in events_of(BILLED_MONTH) if _has_too_many(event)]
    off = 0
    for event_id, _, _, _, quantity in wrong[:CORRECTED_EVENTS]:
        told = checked(
            api.post(
                f"/api/billing/usage-events/{event_id}/amend",
                json={"quantity": quantity - CORRECTED_CALLS, "reason": REASON},
            )
        )
        off += quantity - int(Decimal(told["quantity"]))
    out.print(
        f"  {min(len(wrong), CORRECTED_EVENTS)} events of {BILLED_MONTH} of account "
        f"{CORRECTED_ACCOUNT} amended, {off:,} calls less: {REASON}",
        soft_wrap=True,
    )


def plan(api: httpx.Client) -> Any:
    """March's preview, once everybody is rated; the plan waits to be approved."""
    order = {"period": NEXT_MONTH, "issued_on": str(ISSUED_ON), "approval_required": True}
    checked(api.post("/api/billing/cycles", json=order))
    began = time.monotonic()
    while time.monotonic() - began < _PATIENCE_SECONDS:
        if checked(api.get(f"/api/billing/cycles/{NEXT_MONTH}"))["status"] == "planned":
            return checked(api.get(f"/api/billing/cycles/{NEXT_MONTH}/preview"))
        time.sleep(0.2)
    raise StackError(f"{NEXT_MONTH} was not planned in {_PATIENCE_SECONDS} s; see the log.")


def plan_figures(api: httpx.Client, preview: Any) -> list[Figure]:
    """The plan's sums, what is late in it, and what stands out of it, as the API has them."""
    (totals,) = preview["totals"]
    now = totals["now"]
    return [
        Figure(f"drafts / against {preview['compared_with']}", _of(preview, "customers")),
        Figure("usage charges", _money(now["usage"])),
        Figure("flat subscriptions", _money(now["subscriptions"])),
        *_late_lines(api),
        Figure("tax", _money(now["tax"])),
        Figure(
            f"total, {totals['currency']} / against {preview['compared_with']}",
            f"{_money(now['total'])} / {_percent(totals['percent'])}",
        ),
        *(
            Figure(
                f"stands out: {found['account_number']}, {found['customer']}, "
                f"{found['kind'].replace('_', ' ')}",
                f"{_money(found['before'])} -> {_money(found['now'])}",
            )
            for found in preview["findings"]
        ),
        Figure("waiting to be approved", f"{preview['to_approve']['drafts']} drafts"),
    ]


def _late_lines(api: httpx.Client) -> Iterator[Figure]:
    for account in (LATE_ACCOUNT, CORRECTED_ACCOUNT):
        page = checked(
            api.get(
                f"/api/billing/cycles/{NEXT_MONTH}/preview/customers",
                params={"account_number": account},
            )
        )
        for customer in page["items"]:
            for line in customer["lines"]:
                if line["kind"] == "late":
                    name = f"late: account {account}, {line['description']}"
                    yield Figure(name, _money(line["amount"]))


def _send(sender: httpx.Client, events: Sequence[Event]) -> Any:
    lines = (json.dumps(dict(zip(USAGE_COLUMNS, event, strict=True))) for event in events)
    return checked(
        sender.post(
            "/api/billing/usage-events",
            content="\n".join(lines),
            headers={"Content-Type": "application/x-ndjson"},
        )
    )


def _late_events() -> Iterable[Event]:
    for hour in range(LATE_EVENTS):
        yield (
            f"late-{LATE_ACCOUNT}-{hour:02d}",
            LATE_ACCOUNT,
            "api_calls",
            f"{BILLED_MONTH}-27T{hour:02d}:30:00Z",
            LATE_CALLS,
        )


def _has_too_many(event: Event) -> bool:
    _, account, _, _, quantity = event
    return account == CORRECTED_ACCOUNT and quantity >= CORRECTED_CALLS


def _of(preview: Any, name: str) -> str:
    return f"{preview[name]} / {preview[f'{name}_before']}"


def _money(amount: str | None) -> str:
    return "-" if amount is None else f"{Decimal(amount):,f}"


def _percent(percent: str | None) -> str:
    return "-" if percent is None else f"{Decimal(percent):+} %"
