"""The paths to invoices that people look for, and to e-mails that were not sent.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INVOICES = """
-- in the order of the list, so that the last one of a month's page is known without those of others
CREATE INDEX invoices_by_period_number ON invoices (period_start, number);
CREATE INDEX invoices_by_state ON invoices (collection_state, period_start);
DROP INDEX invoices_in_review;  -- the one before finds them too
CREATE INDEX invoices_on_hold ON invoices (period_start) WHERE on_hold;
CREATE INDEX invoices_disputed ON invoices (period_start) WHERE disputed;
"""

EMAILS = """
CREATE INDEX emails_not_sent ON emails (created_at) WHERE sent_at IS NULL;
"""


def upgrade() -> None:
    for statements in (INVOICES, EMAILS):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("Indexes alone came with it; drop them by hand.")
