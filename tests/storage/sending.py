"""Usage events that arrive together, and whether their sums are still what they add up to."""

from typing import Any

from sqlalchemy import Connection, text

from storage.usage.batches import Batch, begin_batch, record_batch
from storage.usage.writing import Written, incoming_line, lay_out, write_incoming

SENDER = "the gateway"
Sent = tuple[str, str, str, str]
"""Event id, account number, instant, quantity: of api_calls."""


def send(connection: Connection, *events: Sent) -> Written:
    """Takes the events in together."""
    begin_batch(connection)
    lay_out(
        connection,
        (
            incoming_line(line, event_id, account, "api_calls", at, quantity)
            for line, (event_id, account, at, quantity) in enumerate(events, 1)
        ),
    )
    written = write_incoming(connection, time_zone="UTC", received_by=SENDER)
    connection.execute(text("DELETE FROM incoming_usage"))  # as if the transaction had ended
    new, aside = sum(written.new.values()), len(written.set_aside)
    record_batch(connection, Batch(SENDER, written.first_day, new, set_aside=aside))
    return written


def sums(connection: Connection) -> dict[tuple[str, str], str]:
    """By account number and day, what counts. The sums by day, those by month and the events'
    own say the same.
    """
    by_day = connection.execute(_BY_DAY).all()
    assert by_day == connection.execute(_OF_EVENTS).all()
    assert connection.execute(_BY_MONTH).all() == connection.execute(_MONTHS_OF_DAYS).all()
    return {(row.account_number, row.day.isoformat()): f"{row.quantity:f}" for row in by_day}


def scalar(connection: Connection, query: str) -> Any:
    return connection.execute(text(query)).scalar_one()


_BY_DAY = text("""
    SELECT account_number, metric, day, trim_scale(quantity) AS quantity
    FROM usage_daily JOIN customers ON customers.id = customer_id
    ORDER BY 1, 2, 3
""")
_OF_EVENTS = text("""
    SELECT account_number, metric, (occurred_at AT TIME ZONE 'UTC')::date AS day,
           trim_scale(sum(quantity)) AS quantity
    FROM billing_events JOIN customers ON customers.id = customer_id
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""")
_BY_MONTH = text("""
    SELECT customer_id, metric, month, trim_scale(quantity) FROM usage_monthly ORDER BY 1, 2, 3
""")
_MONTHS_OF_DAYS = text("""
    SELECT customer_id, metric, date_trunc('month', day)::date, trim_scale(sum(quantity))
    FROM usage_daily GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""")
