"""How much usage came in on each of the last days."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class DayOfArrivals:
    """The events that came in on a day of the seller's zone, whenever they occurred.

    `accepted` count for a customer at once, `duplicates` were known before.
    """

    day: date
    accepted: int
    duplicates: int
    set_aside: int
    rejected: int


def arrivals_since(connection: Connection, first: date, *, time_zone: str) -> list[DayOfArrivals]:
    """The days from `first` on, inclusive, on which something came in, the last one first."""
    rows = connection.execute(_ARRIVALS, {"first": first, "zone": time_zone})
    return [DayOfArrivals(**row._mapping) for row in rows]


_ARRIVALS = text("""
    SELECT (received_at AT TIME ZONE :zone)::date AS day,
           sum(accepted) AS accepted, sum(duplicates) AS duplicates,
           sum(set_aside) AS set_aside, sum(rejected) AS rejected
    FROM usage_batches
    WHERE received_at >= CAST(:first AS timestamp) AT TIME ZONE :zone
    GROUP BY 1
    HAVING sum(accepted + duplicates + set_aside + rejected) > 0
    ORDER BY 1 DESC
""")
