"""Who the revenue of a month comes from, and how it moved since the month before."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, text

from domain.periods import BillingPeriod
from domain.reporting import ExchangeRate, growth, percent
from storage.receivables import WAS_ISSUED
from storage.reports.currencies import RATES, Conversion, load_rates


@dataclass(frozen=True)
class CustomerRevenue:
    """One customer's. `change`: since the month before; `growth` and `share` in percent, None
    where there is nothing to compare with.
    """

    account_number: str
    name: str
    segment: str
    revenue: Decimal
    before: Decimal
    change: Decimal
    growth: Decimal | None
    share: Decimal | None


@dataclass(frozen=True)
class RevenueByCustomer:
    """Net revenue of `period`, as known at the end of the business day `as_of`.

    `customers`: those who gave most first, as many as were asked for; the totals are of all.
    """

    period: BillingPeriod
    as_of: date
    currency: str
    revenue: Decimal
    before: Decimal
    growth: Decimal | None
    billed_customers: int
    customers: tuple[CustomerRevenue, ...]
    rates: Sequence[ExchangeRate]


def revenue_by_customer(
    connection: Connection, period: BillingPeriod, *, as_of: date, currency: str, limit: int | None
) -> RevenueByCustomer:
    """What was invoiced for the period without tax, less what credit notes took back of it.

    Counts what was issued until `as_of`, inclusive; credit notes the same. `limit`: of the
    customers, at least 1; None means all. Raises MissingExchangeRate.
    """
    months = {"month": period.start, "month_before": period.previous().start, "as_of": as_of}
    currencies = connection.execute(_CURRENCIES, months).scalars()
    conversion = Conversion(load_rates(connection, currency, as_of), currencies)
    rows = connection.execute(_REVENUE, {**months, "limit": limit, **conversion.parameters}).all()
    revenue = rows[0].total if rows else conversion.nothing
    before = rows[0].total_before if rows else conversion.nothing
    return RevenueByCustomer(
        period=period,
        as_of=as_of,
        currency=currency,
        revenue=revenue,
        before=before,
        growth=growth(revenue, before),
        billed_customers=rows[0].billed if rows else 0,
        customers=tuple(
            CustomerRevenue(
                row.account_number,
                row.name,
                row.segment,
                row.revenue,
                row.before,
                row.revenue - row.before,
                growth(row.revenue, row.before),
                percent(row.revenue, revenue),
            )
            for row in rows
        ),
        rates=conversion.shown,
    )


_COUNTED = f"""
    period_start IN (:month, :month_before) AND issued_on <= :as_of AND {WAS_ISSUED}
"""
_CURRENCIES = text(f"""
    SELECT DISTINCT currency FROM invoices invoice WHERE {_COUNTED}
""")  # noqa: S608 - of constants
_REVENUE = text(f"""
    WITH counted AS (
        SELECT invoice.id, invoice.customer_id, invoice.period_start, invoice.currency,
               invoice.subtotal
        FROM invoices invoice WHERE {_COUNTED}
    ), parts AS (
        SELECT customer_id, period_start, currency, subtotal AS amount FROM counted
        UNION ALL
        SELECT counted.customer_id, period_start, counted.currency, -note.subtotal
        FROM credit_notes note JOIN counted ON counted.id = note.invoice_id
        WHERE note.business_date <= :as_of
    ), sums AS (
        SELECT customer_id, period_start, round(sum(amount) * rate, :digits) AS amount
        FROM parts JOIN {RATES} USING (currency)
        GROUP BY customer_id, period_start, rate
    ), customer AS (
        SELECT customer_id,
               coalesce(sum(amount) FILTER (WHERE period_start = :month),
                        round(0.0, :digits)) AS revenue,
               coalesce(sum(amount) FILTER (WHERE period_start = :month_before),
                        round(0.0, :digits)) AS before
        FROM sums GROUP BY customer_id
    ), totals AS (
        SELECT sum(revenue) AS total, sum(before) AS total_before,
               count(*) FILTER (WHERE revenue <> 0) AS billed
        FROM customer
    ), top AS (
        SELECT * FROM customer ORDER BY revenue DESC, before DESC, customer_id LIMIT :limit
    )
    SELECT account_number, name, segment, revenue, before, total, total_before, billed
    FROM top JOIN customers ON customers.id = top.customer_id CROSS JOIN totals
    ORDER BY revenue DESC, before DESC, account_number
""")  # noqa: S608 - of constants
