"""Customers who may be about to leave: those who use less and less, and those who do not pay."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from domain.periods import BillingPeriod
from domain.recurring import UsageDecline, declining
from domain.reporting import ExchangeRate
from storage.receivables import MAY_BE_OPEN
from storage.recurring import work_out
from storage.reports.currencies import Conversion, load_rates

Months = tuple[BillingPeriod, BillingPeriod, BillingPeriod]


@dataclass(frozen=True)
class FailedPayment:
    """An invoice whose card was refused and on which something is open still."""

    number: str
    first_failed_on: date


@dataclass(frozen=True)
class AtRisk:
    """A flagged customer with the figures behind the flag.

    `revenue`: their recurring revenue on the day, which is at risk.
    """

    account_number: str
    name: str
    segment: str
    revenue: Decimal
    declines: tuple[UsageDecline, ...]
    failed_payments: tuple[FailedPayment, ...]


@dataclass(frozen=True)
class ChurnRisk:
    """As of a business day. `months`: the last three that were over then, which are compared.

    `customers`: the most revenue first, as many as were asked for; `flagged` of how many, and
    `revenue` of how much.
    """

    as_of: date
    currency: str
    threshold: Decimal
    months: Months
    flagged: int
    revenue: Decimal
    customers: tuple[AtRisk, ...]
    rates: Sequence[ExchangeRate]


def churn_risk(
    connection: Connection,
    *,
    as_of: date,
    currency: str,
    threshold: Decimal,
    limit: int | None,
) -> ChurnRisk:
    """`threshold`: the least fall of usage per day that counts, as a share (0.10). `limit`: of the
    customers; None means all. Raises MissingExchangeRate.
    """
    months = _months_before(as_of)
    declines = _declines(connection, months, threshold)
    failed = _failed_payments(connection, as_of)
    work_out(connection, [as_of])
    rows = connection.execute(
        _CUSTOMERS, {"day": as_of, "customers": [*(declines.keys() | failed.keys())]}
    ).all()
    currencies = (row.currency for row in rows if row.currency is not None)
    conversion = Conversion(load_rates(connection, currency, as_of), currencies)
    flagged = [
        AtRisk(
            row.account_number,
            row.name,
            row.segment,
            conversion.of(row.usage, row.currency) + conversion.of(row.subscriptions, row.currency)
            if row.currency is not None
            else conversion.nothing,
            tuple(declines.get(row.id, ())),
            tuple(failed.get(row.id, ())),
        )
        for row in rows
    ]
    flagged.sort(key=lambda customer: (-customer.revenue, customer.account_number))
    return ChurnRisk(
        as_of=as_of,
        currency=currency,
        threshold=threshold,
        months=months,
        flagged=len(flagged),
        revenue=sum((customer.revenue for customer in flagged), conversion.nothing),
        customers=tuple(flagged[:limit]),
        rates=conversion.shown,
    )


def _months_before(as_of: date) -> Months:
    """The last three months that are over at the end of `as_of`, the oldest first."""
    last = BillingPeriod.of(as_of + timedelta(1)).previous()
    return last.previous().previous(), last.previous(), last


def _declines(
    connection: Connection, months: Months, threshold: Decimal
) -> dict[int, list[UsageDecline]]:
    """By customer id; each metric for itself."""
    found: dict[int, list[UsageDecline]] = defaultdict(list)
    asked: dict[str, Any] = {"kept": 1 - threshold}
    for name, month in zip(("first", "second", "third"), months, strict=True):
        asked |= {name: month.start, f"days_of_{name}": month.days}
    for row in connection.execute(_USED, asked):
        used = (row.first, row.second, row.third)
        decline = declining(row.metric, months, used, threshold=threshold)
        if decline is not None:
            found[row.customer_id].append(decline)
    return found


def _failed_payments(connection: Connection, as_of: date) -> dict[int, list[Any]]:
    found: dict[int, list[FailedPayment]] = defaultdict(list)
    for row in connection.execute(_FAILED, {"as_of": as_of}):
        found[row.customer_id].append(FailedPayment(row.number, row.first_failed_on))
    return found


_USED = text("""
    SELECT first.customer_id, first.metric, first.quantity AS first, second.quantity AS second,
           coalesce(third.quantity, 0) AS third
    FROM usage_monthly first
    JOIN usage_monthly second
         ON (second.month, second.customer_id, second.metric)
          = (:second, first.customer_id, first.metric)
    LEFT JOIN usage_monthly third
         ON (third.month, third.customer_id, third.metric)
          = (:third, first.customer_id, first.metric)
    WHERE first.month = :first
      AND second.quantity * :days_of_first <= first.quantity * :days_of_second * :kept
      AND coalesce(third.quantity, 0) * :days_of_second <= second.quantity * :days_of_third * :kept
    ORDER BY 1, 2
""")
"""Few of many: those who `declining` can flag, and it decides."""

_FAILED = text(f"""
    SELECT invoice.customer_id, invoice.number, invoice.first_failed_on
    FROM invoices invoice
    WHERE {MAY_BE_OPEN} AND invoice.first_failed_on <= :as_of
      AND (SELECT sum(amount) FROM receivable_entries
           WHERE invoice_id = invoice.id AND business_date <= :as_of) > 0
    ORDER BY 1, invoice.number
""")  # noqa: S608 - of constants
_CUSTOMERS = text("""
    SELECT customer.id, account_number, name, segment, revenue.currency, usage, subscriptions
    FROM customers customer
    LEFT JOIN recurring_revenue revenue ON revenue.customer_id = customer.id AND day = :day
    WHERE customer.id = ANY(:customers)
""")
