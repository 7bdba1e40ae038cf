"""Everything the sandbox knows, in one SQLite file.

With a write-ahead log: what was committed survives a killed process. Used by one thread.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stack.card_sandbox.errors import Json, missing

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS objects_kind ON objects (kind, seq);
CREATE INDEX IF NOT EXISTS objects_customer
    ON objects (kind, json_extract(body, '$.customer'), seq);
CREATE INDEX IF NOT EXISTS objects_intent
    ON objects (kind, json_extract(body, '$.payment_intent'), seq);
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY, event TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0, outcome TEXT);
CREATE INDEX IF NOT EXISTS deliveries_open ON deliveries (seq) WHERE outcome IS NULL;
CREATE TABLE IF NOT EXISTS later (seq INTEGER PRIMARY KEY, due REAL, what TEXT, id TEXT);
CREATE TABLE IF NOT EXISTS faults (
    seq INTEGER PRIMARY KEY, method TEXT, path TEXT, kind TEXT, seconds REAL, times INTEGER);
CREATE TABLE IF NOT EXISTS orders (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, entry TEXT NOT NULL);
"""

LABELS = {
    "customer": "customer",
    "payment_method": "PaymentMethod",
    "payment_intent": "payment_intent",
    "setup_intent": "setupintent",
    "checkout.session": "checkout.session",
    "charge": "charge",
    "refund": "refund",
    "dispute": "dispute",
    "event": "event",
    "balance_transaction": "balance_transaction",
}
"""How Stripe names a kind of object in its messages."""


def now() -> int:
    """Seconds since the epoch, as Stripe stamps objects."""
    return int(time.time())


def new_id(prefix: str) -> str:
    """An id that nobody guesses, such as `pi_` and 24 characters."""
    return f"{prefix}_{secrets.token_hex(12)}"


class Store:
    """Objects as JSON under their ids, and the tables beside them through `execute`."""

    def __init__(self, path: Path) -> None:
        # Made in one thread, used in another: by one at a time all the same.
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; durable at the end. Not to be nested, not to be held over an await."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A part of a transaction that leaves no trace where it raises."""
        self.execute("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK TO attempt")
            self.execute("RELEASE attempt")
            raise
        self.execute("RELEASE attempt")

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def add(self, thing: Json) -> Json:
        """Keeps a new object; returns it."""
        self.execute(
            "INSERT INTO objects (id, kind, body) VALUES (?, ?, ?)",
            *(thing["id"], thing["object"], json.dumps(thing)),
        )
        return thing

    def save(self, thing: Json) -> Json:
        """Keeps an object as it is now; returns it."""
        self.execute("UPDATE objects SET body = ? WHERE id = ?", json.dumps(thing), thing["id"])
        return thing

    def find(self, name: str) -> Json | None:
        """The object with the id `name`, of whatever kind."""
        row = self.execute("SELECT body FROM objects WHERE id = ?", name).fetchone()
        return None if row is None else json.loads(row[0])

    def get(self, kind: str, name: str, *, param: str = "id", in_path: bool = False) -> Json:
        """The object of `kind`. Raises SandboxError, naming `param`, if there is none."""
        found = self.find(name)
        if found is None or found["object"] != kind or found.get("deleted"):
            raise missing(LABELS[kind], name, param=param, in_path=in_path)
        return found

    def select(self, kind: str, **fields: Any) -> list[Json]:
        """All objects of `kind` with these values at the top level, the oldest first."""
        return [thing for _, thing in self._rows(kind, fields, {}, "seq", -1)]

    def page(self, kind: str, fields: Json, listing: Json) -> tuple[list[Json], bool]:
        """One page, the newest first, and whether there are more.

        `listing`: the parameters of `params.LISTING`. Raises SandboxError for a cursor that names
        nothing.
        """
        limit = min(max(listing.get("limit", 10), 1), 100)
        bounds: Json = {"created": listing.get("created", {})}
        backwards = "ending_before" in listing
        for name, comparison in (("starting_after", "lt"), ("ending_before", "gt")):
            if name in listing:
                bounds["seq"] = {comparison: self._seq(kind, listing[name], name)}
        order = "seq" if backwards else "seq DESC"
        rows = self._rows(kind, fields, bounds, order, limit + 1)
        things = [thing for _, thing in rows[:limit]]
        return (things[::-1] if backwards else things), len(rows) > limit

    def _seq(self, kind: str, name: str, param: str) -> int:
        self.get(kind, name, param=param)
        return int(self.execute("SELECT seq FROM objects WHERE id = ?", name).fetchone()[0])

    def _rows(
        self, kind: str, fields: Json, bounds: Json, order: str, limit: int
    ) -> list[tuple[int, Json]]:
        signs = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
        conditions, values = ["kind = ?"], [kind]
        for name, value in fields.items():
            if isinstance(value, list):
                conditions.append(f"{_path(name)} IN ({', '.join('?' * len(value))})")
                values += value
            elif value is not None:
                conditions.append(f"{_path(name)} = ?")
                values.append(value)
        for name, limits in bounds.items():
            for comparison, value in limits.items():
                column = "seq" if name == "seq" else _path(name)
                conditions.append(f"{column} {signs[comparison]} ?")
                values.append(value)
        # Names of columns and of fields are the sandbox's own; what a client sent is bound.
        statement = (
            f"SELECT seq, body FROM objects WHERE {' AND '.join(conditions)}"  # noqa: S608
            f" ORDER BY {order} LIMIT {limit:d}"
        )
        return [(seq, json.loads(body)) for seq, body in self.execute(statement, *values)]

    def order(self, name: str, default: Any = None) -> Any:
        """What was last ordered under `name` through the sandbox's own calls."""
        row = self.execute("SELECT value FROM orders WHERE name = ?", name).fetchone()
        return default if row is None else json.loads(row[0])

    def set_order(self, name: str, value: Any) -> None:
        self.execute("INSERT OR REPLACE INTO orders VALUES (?, ?)", name, json.dumps(value))

    def schedule(self, due: float, what: str, name: str) -> None:
        """Has `later` do `what` to the object `name` at `due`, in seconds since the epoch."""
        self.execute("INSERT INTO later (due, what, id) VALUES (?, ?, ?)", due, what, name)


def _path(field: str) -> str:
    return f"json_extract(body, '$.{field}')"


def public(thing: Any) -> Any:
    """An object as it goes out: without what the sandbox notes for itself (`_…`)."""
    if isinstance(thing, dict):
        return {k: public(v) for k, v in thing.items() if not k.startswith("_")}
    if isinstance(thing, list):
        return [public(item) for item in thing]
    return thing
