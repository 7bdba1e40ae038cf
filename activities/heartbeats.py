"""A worker that lives says so, and one that was killed is noticed soon."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

_BEATS_PER_TIMEOUT = 3


class StillAlive(Interceptor):
    """Heartbeats for each activity whose policy has a heartbeat timeout, while its thread runs.

    It proves that the process lives and not that the thread gets on: a thread that hangs is
    bounded by the activity's own timeout.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Beating(next)


class _Beating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        timeout = activity.info().heartbeat_timeout
        if not timeout:
            return await super().execute_activity(input)
        beating = asyncio.create_task(_beat(timeout / _BEATS_PER_TIMEOUT))
        try:
            return await super().execute_activity(input)
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating


async def _beat(every: timedelta) -> None:
    while True:
        await asyncio.sleep(every.total_seconds())
        # an activity of a thread waits for the event loop with its beat; here it must not
        await asyncio.to_thread(activity.heartbeat)
