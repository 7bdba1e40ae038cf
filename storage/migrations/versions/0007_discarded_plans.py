"""A plan may be thrown away: what says that it is one, and the way from an invoice to what is its.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CYCLES = """
ALTER TABLE billing_cycles
    ADD COLUMN pause_before_issue boolean NOT NULL DEFAULT false,
    ADD COLUMN issue_began_at timestamptz;
UPDATE billing_cycles SET issue_began_at = told.began FROM (
    SELECT subject, min(at) AS began FROM audit_log
    WHERE subject_kind = 'cycle' AND event = 'issuing' GROUP BY subject
) AS told
WHERE told.subject = to_char(period_start, 'YYYY-MM');
-- what is planned and was not issued at once waits to be read
UPDATE billing_cycles SET pause_before_issue = true
WHERE status = 'planned' AND issue_began_at IS NULL;
"""

# whatever refers to an invoice is looked for at each one that is deleted
REFERENCES = """
CREATE INDEX billing_cycle_items_of_invoice ON billing_cycle_items (invoice_id);
CREATE INDEX credit_entries_of_invoice ON credit_entries (invoice_id);
CREATE INDEX checkout_sessions_of_invoice ON checkout_sessions (invoice_id);
CREATE INDEX webhook_events_of_invoice ON webhook_events (invoice_id)
    WHERE invoice_id IS NOT NULL;
CREATE INDEX bank_matches_of_invoice ON bank_matches (invoice_id);
"""


def upgrade() -> None:
    for statements in (CYCLES, REFERENCES):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("A plan that waits would be issued unread; restore a copy instead.")
