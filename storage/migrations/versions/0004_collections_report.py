"""The report on collections: the paths to cases, to what moved them, and to what was billed.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CASES = """
-- the invoices that may have been a case: a charge failed, or they were not settled when due
CREATE INDEX invoices_late ON invoices (settled_on)
    INCLUDE (id, number, currency, due_on, first_failed_on)
    WHERE status <> 'draft'
      AND (first_failed_on IS NOT NULL OR settled_on IS NULL OR settled_on > due_on);

-- what opens a case, ends it, or brings money
CREATE INDEX audit_log_of_cases ON audit_log (subject, id)
    WHERE subject_kind = 'invoice'
      AND event IN ('charge_declined', 'charge_refused', 'overdue', 'part_paid', 'settled',
                    'paid_elsewhere', 'voided', 'written_off', 'wire_reversed', 'money_returned');

-- money for what was written off comes behind the invoice's end
CREATE INDEX audit_log_after_write_off ON audit_log (business_date)
    INCLUDE (subject) WHERE subject_kind = 'invoice' AND from_state = 'uncollectible';
"""

BILLED = """
CREATE INDEX invoices_by_day_of_issue ON invoices (issued_on) INCLUDE (currency, total)
    WHERE collection_state IS NOT NULL AND (status <> 'void' OR settled_on IS NOT NULL);
"""


def upgrade() -> None:
    for statements in (CASES, BILLED):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("Indexes alone came with it; drop them by hand.")
