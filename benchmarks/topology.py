"""A month on the production topology as processes: a Temporal server on PostgreSQL, two workers,
the API.
"""

import argparse
import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

from benchmarks.datasets import OF_DEMONSTRATION, write_many
from benchmarks.house import FEBRUARY, House, MeasuredCycle, open_house
from benchmarks.temporal_on_postgres import SHARDS, TemporalOnPostgres
from storage.engine import transaction
from workflows.connection import connect

WORKERS = 2
out = Console()


@dataclass(frozen=True)
class MeasuredTopology:
    """A cycle, and what its Temporal server says of it.

    `longest`, `runs`: as in the other benchmarks. `found`: how many workflows the period's search
    attribute finds. `schedules`: their ids. `retention_days`: as the worker has set it.
    `databases`: MiB by name.
    """

    cycle: MeasuredCycle
    longest: int
    runs: int
    found: int
    schedules: list[str]
    retention_days: int
    databases: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.topology", description=__doc__)
    parser.add_argument("--customers", type=int, default=2_000, help="a multiple of 200")
    out.print(table(measure(parser.parse_args().customers)))


def measure(customers: int) -> MeasuredTopology:
    """Bills the demonstration's customers, many times over."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_house(workers=WORKERS, temporal=TemporalOnPostgres) as house,
    ):
        write_many(Path(folder), customers // OF_DEMONSTRATION)
        house.load(Path(folder))
        cycle = house.run_cycle()
        longest, runs = asyncio.run(house.histories())
        found, schedules, days = asyncio.run(_told_by_temporal(house))
        return MeasuredTopology(cycle, longest, runs, found, schedules, days, _sizes(house))


async def _told_by_temporal(house: House) -> tuple[int, list[str], int]:
    client = await connect(house.addresses.temporal_address, "default")
    counted = await client.count_workflows(f"BillingPeriod = '{FEBRUARY}'")
    schedules = [schedule.id async for schedule in await client.list_schedules()]
    told = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace="default")
    )
    retention = told.config.workflow_execution_retention_ttl.ToTimedelta()
    return counted.count, sorted(schedules), retention.days


def _sizes(house: House) -> dict[str, float]:
    with transaction(house.engine) as connection:
        rows = connection.execute(
            text("""
                SELECT datname, pg_database_size(datname) / 1048576.0 FROM pg_database
                WHERE datname IN ('billwright', 'temporal', 'temporal_visibility')
                ORDER BY datname
            """)
        )
        return {name: float(size) for name, size in rows}


def table(measured: MeasuredTopology) -> Table:
    cycle = measured.cycle
    shown = Table(
        "figure",
        "measured",
        title=f"Temporal on PostgreSQL ({SHARDS} shards), {WORKERS} workers, the API",
    )
    shown.columns[1].justify = "right"
    shown.add_row(
        f"cycle of {cycle.customers:,} customers, {cycle.invoices:,} invoices",
        f"{cycle.seconds:.1f} s",
    )
    for part, seconds in vars(cycle.cost).items():
        shown.add_row(f"  CPU: {part}", f"{seconds:.1f} s")
    shown.add_row(
        "CPU per invoice without its PDF", f"{cycle.cost.without_pdf / cycle.invoices * 1e3:.0f} ms"
    )
    shown.add_row("longest run's history", f"{measured.longest:,} events, {measured.runs} runs")
    shown.add_row("workflows found by the period", f"{measured.found:,}")
    shown.add_row("schedules", ", ".join(measured.schedules))
    shown.add_row("retention", f"{measured.retention_days} days")
    for name, mib in measured.databases.items():
        shown.add_row(f"database {name}", f"{mib:,.0f} MiB")
    return shown


if __name__ == "__main__":
    main()
