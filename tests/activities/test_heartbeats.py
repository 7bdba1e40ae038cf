"""A worker that lives says so: what is long beats, what is short does not."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.heartbeats import StillAlive


class Work(ActivityInboundInterceptor):
    """An activity that ends when it is told to, and notes that it began."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        await self.may_end.wait()
        return "done"


def order() -> ExecuteActivityInput:
    return ExecuteActivityInput(fn=print, args=[], executor=None, headers={})


async def test_an_activity_with_a_heartbeat_timeout_beats_until_it_ends() -> None:
    work, beats = Work(), []
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, heartbeat_timeout=timedelta(milliseconds=30))

    loop = asyncio.get_running_loop()

    def beat(*_: Any) -> None:
        beats.append(1)
        if len(beats) == 3:
            loop.call_soon_threadsafe(work.may_end.set)

    environment.on_heartbeat = beat
    interceptor = StillAlive().intercept_activity(work)
    assert await environment.run(interceptor.execute_activity, order()) == "done"
    assert len(beats) >= 3


async def test_an_activity_without_one_does_not_beat() -> None:
    work, beats = Work(), []
    work.may_end.set()
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, heartbeat_timeout=None)
    environment.on_heartbeat = lambda *_: beats.append(1)
    interceptor = StillAlive().intercept_activity(work)
    assert await environment.run(interceptor.execute_activity, order()) == "done"
    assert beats == []
