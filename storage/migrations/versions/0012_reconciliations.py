"""The proofs that a month was billed: kept for good, as the audit log is.

Revision ID: 0012
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

UPGRADE = """
-- one making of a month's proof; the last one counts, and the earlier ones tell what it was like
CREATE TABLE reconciliations (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cycle_id bigint NOT NULL REFERENCES billing_cycles,
    period   date NOT NULL,
    as_of    date NOT NULL,
    made_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    made_by  text NOT NULL,
    status   text NOT NULL CHECK (status IN ('balanced', 'alarm', 'incomplete')),
    reason   text NOT NULL DEFAULT '',
    -- a proof that came to no equations at all says why
    CHECK (reason = '' OR status = 'incomplete')
);
CREATE INDEX reconciliations_of_cycle ON reconciliations (cycle_id, id);

CREATE TABLE reconciliation_equations (
    reconciliation_id bigint NOT NULL REFERENCES reconciliations,
    place             integer NOT NULL,
    equation          text NOT NULL,
    unit              text NOT NULL,
    left_side         numeric NOT NULL,
    right_side        numeric NOT NULL,
    parts             jsonb NOT NULL,
    not_checked       text NOT NULL DEFAULT '',
    PRIMARY KEY (reconciliation_id, place)
);

CREATE TABLE reconciliation_differences (
    reconciliation_id bigint NOT NULL REFERENCES reconciliations,
    place             integer NOT NULL,
    equation          text NOT NULL,
    unit              text NOT NULL,
    account_number    text NOT NULL,
    subject           text NOT NULL,
    expected          numeric NOT NULL,
    found             numeric NOT NULL,
    explanation       text NOT NULL,
    PRIMARY KEY (reconciliation_id, place),
    CHECK (expected <> found)
);

-- disputes are few among all that the card processor tells
CREATE INDEX webhook_events_of_disputes ON webhook_events ((payload #>> '{data,object,id}'))
    WHERE type IN ('charge.dispute.created', 'charge.dispute.closed');

CREATE TRIGGER reconciliations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON reconciliations FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER reconciliation_equations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON reconciliation_equations FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER reconciliation_differences_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON reconciliation_differences FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    raise NotImplementedError("Proofs are kept for good.")
