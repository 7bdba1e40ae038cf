"""The month of every customer who was billed, or had nothing to bill, rated a second time by
`domain/second_rating.py`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, text

from domain.discounts import Discount
from domain.money import minor_digits
from domain.plans import PlanPrice
from domain.proof import Entry, Equation, Proof, Scale
from domain.second_rating import ON_EVERYTHING, NotPriced, SecondRating, Terms, rate_again
from domain.subscriptions import Subscription
from storage.customers import discounts_of
from storage.price_list import load_prices
from storage.proof.sides import Scope

_AT_ONCE = 1_000
_NOTHING = Decimal(0)
_WAITS = "changed since; the next cycle rates it anew"

Prices = Mapping[str, Sequence[PlanPrice]]


@dataclass
class _Customer:
    """Who was billed, and by what. `billed`: units by metric; `lines`: amounts by plan.

    `is_stale`: usage or contract changed since the month was last rated.
    """

    id: int
    account_number: str
    number: str
    currency: str
    reopened: bool
    subscriptions: list[Subscription] = field(default_factory=list)
    used: dict[Subscription, dict[str, Decimal]] = field(default_factory=dict)
    discounts: Sequence[Discount] = ()
    billed: dict[str, Decimal] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    lines: dict[str, Decimal] = field(default_factory=dict)

    def sees_what_was_billed(self) -> bool:
        """Puts the units that were billed in place of those that there are by now.

        False where it cannot be told which plan had them, or what the contract was.
        """
        if self.reopened:
            return False
        for metric in self.stale:
            metered = [units for units in self.used.values() if metric in units]
            if len(metered) > 1:
                return False
            for units in metered:
                units[metric] = self.billed.get(metric, _NOTHING)
        return True


@dataclass(frozen=True)
class RatedAgain:
    """`free`: by customer id and metric, the units that cost nothing."""

    proof: Proof
    free: dict[tuple[int, str], Decimal]


def rated_again(connection: Connection, scope: Scope) -> RatedAgain:
    """All that was billed of the month, also late and less what was credited for it, against what
    the contracts, the prices and the units that count as billed come to. Who was found to have
    nothing to bill was billed nothing, which may be wrong as well.
    """
    amounts, units = Scale(Equation.RATED_AGAIN), Scale(Equation.UNITS_PRICED)
    free: dict[tuple[int, str], Decimal] = {}
    prices: dict[str, list[PlanPrice]] = defaultdict(list)
    for price in load_prices(connection):
        prices[price.code].append(price)
    for customer in _customers(connection, scope, prices):
        rating = _rate(customer, scope, prices)
        for entry in _amounts(customer, rating):
            amounts.add(entry)
        for entry in _units(customer, rating):
            units.add(entry)
        if rating is not None:
            free |= {(customer.id, metric): n for metric, n in rating.free.items()}
    return RatedAgain(units.proof() + amounts.proof(), free)


def _rate(customer: _Customer, scope: Scope, prices: Prices) -> SecondRating | None:
    """None where the month cannot be rated by what is known now."""
    if not customer.sees_what_was_billed():
        return None
    terms = Terms(
        customer.currency,
        minor_digits(customer.currency),
        scope.period.start,
        customer.subscriptions,
        customer.used,
        customer.discounts,
        prices,
    )
    try:
        return rate_again(terms)
    except NotPriced:  # who was billed nothing may have had another currency then
        return SecondRating() if customer.lines else None


def _amounts(customer: _Customer, rating: SecondRating | None) -> Iterator[Entry]:
    for code in sorted(customer.lines.keys() | (rating.amounts.keys() if rating else set())):
        found = customer.lines.get(code, _NOTHING)
        expected = found if rating is None else rating.amounts.get(code, _NOTHING)
        about = "discounts on everything" if code == ON_EVERYTHING else code
        subject = f"{customer.number}: {about}" if customer.number else about
        amount = "too little" if found < expected else "too much"
        yield Entry(
            customer.currency,
            customer.account_number,
            expected,
            found,
            subject,
            ((_WAITS if rating is None else "rated a second time", found),),
            f"billed {amount}: the first formula or the line is wrong" if found != expected else "",
        )


def _units(customer: _Customer, rating: SecondRating | None) -> Iterator[Entry]:
    for metric, billed in sorted(customer.billed.items()):
        parts: tuple[tuple[str, Decimal], ...] = ((_WAITS, billed),)
        found = billed
        if rating is not None:
            free = rating.free.get(metric, _NOTHING)
            priced = rating.priced.get(metric, _NOTHING)
            parts, found = (("free", free), ("at a price", priced)), free + priced
        explanation = "no plan of the customer's has these units" if found != billed else ""
        account = customer.account_number
        yield Entry(metric, account, billed, found, customer.number, parts, explanation)


def _customers(connection: Connection, scope: Scope, prices: Prices) -> Iterator[_Customer]:
    """Page by page, so that a month of any size takes the same memory."""
    after = 0
    while True:
        page = connection.execute(
            _BILLED_CUSTOMERS, {**scope.parameters, "after": after, "limit": _AT_ONCE}
        ).all()
        if not page:
            return
        after = page[-1].customer_id
        yield from _filled(connection, scope, prices, page)


def _filled(
    connection: Connection, scope: Scope, prices: Prices, page: Sequence[Row[Any]]
) -> Iterator[_Customer]:
    found = {
        row.customer_id: _Customer(
            row.customer_id, row.account_number, row.number or "", row.currency, row.reopened
        )
        for row in page
    }
    values = {**scope.parameters, "customers": list(found)}
    for row in connection.execute(_TERMS, values):
        customer = found[row.customer_id]
        sub = Subscription(row.code, row.quantity, row.starts_on, row.ends_on)
        if sub not in customer.used:
            customer.subscriptions.append(sub)
            customer.used[sub] = {}
        metrics = {metric for price in prices[row.code] for metric in price.metrics}
        if row.metric in metrics:
            customer.used[sub][row.metric] = row.used
    for row in connection.execute(_UNITS, values):
        if row.billed is not None:
            found[row.customer_id].billed[row.metric] = row.billed
        if row.is_stale:
            found[row.customer_id].stale.add(row.metric)
    for row in connection.execute(_BILLED_LINES, values):
        lines = found[row.customer_id].lines
        lines[row.plan_code] = lines.get(row.plan_code, _NOTHING) + row.amount
    for id, discounts in discounts_of(connection, list(found)).items():
        found[id].discounts = discounts
    yield from found.values()


_BILLED_CUSTOMERS = text("""
    SELECT rated.customer_id, customer.account_number, own.number,
           coalesce(own.currency, customer.currency) AS currency,
           EXISTS (SELECT FROM reopened_months reopened
                   WHERE reopened.customer_id = rated.customer_id
                     AND :month BETWEEN reopened.from_month AND reopened.to_month
                     AND reopened.id > rated.reopened) AS reopened
    FROM (
        SELECT customer_id, max(reopened) AS reopened
        FROM (
            SELECT rated_months.customer_id, reopened
            FROM rated_months LEFT JOIN invoices ON invoices.id = invoice_id
            WHERE month = :month AND invoices.status IS DISTINCT FROM 'void'
            UNION ALL
            SELECT customer_id, 0 FROM billing_cycle_items
            WHERE cycle_id = :cycle AND part = '' AND reason_code = 'nothing_to_bill'
        ) looked_at
        WHERE customer_id > :after
        GROUP BY customer_id
    ) rated
    JOIN customers customer ON customer.id = rated.customer_id
    LEFT JOIN billing_cycle_items item
        ON item.cycle_id = :cycle AND item.customer_id = rated.customer_id AND item.part = ''
    LEFT JOIN invoices of_item ON of_item.id = item.invoice_id
    LEFT JOIN LATERAL (
        SELECT number, currency FROM invoices invoice
        WHERE invoice.customer_id = rated.customer_id AND invoice.status <> 'void'
          AND invoice.cycle_id IS NOT NULL
          AND EXISTS (SELECT FROM invoice_line_items line
                      WHERE line.invoice_id = invoice.id AND line.service_month = :month)
        ORDER BY invoice.period_start, invoice.id LIMIT 1
    ) own ON true
    WHERE item.outcome IS DISTINCT FROM 'failed' AND of_item.status IS DISTINCT FROM 'void'
      AND item.outcome IS DISTINCT FROM 'drafted'
    ORDER BY rated.customer_id
    LIMIT :limit
""")
_TERMS = text("""
    SELECT sub.customer_id, plan.code, sub.quantity, sub.starts_on, sub.ends_on, used.metric,
           used.used
    FROM subscriptions sub JOIN pricing_plans plan ON plan.id = sub.plan_id
    LEFT JOIN LATERAL (
        SELECT metric, sum(quantity) AS used FROM usage_daily
        WHERE plan.kind = 'usage' AND customer_id = sub.customer_id
          AND day >= greatest(sub.starts_on, :month)
          AND day < least(sub.ends_on, (CAST(:month AS date) + interval '1 month')::date)
        GROUP BY metric
    ) used ON true
    WHERE sub.customer_id = ANY(:customers)
      AND sub.starts_on < CAST(:month AS date) + interval '1 month'
      AND (sub.ends_on IS NULL OR sub.ends_on > :month)
    ORDER BY sub.customer_id, sub.id
""")
_UNITS = text("""
    WITH billed AS (
        SELECT used.customer_id, metric, sum(quantity) AS billed, max(changes) AS changes
        FROM billed_usage used LEFT JOIN invoices ON invoices.id = used.invoice_id
        WHERE month = :month AND used.customer_id = ANY(:customers)
          AND invoices.status IS DISTINCT FROM 'void'
        GROUP BY used.customer_id, metric
    ), counted AS (
        SELECT customer_id, metric, changes FROM usage_monthly
        WHERE month = :month AND customer_id = ANY(:customers)
    )
    SELECT customer_id, metric, billed.billed,
           billed.changes IS DISTINCT FROM counted.changes AS is_stale
    FROM billed FULL JOIN counted USING (customer_id, metric)
""")
"""Units that count as billed; NULL of a metric that the customer had nothing of when they were."""
_BILLED_LINES = text("""
    SELECT invoice.customer_id, line.plan_code, line.amount
    FROM invoices invoice JOIN invoice_line_items line ON line.invoice_id = invoice.id
    WHERE invoice.customer_id = ANY(:customers) AND invoice.status <> 'void'
      AND invoice.cycle_id IS NOT NULL AND invoice.period_start >= :month
      AND line.service_month = :month AND line.kind NOT LIKE 'prepaid%'
    UNION ALL
    SELECT planned.customer_id, line.plan_code, line.amount
    FROM planned_credits planned JOIN invoices ON invoices.id = planned.invoice_id
    LEFT JOIN instructions asked ON asked.id = planned.instruction_id
    CROSS JOIN jsonb_to_recordset(planned.lines) AS line (plan_code text, amount numeric)
    WHERE planned.customer_id = ANY(:customers) AND planned.month = :month
      AND invoices.status <> 'void' AND asked.outcome IS DISTINCT FROM 'refused'
""")
