"""How the sides of an equation come out of PostgreSQL without one row for each that agrees."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from domain.money import minor_digits
from domain.periods import BillingPeriod
from domain.proof import Entry
from storage.reports.currencies import INVOICED_CURRENCIES

_AT_ONCE = 5_000


@dataclass(frozen=True)
class Scope:
    """What is proved: the cycle of a month, as of a business day, in the seller's time zone."""

    cycle_id: int
    period: BillingPeriod
    as_of: date
    time_zone: str
    currency: str
    """In which reports are asked for where invoices have several."""

    @property
    def parameters(self) -> dict[str, Any]:
        return {"cycle": self.cycle_id, "month": self.period.start, "as_of": self.as_of}


@dataclass(frozen=True)
class Span:
    """The time of a month's money, `[since, until)`; `until` None: until now.

    It goes from the issue of the month's invoices to that of the next ones, so that each payment
    belongs to one month. Both are whole seconds, in which the card processor counts.
    """

    since: datetime
    until: datetime | None

    @property
    def parameters(self) -> dict[str, Any]:
        return {"since": self.since, "until": self.until}


def span_of(connection: Connection, scope: Scope) -> Span:
    row = connection.execute(_SPAN, scope.parameters).one()
    return Span(row.since, row.until)


_SPAN = text("""
    SELECT date_trunc('second', coalesce(cycle.issue_began_at, cycle.started_at)) AS since,
           (SELECT date_trunc('second', min(later.issue_began_at)) FROM billing_cycles later
            WHERE later.issue_began_at > coalesce(cycle.issue_began_at, cycle.started_at)) AS until
    FROM billing_cycles cycle WHERE cycle.id = :cycle
""")


def entries(
    connection: Connection, sides: str, values: Mapping[str, Any], *, explanation: str = ""
) -> Iterator[Entry]:
    """The entries of a query for unit, account_number, subject, expected and found.

    Those that agree come as one entry a unit: their sums are all that is wanted of them.
    """
    rows = connection.execute(
        text(f"""
            SELECT unit,
                   CASE WHEN expected <> found THEN account_number ELSE '' END AS account_number,
                   CASE WHEN expected <> found THEN subject ELSE '' END AS subject,
                   sum(expected) AS expected, sum(found) AS found
            FROM ({sides}) sides
            GROUP BY 1, 2, 3
            ORDER BY 1, 2, 3
        """),  # noqa: S608 - of queries that are constants
        dict(values),
        execution_options={"yield_per": _AT_ONCE},
    )
    for row in rows:
        yield Entry(
            row.unit,
            row.account_number,
            row.expected,
            row.found,
            row.subject,
            explanation=explanation,
        )


DIGITS = "unnest(CAST(:codes AS text[]), CAST(:digits AS integer[])) AS minor(currency, digits)"
"""A table with the digits of each currency, for a query that rounds; see `digits_of_currencies`."""


def digits_of_currencies(connection: Connection) -> dict[str, Any]:
    """Values for `DIGITS`: all currencies in which anything was invoiced."""
    codes = list(connection.execute(INVOICED_CURRENCIES).scalars())
    return {"codes": codes, "digits": [minor_digits(code) for code in codes]}
