"""The real worker, which kills itself where it is told to: `python -m …crashing_worker`.

A kill point is a file; its name says of which workflow, in which activity, at which of its
effects, and whether before or behind it. Whoever comes to the point first takes the file and
waits there. Once the process has lived long enough and nothing else is being done, it sends
SIGKILL to itself, and all that wait die where they stand. If something else goes on for long it
dies too, but for an e-mail between the server's 250 and our record: it would go out once more
without having been told to.
"""

import asyncio
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

import worker
from activities import charging, collection, credit_notes, delivery, issuing, sweeping
from activities.card_gateway import CardGateway
from activities.failures import FailurePolicy
from activities.mailer import Mailer
from activities.rendering import PdfPool
from settings import settings
from stack.supervisor import STEADY
from storage.engine import transaction
from tests.end_to_end.crash_points import CRASH_FOLDER, point_name
from workflows.contracts.lifecycle import NoticeOrder

_AGE = STEADY + 0.5  # seconds; a part that dies younger is started again ever later
_GATHERS = 1.5  # seconds for others to come to their points too
_LONGEST = 12.0  # seconds for others to end; a short transaction may last twenty
_AT_ONCE = 20  # e-mails, and charges: as many may wait at their points
_FOREVER = 3600.0


@dataclass
class _Visit:
    """One execution of an activity."""

    workflow_id: str
    deed: str
    transactions: int = 0
    is_mailing: bool = False


_visit: ContextVar[_Visit | None] = ContextVar("visit", default=None)


class _Reaper(threading.Thread):
    """Kills the process once somebody waits at a point."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self._born = time.monotonic()
        self._first: float | None = None
        self._waiting = 0
        self._mailing = 0
        self._lock = threading.Lock()
        self.visits = 0

    def begins_to_mail(self, visit: _Visit) -> None:
        with self._lock:
            visit.is_mailing = True
            self._mailing += 1

    def has_mailed(self, visit: _Visit) -> None:
        with self._lock:
            self._mailing -= visit.is_mailing
            visit.is_mailing = False

    def takes(self, place: str) -> bool:
        """Whether this is a kill point; from now on it is not any more."""
        visit = _visit.get()
        if visit is None:
            return False
        name = point_name(visit.workflow_id, visit.deed, place)
        try:
            (self._folder / "armed" / name).rename(self._folder / "hit" / name)
        except FileNotFoundError:
            return False
        self._first = self._first or time.monotonic()
        self._waiting += 1
        self.has_mailed(visit)
        return True

    def run(self) -> None:
        while True:
            time.sleep(0.1)
            now = time.monotonic()
            if self._first is None or now < self._born + _AGE:
                continue
            alone = self.visits == self._waiting
            with self._lock:
                if now > self._first + (_GATHERS if alone else _LONGEST) and not self._mailing:
                    os.kill(os.getpid(), signal.SIGKILL)


_reaper = _Reaper(Path(os.environ[CRASH_FOLDER]))


def _pass(place: str) -> None:
    if _reaper.takes(place):
        time.sleep(_FOREVER)


@contextmanager
def _watched_transaction(engine: Engine) -> Iterator[Connection]:
    visit = _visit.get()
    with transaction(engine) as connection:
        yield connection
        if visit is not None:
            visit.transactions += 1
            _pass(f"transaction {visit.transactions}:before")
    if visit is not None:
        _pass(f"transaction {visit.transactions}:after")


def _watch(kind: type, method: str) -> None:
    real: Callable[..., Any] = getattr(kind, method)

    @functools.wraps(real)
    def watched(*args: Any, **named: Any) -> Any:
        _pass(f"{method}:before")
        visit = _visit.get()
        if kind is Mailer and visit is not None:
            _reaper.begins_to_mail(visit)
        answer = real(*args, **named)
        _pass(f"{method}:after")
        return answer

    setattr(kind, method, watched)


class _Watching(FailurePolicy):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _WatchedActivity(super().intercept_activity(next))


class _WatchedActivity(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        deed = info.activity_type
        if input.args and isinstance(input.args[0], NoticeOrder):
            deed += f"/{input.args[0].kind}"
        visit = _Visit(info.workflow_id or "", deed)
        _visit.set(visit)
        _reaper.visits += 1
        try:
            return await self._watched(input)
        finally:
            _reaper.visits -= 1
            _reaper.has_mailed(visit)

    async def _watched(self, input: ExecuteActivityInput) -> Any:
        if _reaper.takes("begun"):
            await asyncio.sleep(_FOREVER)
        answer = await super().execute_activity(input)
        if _reaper.takes("done"):
            await asyncio.sleep(_FOREVER)
        return answer


def main() -> None:
    modules: tuple[Any, ...] = (charging, collection, credit_notes, delivery, issuing, sweeping)
    for module in modules:
        module.transaction = _watched_transaction
    for method in (
        "create_payment",
        "confirm_payment",
        "cancel_payment",
        "ensure_customer",
        "open_checkout",
        "open_card_setup",
        "close_checkout",
        "refund",
    ):
        _watch(CardGateway, method)
    _watch(Mailer, "send")
    _watch(PdfPool, "render")
    patched: Any = worker
    patched.FailurePolicy = _Watching
    patched.MAILS_AT_ONCE = patched.CARDS_AT_ONCE = _AT_ONCE
    patched.THREADS_IN_ALL = worker.THREADS + 2 * _AT_ONCE + worker.REPORTS_AT_ONCE
    _reaper.start()
    worker.main(settings())


if __name__ == "__main__":
    main()
