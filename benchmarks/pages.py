"""How long the console's pages take with a million invoices, in a real browser."""

import statistics
from collections.abc import Iterable
from datetime import UTC, date, datetime

from playwright.sync_api import Page
from rich.table import Table

from benchmarks.house import House
from benchmarks.reports import DAYS
from demo.browser import logged_in
from storage.access import Role
from storage.engine import transaction
from storage.people import Change, add_person
from storage.recurring import work_out_in_advance
from storage.reports.mrr import report_days

HOME_BUDGET_MS = 1_000
_TIMES = 10
_UNPREPARED = 3  # days; each is up to fourteen days' work
_UNTIL_LOADED = """() => {
  const [page] = performance.getEntriesByType('navigation');
  return page.loadEventEnd - page.startTime;
}"""


def measure_pages(house: House) -> Table:
    """From the click to the page with all that belongs to it."""
    table = Table("page", "median", "95th percentile", "slowest", "budget", title="Console")
    now = datetime.now(UTC)
    with transaction(house.engine) as connection:
        by = Change("bench", now.date())
        email = "bench@billwright.example"
        person = add_person(connection, email, "Bench", Role.FINANCE, "a long password", by)
    with logged_in(house.engine, house.addresses.api_url, person) as page:
        home = f"{house.addresses.api_url}/console/"
        days = [f"{home}?as_of={day}" for day in DAYS]
        _row(table, "home of a day of which nothing is worked out", page, days[:_UNPREPARED])
        _work_out_as_the_schedule_does(house, DAYS)
        _row(table, "home, the first time on a day", page, days[_UNPREPARED:], HOME_BUDGET_MS)
        _row(table, "home, then", page, days * 2, HOME_BUDGET_MS)
        for path in ("billing", "invoices", "invoices?q=Customer+77&open=true", "customers"):
            _row(table, path, page, [home + path] * _TIMES)
    return table


def _work_out_as_the_schedule_does(house: House, days: Iterable[date]) -> None:
    """What the workflow `RecurringRevenue` does on each of them, for days that are not today."""
    for day in days:
        for needed in report_days(day):
            with transaction(house.engine) as connection:
                work_out_in_advance(connection, needed)


def _row(
    table: Table, name: str, page: Page, addresses: Iterable[str], budget: int | None = None
) -> None:
    times = [_load(page, address) for address in addresses]
    table.add_row(
        name,
        f"{statistics.median(times):.0f} ms",
        f"{statistics.quantiles(times, n=20, method='inclusive')[-1]:.0f} ms",
        f"{max(times):.0f} ms",
        f"{budget:,} ms" if budget else "",
    )


def _load(page: Page, address: str) -> float:
    """Milliseconds."""
    answer = page.goto(address, timeout=120_000)
    assert answer is not None
    assert answer.ok, f"{address}: {answer.status}"
    return float(page.evaluate(_UNTIL_LOADED))
