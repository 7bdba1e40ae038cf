"""`python -m benchmarks.reports`: how long the reports take with a million invoices, over HTTP."""

import statistics
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.house import open_house
from benchmarks.many_invoices import CUSTOMERS, fill
from demo.dataset import write_dataset

REPORTS = ("outstanding", "revenue-by-customer", "mrr", "churn-risk", "collections")
DAYS = [date(2026, 3, 1) + timedelta(place) for place in range(28)]
"""The reports are asked about each of them; what is kept for a day is made at its first time."""
TIMES = 4
BUDGET_MS = 150
out = Console()


def main() -> None:
    out.print(measure())


def measure() -> Table:
    with open_house() as house, tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder))
        house.load(Path(folder))
        began = time.monotonic()
        invoices = fill(house.engine)
        took = time.monotonic() - began
        title = f"{invoices:,} invoices, {CUSTOMERS:,} customers, made in {took:.0f} s"
        table = Table(
            *("report", "a day's first time, median", "then: median", "95th percentile", "budget"),
            title=title,
        )
        for report in REPORTS:
            path = f"/api/billing/{report}"
            first = [_ask(house.http, path, day) for day in DAYS]
            times = [_ask(house.http, path, day) for day in DAYS * TIMES]
            table.add_row(
                report,
                f"{statistics.median(first):.0f} ms",
                f"{statistics.median(times):.0f} ms",
                f"{statistics.quantiles(times, n=20)[-1]:.0f} ms",
                f"{BUDGET_MS} ms",
            )
    return table


def _ask(http: httpx.Client, path: str, day: date) -> float:
    """Milliseconds of one request."""
    began = time.perf_counter()
    http.get(path, params={"as_of": day.isoformat()}, timeout=120).raise_for_status()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
