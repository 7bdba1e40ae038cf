"""`python -m benchmarks.ingestion`: usage over HTTP into a month that holds ten million events.

Beside it, in turns, a bare COPY of as many rows of the same kind and their keys into the same
tables: what PostgreSQL takes without anybody asking what an event is. Then what it costs to rate
out of ten million events.
"""

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from psycopg import Cursor
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, Engine, Row, select, text

from benchmarks.house import FEBRUARY, House, open_house
from demo.dataset import write_dataset
from domain.errors import CustomerCannotBeBilled
from domain.invoice import PriceList, draft_invoice
from domain.rating import Contract
from domain.tax import TaxPolicy
from storage.customers import billed_customer, discounts_of, subscriptions_of, usage_of
from storage.engine import transaction
from storage.price_list import load_price_list
from storage.tables import customers

out = Console()
HELD = 10_000_000
BATCH = 10_000
BATCHES = 5
"""Of each way in each turn."""
TURNS = 3
AGAIN = 500
"""Of a batch's events, how many the batch before it had: five of a hundred are duplicates."""
SENDERS = 2
_BUDGET_A_SECOND = 20_000
_STEP = 2  # seconds from one event to the next: a batch holds what came in during five hours
_SECONDS_OF_MONTH = FEBRUARY.days * 86_400


@dataclass(frozen=True)
class Event:
    """As it is sent; `customer_id`: that of its account."""

    event_id: str
    account_number: str
    customer_id: int
    occurred_at: str
    quantity: int


@dataclass
class Measured:
    """What one way took in, over all turns."""

    events: int = 0
    seconds: float = 0.0
    by_turn: list[float] = field(default_factory=list)

    def add(self, events: int, seconds: float) -> None:
        self.events += events
        self.seconds += seconds
        self.by_turn.append(events / seconds)

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingestion", description=__doc__)
    parser.add_argument("--held", type=int, default=HELD, help="events that the month holds before")
    wanted = parser.parse_args()
    run(wanted.held)


def run(held: int = HELD) -> None:
    with open_house() as house, tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder), history=False)
        house.load(Path(folder))
        began = time.monotonic()
        fill(house.engine, held)
        out.print(f"{held:,} events of {FEBRUARY}, made in {time.monotonic() - began:.0f} s")
        out.print(measure_ingestion(house))
        out.print(measure_rating(house.engine))


def fill(engine: Engine, events: int) -> None:
    """So many events of February for the customers of the demonstration, their ids in no order."""
    values = {"events": events, "seconds": _SECONDS_OF_MONTH, "start": FEBRUARY.start}
    for statement in (_EVENTS, _KEYS, _DAYS, _MONTHS):
        wanted = {name: value for name, value in values.items() if f":{name}" in statement}
        with transaction(engine) as connection:
            connection.execute(text(statement), wanted)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE billing_events, usage_event_keys, usage_daily"))


def measure_ingestion(house: House) -> Table:
    """Each way in turn, so that a machine whose speed drifts is the same to all."""
    events = _events(house.engine)
    ways: dict[str, tuple[int, Callable[[House, list[list[Event]], int], float]]] = {
        "over HTTP, one sender": (1, _send),
        f"over HTTP, {SENDERS} senders": (SENDERS, _send),
        "bare COPY, one connection": (1, _copy),
        f"bare COPY, {SENDERS} connections": (SENDERS, _copy),
    }
    measured = {name: Measured() for name in ways}
    for _ in range(TURNS):
        for name, (at_once, way) in ways.items():
            batches = [list(islice(events, BATCH)) for _ in range(BATCHES)]
            if way is _send:
                batches = [
                    [*batch[AGAIN:], *before[-AGAIN:]]
                    for before, batch in zip([batches[-1], *batches], batches, strict=False)
                ]
            measured[name].add(BATCH * BATCHES, way(house, batches, at_once))
    return _as_table(measured)


def _as_table(measured: dict[str, Measured]) -> Table:
    table = Table("way", "events a second", "slowest turn", "of COPY", "budget", title="Usage in")
    copy = measured["bare COPY, one connection"].rate
    for name, way in measured.items():
        over_http = "HTTP" in name
        table.add_row(
            name,
            f"{way.rate:,.0f}",
            f"{min(way.by_turn):,.0f}",
            f"{way.rate / copy:.2f}",
            f"{_BUDGET_A_SECOND:,} and 0.50" if over_http else "",
        )
    return table


def _send(house: House, batches: list[list[Event]], at_once: int) -> float:
    """Seconds from the first request to the last answer."""
    bodies = ["\n".join(_as_json(event) for event in batch).encode() for batch in batches]
    headers = {**house.http.headers, "Content-Type": "application/x-ndjson"}

    def post(body: bytes) -> None:
        answer = http.post("/api/billing/usage-events", content=body)
        answer.raise_for_status()
        told = answer.json()
        if told["accepted"] + told["duplicates"] != BATCH:
            raise SystemExit(f"The batch was not taken in: {answer.text[:500]}")

    address = house.addresses.api_url
    with (
        httpx.Client(base_url=address, headers=headers, timeout=120) as http,
        ThreadPoolExecutor(at_once) as senders,
    ):
        began = time.perf_counter()
        list(senders.map(post, bodies))
        return time.perf_counter() - began


def _as_json(event: Event) -> str:
    return json.dumps(
        {
            "event_id": event.event_id,
            "account_number": event.account_number,
            "metric": "api_calls",
            "occurred_at": event.occurred_at,
            "quantity": event.quantity,
        }
    )


def _copy(house: House, batches: list[list[Event]], at_once: int) -> float:
    """Seconds; each batch is a transaction, its rows and its keys."""
    texts = [
        (
            "".join(
                f"{e.customer_id}\tapi_calls\t{e.occurred_at}\t{e.quantity}\t{e.event_id}\n"
                for e in batch
            ),
            "".join(
                f"{e.event_id}\t\\\\x{_hash(e)}\t{e.customer_id}\t{e.occurred_at}\n" for e in batch
            ),
        )
        for batch in batches
    ]

    def write(both: tuple[str, str]) -> None:
        with transaction(house.engine) as connection:
            cursor: Cursor[Any] = connection.connection.cursor()  # type: ignore[assignment]
            for statement, rows in zip(_COPIES, both, strict=True):
                with cursor.copy(statement) as copy:
                    copy.write(rows)

    with ThreadPoolExecutor(at_once) as writers:
        began = time.perf_counter()
        list(writers.map(write, texts))
        return time.perf_counter() - began


def _hash(event: Event) -> str:
    return hashlib.sha256(event.event_id.encode()).hexdigest()[:32]


def _events(engine: Engine) -> Iterator[Event]:
    """As many as are asked for, over all customers and in the order of time, each id once."""
    with transaction(engine) as connection:
        accounts = connection.execute(select(customers.c.id, customers.c.account_number)).all()
    start = datetime(FEBRUARY.year, FEBRUARY.month, 1, tzinfo=UTC)
    place = 0
    while True:
        place += 1
        customer_id, account_number = accounts[place * 7919 % len(accounts)]
        moment = start + timedelta(seconds=place * _STEP % _SECONDS_OF_MONTH)
        yield Event(
            hashlib.md5(b"sent %d" % place, usedforsecurity=False).hexdigest(),
            account_number,
            customer_id,
            moment.isoformat(),
            1 + place % 9,
        )


# --- rating


def measure_rating(engine: Engine) -> Table:
    """Every customer by themselves, then all of them as one page of a plan is rated."""
    with transaction(engine) as connection:
        rules = load_price_list(connection, TaxPolicy())
        everybody = connection.execute(select(customers)).all()
        alone = [_milliseconds(_rate, connection, [row], rules) for row in everybody]
        together = [_milliseconds(_rate, connection, everybody, rules) for _ in range(5)]
        events = connection.execute(text("SELECT count(*) FROM billing_events")).scalar_one()
    table = Table("rated", "median", "slowest", "budget", title=f"Out of {events:,} events")
    table.add_row(
        "one customer", f"{statistics.median(alone):.1f} ms", f"{max(alone):.1f} ms", "5 ms"
    )
    table.add_row(
        f"{len(everybody)} customers",
        f"{statistics.median(together):.0f} ms",
        f"{max(together):.0f} ms",
        "1,000 ms",
    )
    return table


def _rate(connection: Connection, rows: Sequence[Row[Any]], rules: PriceList) -> None:
    """Reads what the customers have and used in February, and makes their drafts."""
    ids = [row.id for row in rows]
    subscribed = subscriptions_of(connection, ids, FEBRUARY)
    discounts = discounts_of(connection, ids)
    used = usage_of(connection, ids, FEBRUARY)
    for row in rows:
        contract = Contract(
            row.currency, tuple(subscribed.get(row.id, ())), tuple(discounts.get(row.id, ()))
        )
        days = used[row.id].days if row.id in used else ()
        try:
            draft_invoice(billed_customer(row).tax_subject, contract, days, rules, FEBRUARY)
        except CustomerCannotBeBilled:  # such as one without a plan: rated as well
            continue


def _milliseconds(what: Callable[..., None], *arguments: object) -> float:
    began = time.perf_counter()
    what(*arguments)
    return (time.perf_counter() - began) * 1000


_EVENTS = """
    INSERT INTO billing_events (customer_id, metric, occurred_at, quantity, event_id)
    SELECT customer.id, 'api_calls',
           CAST(:start AS date) + make_interval(secs => n::bigint * 104729 % :seconds),
           1 + n % 9, md5(n::text)
    FROM generate_series(1, :events) n
    JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS of
          FROM customers) customer ON customer.place = n % customer.of
    ORDER BY customer.id
"""
_KEYS = """
    INSERT INTO usage_event_keys (event_id, content_hash, customer_id, occurred_at)
    SELECT event_id, decode(md5(event_id), 'hex'), customer_id, occurred_at
    FROM billing_events WHERE length(event_id) = 32 ORDER BY event_id
"""
_DAYS = """
    INSERT INTO usage_daily (customer_id, metric, day, quantity)
    SELECT customer_id, metric, occurred_at::date, sum(quantity)
    FROM billing_events GROUP BY 1, 2, 3
    ON CONFLICT (customer_id, metric, day) DO UPDATE SET quantity = excluded.quantity
"""
_MONTHS = """
    INSERT INTO usage_monthly (month, customer_id, metric, quantity)
    SELECT date_trunc('month', day)::date, customer_id, metric, sum(quantity)
    FROM usage_daily GROUP BY 1, 2, 3
    ON CONFLICT (month, customer_id, metric) DO UPDATE SET quantity = excluded.quantity
"""
_COPIES = (
    "COPY billing_events (customer_id, metric, occurred_at, quantity, event_id) FROM STDIN",
    "COPY usage_event_keys (event_id, content_hash, customer_id, occurred_at) FROM STDIN",
)


if __name__ == "__main__":
    main()
