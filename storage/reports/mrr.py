"""Monthly recurring revenue on a day, how it came there, and what was invoiced."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from domain.periods import BillingPeriod
from domain.recurring import WINDOW_DAYS, Movement
from domain.reporting import ExchangeRate, ExchangeRates, growth
from storage.receivables import WAS_ISSUED
from storage.recurring import unrated_on, work_out
from storage.reports.currencies import RATES, Conversion, load_rates

WEEKS = 13
"""How many weekly points the trend has, a quarter with both its ends."""


@dataclass(frozen=True)
class MrrPoint:
    """Recurring revenue on a day. `growth`: since the point a week before, in percent."""

    day: date
    mrr: Decimal
    usage: Decimal
    subscriptions: Decimal
    customers: int
    growth: Decimal | None


@dataclass(frozen=True)
class MrrChange:
    """What one kind of movement adds to the revenue, below zero where it takes away."""

    kind: Movement
    amount: Decimal
    customers: int


@dataclass(frozen=True)
class Mover:
    """A customer whose recurring revenue moved."""

    account_number: str
    name: str
    kind: Movement
    before: Decimal
    now: Decimal
    change: Decimal


@dataclass(frozen=True)
class Billed:
    """What was invoiced for the latest month of which an invoice was issued, tax included, less
    what was voided.
    """

    period: str | None
    amount: Decimal
    before: Decimal
    growth: Decimal | None


@dataclass(frozen=True)
class Mrr:
    """At the end of the business day `as_of`, in `currency`.

    Attributes:
        growth: since four weeks before, in percent.
        trend: one point a week, the oldest first; the last is `as_of`.
        since: the day from which the changes count.
        changes: by kind; their sum is what the revenue grew by since then.
        movers: whose revenue moved most, as many as were asked for.
        unrated: customers left out for want of a price.
    """

    as_of: date
    currency: str
    mrr: Decimal
    usage: Decimal
    subscriptions: Decimal
    customers: int
    growth: Decimal | None
    trend: tuple[MrrPoint, ...]
    since: date
    changes: tuple[MrrChange, ...]
    movers: tuple[Mover, ...]
    billed: Billed
    unrated: int
    rates: Sequence[ExchangeRate]


def mrr(connection: Connection, *, as_of: date, currency: str, limit: int) -> Mrr:
    """`limit`: of the movers. All points are converted by the rates of `as_of`, so that a rate
    that moved is no growth. Raises MissingExchangeRate.
    """
    days = report_days(as_of)
    work_out(connection, days)
    currencies = connection.execute(_CURRENCIES, {"days": days}).scalars()
    rates = load_rates(connection, currency, as_of)
    conversion = Conversion(rates, currencies)
    trend = _trend(connection, days, conversion)
    since = as_of - timedelta(WINDOW_DAYS)
    moved = {"since": since, "as_of": as_of, "limit": limit, **conversion.parameters}
    rows = connection.execute(_MOVED, moved).all()
    by_day = {point.day: point for point in trend}
    now = by_day[as_of]
    return Mrr(
        as_of=as_of,
        currency=currency,
        mrr=now.mrr,
        usage=now.usage,
        subscriptions=now.subscriptions,
        customers=now.customers,
        growth=growth(now.mrr, by_day[since].mrr),
        trend=trend,
        since=since,
        changes=_changes(rows, conversion.nothing),
        movers=tuple(
            Mover(
                *(row.account_number, row.name, Movement(row.kind)),
                *(row.before, row.now, row.now - row.before),
            )
            for row in rows
            if row.account_number is not None
        ),
        billed=_billed(connection, as_of, rates),
        unrated=unrated_on(connection, as_of),
        rates=conversion.shown,
    )


def report_days(as_of: date) -> list[date]:
    """The days that the report of `as_of` rests on: the points of the trend, the oldest first, and
    before them the one that the first is held against. `as_of` is the last.
    """
    return [as_of - timedelta(7 * weeks) for weeks in reversed(range(WEEKS + 1))]


def _trend(
    connection: Connection, days: Sequence[date], conversion: Conversion
) -> tuple[MrrPoint, ...]:
    """The points behind the first of `days`, which is only what the second one is held against."""
    found: dict[date, list[Any]] = defaultdict(list)
    for row in connection.execute(_TOTALS, {"days": list(days)}):
        found[row.day].append(row)
    points: list[MrrPoint] = []
    for day in days:
        usage, flat = (
            sum(
                (conversion.of(getattr(row, part), row.currency) for row in found[day]),
                conversion.nothing,
            )
            for part in ("usage", "subscriptions")
        )
        customers = sum(row.customers for row in found[day])
        before = points[-1].mrr if points else conversion.nothing
        grown = growth(usage + flat, before)
        points.append(MrrPoint(day, usage + flat, usage, flat, customers, grown))
    return tuple(points[1:])


def _changes(rows: Iterable[Any], nothing: Decimal) -> tuple[MrrChange, ...]:
    """One of each kind, also where nobody moved that way."""
    sums = {row.kind: row for row in rows if row.account_number is None}
    return tuple(
        MrrChange(kind, sums[kind].now - sums[kind].before, sums[kind].customers)
        if kind in sums
        else MrrChange(kind, nothing, 0)
        for kind in Movement
    )


def _billed(connection: Connection, as_of: date, rates: ExchangeRates) -> Billed:
    latest: date | None = connection.execute(_LATEST_MONTH, {"as_of": as_of}).scalar_one()
    if latest is None:
        nothing = Conversion(rates, ()).nothing
        return Billed(None, nothing, nothing, None)
    period = BillingPeriod.of(latest)
    months = {"month": period.start, "month_before": period.previous().start, "as_of": as_of}
    sums = connection.execute(_BILLED, months).all()
    conversion = Conversion(rates, (row.currency for row in sums))
    now, before = (
        sum(
            (conversion.of(row.amount, row.currency) for row in sums if row.period_start == month),
            conversion.nothing,
        )
        for month in (months["month"], months["month_before"])
    )
    return Billed(str(period), now, before, growth(now, before))


_CURRENCIES = text("SELECT DISTINCT currency FROM recurring_totals WHERE day = ANY(:days)")
_TOTALS = text("SELECT * FROM recurring_totals WHERE day = ANY(:days) ORDER BY day, currency")
_MOVED = text(f"""
    WITH revenue AS (
        SELECT customer_id, day,
               round(usage * rate, :digits) + round(subscriptions * rate, :digits) AS amount
        FROM recurring_revenue
        JOIN {RATES} USING (currency)
        WHERE day IN (:since, :as_of)
    ), compared AS (
        SELECT customer_id,
               coalesce(sum(amount) FILTER (WHERE day = :since), round(0.0, :digits)) AS before,
               coalesce(sum(amount) FILTER (WHERE day = :as_of), round(0.0, :digits)) AS now
        FROM revenue GROUP BY customer_id
    ), moved AS (
        SELECT *, CASE WHEN before = 0 THEN 'new' WHEN now = 0 THEN 'churned'
                       WHEN now > before THEN 'expansion' ELSE 'contraction' END AS kind
        FROM compared WHERE before <> now
    ), most AS (
        SELECT * FROM moved ORDER BY abs(now - before) DESC, customer_id LIMIT :limit
    )
    SELECT kind, sum(before) AS before, sum(now) AS now, count(*) AS customers,
           NULL AS account_number, NULL AS name
    FROM moved GROUP BY kind
    UNION ALL
    (SELECT kind, before, now, 1, account_number, name
     FROM most JOIN customers ON customers.id = most.customer_id
     ORDER BY abs(now - before) DESC, account_number)
""")  # noqa: S608 - of constants
_LATEST_MONTH = text(f"""
    SELECT max(period_start) FROM invoices WHERE issued_on <= :as_of AND {WAS_ISSUED}
""")  # noqa: S608 - of constants
_BILLED = text(f"""
    SELECT invoice.period_start, invoice.currency,
           sum(invoice.total - coalesce(note.total, 0)) AS amount
    FROM invoices invoice
    LEFT JOIN credit_notes note
           ON note.invoice_id = invoice.id AND note.voids AND note.business_date <= :as_of
    WHERE period_start IN (:month, :month_before) AND issued_on <= :as_of AND {WAS_ISSUED}
    GROUP BY 1, 2
""")  # noqa: S608 - of constants
