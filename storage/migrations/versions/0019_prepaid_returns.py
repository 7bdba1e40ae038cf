"""Prepaid credit that paid for usage which was corrected since comes back.

Revision ID: 0019
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

RETURNS = """
-- what people gave back by a credit note before a difference was found, which counts it
ALTER TABLE planned_credits ADD COLUMN credited_before boolean NOT NULL DEFAULT false
    CHECK (NOT credited_before OR (net = 0 AND credit = '{}'));

-- what a plan gives back of an invoice to the credit that had paid it; once returned, it counts
CREATE TABLE prepaid_returns (
    planned_credit_id bigint NOT NULL REFERENCES planned_credits ON DELETE CASCADE,
    grant_id          bigint NOT NULL,
    invoice_id        bigint NOT NULL,
    amount            numeric NOT NULL CHECK (amount > 0),
    returned_at       timestamptz,
    PRIMARY KEY (planned_credit_id, grant_id),
    FOREIGN KEY (invoice_id, grant_id) REFERENCES prepaid_draws
);
CREATE INDEX prepaid_returns_of_draw ON prepaid_returns (invoice_id, grant_id);

CREATE FUNCTION refuse_more_than_drawn() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    drawn    numeric;
    returned numeric;
BEGIN
    SELECT amount INTO drawn FROM prepaid_draws
    WHERE invoice_id = NEW.invoice_id AND grant_id = NEW.grant_id FOR UPDATE;
    SELECT sum(amount) INTO returned FROM prepaid_returns
    WHERE invoice_id = NEW.invoice_id AND grant_id = NEW.grant_id;
    IF returned > drawn THEN
        RAISE EXCEPTION 'invoice % drew % of prepaid credit %, and % is to be returned',
            NEW.invoice_id, drawn, NEW.grant_id, returned USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER prepaid_returns_covered AFTER INSERT OR UPDATE ON prepaid_returns
    FOR EACH ROW EXECUTE FUNCTION refuse_more_than_drawn();

CREATE OR REPLACE FUNCTION refuse_overdraft() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    granted numeric;
    drawn   numeric;
BEGIN
    SELECT amount INTO granted FROM prepaid_grants WHERE id = NEW.grant_id FOR UPDATE;
    SELECT sum(draw.amount - coalesce(back.amount, 0)) INTO drawn
    FROM prepaid_draws draw JOIN invoices ON invoices.id = draw.invoice_id
    LEFT JOIN LATERAL (
        SELECT sum(amount) AS amount FROM prepaid_returns
        WHERE invoice_id = draw.invoice_id AND grant_id = draw.grant_id
          AND returned_at IS NOT NULL
    ) back ON true
    WHERE draw.grant_id = NEW.grant_id AND invoices.status <> 'void';
    IF drawn > granted THEN
        RAISE EXCEPTION 'prepaid credit % is overdrawn: % of %', NEW.grant_id, drawn, granted
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    op.execute(RETURNS)


def downgrade() -> None:
    raise NotImplementedError("Credit that came back would be drawn again; restore a copy instead.")
