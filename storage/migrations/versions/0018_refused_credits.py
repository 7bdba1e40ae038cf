"""A month is rated anew where its invoice refused what was to be given back of it.

Revision ID: 0018
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

REASONS = """
ALTER TABLE reopened_months
    DROP CONSTRAINT reopened_months_reason_check,
    ADD CONSTRAINT reopened_months_reason_check
        CHECK (reason IN ('contract', 'void', 'discard', 'refusal'));
-- what was refused before counted as given back
INSERT INTO reopened_months (customer_id, from_month, to_month, reason, person)
SELECT DISTINCT planned.customer_id, planned.month, planned.month, 'refusal', 'migration 0018'
FROM planned_credits planned JOIN instructions asked ON asked.id = planned.instruction_id
WHERE asked.outcome = 'refused';
DELETE FROM billed_usage billed
USING planned_credits planned JOIN instructions asked ON asked.id = planned.instruction_id
WHERE asked.outcome = 'refused' AND billed.invoice_id IS NULL
  AND billed.cycle_id = planned.cycle_id AND billed.customer_id = planned.customer_id
  AND billed.month = planned.month;
"""


def upgrade() -> None:
    op.execute(REASONS)


def downgrade() -> None:
    raise NotImplementedError(
        "What is to be rated anew would be forgotten; restore a copy instead."
    )
