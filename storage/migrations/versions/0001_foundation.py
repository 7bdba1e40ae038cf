"""The tables of billing, with the constraints that refuse doubles.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MASTER_DATA = """
CREATE TABLE sellers (
    version       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL,
    address_line1 text NOT NULL,
    postal_code   text NOT NULL,
    city          text NOT NULL,
    region        text NOT NULL,
    country       text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    email         text NOT NULL,
    phone         text NOT NULL,
    website       text NOT NULL,
    tax_number    text NOT NULL,
    registration  text NOT NULL,
    bank_name     text NOT NULL,
    iban          text NOT NULL,
    bic           text NOT NULL,
    logo_svg      text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE customers (
    id                       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_number           text COLLATE "C" NOT NULL UNIQUE CHECK (account_number <> ''),
    name                     text NOT NULL CHECK (name <> ''),
    billing_emails           text[] NOT NULL CHECK (cardinality(billing_emails) > 0),
    country                  text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    region                   text NOT NULL,
    address_line1            text NOT NULL,
    postal_code              text NOT NULL,
    city                     text NOT NULL,
    tax_id                   text NOT NULL,
    tax_id_valid             boolean NOT NULL,
    tax_exempt               boolean NOT NULL,
    currency                 text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    segment                  text NOT NULL,
    payment_method           text NOT NULL CHECK (payment_method IN ('card', 'bank_transfer')),
    stripe_customer_id       text,
    stripe_payment_method_id text,
    status                   text NOT NULL CHECK (status IN ('active', 'paused', 'churned')),
    po_number                text NOT NULL DEFAULT '',
    credit_balance           numeric NOT NULL DEFAULT 0 CHECK (credit_balance >= 0),
    created_at               timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pricing_plans (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code       text NOT NULL UNIQUE,
    name       text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('usage', 'flat')),
    metric     text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((kind = 'usage') = (metric IS NOT NULL))
);

CREATE TABLE plan_prices (
    plan_id    bigint NOT NULL REFERENCES pricing_plans,
    currency   text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    version    integer NOT NULL CHECK (version > 0),
    valid_from date NOT NULL,
    unit_price numeric CHECK (unit_price >= 0),
    tiers      jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (plan_id, currency, version),
    UNIQUE (plan_id, currency, valid_from)
);

CREATE TABLE subscriptions (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers,
    plan_id     bigint NOT NULL REFERENCES pricing_plans,
    quantity    numeric NOT NULL CHECK (quantity > 0),
    starts_on   date NOT NULL,
    ends_on     date,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CHECK (ends_on > starts_on),
    -- btree_gist's equality on integers, written as overlapping ranges of one
    EXCLUDE USING gist (
        int8range(customer_id, customer_id, '[]') WITH &&,
        int8range(plan_id, plan_id, '[]') WITH &&,
        daterange(starts_on, ends_on) WITH &&
    )
);

CREATE TABLE tax_rates (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    country      text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    region       text NOT NULL,
    rate_percent numeric NOT NULL CHECK (rate_percent BETWEEN 0 AND 100),
    name         text NOT NULL,
    valid_from   date NOT NULL,
    valid_to     date,
    CHECK (valid_to > valid_from),
    UNIQUE (country, region, valid_from)
);

CREATE TABLE api_keys (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    role       text NOT NULL CHECK (role IN ('admin', 'finance', 'viewer', 'ingest')),
    key_hash   text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
"""

USAGE = """
CREATE TABLE billing_events (
    customer_id bigint NOT NULL,
    metric      text NOT NULL,
    occurred_at timestamptz NOT NULL,
    quantity    numeric NOT NULL,
    event_id    text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (occurred_at);

-- path 1: the usage of one customer in one period
CREATE INDEX billing_events_by_customer ON billing_events (customer_id, occurred_at)
    INCLUDE (metric, quantity);

CREATE TABLE usage_event_keys (
    event_id     text COLLATE "C" NOT NULL PRIMARY KEY,
    content_hash bytea NOT NULL
) PARTITION BY HASH (event_id);

-- what makes two events the same event; the time zone and trailing zeros do not
CREATE FUNCTION usage_content_hash(
    account_number text, metric text, occurred_at timestamptz, quantity numeric
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT substring(sha256(convert_to(
        concat_ws(chr(31), account_number, metric, extract(epoch FROM occurred_at)::text,
                  trim_scale(quantity)::text), 'UTF8')) FOR 16)
$$;

CREATE FUNCTION make_event_partition(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first date := date_trunc('month', month)::date;
    after date := (first + interval '1 month')::date;
    name  text := 'billing_events_' || to_char(first, 'YYYY_MM');
BEGIN
    IF to_regclass(name) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF billing_events FOR VALUES FROM (%L) TO (%L)',
            name, first || ' 00:00+00', after || ' 00:00+00');
    END IF;
END $$;

DO $$ BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE usage_event_keys_%s PARTITION OF usage_event_keys '
            'FOR VALUES WITH (MODULUS 16, REMAINDER %s)', part, part);
    END LOOP;
END $$;
"""

INVOICES = """
CREATE TABLE billing_cycles (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    period_start   date NOT NULL UNIQUE CHECK (period_start = date_trunc('month', period_start)),
    status         text NOT NULL CHECK (status IN ('planning', 'planned', 'issuing', 'closed')),
    issued_on      date NOT NULL,
    terms_days     integer NOT NULL CHECK (terms_days >= 0),
    hold_reminders boolean NOT NULL,
    last_sequence  integer NOT NULL DEFAULT 0,
    started_at     timestamptz NOT NULL DEFAULT now(),
    planned_at     timestamptz,
    closed_at      timestamptz
);

CREATE TABLE documents (
    sha256     text NOT NULL PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    media_type text NOT NULL,
    content    bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
-- PDFs are compressed already
ALTER TABLE documents ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE invoices (
    id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number               text COLLATE "C" UNIQUE,
    customer_id          bigint NOT NULL REFERENCES customers,
    cycle_id             bigint REFERENCES billing_cycles,
    period_start         date NOT NULL,
    kind                 text NOT NULL CHECK (kind IN ('regular', 'late')),
    status               text NOT NULL CHECK (status IN
                             ('draft', 'issued', 'paid', 'overdue', 'void', 'uncollectible')),
    collection_state     text CHECK (collection_state IN
                             ('issued', 'payment_attempted', 'retry_scheduled', 'reminder_sent',
                              'urgent_notice', 'manual_review', 'paid', 'void', 'uncollectible')),
    currency             text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    usage_amount         numeric NOT NULL,
    subscription_amount  numeric NOT NULL,
    proration_amount     numeric NOT NULL,
    subtotal             numeric NOT NULL,
    tax                  numeric NOT NULL,
    total                numeric NOT NULL,
    tax_lines            jsonb NOT NULL,
    amount_paid          numeric NOT NULL DEFAULT 0 CHECK (amount_paid >= 0),
    amount_credited      numeric NOT NULL DEFAULT 0 CHECK (amount_credited >= 0),
    segment              text NOT NULL,
    customer             jsonb NOT NULL,
    seller_version       integer NOT NULL REFERENCES sellers,
    issued_on            date NOT NULL,
    due_on               date NOT NULL,
    pdf_sha256           text REFERENCES documents,
    link_version         integer NOT NULL DEFAULT 1,
    created_at           timestamptz NOT NULL DEFAULT now(),
    issued_at            timestamptz,
    settled_on           date,
    UNIQUE (id, currency),
    CHECK (usage_amount + subscription_amount + proration_amount = subtotal),
    CHECK (subtotal + tax = total),
    CHECK (amount_paid + amount_credited <= greatest(total, 0)),
    CHECK (due_on >= issued_on),
    CHECK (status = 'draft' OR (number IS NOT NULL AND issued_at IS NOT NULL) OR status = 'void'),
    -- an invoice brought along from an older system has no cycle, and its document stays there
    CHECK (status IN ('draft', 'void') OR cycle_id IS NULL OR pdf_sha256 IS NOT NULL)
);

CREATE UNIQUE INDEX invoices_one_per_period ON invoices (customer_id, period_start, kind)
    WHERE status <> 'void';
-- path 2: overdue invoices by status and due date
CREATE INDEX invoices_by_status_due ON invoices (status, due_on);
-- path 3: revenue by period and segment
CREATE INDEX invoices_by_period_segment ON invoices (period_start, segment)
    INCLUDE (subtotal, tax, total, currency, status);
CREATE INDEX invoices_of_customer ON invoices (customer_id, period_start);

CREATE TABLE invoice_line_items (
    invoice_id   bigint NOT NULL REFERENCES invoices ON DELETE CASCADE,
    position     integer NOT NULL CHECK (position > 0),
    kind         text NOT NULL CHECK (kind IN ('usage', 'flat', 'proration')),
    description  text NOT NULL,
    quantity     numeric NOT NULL,
    unit_price   numeric,
    amount       numeric NOT NULL,
    plan_code    text NOT NULL,
    plan_version integer NOT NULL,
    PRIMARY KEY (invoice_id, position)
);

CREATE TABLE billing_cycle_items (
    cycle_id       bigint NOT NULL REFERENCES billing_cycles,
    customer_id    bigint NOT NULL REFERENCES customers,
    account_number text COLLATE "C" NOT NULL,
    outcome        text NOT NULL CHECK (outcome IN ('drafted', 'issued', 'skipped', 'failed')),
    reason_code    text NOT NULL DEFAULT '',
    reason         text NOT NULL DEFAULT '',
    invoice_id     bigint REFERENCES invoices,
    PRIMARY KEY (cycle_id, account_number),
    UNIQUE (cycle_id, customer_id),
    CHECK (outcome NOT IN ('skipped', 'failed') OR reason <> '')
);
CREATE INDEX billing_cycle_items_by_outcome
    ON billing_cycle_items (cycle_id, outcome, account_number);
"""

COLLECTION = """
CREATE TABLE payments (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    invoice_id      bigint NOT NULL,
    method          text NOT NULL CHECK (method IN ('card', 'bank_transfer', 'credit', 'other')),
    status          text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'reversed')),
    amount          numeric NOT NULL CHECK (amount > 0),
    currency        text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    idempotency_key text NOT NULL UNIQUE,
    provider_id     text UNIQUE,
    failure_code    text NOT NULL DEFAULT '',
    business_date   date NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    -- in its invoice's currency: what is paid is summed without a look at it
    FOREIGN KEY (invoice_id, currency) REFERENCES invoices (id, currency)
);
CREATE INDEX payments_of_invoice ON payments (invoice_id);

CREATE TABLE credit_notes (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number        text COLLATE "C" NOT NULL UNIQUE,
    invoice_id    bigint NOT NULL,
    currency      text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    subtotal      numeric NOT NULL CHECK (subtotal >= 0),
    tax           numeric NOT NULL CHECK (tax >= 0),
    total         numeric NOT NULL CHECK (total > 0),
    lines         jsonb NOT NULL,
    tax_lines     jsonb NOT NULL,
    reason        text NOT NULL,
    pdf_sha256    text REFERENCES documents,
    business_date date NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CHECK (subtotal + tax = total),
    FOREIGN KEY (invoice_id, currency) REFERENCES invoices (id, currency)
);
CREATE INDEX credit_notes_of_invoice ON credit_notes (invoice_id);

CREATE TABLE bank_transactions (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bank_reference text NOT NULL UNIQUE,
    booked_on      date NOT NULL,
    amount         numeric NOT NULL CHECK (amount <> 0),
    currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    payer_name     text NOT NULL,
    payer_iban     text NOT NULL,
    remittance     text NOT NULL,
    status         text NOT NULL CHECK (status IN ('unmatched', 'matched', 'reversed', 'ignored')),
    received_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE emails (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    invoice_id    bigint NOT NULL REFERENCES invoices,
    kind          text NOT NULL,
    step          integer NOT NULL,
    message_id    text NOT NULL UNIQUE,
    recipients    text[] NOT NULL CHECK (cardinality(recipients) > 0),
    subject       text NOT NULL,
    business_date date NOT NULL,
    sent_at       timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (invoice_id, kind, step)
);

CREATE TABLE webhook_events (
    event_id    text NOT NULL PRIMARY KEY,
    type        text NOT NULL,
    payload     jsonb NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    applied_at  timestamptz
);
CREATE INDEX webhook_events_waiting ON webhook_events (received_at) WHERE applied_at IS NULL;

CREATE TABLE audit_log (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    business_date date NOT NULL,
    actor         text NOT NULL,
    subject_kind  text NOT NULL,
    subject       text NOT NULL,
    event         text NOT NULL,
    from_state    text,
    to_state      text,
    reason        text NOT NULL DEFAULT '',
    details       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_of_subject ON audit_log (subject_kind, subject, id);
"""

GUARDS = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only; write a new row instead', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER sellers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sellers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION freeze_issued_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'draft' THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'DELETE' OR NEW.status = 'draft' OR
       (NEW.number, NEW.customer_id, NEW.cycle_id, NEW.period_start, NEW.kind, NEW.currency,
        NEW.usage_amount, NEW.subscription_amount, NEW.proration_amount, NEW.subtotal, NEW.tax,
        NEW.total, NEW.tax_lines, NEW.segment, NEW.customer, NEW.seller_version, NEW.issued_on,
        NEW.due_on, NEW.pdf_sha256, NEW.issued_at)
       IS DISTINCT FROM
       (OLD.number, OLD.customer_id, OLD.cycle_id, OLD.period_start, OLD.kind, OLD.currency,
        OLD.usage_amount, OLD.subscription_amount, OLD.proration_amount, OLD.subtotal, OLD.tax,
        OLD.total, OLD.tax_lines, OLD.segment, OLD.customer, OLD.seller_version, OLD.issued_on,
        OLD.due_on, OLD.pdf_sha256, OLD.issued_at)
    THEN
        RAISE EXCEPTION 'invoice % is issued and frozen; correct it by a credit note', OLD.number
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER invoices_frozen BEFORE UPDATE OR DELETE ON invoices
    FOR EACH ROW EXECUTE FUNCTION freeze_issued_invoice();

CREATE FUNCTION freeze_issued_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM invoices WHERE id IN (OLD.invoice_id, NEW.invoice_id) AND status <> 'draft'
    ) THEN
        RAISE EXCEPTION 'the lines of an issued invoice are frozen; correct it by a credit note'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;

CREATE TRIGGER invoice_line_items_frozen BEFORE INSERT OR UPDATE OR DELETE ON invoice_line_items
    FOR EACH ROW EXECUTE FUNCTION freeze_issued_lines();
"""


def upgrade() -> None:
    for statements in (MASTER_DATA, USAGE, INVOICES, COLLECTION, GUARDS):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("The first migration is not taken back; drop the database instead.")
