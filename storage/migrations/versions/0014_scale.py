"""The subscriptions of a page of customers are found, however many others there are.

Revision ID: 0014
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# the exclusion constraint's own index knows a customer only as a range
SUBSCRIPTIONS = "CREATE INDEX subscriptions_of_customer ON subscriptions (customer_id)"


def upgrade() -> None:
    op.execute(SUBSCRIPTIONS)


def downgrade() -> None:
    op.execute("DROP INDEX subscriptions_of_customer")
