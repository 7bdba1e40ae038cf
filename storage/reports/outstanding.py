"""What is owed on a day, by how long it is past due, and by whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, text

from domain.reporting import AGING_BUCKETS, ExchangeRate, percent
from storage.receivables import MAY_BE_OPEN
from storage.reports.currencies import INVOICED_CURRENCIES, RATES, Conversion, load_rates


@dataclass(frozen=True)
class AgedAmount:
    """One bucket. `share`: of all that is open, in percent; None where nothing is."""

    bucket: str
    amount: Decimal
    invoices: int
    customers: int
    share: Decimal | None


@dataclass(frozen=True)
class Debtor:
    """A customer who owes something, by bucket in the order of `AGING_BUCKETS`."""

    account_number: str
    name: str
    amount: Decimal
    by_bucket: tuple[Decimal, ...]
    invoices: int
    oldest_due_on: date


@dataclass(frozen=True)
class Outstanding:
    """Open balances at the end of the business day `as_of`, in `currency`.

    `debtors`: who owes most first, as many as were asked for; `customers`: of how many.
    """

    as_of: date
    currency: str
    total: Decimal
    invoices: int
    customers: int
    buckets: tuple[AgedAmount, ...]
    debtors: tuple[Debtor, ...]
    rates: Sequence[ExchangeRate]


def outstanding(
    connection: Connection, *, as_of: date, currency: str, limit: int | None
) -> Outstanding:
    """`limit`: of the debtors, at least 1; None means all. Raises MissingExchangeRate.

    An invoice counts with what its entries up to that day leave open: later payments and credit
    notes do not change the answer.
    """
    currencies = connection.execute(INVOICED_CURRENCIES).scalars()
    conversion = Conversion(load_rates(connection, currency, as_of), currencies)
    rows = connection.execute(
        _OUTSTANDING,
        {
            "as_of": as_of,
            "bounds": [bucket.from_day for bucket in AGING_BUCKETS[1:]],
            "limit": limit,
            **conversion.parameters,
        },
    ).all()
    aged = {row.bucket: row for row in rows if row.bucket is not None}
    total = sum((row.amount for row in aged.values()), conversion.nothing)
    debtors = [row for row in rows if row.bucket is None]
    return Outstanding(
        as_of=as_of,
        currency=currency,
        total=total,
        invoices=sum(row.invoices for row in aged.values()),
        customers=next((row.in_all for row in aged.values()), 0),
        buckets=tuple(
            AgedAmount(
                bucket.name,
                aged[place].amount if place in aged else conversion.nothing,
                aged[place].invoices if place in aged else 0,
                aged[place].customers if place in aged else 0,
                percent(aged[place].amount if place in aged else Decimal(0), total),
            )
            for place, bucket in enumerate(AGING_BUCKETS)
        ),
        debtors=tuple(
            Debtor(
                row.account_number,
                row.name,
                row.amount,
                tuple(amount or conversion.nothing for amount in row.by_bucket),
                row.invoices,
                row.oldest_due_on,
            )
            for row in debtors
        ),
        rates=conversion.shown,
    )


_OPEN = f"""
    SELECT invoice.customer_id, invoice.currency, invoice.due_on, entry.amount
    FROM invoices invoice
    CROSS JOIN LATERAL (
        SELECT sum(amount) AS amount FROM receivable_entries
        WHERE invoice_id = invoice.id AND business_date <= :as_of
    ) entry
    WHERE entry.amount > 0 AND {MAY_BE_OPEN}
"""  # noqa: S608 - of constants
_OUTSTANDING = text(f"""
    WITH open AS ({_OPEN}), aged AS (
        SELECT customer_id,
               width_bucket(CAST(:as_of AS date) - due_on, CAST(:bounds AS integer[])) AS bucket,
               round(sum(amount) * rate, :digits) AS amount, count(*) AS invoices,
               min(due_on) AS oldest_due_on
        FROM open JOIN {RATES} USING (currency)
        GROUP BY customer_id, 2, rate
    ), owed AS (
        SELECT customer_id, sum(amount) AS amount, sum(invoices) AS invoices,
               min(oldest_due_on) AS oldest_due_on,
               ARRAY[sum(amount) FILTER (WHERE bucket = 0), sum(amount) FILTER (WHERE bucket = 1),
                     sum(amount) FILTER (WHERE bucket = 2), sum(amount) FILTER (WHERE bucket = 3)]
                   AS by_bucket
        FROM aged GROUP BY customer_id
    ), debtors AS (
        SELECT owed.*, account_number, name
        FROM owed JOIN customers ON customers.id = owed.customer_id
        ORDER BY amount DESC, account_number LIMIT :limit
    )
    SELECT bucket, NULL AS account_number, NULL AS name, sum(amount) AS amount,
           CAST(sum(invoices) AS bigint) AS invoices, count(DISTINCT customer_id) AS customers,
           NULL AS by_bucket, NULL AS oldest_due_on, (SELECT count(*) FROM owed) AS in_all
    FROM aged GROUP BY bucket
    UNION ALL
    (SELECT NULL, account_number, name, amount, CAST(invoices AS bigint), NULL, by_bucket,
            oldest_due_on, NULL
     FROM debtors ORDER BY amount DESC, account_number)
""")  # noqa: S608 - of constants
