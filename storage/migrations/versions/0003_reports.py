"""Reports: what was open on any day, exchange rates, usage by day, recurring revenue. Requests of
people have a key.

Revision ID: 0003
"""

from alembic import op
from sqlalchemy import text

from settings import settings

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTRUCTIONS = """
ALTER TABLE instructions
    -- of the request: sent twice, it is asked once; NULL where who asked gave none
    ADD COLUMN idempotency_key text CHECK (idempotency_key <> ''),
    ADD UNIQUE (invoice_id, idempotency_key),
    DROP CONSTRAINT instructions_kind_check,
    ADD CONSTRAINT instructions_kind_check CHECK (kind IN
        ('hold', 'release', 'void', 'credit_note', 'resend', 'renew_links', 'paid_elsewhere',
         'charge_again', 'extend', 'write_off', 'void_by_credit_note'));
"""

RECEIVABLES = """
-- what an invoice's open amount changed by; their sum up to a day is what was open on it
CREATE TABLE receivable_entries (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    invoice_id    bigint NOT NULL REFERENCES invoices,
    business_date date NOT NULL,
    amount        numeric NOT NULL CHECK (amount <> 0)
);
CREATE INDEX receivable_entries_of_invoice ON receivable_entries (invoice_id)
    INCLUDE (business_date, amount);
CREATE TRIGGER receivable_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON receivable_entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- the days on which something may have been open; one that is open again has no end
CREATE INDEX invoices_by_open_days ON invoices USING gist
    (daterange(issued_on, CASE WHEN settled_on IS NOT NULL
                               THEN greatest(issued_on, settled_on) END))
    WHERE status <> 'draft';
-- which currencies there are, without a look at every invoice
CREATE INDEX invoices_by_currency ON invoices (currency);
"""

RATES = """
-- one unit of base is so many of quote, from a day until the next one that has a rate
CREATE TABLE exchange_rates (
    base       text NOT NULL CHECK (base ~ '^[A-Z]{3}$'),
    quote      text NOT NULL CHECK (quote ~ '^[A-Z]{3}$'),
    valid_from date NOT NULL,
    rate       numeric NOT NULL CHECK (rate > 0),
    PRIMARY KEY (base, quote, valid_from),
    CHECK (base <> quote)
);
"""

USAGE = """
-- the events by day and by month of the seller's zone, written with them
CREATE TABLE usage_daily (
    customer_id bigint NOT NULL REFERENCES customers,
    metric      text NOT NULL,
    day         date NOT NULL,
    quantity    numeric NOT NULL,
    PRIMARY KEY (customer_id, metric, day)
);
CREATE TABLE usage_monthly (
    month       date NOT NULL CHECK (month = date_trunc('month', month)),
    customer_id bigint NOT NULL REFERENCES customers,
    metric      text NOT NULL,
    quantity    numeric NOT NULL,
    PRIMARY KEY (month, customer_id, metric)
);

-- each customer's recurring revenue on a day, worked out once; a day counts while it is listed
CREATE TABLE recurring_days (
    day     date NOT NULL PRIMARY KEY,
    unrated integer NOT NULL CHECK (unrated >= 0)
);
CREATE TABLE recurring_revenue (
    day           date NOT NULL,
    customer_id   bigint NOT NULL REFERENCES customers,
    currency      text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    usage         numeric NOT NULL,
    subscriptions numeric NOT NULL,
    PRIMARY KEY (day, customer_id) INCLUDE (currency, usage, subscriptions)
);
CREATE TABLE recurring_totals (
    day           date NOT NULL REFERENCES recurring_days ON DELETE CASCADE,
    currency      text NOT NULL,
    usage         numeric NOT NULL,
    subscriptions numeric NOT NULL,
    customers     integer NOT NULL,
    PRIMARY KEY (day, currency)
);
"""

BEFORE = """
-- of what was issued before: its total, what paid and credited it, and the rest of its end
INSERT INTO receivable_entries (invoice_id, business_date, amount)
SELECT id, issued_on, total FROM invoices
WHERE status <> 'draft' AND collection_state IS NOT NULL AND total > 0;
INSERT INTO receivable_entries (invoice_id, business_date, amount)
SELECT invoice_id, business_date, -allocated FROM payments WHERE allocated > 0 ORDER BY id;
INSERT INTO receivable_entries (invoice_id, business_date, amount)
SELECT invoice_id, business_date, -total FROM credit_notes ORDER BY id;
INSERT INTO receivable_entries (invoice_id, business_date, amount)
SELECT invoices.id, coalesce(settled_on, issued_on), still_open - sum(entry.amount)
FROM (SELECT *, CASE WHEN status IN ('issued', 'overdue')
                     THEN total - amount_paid - amount_credited ELSE 0 END AS still_open
      FROM invoices) invoices
JOIN receivable_entries entry ON entry.invoice_id = invoices.id
GROUP BY invoices.id, settled_on, issued_on, still_open
HAVING still_open <> sum(entry.amount);
"""


USED_BEFORE = """
    INSERT INTO usage_daily (customer_id, metric, day, quantity)
    SELECT customer_id, metric, (occurred_at AT TIME ZONE :zone)::date, sum(quantity)
    FROM billing_events GROUP BY 1, 2, 3
"""
USED_BEFORE_BY_MONTH = """
    INSERT INTO usage_monthly (month, customer_id, metric, quantity)
    SELECT date_trunc('month', day)::date, customer_id, metric, sum(quantity)
    FROM usage_daily GROUP BY 1, 2, 3
"""


def upgrade() -> None:
    for statements in (INSTRUCTIONS, RECEIVABLES, RATES, USAGE, BEFORE):
        op.execute(statements)
    op.execute(text(USED_BEFORE).bindparams(zone=settings().seller_time_zone))
    op.execute(USED_BEFORE_BY_MONTH)


def downgrade() -> None:
    raise NotImplementedError("Money that was booked is not taken back; restore a backup instead.")
