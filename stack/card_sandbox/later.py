"""What happens by itself: a refund settles, a page expires."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from stack.card_sandbox.checkout import expire_when_due
from stack.card_sandbox.refunds import settle_refund
from stack.card_sandbox.webhooks import Deliveries
from stack.card_sandbox.world import Origin, World

_TAKE_A_LOOK = 30.0  # seconds, where nothing is due

_DEEDS: dict[str, Callable[[World, str], None]] = {
    "refund_succeeded": partial(settle_refund, outcome="succeeded"),
    "refund_failed": partial(settle_refund, outcome="failed"),
    "session_expires": expire_when_due,
}


class Later:
    """Does what `Store.schedule` was told, when it is due, also after a restart."""

    def __init__(self, world: World, deliveries: Deliveries) -> None:
        self._world = world
        self._deliveries = deliveries
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There may be something new to do."""
        self._wake.set()

    async def run(self) -> None:
        """Runs until canceled."""
        while True:
            self._wake.clear()
            self.do_what_is_due()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._until_next())

    def do_what_is_due(self) -> None:
        store = self._world.store
        due = store.execute("SELECT seq, what, id FROM later WHERE due <= ?", time.time())
        for seq, what, name in due.fetchall():
            self._world.origin = Origin()
            with store.transaction():
                _DEEDS[what](self._world, name)
                store.execute("DELETE FROM later WHERE seq = ?", seq)
            self._deliveries.wake()

    def _until_next(self) -> float:
        due = self._world.store.execute("SELECT min(due) FROM later").fetchone()[0]
        if due is None:
            return _TAKE_A_LOOK
        return float(min(max(due - time.time(), 0.0), _TAKE_A_LOOK))
