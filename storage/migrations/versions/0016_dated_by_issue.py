"""A plan that waited is dated by the day its issue begins.

Revision ID: 0016
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

DATED = "ALTER TABLE billing_cycles ADD COLUMN dated_by_issue boolean NOT NULL DEFAULT false"


def upgrade() -> None:
    op.execute(DATED)


def downgrade() -> None:
    op.execute("ALTER TABLE billing_cycles DROP COLUMN dated_by_issue")
