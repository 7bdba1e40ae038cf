"""Collection: what was paid, what it went to, what came back, and what people asked for.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MONEY = """
-- what was received is split: to its invoice, back to the payer, and the rest is credit
ALTER TABLE payments
    ADD COLUMN attempt             integer,
    ADD COLUMN payment_method_id   text NOT NULL DEFAULT '',
    ADD COLUMN allocated           numeric NOT NULL DEFAULT 0,
    ADD COLUMN returned            numeric NOT NULL DEFAULT 0 CHECK (returned >= 0),
    ADD COLUMN note                text NOT NULL DEFAULT '',
    ADD CHECK (allocated >= 0 AND allocated + returned <= amount),
    ADD CHECK (status IN ('succeeded', 'reversed') OR allocated + returned = 0),
    ADD UNIQUE (invoice_id, attempt);
CREATE INDEX payments_pending ON payments (created_at) WHERE status = 'pending';
UPDATE payments SET allocated = amount WHERE status = 'succeeded';

CREATE TABLE credit_balances (
    customer_id bigint NOT NULL REFERENCES customers,
    currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    balance     numeric NOT NULL CHECK (balance >= 0),
    PRIMARY KEY (customer_id, currency)
);
CREATE TABLE credit_entries (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id   bigint NOT NULL,
    currency      text NOT NULL,
    amount        numeric NOT NULL CHECK (amount <> 0),
    reason        text NOT NULL CHECK (reason IN
                      ('overpayment', 'credit_note', 'void', 'applied', 'taken_back', 'returned')),
    key           text NOT NULL UNIQUE,
    invoice_id    bigint NOT NULL REFERENCES invoices,
    business_date date NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (customer_id, currency) REFERENCES credit_balances
);
CREATE INDEX credit_entries_of_customer ON credit_entries (customer_id, currency, id);
ALTER TABLE customers DROP COLUMN credit_balance;

CREATE TABLE refunds (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id      bigint NOT NULL REFERENCES payments,
    credit_note_id  bigint REFERENCES credit_notes,
    amount          numeric NOT NULL CHECK (amount > 0),
    status          text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    idempotency_key text NOT NULL UNIQUE,
    provider_id     text UNIQUE,
    business_date   date NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX refunds_of_payment ON refunds (payment_id);

ALTER TABLE credit_notes
    ADD COLUMN refund_to       text NOT NULL DEFAULT '' CHECK (refund_to IN ('', 'card', 'credit')),
    ADD COLUMN returned_amount numeric NOT NULL DEFAULT 0,
    ADD COLUMN voids           boolean NOT NULL DEFAULT false,
    ADD COLUMN created_by      text NOT NULL DEFAULT '',
    ADD CHECK (returned_amount BETWEEN 0 AND total),
    ADD CHECK ((returned_amount > 0) = (refund_to <> ''));

CREATE TABLE checkout_sessions (
    session_id text NOT NULL PRIMARY KEY,
    invoice_id bigint NOT NULL REFERENCES invoices,
    mode       text NOT NULL CHECK (mode IN ('payment', 'setup')),
    url        text NOT NULL,
    amount     numeric NOT NULL CHECK (amount >= 0),
    status     text NOT NULL CHECK (status IN ('open', 'complete', 'expired')),
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX checkout_sessions_open ON checkout_sessions (invoice_id) WHERE status = 'open';
"""

DUNNING = """
CREATE TABLE dunning_policies (
    code       text NOT NULL PRIMARY KEY CHECK (code <> ''),
    steps      jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE customers ADD COLUMN dunning_policy text REFERENCES dunning_policies;

ALTER TABLE invoices
    ADD COLUMN dunning_policy  jsonb,
    ADD COLUMN dunning_from    date,
    ADD COLUMN dunning_round   integer NOT NULL DEFAULT 0,
    ADD COLUMN steps_taken     integer NOT NULL DEFAULT 0,
    ADD COLUMN first_failed_on date,
    ADD COLUMN on_hold         boolean NOT NULL DEFAULT false,
    ADD COLUMN disputed        boolean NOT NULL DEFAULT false,
    -- another invoice's transaction changed this one, and its workflow has not looked yet
    ADD COLUMN to_wake         boolean NOT NULL DEFAULT false;
-- what was issued before there were reminders is dunned only when a person starts it
UPDATE invoices SET on_hold = true WHERE status IN ('issued', 'overdue');

-- handed to the mail server, whose answer is not recorded; false again where it was not taken
ALTER TABLE emails ADD COLUMN offered boolean NOT NULL DEFAULT false;

CREATE INDEX invoices_to_wake ON invoices (customer_id, issued_on) WHERE to_wake;
CREATE INDEX invoices_in_review ON invoices (due_on) WHERE collection_state = 'manual_review';
"""

ARRIVALS = """
-- what a person asked for: stored first, carried out by the invoice's workflow, done or refused
CREATE TABLE instructions (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    invoice_id    bigint NOT NULL REFERENCES invoices,
    kind          text NOT NULL CHECK (kind IN
                      ('hold', 'release', 'void', 'credit_note', 'resend', 'paid_elsewhere',
                       'charge_again', 'extend', 'write_off', 'void_by_credit_note')),
    details       jsonb NOT NULL DEFAULT '{}',
    note          text NOT NULL,
    person        text NOT NULL CHECK (person <> ''),
    asked_at      timestamptz NOT NULL DEFAULT now(),
    decided_at    timestamptz,
    outcome       text CHECK (outcome IN ('done', 'refused')),
    answer        text NOT NULL DEFAULT '',
    CHECK ((decided_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX instructions_waiting ON instructions (invoice_id) WHERE decided_at IS NULL;

ALTER TABLE webhook_events
    ADD COLUMN invoice_id bigint REFERENCES invoices,
    ADD COLUMN outcome    text CHECK (outcome IN ('applied', 'ignored')),
    ADD COLUMN note       text NOT NULL DEFAULT '',
    ADD CHECK ((applied_at IS NULL) = (outcome IS NULL));
DROP INDEX webhook_events_waiting;
CREATE INDEX webhook_events_waiting ON webhook_events (invoice_id) WHERE applied_at IS NULL;
-- an event may come before its payment is known
CREATE INDEX webhook_events_of_nothing_known
    ON webhook_events ((payload #>> '{data,object,payment_intent}')) WHERE invoice_id IS NULL;

CREATE TABLE bank_statements (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256           text NOT NULL UNIQUE,
    document_sha256  text NOT NULL REFERENCES documents,
    format           text NOT NULL,
    account_iban     text NOT NULL,
    statement_number text NOT NULL,
    entries          integer NOT NULL CHECK (entries >= 0),
    uploaded_by      text NOT NULL,
    uploaded_at      timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE bank_transactions
    ADD COLUMN statement_id  bigint REFERENCES bank_statements,
    ADD COLUMN reversal_of   bigint UNIQUE REFERENCES bank_transactions,
    ADD COLUMN end_to_end_id text NOT NULL DEFAULT '',
    ADD COLUMN match_kind    text NOT NULL DEFAULT ''
        CHECK (match_kind IN ('', 'reference', 'person')),
    ADD COLUMN note          text NOT NULL DEFAULT '',
    ADD COLUMN decided_by    text NOT NULL DEFAULT '',
    ADD COLUMN decided_at    timestamptz;
CREATE INDEX bank_transactions_by_status ON bank_transactions (status, id);

-- negative amounts take back what a reversed transaction had paid
CREATE TABLE bank_matches (
    bank_transaction_id bigint NOT NULL REFERENCES bank_transactions,
    invoice_id          bigint NOT NULL REFERENCES invoices,
    amount              numeric NOT NULL CHECK (amount <> 0),
    payment_id          bigint REFERENCES payments,
    booked_at           timestamptz,
    PRIMARY KEY (bank_transaction_id, invoice_id)
);
CREATE INDEX bank_matches_waiting ON bank_matches (invoice_id) WHERE booked_at IS NULL;

-- as the numbers of invoices are, or a join with them reads the log without its index
ALTER TABLE audit_log ALTER COLUMN subject TYPE text COLLATE "C";

CREATE TRIGGER credit_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON credit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    for statements in (MONEY, DUNNING, ARRIVALS):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("Money that was booked is not taken back; restore a backup instead.")
