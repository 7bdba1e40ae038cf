"""How long the reports take with a million invoices, over HTTP."""

import statistics
import time
from datetime import date, timedelta

import httpx
from rich.table import Table

from benchmarks.house import House

REPORTS = ("outstanding", "revenue-by-customer", "mrr", "churn-risk", "collections")
DAYS = [date(2026, 3, 1) + timedelta(place) for place in range(28)]
"""The reports are asked about each of them; what is kept for a day is made at its first time."""
TIMES = 4
BUDGET_MS = 150


def measure_reports(house: House) -> Table:
    table = Table(
        *("report", "a day's first time, median", "then: median", "95th percentile", "budget"),
        title="Reports",
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
