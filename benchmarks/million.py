"""`python -m benchmarks.million`: a month of a million customers, simulated from measured figures.

A closed queueing network: each partition of the cycle keeps its customers in flight, and each
customer goes from server to server. `docs/scale.md` says what it shows and what it cannot.
"""

import argparse
import heapq
import json
import random
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

out = Console()
SEED = 2026
SAMPLE = 20_000
"""Customers that are simulated; a closed network is in its steady state long before."""


@dataclass(frozen=True)
class Figures:
    """What was measured, from docs/benchmarks.md; milliseconds of CPU for each invoice.

    Attributes:
        worker, pdf, temporal, postgres: from its draft to its document and its own workflow.
        plan: wall time of a page of the plan, for each customer on it; pages take turns.
        numbering: for each draft, of the one transaction that numbers them all.
        mail: what its e-mail costs behind the cycle, all parts.
        postgres_kib, temporal_kib: on disk for each, its PDF and its 600 usage events among them.
        events: of history, in the customer's workflow and in the invoice's while it is open.
    """

    worker: float = 41
    pdf: float = 77
    temporal: float = 73
    postgres: float = 5.3
    plan: float = 2.0
    numbering: float = 0.16
    mail: float = 36
    postgres_kib: float = 240
    temporal_kib: float = 55
    events: float = 23


@dataclass(frozen=True)
class Plant:
    """What bills.

    Attributes:
        partitions: child cycles by account range, each with `in_flight` customers at once.
        workers: processes; Python runs one core of each.
        pdf, temporal, postgres: cores.
        shared: cores that all parts share, as on one machine; 0: each part has its own.
        mails_per_second: what the mail server lets through.
    """

    name: str
    customers: int
    partitions: int = 1
    in_flight: int = 10
    workers: int = 1
    pdf: int = 2
    temporal: int = 2
    postgres: int = 2
    shared: int = 0
    mails_per_second: float = 10

    @property
    def cores(self) -> int:
        return self.shared or self.workers + self.pdf + self.temporal + self.postgres


PLANTS = (
    Plant("this machine", 2_000, shared=2),
    Plant("this machine", 20_000, shared=2),
    Plant("one of 16 cores", 1_000_000, partitions=4, shared=16, mails_per_second=50),
    Plant(
        "a small cluster",
        *(1_000_000, 8, 20, 8, 16, 12, 4),
        mails_per_second=100,
    ),
    Plant(
        "a larger cluster",
        *(1_000_000, 16, 30, 24, 48, 40, 8),
        mails_per_second=200,
    ),
)


@dataclass
class Station:
    """Servers that take one customer each, the next in the order of their coming."""

    servers: int
    busy: int = 0
    busy_ms: float = 0
    queue: deque[int] = field(default_factory=deque)


@dataclass(frozen=True)
class Simulated:
    """`per_second`: customers issued. `busy`: share of its time that each station worked."""

    per_second: float
    busy: dict[str, float]


def simulate(figures: Figures, plant: Plant, sample: int = SAMPLE) -> Simulated:
    """Issues `sample` customers, service times exponential about their means."""
    rng = random.Random(SEED)
    stations = _stations(plant)
    route = _route(figures, plant)
    at = [0] * min(sample, plant.partitions * plant.in_flight)  # each one's place on its route
    now, begun, done = 0.0, len(at), 0
    ends: list[tuple[float, int]] = []

    def arrive(customer: int) -> None:
        station = stations[route[at[customer]][0]]
        if station.busy < station.servers:
            serve(station, customer)
        else:
            station.queue.append(customer)

    def serve(station: Station, customer: int) -> None:
        took = rng.expovariate(1 / route[at[customer]][1])
        station.busy += 1
        station.busy_ms += took
        heapq.heappush(ends, (now + took, customer))

    for customer in range(len(at)):
        arrive(customer)
    while ends:
        now, customer = heapq.heappop(ends)
        station = stations[route[at[customer]][0]]
        station.busy -= 1
        at[customer] += 1
        if station.queue:
            serve(station, station.queue.popleft())
        if at[customer] == len(route):
            done += 1
            if begun == sample:
                continue  # nobody is left to take the place
            begun += 1
            at[customer] = 0
        arrive(customer)
    return Simulated(
        done / now * 1_000,
        {name: s.busy_ms / now / s.servers for name, s in stations.items()},
    )


def _stations(plant: Plant) -> dict[str, Station]:
    if plant.shared:
        return {"cores": Station(plant.shared)}
    return {
        name: Station(getattr(plant, name if name != "worker" else "workers"))
        for name in ("worker", "pdf", "temporal", "postgres")
    }


def _route(figures: Figures, plant: Plant) -> list[tuple[str, float]]:
    """A customer's way: the server and the worker take turns about the document."""
    thirds = [
        ("temporal", figures.temporal / 3),
        ("worker", figures.worker / 3),
        ("pdf", figures.pdf),
        ("temporal", figures.temporal / 3),
        ("worker", figures.worker / 3),
        ("postgres", figures.postgres),
        ("temporal", figures.temporal / 3),
        ("worker", figures.worker / 3),
    ]
    return [("cores", ms) for _, ms in thirds] if plant.shared else thirds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__)
    parser.add_argument("--json", type=Path, help="figures that `benchmarks.scale --json` wrote")
    wanted = parser.parse_args()
    figures = Figures()
    if wanted.json:
        figures = measured(json.loads(wanted.json.read_text()), figures)
    out.print(figures)
    out.print(table(figures))


def measured(sizes: list[dict[str, Any]], default: Figures) -> Figures:
    """The figures of a run of `benchmarks.scale`, of its largest cycle; what it does not tell is as
    in `default`. What is on disk is what more invoices took, behind the smallest cycle.
    """
    first, last = sizes[0], max(sizes, key=lambda one: one["cycle"]["customers"])
    cycle = last["cycle"]
    each = {
        part: cycle["cost"][part] / cycle["invoices"] * 1_000
        for part in ("worker", "pdf", "temporal", "postgres")
    }
    more = cycle["invoices"] - first["cycle"]["invoices"]
    if more:
        for part, key in (("postgres_kib", "database_mib"), ("temporal_kib", "temporal_mib")):
            each[part] = (last[key] - first[key]) / more * 1_024
    plan = cycle["planned_seconds"] / cycle["customers"] * 1_000
    return replace(default, plan=plan, **each)


def table(figures: Figures) -> Table:
    shown = Table("", title="A month, simulated")
    simulated = [simulate(figures, plant) for plant in PLANTS]
    for plant in PLANTS:
        shown.add_column(f"{plant.name}, {plant.customers:,}", justify="right")
    for name, values in _rows(figures, simulated):
        shown.add_row(name, *values)
    return shown


def _rows(figures: Figures, simulated: list[Simulated]) -> list[tuple[str, list[str]]]:
    both = list(zip(PLANTS, simulated, strict=True))
    busiest = [max(one.busy, key=lambda name: one.busy[name]) for one in simulated]
    gib = 1_024 * 1_024
    return [
        ("partitions x in flight", [f"{plant.partitions} x {plant.in_flight}" for plant in PLANTS]),
        ("cores", [str(plant.cores) for plant in PLANTS]),
        ("plan, pages in turn", [_time(p.customers * figures.plan / 1e3) for p in PLANTS]),
        ("numbering", [_time(p.customers * figures.numbering / 1e3) for p in PLANTS]),
        ("issue", [_time(plant.customers / one.per_second) for plant, one in both]),
        ("  invoices a second", [f"{one.per_second:.1f}" for one in simulated]),
        (
            "  busiest",
            [f"{n}, {one.busy[n]:.0%}" for n, one in zip(busiest, simulated, strict=True)],
        ),
        (
            "  history events a second",
            [f"{one.per_second * figures.events:,.0f}" for one in simulated],
        ),
        ("mail, at its server's pace", [_time(p.customers / p.mails_per_second) for p in PLANTS]),
        ("  CPU of it, core hours", [_hours(p.customers * figures.mail / 3.6e6) for p in PLANTS]),
        (
            "PostgreSQL, a month's invoices",
            [f"{p.customers * figures.postgres_kib / gib:,.1f} GiB" for p in PLANTS],
        ),
        (
            "Temporal, a month's histories",
            [f"{p.customers * figures.temporal_kib / gib:,.1f} GiB" for p in PLANTS],
        ),
    ]


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def _hours(hours: float) -> str:
    return f"{hours:.1f}"


if __name__ == "__main__":
    main()
