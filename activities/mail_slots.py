"""Mail gives way: e-mails go out behind the billing, not beside it."""

import asyncio
import time
from collections.abc import Callable

from temporalio.worker import (
    CustomSlotSupplier,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
)

_LOOK_AGAIN_SECONDS = 0.2


class MailGivesWay(CustomSlotSupplier):
    """The mail worker's slots: `at_once` of them, and none while the machine renders invoices.

    An e-mail that waits costs nobody anything; an invoice that waits holds up the cycle. A slot
    waits at most `patience_seconds`, so that mail trickles through a cycle of any length.
    """

    def __init__(
        self, at_once: int, *, rendering: Callable[[], bool], patience_seconds: float = 30
    ) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._rendering = rendering
        self._patience_seconds = patience_seconds
        self._loop: asyncio.AbstractEventLoop | None = None

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        self._loop = asyncio.get_running_loop()
        await self._free.acquire()
        try:
            until = time.monotonic() + self._patience_seconds
            while self._rendering() and time.monotonic() < until:  # noqa: ASYNC110 - of threads
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        except asyncio.CancelledError:
            self._free.release()
            raise
        return SlotPermit()

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        return None  # mail is never eager

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        """Nothing to note."""

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        assert self._loop is not None  # a slot was reserved before it is released
        self._loop.call_soon_threadsafe(self._free.release)
