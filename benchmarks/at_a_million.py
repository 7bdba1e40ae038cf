"""`python -m benchmarks.at_a_million`: what is looked at with a million invoices behind it."""

import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks.house import open_house
from benchmarks.many_invoices import CUSTOMERS, fill
from benchmarks.pages import measure_pages
from benchmarks.reports import measure_reports
from demo.dataset import write_dataset

out = Console()


def main() -> None:
    with open_house() as house, tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder))
        house.load(Path(folder))
        began = time.monotonic()
        invoices = fill(house.engine)
        took = time.monotonic() - began
        out.print(f"{invoices:,} invoices, {CUSTOMERS:,} customers, made in {took:.0f} s")
        out.print(measure_pages(house))
        out.print(measure_reports(house))


if __name__ == "__main__":
    main()
