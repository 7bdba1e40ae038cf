"""A month of usage is made while usage is read and written.

Revision ID: 0017
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# a table that is made as a partition takes all of its parent alone: one stray event of a month that
# had none held up whoever sent usage, for as long as a proof or a check read the events
FUNCTION = """
CREATE OR REPLACE FUNCTION make_event_partition(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first date := date_trunc('month', month)::date;
    after date := (first + interval '1 month')::date;
    name  text := 'billing_events_' || to_char(first, 'YYYY_MM');
BEGIN
    IF to_regclass(name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE billing_events INCLUDING DEFAULTS)', name);
        EXECUTE format(
            'ALTER TABLE billing_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            name, first || ' 00:00+00', after || ' 00:00+00');
    END IF;
END $$;
"""


def upgrade() -> None:
    op.execute(FUNCTION)


def downgrade() -> None:
    raise NotImplementedError("Restore a copy instead.")
