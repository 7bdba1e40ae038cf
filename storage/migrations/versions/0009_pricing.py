"""More ways to price: a plan's charges, minimum and interval; discounts; prepaid credit.

Revision ID: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# what a usage plan counts is its prices' own; one graduated charge is what there was
PLANS = """
ALTER TABLE plan_prices
    ADD COLUMN charges jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN minimum numeric CHECK (minimum > 0);
UPDATE plan_prices SET charges = jsonb_build_array(jsonb_build_object(
    'metric', plan.metric, 'model', 'graduated', 'name', '', 'tiers', tiers,
    'unit_price', NULL, 'package_size', NULL))
FROM pricing_plans plan WHERE plan.id = plan_id AND plan.kind = 'usage';
ALTER TABLE plan_prices ALTER COLUMN charges DROP DEFAULT, DROP COLUMN tiers;
ALTER TABLE pricing_plans
    DROP COLUMN metric,
    ADD COLUMN interval text NOT NULL DEFAULT 'month' CHECK (interval IN ('month', 'year')),
    ADD CHECK (kind = 'flat' OR interval = 'month');
"""

TERMS = """
CREATE TABLE discounts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers,
    plan_code   text REFERENCES pricing_plans (code),
    name        text NOT NULL CHECK (name <> ''),
    percent     numeric CHECK (percent > 0 AND percent <= 100),
    amount      numeric CHECK (amount > 0),
    currency    text CHECK (currency ~ '^[A-Z]{3}$'),
    valid_from  date NOT NULL,
    valid_to    date,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CHECK ((percent IS NULL) <> (amount IS NULL)),
    CHECK ((amount IS NULL) = (currency IS NULL)),
    CHECK (valid_to > valid_from),
    UNIQUE NULLS NOT DISTINCT (customer_id, plan_code, name, valid_from)
);

CREATE TABLE prepaid_grants (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers,
    reference   text NOT NULL CHECK (reference <> ''),
    currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount      numeric NOT NULL CHECK (amount > 0),
    price       numeric NOT NULL CHECK (price >= 0),
    valid_from  date NOT NULL,
    expires_on  date,
    note        text NOT NULL,
    person      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CHECK (expires_on > valid_from),
    UNIQUE (customer_id, reference)
);

CREATE TABLE prepaid_draws (
    invoice_id bigint NOT NULL REFERENCES invoices ON DELETE CASCADE,
    grant_id   bigint NOT NULL REFERENCES prepaid_grants,
    amount     numeric NOT NULL CHECK (amount > 0),
    PRIMARY KEY (invoice_id, grant_id)
);
CREATE INDEX prepaid_draws_of_grant ON prepaid_draws (grant_id);
"""

INVOICES = """
ALTER TABLE invoices ADD COLUMN discount_amount numeric NOT NULL DEFAULT 0;
-- with the currency's digits, as every other amount
UPDATE invoices SET discount_amount = subtotal - subtotal;
ALTER TABLE invoices DROP CONSTRAINT invoices_check;
ALTER TABLE invoices ADD CONSTRAINT invoices_check CHECK
    (usage_amount + subscription_amount + proration_amount + discount_amount = subtotal);
ALTER TABLE invoice_line_items DROP CONSTRAINT invoice_line_items_kind_check;
ALTER TABLE invoice_line_items ADD CONSTRAINT invoice_line_items_kind_check CHECK (kind IN
    ('usage', 'minimum', 'flat', 'proration', 'discount', 'prepaid_purchase', 'prepaid_draw'));
ALTER TABLE credit_entries DROP CONSTRAINT credit_entries_reason_check;
ALTER TABLE credit_entries ADD CONSTRAINT credit_entries_reason_check CHECK (reason IN
    ('overpayment', 'credit_note', 'void', 'applied', 'taken_back', 'returned', 'below_zero'));
"""

GUARDS = """
CREATE OR REPLACE FUNCTION freeze_issued_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'draft' THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'DELETE' OR NEW.status = 'draft' OR
       (NEW.number, NEW.customer_id, NEW.cycle_id, NEW.period_start, NEW.kind, NEW.currency,
        NEW.usage_amount, NEW.subscription_amount, NEW.proration_amount, NEW.discount_amount,
        NEW.subtotal, NEW.tax, NEW.total, NEW.tax_lines, NEW.segment, NEW.customer,
        NEW.seller_version, NEW.issued_on, NEW.due_on, NEW.pdf_sha256, NEW.issued_at)
       IS DISTINCT FROM
       (OLD.number, OLD.customer_id, OLD.cycle_id, OLD.period_start, OLD.kind, OLD.currency,
        OLD.usage_amount, OLD.subscription_amount, OLD.proration_amount, OLD.discount_amount,
        OLD.subtotal, OLD.tax, OLD.total, OLD.tax_lines, OLD.segment, OLD.customer,
        OLD.seller_version, OLD.issued_on, OLD.due_on, OLD.pdf_sha256, OLD.issued_at)
    THEN
        RAISE EXCEPTION 'invoice % is issued and frozen; correct it by a credit note', OLD.number
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER prepaid_draws_frozen BEFORE INSERT OR UPDATE OR DELETE ON prepaid_draws
    FOR EACH ROW EXECUTE FUNCTION freeze_issued_lines();

-- whoever draws waits for the grant's row, so the sum that is looked at next is the whole one
CREATE FUNCTION refuse_overdraft() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    granted numeric;
    drawn   numeric;
BEGIN
    SELECT amount INTO granted FROM prepaid_grants WHERE id = NEW.grant_id FOR UPDATE;
    SELECT sum(draw.amount) INTO drawn
    FROM prepaid_draws draw JOIN invoices ON invoices.id = draw.invoice_id
    WHERE draw.grant_id = NEW.grant_id AND invoices.status <> 'void';
    IF drawn > granted THEN
        RAISE EXCEPTION 'prepaid credit % is overdrawn: % of %', NEW.grant_id, drawn, granted
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER prepaid_draws_covered AFTER INSERT OR UPDATE ON prepaid_draws
    FOR EACH ROW EXECUTE FUNCTION refuse_overdraft();
"""


def upgrade() -> None:
    for statements in (PLANS, TERMS, INVOICES, GUARDS):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("Prices that older code cannot read would be lost; restore a copy.")
