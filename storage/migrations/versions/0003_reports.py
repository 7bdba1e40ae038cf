"""Reports: every change of an invoice's open amount by business date, and exchange rates.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

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


def upgrade() -> None:
    for statements in (RECEIVABLES, RATES, BEFORE):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("Money that was booked is not taken back; restore a backup instead.")
