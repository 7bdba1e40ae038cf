"""People who log in, and their sessions.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

PEOPLE = """
CREATE TABLE people (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email         text NOT NULL CHECK (email = lower(email)),
    name          text NOT NULL CHECK (name <> ''),
    role          text NOT NULL CHECK (role IN ('admin', 'finance', 'viewer')),
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    disabled_at   timestamptz
);
-- whoever was disabled and comes back is added anew: what they were stays as it was
CREATE UNIQUE INDEX people_email ON people (email) WHERE disabled_at IS NULL;

CREATE TABLE sessions (
    token_hash   text NOT NULL PRIMARY KEY,
    person_id    bigint NOT NULL REFERENCES people,
    created_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX sessions_of_person ON sessions (person_id);
"""


def upgrade() -> None:
    op.execute(PEOPLE)


def downgrade() -> None:
    op.execute("DROP TABLE sessions, people")
