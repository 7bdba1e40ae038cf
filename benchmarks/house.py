"""A stack to measure on, and what its parts have cost so far."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import psutil
from sqlalchemy import Connection, text

from benchmarks.memory import Memory, memory_by_part
from domain.periods import BillingPeriod
from settings import Settings
from stack.embedded import EmbeddedStack, MakeTemporal, Part
from stack.session import API, WORKER, embedded
from storage.access import Role
from storage.api_keys import create_key
from storage.engine import make_engine, transaction
from storage.importing.directory import import_directory
from workflows.connection import connect
from workflows.ids import billing_cycle_id

FEBRUARY, ISSUED_ON = BillingPeriod(2026, 2), date(2026, 3, 1)
PATIENCE_SECONDS = 4 * 3_600
MARKS = (0.1, 0.5, 1.0)
"""Shares of the invoices issued at which it is looked how much memory the parts hold."""

_PROGRESS = text("""
    SELECT cycle.status, count(*) FILTER (WHERE outcome = 'issued') AS issued,
           count(*) FILTER (WHERE outcome IN ('drafted', 'issued')) AS drafts
    FROM billing_cycles cycle JOIN billing_cycle_items ON cycle_id = cycle.id
    WHERE period_start = :month AND cycle.status IN ('issuing', 'closed')
    GROUP BY cycle.id
""")
_STAMPS = text("""
    SELECT (SELECT max(created_at) FROM documents), planned_at
    FROM billing_cycles WHERE period_start = :month
""")


@dataclass(frozen=True)
class Cost:
    """CPU seconds by part; `pdf` is that of the worker's rendering processes."""

    worker: float
    pdf: float
    temporal: float
    postgres: float
    api: float
    mailbox: float

    def __sub__(self, before: "Cost") -> "Cost":
        return Cost(**{name: value - getattr(before, name) for name, value in vars(self).items()})

    @property
    def without_pdf(self) -> float:
        """Worker, Temporal server and PostgreSQL: what the budget counts."""
        return self.worker + self.temporal + self.postgres

    @property
    def total(self) -> float:
        return float(sum(vars(self).values()))


@dataclass(frozen=True)
class MeasuredCycle:
    """`seconds`: from the request to the last PDF stored. `invoices` issued of `customers`.

    `planned_seconds`: from the request until the plan can be read. `memory`: by the share of the
    invoices that were issued, of `MARKS`.
    """

    customers: int
    invoices: int
    seconds: float
    cost: Cost
    planned_seconds: float
    memory: dict[float, Memory]

    def against(self, small: "MeasuredCycle") -> tuple[float, float]:
        """Time and CPU per customer, as multiples of those of `small`."""
        times = small.customers / self.customers
        return (
            self.seconds / small.seconds * times,
            self.cost.total / small.cost.total * times,
        )


class House:
    """A running stack with its data, worker and API."""

    def __init__(self, stack: EmbeddedStack) -> None:
        self.stack = stack
        self.addresses = stack.addresses()
        self.engine = make_engine(self.addresses.database_url, pool_size=4)
        with transaction(self.engine) as connection:
            key = create_key(connection, "bench", Role.ADMIN)
        self.http = httpx.Client(
            base_url=self.addresses.api_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=30,
        )

    def load(self, folder: Path) -> float:
        """Imports a directory; seconds."""
        began = time.monotonic()
        import_directory(self.engine, folder, now=datetime.now(UTC))
        return time.monotonic() - began

    def wait_until_ready(self) -> None:
        while True:
            try:
                if all(state == "ok" for state in self.http.get("/readyz").json().values()):
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)

    def run_cycle(self) -> MeasuredCycle:
        before, asked_at = self.cost(), datetime.now(UTC)
        self.http.post(
            "/api/billing/cycles", json={"period": str(FEBRUARY), "issued_on": str(ISSUED_ON)}
        ).raise_for_status()
        memory = self._until_closed()
        cost = self.cost() - before
        with transaction(self.engine) as connection:
            last, planned_at = connection.execute(_STAMPS, {"month": FEBRUARY.start}).one()
        cycle = self.http.get(f"/api/billing/cycles/{FEBRUARY}").json()
        return MeasuredCycle(
            cycle["customers"],
            cycle["issued"],
            (last - asked_at).total_seconds(),
            cost,
            (planned_at - asked_at).total_seconds(),
            memory,
        )

    def finish_mail(self) -> Cost:
        """What it costs until the e-mails that the cycle put off are sent, too.

        They go out at the mail server's pace behind the cycle; whatever is measured meanwhile
        shares the machine with them.
        """
        before, deadline = self.cost(), time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with transaction(self.engine) as connection:
                if not mail_outstanding(connection):
                    return self.cost() - before
            time.sleep(0.5)
        raise SystemExit(f"The e-mails of the cycle were not sent in {PATIENCE_SECONDS} s.")

    def cost(self) -> Cost:
        pids = self.stack.pids()
        workers = [pid for part, pid in pids.items() if part.startswith(WORKER.name)]
        return Cost(
            worker=sum(_cpu(pid) for pid in workers),
            pdf=sum(_cpu_of_children(pid) for pid in workers),
            temporal=_cpu(pids["temporal"]),
            postgres=self._postgres_cpu(pids["postgres"]),
            api=_cpu(pids["api"]),
            mailbox=_cpu(pids["mailbox"]),
        )

    async def histories(self) -> tuple[int, int]:
        """Of the cycle's workflow, which is waited for: the events of its longest run, and how many
        runs there were.
        """
        client = await connect(self.addresses.temporal_address, "default")
        cycle = billing_cycle_id(str(FEBRUARY))
        await client.get_workflow_handle(cycle).result()
        lengths = []
        async for run in client.list_workflows(f"WorkflowId = '{cycle}'"):
            told = await client.get_workflow_handle(cycle, run_id=run.run_id).describe()
            lengths.append(told.history_length)
        return max(lengths), len(lengths)

    def close(self) -> None:
        self.http.close()
        self.engine.dispose()

    def _until_closed(self) -> dict[float, Memory]:
        """Follows the cycle in PostgreSQL, which costs nobody anything; its memory on the way."""
        memory: dict[float, Memory] = {}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with transaction(self.engine) as connection:
                row = connection.execute(_PROGRESS, {"month": FEBRUARY.start}).one_or_none()
            for mark in MARKS:
                if row is not None and row.issued and row.issued >= mark * row.drafts:
                    memory.setdefault(mark, memory_by_part(self.stack.pids()))
            if row is not None and row.status == "closed":
                return memory
            time.sleep(0.5)
        raise SystemExit(f"The cycle did not end in {PATIENCE_SECONDS} s.")

    @staticmethod
    def _postgres_cpu(pid: int) -> float:
        """Connections that have ended are counted by their parent, the postmaster."""
        return _cpu(pid) + _cpu_of_ended(pid) + _cpu_of_children(pid)


def mail_outstanding(connection: Connection) -> int:
    """How many issued invoices have no e-mail recorded as sent, or one that is not yet sent.

    An e-mail is written down when its turn comes, so the unsent ones alone would not do.
    """
    return int(
        connection.execute(
            text("""
                SELECT count(*) FROM (
                    SELECT FROM invoices LEFT JOIN emails ON emails.invoice_id = invoices.id
                    WHERE invoices.cycle_id IS NOT NULL AND invoices.status NOT IN ('draft', 'void')
                    GROUP BY invoices.id
                    HAVING count(emails.sent_at) < greatest(count(emails.id), 1)
                ) waiting
            """)
        ).scalar_one()
    )


@contextmanager
def open_house(*, workers: int = 1, temporal: MakeTemporal | None = None) -> Iterator[House]:
    """A stack in an empty home, removed at the end. A day lasts a real one from the issue on.

    `temporal` None: the development server.
    """
    more = [Part(f"{WORKER.name}-{place}", WORKER.argv) for place in range(2, workers + 1)]
    os.environ["BILLWRIGHT_DAY_SECONDS"] = "86400"
    with (
        tempfile.TemporaryDirectory(prefix="billwright-bench-") as home,
        embedded(Settings(home=Path(home)), parts=(WORKER, *more, API), temporal=temporal) as stack,
    ):
        house = House(stack)
        try:
            house.wait_until_ready()
            yield house
        finally:
            house.close()


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _cpu_of_ended(pid: int) -> float:
    """Of its children that have ended, as renderers do that are made anew."""
    times = psutil.Process(pid).cpu_times()
    return float(times.children_user + times.children_system)


def _cpu_of_children(pid: int) -> float:
    children = psutil.Process(pid).children(recursive=True)
    return sum(_cpu(child.pid) + _cpu_of_ended(child.pid) for child in children)
