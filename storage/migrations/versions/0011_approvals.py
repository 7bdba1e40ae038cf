"""Plans that are approved before they are issued, and what was approved of them.

Revision ID: 0011
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UPGRADE = """
-- a plan that is to be approved is one that waits to be read
ALTER TABLE billing_cycles
    ADD COLUMN approval_required boolean NOT NULL DEFAULT false,
    ADD CHECK (pause_before_issue OR NOT approval_required);

-- who let a cycle's drafts be issued; they go with a plan that is discarded
CREATE TABLE cycle_approvals (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cycle_id      bigint NOT NULL REFERENCES billing_cycles ON DELETE CASCADE,
    digest        text NOT NULL,
    drafts        integer NOT NULL CHECK (drafts >= 0),
    person        text NOT NULL,
    note          text NOT NULL,
    business_date date NOT NULL,
    approved_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cycle_approvals_of_cycle ON cycle_approvals (cycle_id, id);

-- each draft as it was approved, of which the last approval counts
CREATE TABLE approved_drafts (
    invoice_id  bigint NOT NULL REFERENCES invoices ON DELETE CASCADE,
    approval_id bigint NOT NULL REFERENCES cycle_approvals ON DELETE CASCADE,
    currency    text NOT NULL,
    total       numeric NOT NULL,
    digest      text NOT NULL,
    PRIMARY KEY (invoice_id, approval_id)
);
CREATE INDEX approved_drafts_of_approval ON approved_drafts (approval_id);

ALTER TABLE planned_credits
    ADD COLUMN approval_id bigint REFERENCES cycle_approvals ON DELETE SET NULL;

CREATE TRIGGER cycle_approvals_unchanged BEFORE UPDATE OR TRUNCATE
    ON cycle_approvals FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER approved_drafts_unchanged BEFORE UPDATE OR TRUNCATE
    ON approved_drafts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    raise NotImplementedError("What was approved would be forgotten; restore a copy instead.")
