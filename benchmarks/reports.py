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

REPORTS = ("outstanding", "revenue-by-customer", "mrr", "churn-risk")
DAYS = [date(2026, 3, 1) + timedelta(place) for place in range(28)]
"""The reports are asked about each of them, twice."""
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
        table = Table("report", "first", "median", "95th percentile", "budget", title=title)
        for report in REPORTS:
            first, *times = _times(house.http, f"/api/billing/{report}")
            table.add_row(
                report,
                f"{first:.0f} ms",
                f"{statistics.median(times):.0f} ms",
                f"{statistics.quantiles(times, n=20)[-1]:.0f} ms",
                f"{BUDGET_MS} ms",
            )
    return table


def _times(http: httpx.Client, path: str) -> list[float]:
    """Milliseconds of each request; the first one and every day's first are among them."""
    found = []
    for day in (*DAYS, *DAYS):
        began = time.perf_counter()
        http.get(path, params={"as_of": day.isoformat()}, timeout=120).raise_for_status()
        found.append((time.perf_counter() - began) * 1000)
    return found


if __name__ == "__main__":
    main()
