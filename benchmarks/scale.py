"""`make bench SCALE=1`: cycles of 200, 2,000 and 20,000 customers, each against the first.

The machine's speed drifts, so the first is measured again behind each of the others, and each is
held against the mean of the two around it. With PDFs, the largest takes three quarters of an hour
on two cores. Then 2,000 on the production topology.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks import topology
from benchmarks.datasets import OF_DEMONSTRATION, write_many
from benchmarks.house import Cost, House, MeasuredCycle, open_house
from storage.engine import transaction

out = Console()
SIZES = (200, 2_000, 20_000)
BUDGETS = {2_000: "1.2", 20_000: "1.3"}


@dataclass(frozen=True)
class Measured:
    """A cycle in a stack of its own, from an empty database on.

    `behind`: what is spent from then to the last e-mail, charges and the proof included.
    `longest`, `runs`: events of the longest run of the cycle's workflow, and how many runs.
    `import_seconds`: for `events` of usage. `database_mib`, `temporal_mib`: on disk behind it.
    """

    cycle: MeasuredCycle
    behind: Cost
    longest: int
    runs: int
    events: int
    import_seconds: float
    database_mib: float
    temporal_mib: float

    def cpu(self, *, to_last_mail: bool) -> float:
        """Milliseconds for each invoice, to its PDF or to the last e-mail behind the cycle."""
        spent = self.cycle.cost.total + (self.behind.total if to_last_mail else 0.0)
        return spent / self.cycle.invoices * 1_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument(
        "--sizes", type=_sizes, default=SIZES, help="customers, multiples of 200, the base first"
    )
    parser.add_argument(
        "--topology", type=int, default=2_000, help="customers; 0 leaves the topology out"
    )
    parser.add_argument("--json", type=Path, help="also writes the figures to this file")
    wanted = parser.parse_args()
    base, *larger = wanted.sizes
    measured: list[Measured] = []
    for customers in (base, *(size for large in larger for size in (large, base))):
        measured.append(measure(customers))
        if wanted.json:
            wanted.json.write_text(json.dumps([asdict(one) for one in measured], indent=1) + "\n")
    out.print(table(measured))
    if wanted.topology:
        out.print(topology.table(topology.measure(wanted.topology)))


def _sizes(given: str) -> tuple[int, ...]:
    return tuple(int(size) for size in given.split(","))


def measure(customers: int) -> Measured:
    """Bills the demonstration's customers, many times over, in a stack made for it."""
    with tempfile.TemporaryDirectory() as folder, open_house() as house:
        write_many(Path(folder), customers // OF_DEMONSTRATION)
        imported = house.load(Path(folder))
        cycle = house.run_cycle()
        behind = house.finish_mail()
        longest, runs = asyncio.run(house.histories())
        database, events = _size_and_events(house)
        temporal = _mib_of_files(house.addresses.home, "temporal.db*")
    return Measured(cycle, behind, longest, runs, events, imported, database, temporal)


def table(measured: list[Measured]) -> Table:
    """One column a cycle, in turn the base and a larger one."""
    shown = Table("figure", title="What a cycle costs, by its size")
    for one in measured:
        shown.add_column(f"{one.cycle.customers:,} customers", justify="right")
    rows: list[tuple[str, list[str]]] = [
        ("invoices", [f"{one.cycle.invoices:,}" for one in measured]),
        ("usage events", [f"{one.events:,}" for one in measured]),
        ("  imported in", [f"{one.import_seconds:.0f} s" for one in measured]),
        ("request to plan", [f"{one.cycle.planned_seconds:.1f} s" for one in measured]),
        ("request to last PDF", [f"{one.cycle.seconds:.1f} s" for one in measured]),
        *_cpu_rows(measured),
        ("longest run's history", [f"{one.longest:,} events" for one in measured]),
        ("runs of the cycle", [str(one.runs) for one in measured]),
        *_memory_rows(measured),
        ("PostgreSQL on disk", [f"{one.database_mib:,.0f} MiB" for one in measured]),
        ("Temporal on disk (SQLite)", [f"{one.temporal_mib:,.0f} MiB" for one in measured]),
        *_ratio_rows(measured),
    ]
    for name, values in rows:
        shown.add_row(name, *values)
    return shown


def _ratio_rows(measured: list[Measured]) -> list[tuple[str, list[str]]]:
    """Each larger cycle against the two of the base around it, with its budget."""
    figures: list[tuple[str, Callable[[Measured], float]]] = [
        ("time per customer", lambda one: one.cycle.seconds / one.cycle.customers),
        ("CPU per invoice", lambda one: one.cpu(to_last_mail=False)),
        ("CPU per invoice, to the last e-mail", lambda one: one.cpu(to_last_mail=True)),
    ]
    rows = [("budget", [BUDGETS.get(one.cycle.customers, "") for one in measured])]
    for name, figure in figures:
        shown = [""] * len(measured)
        for place in range(1, len(measured), 2):
            around = (figure(measured[place - 1]) + figure(measured[place + 1])) / 2
            shown[place] = f"{figure(measured[place]) / around:.2f}"
        rows.append((f"{name}, against the base around it", shown))
    return rows


def _cpu_rows(measured: list[Measured]) -> list[tuple[str, list[str]]]:
    parts = ("worker", "pdf", "temporal", "postgres")
    rows = [
        (
            f"  CPU per invoice: {part}",
            [
                f"{getattr(one.cycle.cost, part) / one.cycle.invoices * 1_000:.1f} ms"
                for one in measured
            ],
        )
        for part in parts
    ]
    behind = [f"{one.behind.total / one.cycle.invoices * 1_000:.1f} ms" for one in measured]
    return [*rows, ("  CPU per invoice: from then to the last e-mail", behind)]


def _memory_rows(measured: list[Measured]) -> list[tuple[str, list[str]]]:
    """At each mark: the figures of three moments beside each other show whether it grows."""
    return [
        (
            f"MiB at 10, 50, 100 %: {part}",
            [
                " ".join(f"{getattr(at, part):.0f}" for at in one.cycle.memory.values())
                for one in measured
            ],
        )
        for part in ("worker", "pdf", "temporal", "postgres")
    ]


def _size_and_events(house: House) -> tuple[float, int]:
    with transaction(house.engine) as connection:
        row = connection.execute(
            text("""
                SELECT pg_database_size(current_database()) / 1048576.0,
                       (SELECT count(*) FROM billing_events)
            """)
        ).one()
    return float(row[0]), int(row[1])


def _mib_of_files(folder: Path, pattern: str) -> float:
    return sum(file.stat().st_size for file in folder.glob(pattern)) / 1_048_576


if __name__ == "__main__":
    main()
