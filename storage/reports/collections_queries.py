"""The queries of the report on collections.

A month is its place in `:starts` and `:ends`, from 1. The audit log is read by business day and,
within a day, in the order of writing; what is written for a later day stands behind all that.
"""

from sqlalchemy import text

from domain.reporting import RecoveryStep
from storage.receivables import OPEN_DAYS, WAS_ISSUED
from storage.reports.currencies import RATES

_ENDS = "('paid', 'void', 'uncollectible')"
_LATE = """
    SELECT id, number, currency, due_on FROM invoices
    WHERE status <> 'draft' AND least(first_failed_on, due_on + 1) <= :as_of
      AND (first_failed_on IS NOT NULL OR settled_on IS NULL OR settled_on > due_on)
"""
# Whoever was a case in the time asked for is among these, and others are too. Each is read by an
# index of its own; money for what was written off comes behind the end that the invoice has.
_INVOICE = f"""
    {_LATE} AND settled_on >= :first UNION {_LATE} AND settled_on IS NULL UNION
    SELECT invoices.id, number, currency, due_on
    FROM audit_log JOIN invoices ON number = subject
    WHERE subject_kind = 'invoice' AND from_state = 'uncollectible'
      AND business_date BETWEEN :first AND :as_of
"""  # noqa: S608 - of constants
_ENTRY = f"""
    SELECT invoice.id AS invoice_id, currency, entry.id, business_date, from_state, to_state,
           details,
           event IN ('part_paid', 'settled')
               AND details ->> 'method' IN ('card', 'bank_transfer', 'other') AS brings_money,
           to_state NOT IN {_ENDS} AS is_open,
           to_state NOT IN {_ENDS}
               AND (event IN ('charge_declined', 'charge_refused', 'overdue')
                    OR from_state = 'paid' AND business_date > due_on) AS opens
    FROM invoice JOIN audit_log entry ON subject = number
    WHERE subject_kind = 'invoice' AND to_state IS NOT NULL AND business_date <= :as_of
      AND event IN ('charge_declined', 'charge_refused', 'overdue', 'part_paid', 'settled',
                    'paid_elsewhere', 'voided', 'written_off', 'wire_reversed', 'money_returned')
"""  # noqa: S608 - of constants
_TOLD = """
    SELECT *, width_bucket(business_date, CAST(:starts AS date[])) AS month,
           coalesce(width_bucket(lead(business_date) OVER told, CAST(:starts AS date[])),
                    cardinality(CAST(:starts AS date[])) + 1) AS until_month,
           count(*) FILTER (WHERE opens) OVER told AS openings
    FROM entry WINDOW told AS (PARTITION BY invoice_id ORDER BY business_date, id)
"""
# our own charge of a card that had been charged before; a new card is the customer's doing
_RETRIED = """
    SELECT told.id
    FROM told
    JOIN payments retry ON retry.invoice_id = told.invoice_id
        AND retry.business_date = told.business_date AND retry.status IN ('succeeded', 'reversed')
    JOIN payments earlier ON earlier.invoice_id = told.invoice_id
        AND earlier.attempt < retry.attempt
        AND earlier.payment_method_id = retry.payment_method_id
    WHERE brings_money AND openings > 0 AND month > 0 AND details ->> 'method' = 'card'
      AND from_state IN ('issued', 'payment_attempted', 'retry_scheduled')
"""
# from paid: what a person booked as paid elsewhere follows the end that they gave it
_STEP = f"""
    CASE WHEN from_state = 'reminder_sent' THEN '{RecoveryStep.REMINDER}'
         WHEN from_state = 'urgent_notice' THEN '{RecoveryStep.URGENT_NOTICE}'
         WHEN from_state IN ('manual_review', 'uncollectible', 'paid')
             THEN '{RecoveryStep.MANUAL_REVIEW}'
         WHEN told.id IN (SELECT id FROM retried) THEN '{RecoveryStep.RETRY}'
         ELSE '{RecoveryStep.BEFORE_REMINDERS}' END
"""  # noqa: S608 - of constants
_MOVED = f"""
    SELECT month, currency, {_STEP} AS step, opened, settled,
           CASE WHEN brings_money THEN CAST(details ->> 'amount' AS numeric) ELSE 0 END AS amount
    FROM told
    CROSS JOIN LATERAL (
        SELECT is_open AND (from_state = 'paid' OR opens AND openings = 1) AS opened,
               to_state = 'paid' AND from_state <> 'paid' AS settled
    ) AS moves
    WHERE openings > 0 AND month > 0 AND (opened OR settled OR brings_money)
"""  # noqa: S608 - of constants
# each adds from one month's end on, until a later one: a case counts, an entry its amount
_SPAN = """
    SELECT greatest(month, 1) AS month, until_month, currency, 1 AS cases, 0 AS amount
    FROM told WHERE openings > 0 AND is_open AND month < until_month
    UNION ALL
    SELECT greatest(month, width_bucket(entry.business_date, CAST(:starts AS date[])), 1),
           until_month, currency, 0, entry.amount
    FROM told JOIN receivable_entries entry USING (invoice_id)
    WHERE openings > 0 AND is_open AND month < until_month AND entry.business_date <= :as_of
"""
_STANDING = f"""
    SELECT place AS month, currency, CAST(sum(cases) AS bigint) AS cases, sum(amount) AS amount
    FROM (SELECT month, until_month, currency, sum(cases) AS cases, sum(amount) AS amount
          FROM ({_SPAN}) AS span GROUP BY month, until_month, currency) AS spans
    CROSS JOIN LATERAL generate_series(month, until_month - 1) AS month_end (place)
    GROUP BY place, currency
"""  # noqa: S608 - of constants
CASES = text(f"""
    WITH invoice AS ({_INVOICE}), entry AS ({_ENTRY}), told AS MATERIALIZED ({_TOLD}),
         retried AS MATERIALIZED ({_RETRIED}), moved AS ({_MOVED}), standing AS ({_STANDING})
    SELECT month, step, count(*) FILTER (WHERE opened) AS opened,
           count(*) FILTER (WHERE settled) AS settled, round(sum(amount) * rate, :digits) AS amount
    FROM moved JOIN {RATES} USING (currency) GROUP BY month, step, currency, rate
    UNION ALL
    SELECT month, NULL, cases, NULL, round(amount * rate, :digits)
    FROM standing JOIN {RATES} USING (currency)
""")  # noqa: S608 - of constants
"""By month and step, what moved: cases opened and settled, and money. Without a step, what stood at
the month's end: open cases as `opened`, and what was open on them."""

# An invoice that was open at no month's end adds nothing to any. One that was void when it came
# from an older system never was a receivable.
RECEIVABLES = text(f"""
    WITH day AS (
        SELECT * FROM unnest(CAST(:since AS date[]), CAST(:ends AS date[])) WITH ORDINALITY
                      AS day (since, until, month)
    ), issued AS (
        SELECT issued_on, currency, sum(greatest(total, 0)) AS amount FROM invoices
        WHERE issued_on BETWEEN (CAST(:since AS date[]))[1] AND :as_of
          AND {WAS_ISSUED}
        GROUP BY issued_on, currency
    ), entered AS (
        SELECT width_bucket(business_date, CAST(:starts AS date[])) AS month, currency,
               sum(amount) AS amount
        FROM invoices JOIN receivable_entries ON invoice_id = invoices.id
        WHERE status <> 'draft' AND business_date <= :as_of
          AND {OPEN_DAYS}
              && (SELECT range_agg(daterange(until, until, '[]')) FROM day)
        GROUP BY 1, currency
    ), owed AS (
        SELECT day.month, currency, sum(amount) AS owed
        FROM day JOIN entered ON entered.month <= day.month GROUP BY day.month, currency
    ), billed AS (
        SELECT month, currency, sum(amount) AS billed
        FROM day JOIN issued ON issued_on BETWEEN since AND until GROUP BY month, currency
    )
    SELECT month, round(coalesce(owed, 0) * rate, :digits) AS owed,
           round(coalesce(billed, 0) * rate, :digits) AS billed
    FROM owed FULL JOIN billed USING (month, currency) JOIN {RATES} USING (currency)
""")  # noqa: S608 - of constants
"""By month and currency: all that was owed at its end, and billed in the three months up to it."""
