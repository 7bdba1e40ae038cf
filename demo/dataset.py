"""The demo data set: 200 customers, their plans, their usage in February 2026, what was before, and
March's, which is sent and not imported.

`demo/data/` holds inputs only. Its files are in the import format already, but for one:
`usage_by_month.csv` gives each customer's month as one number, which is spread over usage events
here. Nothing is random and nothing reads a clock: the same inputs give the same bytes.
"""

import calendar
import csv
import gzip
import io
import shutil
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path

DATA = Path(__file__).parent / "data"
BILLED_MONTH, NEXT_MONTH = "2026-02", "2026-03"
IMPORTED_AS_IS = (
    "seller.json",
    "meridian-logo.svg",
    "plans.json",
    "tax_rates.csv",
    "customers.csv",
    "subscriptions.csv",
)
OLD_INVOICES = "invoices.csv"
USAGE_COLUMNS = ("event_id", "account_number", "metric", "occurred_at", "quantity")

# Events a month: this many for every customer, and one more for so many units. The months beside
# February are coarser, since each event costs the import the same.
_BASE_EVENTS = 120
_UNITS_PER_EXTRA_EVENT = 600
_UNITS_PER_EXTRA_EVENT_BESIDE = 2_400

# Relative traffic of each hour in UTC, 00 to 23: quiet nights, a busy European day that runs over
# into the American one.
_HOURS = (3, 2, 2, 2, 2, 3, 5, 9, 14, 18, 19, 18, 17, 19, 21, 20, 18, 15, 12, 10, 8, 6, 5, 4)
# Relative traffic of each weekday, Monday to Sunday.
_WEEKDAYS = (10, 11, 11, 11, 9, 4, 3)

_SECONDS_PER_HOUR = 3600
_DRAW_RANGE = 1 << 32


@dataclass(frozen=True)
class MonthOfUsage:
    """What one customer used of one metric in one calendar month (UTC).

    Attributes:
        month: as "2026-02".
        quantity: units in the whole month, at least 1.
    """

    account_number: str
    metric: str
    month: str
    quantity: int


@dataclass(frozen=True)
class TrafficProfile:
    """How a month's traffic is spread over its hours.

    Attributes:
        month: as "2026-02".
        hour_weights: one a clock hour, from the 1st at 00:00 UTC to the last day at 23:00.
        hour_ends: running total of the weights in weight-seconds, exclusive end of each hour.
    """

    month: str
    hour_weights: tuple[int, ...]
    hour_ends: tuple[int, ...]

    @classmethod
    def of(cls, month: str) -> "TrafficProfile":
        first_weekday, days = calendar.monthrange(int(month[:4]), int(month[5:]))
        weights = tuple(
            _WEEKDAYS[(first_weekday + day) % 7] * hour for day in range(days) for hour in _HOURS
        )
        ends = tuple(accumulate(weight * _SECONDS_PER_HOUR for weight in weights))
        return cls(month, weights, ends)

    def instant(self, share: int, shares: int) -> str:
        """The instant (RFC 3339, UTC) by which `share / shares` of the traffic has come.

        `share`: 0 inclusive to `shares` exclusive, so the instant lies inside the month. A larger
        share never gives an earlier instant.
        """
        position = share * self.hour_ends[-1] // shares
        hour = bisect_right(self.hour_ends, position)
        start = self.hour_ends[hour - 1] if hour else 0
        minute, second = divmod((position - start) // self.hour_weights[hour], 60)
        day, hour_of_day = divmod(hour, 24)
        return f"{self.month}-{day + 1:02d}T{hour_of_day:02d}:{minute:02d}:{second:02d}Z"


def write_dataset(target: Path, *, history: bool = True) -> None:
    """Writes the data set into the directory `target`, as `billwright import` reads it.

    `history`: with the invoices of the older system, and the usage before February. `target` is
    made where it is missing; files of the same names are replaced.
    """
    target.mkdir(parents=True, exist_ok=True)
    for name in IMPORTED_AS_IS:
        shutil.copyfile(DATA / name, target / name)
    months = [usage for usage in read_usage_by_month() if usage.month != NEXT_MONTH]
    if history:
        shutil.copyfile(DATA / OLD_INVOICES, target / OLD_INVOICES)
    else:
        months = [usage for usage in months if usage.month == BILLED_MONTH]
    _write_usage(target / "usage.csv.gz", months)


def events_of(
    month: str, account_number: str | None = None
) -> Iterator[tuple[str, str, str, str, int]]:
    """The events of all customers in `month`, as "2026-03", or of one of them, in the order of
    USAGE_COLUMNS.
    """
    profile = TrafficProfile.of(month)
    for usage in read_usage_by_month():
        if usage.month == month and account_number in (None, usage.account_number):
            yield from usage_events(usage, profile)


def read_usage_by_month(path: Path = DATA / "usage_by_month.csv") -> list[MonthOfUsage]:
    """The months of usage in file order.

    Raises ValueError for a quantity below 1, and for an account with two rows in a month: event
    ids carry the account and the month, so a second row would use the first one's ids again.
    """
    with path.open(encoding="utf-8", newline="") as file:
        months = [
            MonthOfUsage(row["account_number"], row["metric"], row["month"], int(row["quantity"]))
            for row in csv.DictReader(file)
        ]
    seen = set()
    for usage in months:
        if usage.quantity < 1:
            raise ValueError(f"{path.name}: {usage} needs a quantity of at least 1; leave it out.")
        if (usage.account_number, usage.month) in seen:
            raise ValueError(f"{path.name}: {usage} is a second row of that account and month.")
        seen.add((usage.account_number, usage.month))
    return months


def usage_events(
    usage: MonthOfUsage, profile: TrafficProfile
) -> Iterator[tuple[str, str, str, str, int]]:
    """The month as events, in the order of USAGE_COLUMNS and of time.

    Each quantity is at least 1 and together they are exactly the month's quantity. The events
    divide the month's traffic into equal slots; a hash of the event id places each inside its
    slot and makes some larger than others.
    """
    units = _UNITS_PER_EXTRA_EVENT if usage.month == BILLED_MONTH else _UNITS_PER_EXTRA_EVENT_BESIDE
    count = min(usage.quantity, _BASE_EVENTS + usage.quantity // units)
    ids = [f"evt-{usage.account_number}-{usage.month}-{n:06d}" for n in range(1, count + 1)]
    draws = [_draws(event_id) for event_id in ids]
    quantities = _divide(usage.quantity, [size for _, size in draws])
    shares = count * _DRAW_RANGE
    for slot, (event_id, (offset, _), quantity) in enumerate(
        zip(ids, draws, quantities, strict=True)
    ):
        instant = profile.instant(slot * _DRAW_RANGE + offset, shares)
        yield event_id, usage.account_number, usage.metric, instant, quantity


def _draws(event_id: str) -> tuple[int, int]:
    """The event's place in its slot, 0 to 2**32 - 1, and its relative size, 40 to 167."""
    digest = blake2b(event_id.encode(), digest_size=5).digest()
    return int.from_bytes(digest[:4], "big"), 40 + digest[4] % 128


def _divide(total: int, sizes: list[int]) -> Iterator[int]:
    """`total` in proportion to `sizes`: integers of at least 1 whose sum is exactly `total`.

    `total` must not be less than the number of sizes.
    """
    to_share, whole = total - len(sizes), sum(sizes)
    given = 0
    for running in accumulate(sizes):
        upto = to_share * running // whole
        yield 1 + upto - given
        given = upto


def _write_usage(path: Path, months: Iterable[MonthOfUsage]) -> None:
    """In the order of `months`, and of time in each.

    No file name and no time in the gzip header: stable bytes.
    """
    profiles: dict[str, TrafficProfile] = {}
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(USAGE_COLUMNS)
        for usage in months:
            if usage.month not in profiles:
                profiles[usage.month] = TrafficProfile.of(usage.month)
            writer.writerows(usage_events(usage, profiles[usage.month]))
