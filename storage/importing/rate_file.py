"""exchange_rates.csv: what one currency is in another, by day."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from storage.importing import fields
from storage.importing.problems import Problems
from storage.importing.reading import read_records
from storage.tables import exchange_rates

COLUMNS = {
    "base": fields.currency,
    "quote": fields.currency,
    "valid_from": fields.day,
    "rate": fields.positive,
}


def read_exchange_rates(
    connection: Connection, path: Path, problems: Problems
) -> list[dict[str, Any]]:
    """The rates that are new: one unit of base is so many of quote, from a day on."""
    known = {
        (row.base, row.quote, row.valid_from): row.rate
        for row in connection.execute(select(exchange_rates))
    }
    new: list[dict[str, Any]] = []
    for record in read_records(path, COLUMNS, problems):
        row = record.values
        key = (row["base"], row["quote"], row["valid_from"])
        if row["base"] == row["quote"]:
            problems.add(path.name, record.line, "quote", "is the base; a currency needs no rate")
        elif key not in known:
            known[key] = row["rate"]
            new.append(row)
        elif known[key] != row["rate"]:
            reason = f"is known as {known[key]:f}; give another rate its own valid_from"
            problems.add(path.name, record.line, "rate", reason)
    return new


def write_exchange_rates(connection: Connection, rates: list[dict[str, Any]]) -> None:
    if rates:
        connection.execute(insert(exchange_rates), rates)
