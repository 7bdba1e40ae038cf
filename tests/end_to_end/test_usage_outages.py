"""Usage while everything is killed that takes it in or sends it: each event counts once."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from storage.engine import transaction
from tests.builders import Subscriber, seed_billing
from tests.end_to_end.conftest import House, open_house
from tests.end_to_end.usage_sender import ACCOUNTS, EVENTS, NOBODYS, account_of, quantity_of

ROOT = Path(__file__).parents[2]


@contextmanager
def sender(house: House, size: int, direction: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that sends all events in batches of `size`, forwards (1) or backwards (-1)."""
    arguments = (house.addresses.api_url, house.http.headers["Authorization"], size, direction)
    command = [sys.executable, "-m", "tests.end_to_end.usage_sender", *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def let_send(*processes: subprocess.Popen[bytes], batches: int) -> None:
    """So few that none of them comes to what another sends before the last one is killed."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n" * batches)
        process.stdin.flush()


def scalar(house: House, query: str) -> int:
    with transaction(house.engine) as connection:
        return int(connection.execute(text(query)).scalar_one())


@contextmanager
def in_the_middle(house: House, *processes: subprocess.Popen[bytes]) -> Iterator[None]:
    """Until the block ends, each batch stands still between its first row and its commit, and one
    does when the block begins.
    """
    let_send(*processes, batches=1)
    house.until("a first batch", lambda: scalar(house, "SELECT count(*) FROM usage_daily"))
    holder = house.engine.connect()
    holder.execute(text("SELECT FROM usage_daily FOR UPDATE"))
    try:
        let_send(*processes, batches=2)
        house.until("a batch that stands still", lambda: scalar(house, _STANDING_STILL))
        yield
    finally:
        with suppress(OperationalError):  # it may have been killed
            holder.close()


def sums(house: House, table: str) -> dict[str, int]:
    query = f"""
        SELECT account_number, sum(quantity)::bigint
        FROM {table} JOIN customers ON customers.id = customer_id GROUP BY 1
    """  # noqa: S608 - a table of the test
    with transaction(house.engine) as connection:
        return {account: total for account, total in connection.execute(text(query))}


def test_whatever_is_killed_each_event_counts_once(tmp_path: Path) -> None:
    expected: Counter[str] = Counter()
    for n in range(EVENTS):
        expected[account_of(n)] += quantity_of(n)
    nobodys = expected.pop(NOBODYS)
    with open_house(tmp_path / "home", worker=None) as house, ExitStack() as senders:
        seed_billing(
            house.engine, tmp_path / "files", [Subscriber(account, 0) for account in ACCOUNTS]
        )
        killed = senders.enter_context(sender(house, 700, 1))
        steady = senders.enter_context(sender(house, 900, -1))
        with in_the_middle(house, killed, steady):
            house.stack.kill("postgres")
        house.ready()
        with in_the_middle(house, killed, steady):
            house.stack.kill("api")
        house.ready()
        with in_the_middle(house, killed, steady):
            killed.kill()
        again = senders.enter_context(sender(house, 1_100, 1))
        for process in (steady, again):
            assert process.stdin is not None
            process.stdin.close()
        assert (steady.wait(120), again.wait(120)) == (0, 0)

        for table in ("billing_events", "usage_daily", "usage_monthly"):
            assert sums(house, table) == expected, table
        assert scalar(house, "SELECT sum(quantity) FROM set_aside_events") == nobodys
        assert scalar(house, "SELECT count(*) FROM usage_event_keys") == EVENTS
        # what a batch came to is written with it: none is half there, and none is told twice
        assert scalar(house, "SELECT sum(accepted + set_aside) FROM usage_batches") == EVENTS


_STANDING_STILL = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
      AND query ILIKE '%INSERT INTO usage_event_keys%'
"""
