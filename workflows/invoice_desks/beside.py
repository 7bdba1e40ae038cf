"""Work that runs beside a workflow's loop, and is never lost sight of."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception


class Beside:
    """The tasks beside one workflow's loop.

    `ended` grows with each that ends, so that the loop can wait for the next one. `is_put_down`:
    the run is about to be continued by another, and whatever fails now is the next one's.
    """

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[None], None] = {}  # in their order, which replays
        self.is_put_down = False
        self._broken: BaseException | None = None
        self.ended = 0

    @property
    def is_idle(self) -> bool:
        return not self._running

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running[task] = None
        task.add_done_callback(self._note_end)
        if self.is_put_down:
            task.cancel()

    async def put_down(self) -> None:
        """Ends everything, so that another run can take it up: no two are ever at one thing.

        What a worker is at is waited for, and counts; what waits to be tried again, or was not
        begun, is given up. Who ordered that still has it.
        """
        self.is_put_down = True
        for task in self._running:
            task.cancel()
        await workflow.wait_condition(lambda: self.is_idle)

    def raise_what_broke(self) -> None:
        """Raises RuntimeError if a task ended by an exception.

        That fails the workflow task, where it is seen and tried again with better code; an
        exception of the SDK's own would end the workflow.
        """
        if self._broken is not None:
            raise RuntimeError("what ran beside the loop broke") from self._broken

    def _note_end(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self.ended += 1
        broken = None if task.cancelled() else task.exception()
        if broken is not None and not (self.is_put_down and is_cancelled_exception(broken)):
            self._broken = broken
