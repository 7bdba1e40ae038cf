"""`make bench`: the figures of a cycle, as ratios in one run and with the CPU of each part."""

import argparse
import asyncio
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks import at_a_million, ingestion
from benchmarks.bare_loop import run_bare_loop
from benchmarks.datasets import OF_DEMONSTRATION, write_many
from benchmarks.house import Cost, House, MeasuredCycle, open_house
from benchmarks.pdf import median_pdf_cpu
from demo.dataset import write_dataset

out = Console()
BY_HAND_SECONDS = 34


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--customers",
        type=int,
        default=2_000,
        help="size of the large cycle; 0 leaves out what takes long: it, reports and ingestion",
    )
    wanted = parser.parse_args()
    table = Table("figure", "measured", "budget", title="What a cycle costs")
    table.columns[1].justify = "right"
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder), history=False)
        with open_house() as house:
            imported = house.load(Path(folder))
            small = house.run_cycle()
            behind = house.finish_mail()
            pdf = median_pdf_cpu(house.engine)
            loop = run_bare_loop(_fresh_database(house), Path(folder))
    table.add_row("import of 112,850 usage events", f"{imported:.1f} s", "")
    _cycle_rows(table, small, behind)
    _comparison_rows(table, small, loop.seconds, pdf)
    if wanted.customers:
        _large_rows(table, small, wanted.customers // OF_DEMONSTRATION)
    out.print(table)
    if wanted.customers:
        at_a_million.main()
        ingestion.run()


def _cycle_rows(table: Table, cycle: MeasuredCycle, behind: Cost) -> None:
    cost = cycle.cost
    table.add_row(
        f"cycle of {cycle.customers} customers, {cycle.invoices} invoices",
        f"{cycle.seconds:.1f} s",
        "17 s, then 8.5 s",
    )
    table.add_row(
        "  against the process it replaces", f"{BY_HAND_SECONDS / cycle.seconds:.1f} x", ""
    )
    for part, seconds in vars(cost).items():
        table.add_row(f"  CPU: {part}", f"{seconds:.1f} s", "")
    table.add_row(
        "CPU per invoice without its PDF",
        f"{cost.without_pdf / cycle.invoices * 1000:.0f} ms",
        "40 ms, then 25 ms",
    )
    table.add_row("CPU behind the cycle: its mail, all parts", f"{behind.total:.1f} s", "")


def _comparison_rows(
    table: Table, cycle: MeasuredCycle, loop_seconds: float, pdf_ms: float
) -> None:
    """What was measured once the stack was at rest."""
    table.add_row("CPU of one PDF, median", f"{pdf_ms:.0f} ms", "35 ms")
    table.add_row("bare loop on two processes", f"{loop_seconds:.1f} s", "")
    table.add_row("cycle / bare loop", f"{cycle.seconds / loop_seconds:.2f}", "2.0")


def _large_rows(table: Table, small: MeasuredCycle, times: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_many(Path(folder), times)
        with open_house() as house:
            imported = house.load(Path(folder))
            with house.engine.connect() as connection:
                events = connection.execute(
                    text("SELECT count(*) FROM billing_events")
                ).scalar_one()
            large = house.run_cycle()
            longest, _ = asyncio.run(house.histories())
    table.add_row(f"import of {events:,} usage events", f"{imported:.1f} s", "60 s for a million")
    table.add_row(
        f"cycle of {large.customers} customers, {large.invoices} invoices",
        f"{large.seconds:.1f} s",
        "",
    )
    per_customer, cpu = large.against(small)
    table.add_row("  time per customer, against 200", f"{per_customer:.2f}", "1.2")
    table.add_row("  CPU per customer, against 200", f"{cpu:.2f}", "1.2")
    table.add_row("  longest run's history", f"{longest} events", "bounded")


def _fresh_database(house: House) -> str:
    """An empty database beside the house's own, on the same server."""
    with house.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE bare_loop"))
    return house.addresses.database_url.rpartition("/")[0] + "/bare_loop"


if __name__ == "__main__":
    main()
