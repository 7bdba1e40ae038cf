"""Customers with what they subscribe to and what they used."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, Select, select, text

from domain.discounts import Discount
from domain.parties import BilledCustomer, PaymentMethod, PostalAddress
from domain.periods import BillingPeriod
from domain.rating import DailyUsage, Subscription
from storage.tables import discounts, pricing_plans, subscriptions


def billed_customer(row: Row[Any]) -> BilledCustomer:
    """A row of `customers` as an invoice keeps it."""
    return BilledCustomer(
        account_number=row.account_number,
        name=row.name,
        address=PostalAddress(
            row.address_line1, row.postal_code, row.city, row.region, row.country
        ),
        billing_emails=tuple(row.billing_emails),
        tax_id=row.tax_id,
        tax_id_valid=row.tax_id_valid,
        tax_exempt=row.tax_exempt,
        currency=row.currency,
        segment=row.segment,
        payment_method=PaymentMethod(row.payment_method),
        po_number=row.po_number,
    )


def subscriptions_of(
    connection: Connection, customer_ids: Sequence[int], period: BillingPeriod
) -> dict[int, list[Subscription]]:
    """By customer id: the subscriptions with at least one day in `period`."""
    rows = connection.execute(_subscriptions_query(customer_ids, period))
    found: dict[int, list[Subscription]] = defaultdict(list)
    for row in rows:
        found[row.customer_id].append(
            Subscription(row.code, row.quantity, row.starts_on, row.ends_on)
        )
    return found


def _subscriptions_query(customer_ids: Sequence[int], period: BillingPeriod) -> Select[Any]:
    return (
        select(
            subscriptions.c.customer_id,
            pricing_plans.c.code,
            subscriptions.c.quantity,
            subscriptions.c.starts_on,
            subscriptions.c.ends_on,
        )
        .join(pricing_plans, pricing_plans.c.id == subscriptions.c.plan_id)
        .where(
            subscriptions.c.customer_id.in_(customer_ids),
            subscriptions.c.starts_on < period.end,
            (subscriptions.c.ends_on.is_(None)) | (subscriptions.c.ends_on > period.start),
        )
    )


def discounts_of(connection: Connection, customer_ids: Sequence[int]) -> dict[int, list[Discount]]:
    """By customer id: all that they ever had."""
    rows = connection.execute(select(discounts).where(discounts.c.customer_id.in_(customer_ids)))
    found: dict[int, list[Discount]] = defaultdict(list)
    for row in rows:
        found[row.customer_id].append(discount_of(row))
    return found


def discount_of(row: Row[Any]) -> Discount:
    """A row of `discounts` as the rules know it."""
    return Discount(
        name=row.name,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        plan_code=row.plan_code,
        percent=row.percent,
        amount=row.amount,
        currency=row.currency,
    )


@dataclass(frozen=True)
class UsedInMonth:
    """What a customer used in a month, as it was counted at one moment.

    `changes`: of the month's counter of each metric, which says later whether it was touched since.
    """

    days: list[DailyUsage] = field(default_factory=list)
    changes: dict[str, int] = field(default_factory=dict)

    def quantity(self, metric: str) -> Decimal:
        return sum((day.quantity for day in self.days if day.metric == metric), Decimal(0))


USAGE_OF_CUSTOMERS = text("""
    SELECT used.customer_id, used.metric, used.day, used.quantity, counted.changes
    FROM usage_daily used
    JOIN usage_monthly counted ON counted.month = :start
        AND counted.customer_id = used.customer_id AND counted.metric = used.metric
    WHERE used.customer_id = ANY(:customers) AND used.day >= :start AND used.day < :end
    ORDER BY 1, 2, 3
""")
"""Daily usage of some customers in the month `[start, end)`, with how often the month's counter was
touched: as one statement sees both.
"""


def usage_of(
    connection: Connection, customer_ids: Sequence[int], period: BillingPeriod
) -> dict[int, UsedInMonth]:
    """By customer id: the usage of `period` by metric and day of the seller's time zone."""
    rows = connection.execute(
        USAGE_OF_CUSTOMERS,
        {"customers": list(customer_ids), "start": period.start, "end": period.end},
    )
    found: dict[int, UsedInMonth] = defaultdict(UsedInMonth)
    for row in rows:
        found[row.customer_id].days.append(DailyUsage(row.metric, row.day, row.quantity))
        found[row.customer_id].changes[row.metric] = row.changes
    return found
