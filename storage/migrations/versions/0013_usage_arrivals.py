"""What came in lately is found without a look at all that ever came.

Revision ID: 0013
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # written in the order of the instants, so that a summary of each range of pages is enough
    op.execute("CREATE INDEX usage_batches_by_day ON usage_batches USING brin (received_at)")


def downgrade() -> None:
    raise NotImplementedError("Restore a copy instead.")
