"""What became of every unit of the month: counted, billed, or waiting for a reason.

`received` is counted from the events themselves, which are read once; the counters, by which
customers are billed, are what it is held against.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, text

from domain.proof import Entry, Equation, Proof, Scale
from storage.proof.sides import Scope

FreeUnits = Mapping[tuple[int, str], Decimal]
"""By customer id and metric: units that were billed and cost nothing."""

_NOTHING = Decimal(0)
_AT_ONCE = 5_000
_LONGEST_BATCH = timedelta(minutes=15)
"""What began to come in so long before a plan may have been committed behind it."""

_FREE = "billed and free: inside a free tier"
_PRICED = "billed at a price"
_LATE = "billed late, with a later invoice"
_PLANNED = "late, in a plan that is not issued"
_UNCHARGED = "came late and changed no charge, or was credited"
_WAITING = "arrived since; the next cycle bills it"
_SET_ASIDE = "set aside: nobody has the account"
_DISMISSED = "set aside and dismissed by a person"


def usage_accounted_for(connection: Connection, scope: Scope, free: FreeUnits) -> Proof:
    """By customer and metric; `free` says what of the billed units cost nothing."""
    counted, by_day = Scale(Equation.USAGE_COUNTED), Scale(Equation.USAGE_BY_DAY)
    billed = Scale(Equation.USAGE_BILLED)
    rebuild = "the counter is not the sum of the events; rebuild it before anything is billed by it"
    rows = connection.execute(
        _USAGE, _instants(connection, scope), execution_options={"yield_per": _AT_ONCE}
    )
    for row in rows:
        unit, account = row.metric, row.account_number
        counted.add(Entry(unit, account, row.received, row.monthly, explanation=rebuild))
        by_day.add(Entry(unit, account, row.received, row.daily, explanation=rebuild))
        billed.add(_accounted_for(row, free.get((row.customer_id, row.metric), _NOTHING)))
    for row in connection.execute(_SET_ASIDE_EVENTS, _instants(connection, scope)):
        name = _DISMISSED if row.dismissed else _SET_ASIDE
        parts = ((name, row.quantity),)
        billed.add(Entry(row.metric, row.account_number, row.quantity, row.quantity, parts=parts))
    return counted.proof() + by_day.proof() + billed.proof()


def _accounted_for(row: Row[Any], free: Decimal) -> Entry:
    """Where the units of one customer and metric are."""
    free = max(_NOTHING, min(free, row.own))
    billed = row.own + row.late + row.planned + row.uncharged
    rest = row.received - billed
    where, left, explanation = _left_over(row, rest, row.monthly - billed)
    parts = [
        (_PRICED, row.own - free),
        (_FREE, free),
        (_LATE, row.late),
        (_PLANNED, row.planned),
        (_UNCHARGED, row.uncharged),
        (where, left),
    ]
    return Entry(
        row.metric,
        row.account_number,
        row.received,
        billed + left,
        row.number or "",
        tuple(parts),
        explanation if rest != left else "",
    )


def _left_over(row: Row[Any], rest: Decimal, by_counter: Decimal) -> tuple[str, Decimal, str]:
    """Where what is not billed is, how much of it can be there, and what is wrong with the rest.

    `rest` is told by the events, `by_counter` by the month's counter.
    """
    if row.outcome == "failed":
        return f"customer failed: {row.reason_code.replace('_', ' ')}", by_counter, _AMISS
    if row.outcome == "drafted":
        return "in a draft that is not issued", by_counter, _AMISS
    if row.invoice_status == "void":
        return "its invoice was taken back", by_counter, _AMISS
    if row.reason_code == "already_invoiced" and row.changes_rated is None:
        return "billed by an older system", by_counter, _AMISS
    if row.reopened:  # the next cycle rates the whole month
        return _WAITING, by_counter, _AMISS
    if row.changes_rated == row.changes:
        return _WAITING, _NOTHING, _FORGOTTEN
    # what came since the plan, less what was rated of that by later plans
    certain = row.came_after - row.late - row.planned - row.uncharged
    arrived = max(certain + row.perhaps_less, min(rest, certain + row.perhaps_more))
    return _WAITING, arrived, _AMISS


_AMISS = "neither billed nor known to wait; look at the customer's events and invoices"
_FORGOTTEN = "not billed, and marked as if it were: no cycle will bill it"


def _instants(connection: Connection, scope: Scope) -> dict[str, Any]:
    """The month as instants, its part inside the partition of its name apart from the hours that a
    time zone has in the one beside it.
    """
    start, end = scope.period.bounds(scope.time_zone)
    first = datetime(scope.period.year, scope.period.month, 1, tzinfo=UTC)
    following = scope.period.next()
    after = datetime(following.year, following.month, 1, tzinfo=UTC)
    planned = connection.execute(_PLANNED_AT, scope.parameters).one()
    return {
        **scope.parameters,
        "start": start,
        "end": end,
        "first": max(start, first),
        "after": min(end, after),
        "edge_start": start if start < first else max(start, after),
        "edge_end": first if start < first else end,
        "begun": planned.started_at - _LONGEST_BATCH,
        "planned": planned.planned_at,
    }


_PLANNED_AT = text("""
    SELECT started_at, coalesce(planned_at, started_at) AS planned_at
    FROM billing_cycles WHERE id = :cycle
""")
_COUNTED = """
    sum(quantity) AS received,
    coalesce(sum(quantity) FILTER (WHERE received_at > :planned), 0) AS came_after,
    coalesce(sum(quantity) FILTER (WHERE received_at BETWEEN :begun AND :planned
                                     AND quantity > 0), 0) AS perhaps_more,
    coalesce(sum(quantity) FILTER (WHERE received_at BETWEEN :begun AND :planned
                                     AND quantity < 0), 0) AS perhaps_less
"""
_USAGE = text(f"""
    WITH inside AS (
        SELECT customer_id, metric, {_COUNTED}
        FROM billing_events WHERE occurred_at >= :first AND occurred_at < :after
        GROUP BY customer_id, metric
    ), edge AS (
        SELECT customers.id AS customer_id, metric, {_COUNTED}
        FROM customers CROSS JOIN LATERAL (
            SELECT metric, quantity, received_at FROM billing_events
            WHERE customer_id = customers.id
              AND occurred_at >= :edge_start AND occurred_at < :edge_end
        ) event
        WHERE CAST(:edge_start AS timestamptz) < :edge_end
        GROUP BY customers.id, metric
    ), events AS (
        SELECT customer_id, metric, sum(received) AS received, sum(came_after) AS came_after,
               sum(perhaps_more) AS perhaps_more, sum(perhaps_less) AS perhaps_less
        FROM (SELECT * FROM inside UNION ALL SELECT * FROM edge) parts
        GROUP BY customer_id, metric
    ), assigned AS (
        -- an event that was set aside keeps the time at which it came
        SELECT assigned_to AS customer_id, metric, sum(quantity) AS assigned
        FROM set_aside_events
        WHERE occurred_at >= :start AND occurred_at < :end
          AND assigned_at >= :begun AND received_at < :begun
        GROUP BY assigned_to, metric
    ), monthly AS (
        SELECT customer_id, metric, quantity AS monthly, changes FROM usage_monthly
        WHERE month = :month
    ), billed AS (
        SELECT billed.customer_id, billed.metric, max(billed.changes) AS changes_rated,
               sum(billed.quantity) FILTER (
                   WHERE invoice.cycle_id = :cycle AND invoice.status <> 'draft') AS own,
               sum(billed.quantity) FILTER (
                   WHERE invoice.cycle_id <> :cycle AND invoice.status <> 'draft') AS late,
               sum(billed.quantity) FILTER (
                   WHERE invoice.cycle_id <> :cycle AND invoice.status = 'draft') AS planned,
               sum(billed.quantity) FILTER (WHERE invoice.id IS NULL) AS uncharged
        FROM billed_usage billed LEFT JOIN invoices invoice ON invoice.id = billed.invoice_id
        WHERE billed.month = :month AND invoice.status IS DISTINCT FROM 'void'
        GROUP BY billed.customer_id, billed.metric
    ), sides AS (
        SELECT customer_id, metric, coalesce(received, 0) AS received,
               coalesce(monthly, 0) AS monthly, changes, changes_rated,
               coalesce(own, 0) AS own, coalesce(late, 0) AS late,
               coalesce(planned, 0) AS planned, coalesce(uncharged, 0) AS uncharged,
               coalesce(came_after, 0) AS came_after, coalesce(perhaps_less, 0) AS perhaps_less,
               coalesce(perhaps_more, 0) + coalesce(assigned, 0) AS perhaps_more
        FROM events
        LEFT JOIN assigned USING (customer_id, metric)
        FULL JOIN monthly USING (customer_id, metric)
        FULL JOIN billed USING (customer_id, metric)
    )
    SELECT sides.*, coalesce(daily.quantity, 0) AS daily,
           coalesce(customer.account_number, 'id ' || sides.customer_id) AS account_number,
           item.outcome, coalesce(item.reason_code, '') AS reason_code,
           own.number, own.status AS invoice_status,
           EXISTS (SELECT FROM reopened_months reopened
                   WHERE reopened.customer_id = sides.customer_id
                     AND :month BETWEEN reopened.from_month AND reopened.to_month
                     AND reopened.id > coalesce((
                         SELECT max(rated.reopened)
                         FROM rated_months rated LEFT JOIN invoices ON invoices.id = invoice_id
                         WHERE rated.customer_id = sides.customer_id AND rated.month = :month
                           AND invoices.status IS DISTINCT FROM 'void'), 0)) AS reopened
    FROM sides
    LEFT JOIN customers customer ON customer.id = sides.customer_id
    LEFT JOIN billing_cycle_items item
        ON item.cycle_id = :cycle AND item.customer_id = sides.customer_id AND item.part = ''
    LEFT JOIN invoices own ON own.id = item.invoice_id
    LEFT JOIN LATERAL (
        SELECT sum(quantity) AS quantity FROM usage_daily
        WHERE customer_id = sides.customer_id AND metric = sides.metric
          AND day >= :month AND day < CAST(:month AS date) + interval '1 month'
    ) daily ON true
    ORDER BY account_number, sides.metric
""")  # noqa: S608 - of constants
_SET_ASIDE_EVENTS = text("""
    SELECT metric, account_number, dismissed_at IS NOT NULL AS dismissed, sum(quantity) AS quantity
    FROM set_aside_events
    WHERE occurred_at >= :start AND occurred_at < :end AND assigned_at IS NULL
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3
""")
