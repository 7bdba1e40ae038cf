"""Usage comes in over HTTP, is corrected and set aside; what arrived is told apart from what was
rated.

Revision ID: 0008
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEYS = """
-- where an event is, so that it is found by its id alone; NULL for one that is set aside
ALTER TABLE usage_event_keys ADD COLUMN customer_id bigint, ADD COLUMN occurred_at timestamptz;
UPDATE usage_event_keys key
SET customer_id = event.customer_id, occurred_at = event.occurred_at
FROM billing_events event WHERE event.event_id = key.event_id;
"""

CORRECTIONS = """
CREATE TABLE usage_corrections (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id        text COLLATE "C" NOT NULL,
    customer_id     bigint NOT NULL REFERENCES customers,
    metric          text NOT NULL,
    occurred_at     timestamptz NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('amend', 'cancel')),
    old_quantity    numeric NOT NULL,
    new_quantity    numeric NOT NULL CHECK (new_quantity >= 0),
    reason          text NOT NULL CHECK (reason <> ''),
    person          text NOT NULL,
    business_date   date NOT NULL,
    idempotency_key text,
    made_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (event_id, idempotency_key),
    CHECK (old_quantity <> new_quantity),
    CHECK (kind = 'amend' OR new_quantity = 0)
);
CREATE INDEX usage_corrections_of_customer ON usage_corrections (customer_id, occurred_at);
CREATE TRIGGER usage_corrections_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON usage_corrections FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- the original stays; a correction is a row of its own with the difference, so that the sum over
-- the rows is what counts. NULL: as it was received
ALTER TABLE billing_events ADD COLUMN correction_id bigint REFERENCES usage_corrections;
"""

SET_ASIDE = """
-- events of accounts that nobody has, kept until a person assigns or dismisses them
CREATE TABLE set_aside_events (
    event_id       text COLLATE "C" NOT NULL PRIMARY KEY,
    account_number text COLLATE "C" NOT NULL,
    metric         text NOT NULL,
    occurred_at    timestamptz NOT NULL,
    quantity       numeric NOT NULL,
    received_at    timestamptz NOT NULL DEFAULT now(),
    received_by    text NOT NULL,
    assigned_to    bigint REFERENCES customers,
    assigned_at    timestamptz,
    dismissed_at   timestamptz,
    decided_by     text,
    note           text NOT NULL DEFAULT '',
    CHECK (assigned_at IS NULL OR dismissed_at IS NULL),
    CHECK ((assigned_to IS NULL) = (assigned_at IS NULL)),
    CHECK ((decided_by IS NULL) = (assigned_at IS NULL AND dismissed_at IS NULL)),
    CHECK (dismissed_at IS NULL OR note <> '')
);
CREATE INDEX set_aside_events_waiting ON set_aside_events (account_number, event_id)
    WHERE assigned_at IS NULL AND dismissed_at IS NULL;
"""

BATCHES = """
-- what came in together; `first_day`: of the usage that was new, NULL where nothing was
CREATE TABLE usage_batches (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    received_by text NOT NULL,
    first_day   date,
    accepted    integer NOT NULL,
    duplicates  integer NOT NULL,
    set_aside   integer NOT NULL,
    rejected    integer NOT NULL
);
CREATE INDEX usage_batches_by_first_day ON usage_batches (id, first_day)
    WHERE first_day IS NOT NULL;

-- raised by every statement that touches the row: what was rated by an earlier one has changed
ALTER TABLE usage_monthly ADD COLUMN changes bigint NOT NULL DEFAULT 1;

-- the last batch that a day was worked out with, and when that was
ALTER TABLE recurring_days
    ADD COLUMN usage_until bigint NOT NULL DEFAULT 0,
    ADD COLUMN worked_out_at timestamptz NOT NULL DEFAULT now();
"""


def upgrade() -> None:
    for statements in (KEYS, CORRECTIONS, SET_ASIDE, BATCHES):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("Usage that was taken in is not forgotten; restore a copy instead.")
