"""What came in together: told to people, and to whoever worked something out of what was there."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, insert, select, text

from storage.tables import usage_batches

_USAGE_LOCK = 0x42555347  # "BUSG": shared by who writes usage, taken alone for a moment by `so_far`


@dataclass(frozen=True)
class Batch:
    """How many events of a batch were accepted, known before, set aside, rejected.

    `first_day`: the earliest day of those accepted; None where there were none.
    """

    received_by: str
    first_day: date | None
    accepted: int
    duplicates: int = 0
    set_aside: int = 0
    rejected: int = 0


def begin_batch(connection: Connection) -> None:
    """Call it before the first event is written, so that `so_far` waits for the batch."""
    connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _USAGE_LOCK})


def record_batch(connection: Connection, batch: Batch) -> None:
    connection.execute(insert(usage_batches).values(**vars(batch)))


def so_far(connection: Connection) -> int:
    """The last batch; every one with a lower id is there to be read, and any other has a higher.

    It waits for the batches that are being written, for a moment, and they for it.
    """
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _USAGE_LOCK})
    try:
        last = select(func.coalesce(func.max(usage_batches.c.id), 0))
        with connection.begin_nested():  # where it fails, the lock can still be given back
            return int(connection.execute(last).scalar_one())
    finally:
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _USAGE_LOCK})
