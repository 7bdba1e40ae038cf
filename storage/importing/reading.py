"""Files read: CSV row by row, each cell parsed by its column's rule; JSON whole."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from storage.importing.fields import Parser
from storage.importing.problems import Problems

ACTOR = "import"
"""The audit log's actor for what came by files."""
_LONGEST_CELL = 10_000


@dataclass(frozen=True)
class Record:
    """A good row: its line, counted from 1 with the header, and its values by column."""

    line: int
    values: dict[str, Any]


def open_text(path: Path) -> IO[str]:
    """Opens a text file, gzip or not, as UTF-8 with or without a byte-order mark."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def read_records(
    path: Path,
    columns: Mapping[str, Parser],
    problems: Problems,
    *,
    optional: Mapping[str, Parser] | None = None,
) -> Iterator[Record]:
    """The good rows of a CSV file; the bad ones go to `problems`.

    The header names the columns, in any order. `optional` ones may be absent and then read as
    empty text. A file that cannot be read as UTF-8 CSV is one problem, and has no further rows.
    """
    extra = optional or {}
    parsers = {**columns, **extra}
    try:
        with open_text(path) as lines:
            reader = csv.reader(lines, strict=True)
            header = next(reader, [])
            if not _good_header(path.name, header, columns, extra, problems):
                return
            absent = {name: parsers[name]("") for name in extra if name not in header}
            for cells in reader:
                if not cells:
                    continue
                values = _parse(path.name, reader.line_num, header, cells, parsers, problems)
                if values is not None:
                    yield Record(reader.line_num, {**absent, **values})
    except (UnicodeDecodeError, csv.Error, zlib.error, EOFError, OSError) as error:
        problems.add(path.name, 0, "", f"cannot be read as UTF-8 CSV: {error}")


def read_json(path: Path, problems: Problems) -> Any:
    """What a JSON file holds, its fractions as Decimal; None, with a problem, if it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
    except (ValueError, OSError, RecursionError) as error:
        problems.add(path.name, getattr(error, "lineno", 1), "", f"is not JSON: {error}")
        return None


def _good_header(
    file: str,
    header: list[str],
    columns: Mapping[str, Parser],
    optional: Mapping[str, Parser],
    problems: Problems,
) -> bool:
    complaints = [
        (name, "is missing from the header; add the column")
        for name in columns
        if name not in header
    ]
    complaints += [
        (name, "is no column of this file; remove it")
        for name in header
        if name not in columns and name not in optional
    ]
    complaints += [
        (name, "stands twice in the header")
        for name in dict.fromkeys(header)
        if header.count(name) > 1
    ]
    for column, reason in complaints:
        problems.add(file, 1, column, reason)
    return not complaints


def _parse(
    file: str,
    line: int,
    header: list[str],
    cells: list[str],
    parsers: Mapping[str, Parser],
    problems: Problems,
) -> dict[str, Any] | None:
    if len(cells) != len(header):
        problems.add(file, line, "", f"has {len(cells)} cells and the header {len(header)}")
        return None
    values: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=True):
        if len(cell) > _LONGEST_CELL:
            problems.add(file, line, name, f"is longer than {_LONGEST_CELL} characters")
            continue
        try:
            values[name] = parsers[name](cell)
        except ValueError as reason:
            problems.add(file, line, name, str(reason))
    return values if len(values) == len(header) else None
