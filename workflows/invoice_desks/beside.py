"""Work that runs beside a workflow's loop, and is never lost sight of."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Beside:
    """The tasks beside one workflow's loop.

    `ended` grows with each that ends, so that the loop can wait for the next one.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._broken: BaseException | None = None
        self.ended = 0

    @property
    def is_idle(self) -> bool:
        return not self._running

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._note_end)

    def raise_what_broke(self) -> None:
        """Raises RuntimeError if a task ended by an exception.

        That fails the workflow task, where it is seen and tried again with better code; an
        exception of the SDK's own would end the workflow.
        """
        if self._broken is not None:
            raise RuntimeError("what ran beside the loop broke") from self._broken

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.ended += 1
        if not task.cancelled() and (broken := task.exception()) is not None:
            self._broken = broken
