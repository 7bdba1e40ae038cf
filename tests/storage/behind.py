"""What becomes of a transaction that comes while another one is open."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy import Connection, Engine, text

from storage.engine import transaction


def wait_for_a_lock(engine: Engine) -> None:
    """Until somebody waits for a lock that is held here."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with transaction(engine) as connection:
            if connection.execute(_WAITING).scalar_one():
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def behind(
    engine: Engine, first: Callable[[Connection], object], then: Callable[[Engine], object]
) -> Future[object]:
    """What becomes of `then`, which came while the transaction of `first` was open."""
    with ThreadPoolExecutor(1) as threads:
        with transaction(engine) as connection:
            first(connection)
            other = threads.submit(then, engine)
            wait_for_a_lock(engine)
        other.exception(60)
    return other
