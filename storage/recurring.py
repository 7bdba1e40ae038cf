"""Each customer's recurring revenue by day: worked out once, again where what it rests on grew.

The days of the present report are worked out in advance, any other when a report first asks for
it. A contract or a price that comes in later for a day, or for days before, takes it off the list
again, and so does a file of usage. Usage that streams in does not: readers bear with a day that it
has overtaken for some minutes, in which the schedule works it out anew.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, delete, exists, func, insert, or_, select, text

from domain.errors import CustomerCannotBeBilled
from domain.plans import PriceBook
from domain.rating import Contract, Subscription
from domain.recurring import recurring_revenue as rate
from domain.recurring import window_start
from storage.customers import discounts_of
from storage.price_list import load_prices
from storage.tables import recurring_days, recurring_revenue, usage_batches
from storage.usage.batches import so_far

WRITERS_LOCK = 0x42494D50  # "BIMP": who writes what recurring revenue rests on, one at a time

_PATIENCE = "5s"
_READERS_BEAR_WITH = timedelta(minutes=10)


def lock_writers(connection: Connection) -> None:
    """Whoever else writes, or works out recurring revenue, waits until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITERS_LOCK})


def forget_from(connection: Connection, day: date) -> None:
    """Something came in that counts from `day` on."""
    connection.execute(delete(recurring_days).where(recurring_days.c.day >= day))


def work_out(connection: Connection, days: Collection[date]) -> None:
    """Sees to it that `days` are there, and stay until the transaction ends. Customers who cannot
    be rated are left out and counted. A day that usage has overtaken is left for ten minutes.
    """
    with connection.begin_nested() as looking:
        if not _missing(connection, days, keep=True, bear_with=_READERS_BEAR_WITH):
            return
        looking.rollback()  # whoever holds the lock that is waited for next may wait for these
    lock_writers(connection)
    _work_out_anew(connection, _missing(connection, days, bear_with=_READERS_BEAR_WITH))


def work_out_in_advance(connection: Connection, day: date) -> None:
    """Works `day` out unless it is there and nothing has overtaken it.

    Nobody waits for the day yet: behind an import it gives up after some seconds, as by an outage,
    and holds neither connection nor thread until that has ended.
    """
    connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
    lock_writers(connection)
    _work_out_anew(connection, missing_days(connection, [day]))


def _work_out_anew(connection: Connection, days: Collection[date]) -> None:
    """The caller holds the writers' lock."""
    if not days:
        return
    last_batch = so_far(connection)
    prices = PriceBook(load_prices(connection))
    for day in days:
        rows, unrated = _rate_all(connection, prices, day)
        for table in (recurring_revenue, recurring_days):
            connection.execute(delete(table).where(table.c.day == day))
        connection.execute(
            insert(recurring_days).values(day=day, unrated=unrated, usage_until=last_batch)
        )
        if rows:
            connection.execute(insert(recurring_revenue), rows)
            connection.execute(_TOTALS, {"day": day})


def missing_days(connection: Connection, days: Collection[date]) -> list[date]:
    """Those of `days` that have to be worked out, the oldest first, and those that usage has
    overtaken since they were.
    """
    return _missing(connection, days)


def _missing(
    connection: Connection,
    days: Collection[date],
    *,
    keep: bool = False,
    bear_with: timedelta = timedelta(0),
) -> list[date]:
    """`keep`: the others stay there until the transaction ends. `bear_with`: for how long a day is
    good that usage has overtaken.
    """
    day, batch = recurring_days.c, usage_batches.c
    overtaken = exists().where(batch.id > day.usage_until, batch.first_day <= day.day)
    lately = day.worked_out_at > func.now() - bear_with
    listed = select(day.day).where(day.day.in_(days), or_(~overtaken, lately))
    if keep:
        listed = listed.with_for_update(read=True, of=recurring_days)
    return sorted(set(days) - set(connection.execute(listed).scalars()))


def unrated_on(connection: Connection, day: date) -> int:
    """How many customers could not be rated on a day that was worked out."""
    return int(
        connection.execute(
            select(recurring_days.c.unrated).where(recurring_days.c.day == day)
        ).scalar_one()
    )


def _rate_all(
    connection: Connection, prices: PriceBook, day: date
) -> tuple[list[dict[str, Any]], int]:
    """A row for each customer with recurring revenue, and how many could not be rated."""
    found = connection.execute(_ACTIVE, {"day": day, "from": window_start(day)})
    by_customer: dict[tuple[int, str], list[Any]] = defaultdict(list)
    for row in found:
        by_customer[row.customer_id, row.currency].append(row)
    discounts = discounts_of(connection, list({customer_id for customer_id, _ in by_customer}))
    rows, unrated = [], 0
    for (customer_id, currency), mine in by_customer.items():
        try:
            terms = Contract(currency, _subscribed(mine), tuple(discounts.get(customer_id, ())))
            revenue = rate(terms, _used(mine), prices, day)
        except CustomerCannotBeBilled:
            unrated += 1
            continue
        if revenue.total:
            rows.append(
                {
                    "day": day,
                    "customer_id": customer_id,
                    "currency": currency,
                    "usage": revenue.usage,
                    "subscriptions": revenue.subscriptions,
                }
            )
    return rows, unrated


def _subscribed(rows: Iterable[Any]) -> tuple[Subscription, ...]:
    return tuple(dict.fromkeys(_subscription(row) for row in rows))


def _used(rows: Iterable[Any]) -> dict[Subscription, dict[str, Any]]:
    used: dict[Subscription, dict[str, Any]] = defaultdict(dict)
    for row in rows:
        if row.used:
            used[_subscription(row)][row.metric] = row.used
    return used


def _subscription(row: Any) -> Subscription:
    return Subscription(row.code, row.quantity, row.starts_on, row.ends_on)


_TOTALS = text("""
    INSERT INTO recurring_totals (day, currency, usage, subscriptions, customers)
    SELECT day, currency, sum(usage), sum(subscriptions), count(*)
    FROM recurring_revenue WHERE day = :day GROUP BY 1, 2
""")
_ACTIVE = text("""
    SELECT subscription.customer_id, customer.currency, plan.code, subscription.quantity,
           subscription.starts_on, subscription.ends_on, usage.metric, usage.used
    FROM subscriptions subscription
    JOIN customers customer ON customer.id = subscription.customer_id
    JOIN pricing_plans plan ON plan.id = subscription.plan_id
    LEFT JOIN LATERAL (
        SELECT metric, sum(quantity) AS used FROM usage_daily
        WHERE customer_id = subscription.customer_id
          AND day BETWEEN greatest(CAST(:from AS date), subscription.starts_on) AND :day
        GROUP BY metric
    ) usage ON plan.kind = 'usage'
    WHERE subscription.starts_on <= :day
      AND (subscription.ends_on IS NULL OR subscription.ends_on > :day)
    ORDER BY subscription.customer_id, plan.code, subscription.starts_on
""")
"""Every subscription that is active on a day, a usage plan's with what it covers in the four weeks,
by metric.
"""
