"""The demonstration's customers, many times over."""

import csv
import gzip
from pathlib import Path

from demo.dataset import write_dataset

OF_DEMONSTRATION = 200
"""Customers."""
OF_CUSTOMERS = ("customers.csv", "subscriptions.csv", "usage.csv.gz")


def write_many(target: Path, times: int) -> None:
    """Writes the demonstration's February `times` over, under further account numbers."""
    write_dataset(target, history=False)
    for name in OF_CUSTOMERS:
        path = target / name
        header, rows = _read(path)
        account = header.index("account_number")
        event = header.index("event_id") if "event_id" in header else None
        with _open(path, "wt") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            for copy in range(times):
                for row in rows:
                    writer.writerow(_renamed(row, account, event, copy))


def _renamed(row: list[str], account: int, event: int | None, copy: int) -> list[str]:
    changed = list(row)
    changed[account] = f"{copy:03d}-{row[account]}"
    if event is not None:
        changed[event] = f"{copy:03d}-{row[event]}"
    return changed


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    with _open(path, "rt") as file:
        reader = csv.reader(file)
        return next(reader), list(reader)


def _open(path: Path, mode: str):  # type: ignore[no-untyped-def]
    if path.suffix == ".gz":
        return gzip.open(path, mode, encoding="utf-8", newline="", compresslevel=1)
    return path.open(mode.rstrip("t"), encoding="utf-8", newline="")
