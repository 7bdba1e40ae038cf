"""A meter that sends its events until each batch is answered: `python -m …usage_sender`.

Every such process has the same events. One that is killed forgets what it sent, and whoever
starts it again sends all of them once more. It sends a batch for each line that it is given, and
all that are left once no more lines come.
"""

import gzip
import json
import sys
import time
from collections.abc import Iterator

import httpx

EVENTS = 20_000
ACCOUNTS = ("1001", "1002", "1003")
NOBODYS = "9999"
"""The account that nobody has; it has one event of a hundred."""


def account_of(n: int) -> str:
    return NOBODYS if n % 100 == 99 else ACCOUNTS[n % len(ACCOUNTS)]


def quantity_of(n: int) -> int:
    return n % 7 + 1


def _event(n: int) -> dict[str, str | int]:
    return {
        "event_id": f"evt-{n * 7919 % EVENTS}",  # in no order that an index has
        "account_number": account_of(n),
        "metric": "api_calls",
        "occurred_at": f"2026-02-{1 + n % 28:02d}T12:00:00Z",
        "quantity": quantity_of(n),
    }


def _batches(size: int, direction: int) -> Iterator[bytes]:
    numbers = range(EVENTS)[::direction]
    for first in range(0, EVENTS, size):
        events = [_event(n) for n in numbers[first : first + size]]
        yield gzip.compress(json.dumps({"events": events}).encode(), 1)


def _send(http: httpx.Client, batch: bytes) -> None:
    """Again and again until it is answered; an outage is no answer."""
    while True:
        try:
            answer = http.post("/api/billing/usage-events", content=batch)
        except httpx.TransportError:
            time.sleep(0.05)
            continue
        if answer.status_code == 200:
            assert answer.json()["rejected"] == 0, answer.text
            return
        assert answer.status_code == 503, answer.text
        time.sleep(0.05)


if __name__ == "__main__":
    address, key, size, direction = sys.argv[1:]
    headers = {
        "Authorization": key,
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
    }
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        for each in _batches(int(size), int(direction)):
            sys.stdin.readline()
            _send(client, each)
