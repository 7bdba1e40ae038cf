"""What was billed of each month, so that what comes later is billed once, as the difference.

Revision ID: 0010
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INVOICES = """
-- the month that a line is about, which on a line of kind late is one before the invoice's
ALTER TABLE invoice_line_items ADD COLUMN service_month date
    CHECK (service_month = date_trunc('month', service_month));
ALTER TABLE invoice_line_items DISABLE TRIGGER invoice_line_items_frozen;
UPDATE invoice_line_items SET service_month = invoices.period_start
FROM invoices WHERE invoices.id = invoice_id;
ALTER TABLE invoice_line_items ENABLE TRIGGER invoice_line_items_frozen;
ALTER TABLE invoice_line_items
    ALTER COLUMN service_month SET NOT NULL,
    DROP CONSTRAINT invoice_line_items_kind_check,
    ADD CONSTRAINT invoice_line_items_kind_check
        CHECK (kind IN
            ('usage', 'minimum', 'flat', 'proration', 'discount', 'prepaid_purchase',
             'prepaid_draw', 'late'));

ALTER TABLE invoices
    ADD COLUMN late_amount numeric NOT NULL DEFAULT 0,
    ADD COLUMN service_month date;
-- with the currency's digits, as every other amount
UPDATE invoices SET late_amount = subtotal - subtotal;
ALTER TABLE invoices
    DROP CONSTRAINT invoices_check,
    ADD CONSTRAINT invoices_check CHECK
        (usage_amount + subscription_amount + proration_amount + discount_amount + late_amount
         = subtotal),
    -- an invoice of kind late is about one month before its period
    ADD CONSTRAINT invoices_service_month_check CHECK
        ((kind = 'late') = (service_month IS NOT NULL) AND service_month < period_start);

DROP INDEX invoices_one_per_period;
CREATE UNIQUE INDEX invoices_one_per_period
    ON invoices (customer_id, period_start, kind, service_month) NULLS NOT DISTINCT
    WHERE status <> 'void';

CREATE FUNCTION freeze_what_an_invoice_is_about() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.service_month, NEW.late_amount) IS DISTINCT FROM (OLD.service_month, OLD.late_amount)
    THEN
        RAISE EXCEPTION 'invoice % is issued and frozen; correct it by a credit note', OLD.number
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoices_frozen_month BEFORE UPDATE ON invoices
    FOR EACH ROW WHEN (OLD.status <> 'draft') EXECUTE FUNCTION freeze_what_an_invoice_is_about();
"""

OUTCOMES = """
-- a customer's regular invoice is part '', a late one of January '2026-01'
ALTER TABLE billing_cycle_items
    ADD COLUMN part text COLLATE "C" NOT NULL DEFAULT '' CHECK (part ~ '^(|[0-9]{4}-[0-9]{2})$'),
    DROP CONSTRAINT billing_cycle_items_pkey,
    ADD PRIMARY KEY (cycle_id, account_number, part),
    DROP CONSTRAINT billing_cycle_items_cycle_id_customer_id_key,
    ADD UNIQUE (cycle_id, customer_id, part);
"""

BILLED = """
-- a month of a customer as a cycle rated it, by what it knew; without an invoice where nothing was
-- charged: all was free, or taken back by a credit note
CREATE TABLE rated_months (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cycle_id    bigint NOT NULL REFERENCES billing_cycles,
    customer_id bigint NOT NULL REFERENCES customers,
    month       date NOT NULL CHECK (month = date_trunc('month', month)),
    invoice_id  bigint REFERENCES invoices ON DELETE CASCADE,
    reopened    bigint NOT NULL,
    UNIQUE NULLS NOT DISTINCT (cycle_id, customer_id, month, invoice_id)
);
CREATE INDEX rated_months_of_customer ON rated_months (customer_id, month)
    INCLUDE (reopened, invoice_id);
CREATE INDEX rated_months_of_invoice ON rated_months (invoice_id) WHERE invoice_id IS NOT NULL;

-- the usage that each of them accounts for: its month's as rated, or what was new since
CREATE TABLE billed_usage (
    cycle_id    bigint NOT NULL REFERENCES billing_cycles,
    invoice_id  bigint REFERENCES invoices ON DELETE CASCADE,
    customer_id bigint NOT NULL REFERENCES customers,
    month       date NOT NULL CHECK (month = date_trunc('month', month)),
    metric      text NOT NULL,
    quantity    numeric NOT NULL,
    changes     bigint NOT NULL,
    UNIQUE NULLS NOT DISTINCT (cycle_id, customer_id, month, metric, invoice_id)
);
CREATE INDEX billed_usage_of_customer ON billed_usage (customer_id, month, metric)
    INCLUDE (changes, quantity, invoice_id);
CREATE INDEX billed_usage_of_invoice ON billed_usage (invoice_id) WHERE invoice_id IS NOT NULL;

-- months that were billed and are rated anew by the next cycle, beside those whose usage changed
CREATE TABLE reopened_months (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers,
    from_month  date NOT NULL CHECK (from_month = date_trunc('month', from_month)),
    to_month    date NOT NULL CHECK (to_month = date_trunc('month', to_month)),
    reason      text NOT NULL CHECK (reason IN ('contract', 'void', 'discard')),
    person      text NOT NULL,
    made_at     timestamptz NOT NULL DEFAULT now(),
    CHECK (from_month <= to_month)
);
CREATE INDEX reopened_months_of_customer ON reopened_months (customer_id, id);

-- what is given back of a month by a credit note on its invoice, once the issue begins
CREATE TABLE planned_credits (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cycle_id       bigint NOT NULL REFERENCES billing_cycles,
    customer_id    bigint NOT NULL REFERENCES customers,
    month          date NOT NULL CHECK (month = date_trunc('month', month)),
    invoice_id     bigint NOT NULL REFERENCES invoices,
    lines          jsonb NOT NULL,
    credit         jsonb NOT NULL,
    net            numeric NOT NULL CHECK (net >= 0),
    reason         text NOT NULL CHECK (reason <> ''),
    instruction_id bigint UNIQUE REFERENCES instructions,
    created_at     timestamptz NOT NULL DEFAULT now(),
    -- to credit nothing, nobody is asked
    CHECK (instruction_id IS NULL OR net > 0)
);
CREATE INDEX planned_credits_of_customer ON planned_credits (customer_id, month);
CREATE INDEX planned_credits_of_cycle ON planned_credits (cycle_id);
CREATE INDEX planned_credits_of_invoice ON planned_credits (invoice_id);
"""

BEFORE = """
-- invoices of before account for the units of their lines; more usage than that is late
INSERT INTO rated_months (cycle_id, customer_id, month, invoice_id, reopened)
SELECT cycle_id, customer_id, period_start, id, 0 FROM invoices
WHERE cycle_id IS NOT NULL AND status <> 'void';
INSERT INTO billed_usage (cycle_id, invoice_id, customer_id, month, metric, quantity, changes)
SELECT billed.cycle_id, billed.id, billed.customer_id, billed.period_start, billed.metric,
       billed.quantity,
       CASE WHEN billed.quantity = counted.quantity THEN counted.changes ELSE 0 END
FROM (
    SELECT invoice.cycle_id, invoice.id, invoice.customer_id, invoice.period_start,
           price.charges -> 0 ->> 'metric' AS metric, sum(line.quantity) AS quantity
    FROM invoices invoice
    JOIN invoice_line_items line ON line.invoice_id = invoice.id AND line.kind = 'usage'
    JOIN pricing_plans plan ON plan.code = line.plan_code
    JOIN plan_prices price ON price.plan_id = plan.id AND price.currency = invoice.currency
        AND price.version = line.plan_version
    WHERE invoice.cycle_id IS NOT NULL AND invoice.status <> 'void'
    GROUP BY invoice.id, price.charges -> 0 ->> 'metric'
) billed
LEFT JOIN usage_monthly counted ON counted.month = billed.period_start
    AND counted.customer_id = billed.customer_id AND counted.metric = billed.metric;
"""


def upgrade() -> None:
    for statements in (INVOICES, OUTCOMES, BILLED, BEFORE):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("What was billed late would be billed again; restore a copy instead.")
