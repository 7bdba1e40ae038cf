"""The whole product as processes: PostgreSQL, Temporal, mailbox, worker and API."""

import csv
import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from demo.behaviour import hand_over_cards
from demo.dataset import write_dataset
from domain.periods import BillingPeriod
from settings import Settings
from stack.embedded import EmbeddedStack, Part
from stack.mailbox import read_mails
from stack.session import API, WORKER, embedded
from storage.access import Role
from storage.api_keys import create_key
from storage.engine import make_engine, transaction
from storage.exports import write_export
from storage.importing.directory import import_directory

FEBRUARY = BillingPeriod(2026, 2)
ORDER = {"period": "2026-02", "issued_on": "2026-03-01"}
PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Bill:
    """What a cycle made, as the exports print it: the same data must print the same."""

    invoices: str
    lines: str
    items: str


class House:
    """A running stack and the calls that a finance team makes on it."""

    def __init__(self, stack: EmbeddedStack) -> None:
        self.stack = stack
        self.addresses = stack.addresses()
        self.engine = make_engine(self.addresses.database_url, pool_size=10)
        with transaction(self.engine) as connection:
            key = create_key(connection, "test", Role.ADMIN)
        self.http = httpx.Client(
            base_url=self.addresses.api_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=30,
        )

    def import_february(self, folder: Path) -> None:
        """February alone: the months before it change nothing of what it bills."""
        write_dataset(folder, history=False)
        import_directory(self.engine, folder, now=datetime.now(UTC))
        hand_over_cards(self.addresses)

    def until(self, what: str, condition: Callable[[], Any]) -> Any:
        """Asks until the answer is true; an API that is starting or down is asked again."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                if answer := condition():
                    return answer
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"{what}: not within {PATIENCE_SECONDS} s")

    def ready(self) -> None:
        self.until("API ready", lambda: self.http.get("/readyz").status_code == 200)

    def cycle(self) -> dict[str, Any]:
        answer = self.http.get("/api/billing/cycles/2026-02")
        return answer.json() if answer.status_code == 200 else {}

    def closed(self) -> dict[str, Any]:
        def closed() -> dict[str, Any] | None:
            cycle = self.cycle()
            return cycle if cycle.get("status") == "closed" else None

        found: dict[str, Any] = self.until("cycle closed", closed)
        return found

    def bill(self) -> Bill:
        """What was billed; how far it is collected changes from moment to moment."""
        with transaction(self.engine) as connection:
            invoices, lines, items = (
                self._export(connection, name) for name in ("invoices", "lines", "cycle-items")
            )
        return Bill(_without(invoices, _OF_COLLECTION), lines, items)

    def charges(self) -> dict[str, int]:
        """How many charges there are by status."""
        with transaction(self.engine) as connection:
            counted = connection.execute(
                text("SELECT status, count(*) AS charges FROM payments GROUP BY status")
            )
            return {row.status: row.charges for row in counted}

    def mails(self) -> list[str]:
        """The Message-IDs of all mails received, in order of arrival."""
        return [str(mail["Message-ID"]) for mail in read_mails(self.addresses.mail_dir)]

    def close(self) -> None:
        self.http.close()
        self.engine.dispose()

    @staticmethod
    def _export(connection: Any, name: str) -> str:
        target = io.StringIO()
        write_export(connection, name, FEBRUARY, target)
        return target.getvalue()


_OF_COLLECTION = ("amount_paid", "status", "collection_state")


def _without(table: str, columns: Sequence[str]) -> str:
    """CSV `table` without some of its columns."""
    rows = list(csv.DictReader(io.StringIO(table)))
    left = io.StringIO()
    kept = [name for name in rows[0] if name not in columns] if rows else []
    writer = csv.DictWriter(left, kept, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return left.getvalue()


@contextmanager
def open_house(home: Path, *, worker: Part | None = WORKER) -> Iterator[House]:
    """The stack of `home`, started where it does not run, with worker and API."""
    parts = (API,) if worker is None else (worker, API)
    with embedded(Settings(home=home), parts=parts) as stack:
        house = House(stack)
        try:
            house.ready()
            yield house
        finally:
            house.close()


@pytest.fixture(autouse=True)
def _paced_for_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days last real days counted from the issue, and mail goes out as fast as it can."""
    monkeypatch.setenv("BILLWRIGHT_DAY_SECONDS", "86400")
    monkeypatch.setenv("BILLWRIGHT_MAILS_PER_SECOND", "1000")
