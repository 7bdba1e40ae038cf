"""Runs parts, notices when one dies, and starts it again."""

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from stack.errors import StackError
from stack.processes import Command, Guard, born, kill_group, last_words, spawn

log = logging.getLogger("billwright.stack")

STEADY = 10.0
"""Seconds after which a part counts as running well: its next death is its first."""
LONGEST_PAUSE = 10.0
"""Seconds between two attempts at a part that keeps dying."""


class Service(Protocol):
    """A part, as the supervisor sees it."""

    name: str
    ports: dict[str, int]
    log: Path

    def prepare(self) -> None:
        """Before each start. Raises StackError."""

    def command(self) -> Command:
        """How to run it now."""

    def is_ready(self, pid: int) -> bool:
        """Whether process `pid` does its work."""

    def check(self) -> None:
        """Once, when ready for the first time. Raises StackError."""


class PartDied(StackError):
    """A part ended while it was waited for."""


@dataclass
class _Slot:
    """One part and its process."""

    service: Service
    wanted: bool = False
    process: "subprocess.Popen[bytes] | None" = None
    born: float = 0.0
    deaths: int = 0
    started: float = 0.0
    """On the monotonic clock, in seconds; as is `not_before`."""
    not_before: float = 0.0
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """The parts of one stack, by name, in the order they were added.

    Args:
        changed: Called after the set of processes changed.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._slots: dict[str, _Slot] = {}
        self._guard = Guard()
        self._changed = changed

    def add(self, service: Service) -> None:
        """Makes `service` known; it does not run yet."""
        if service.name in self._slots:
            raise StackError(f"Two parts are named {service.name}; name each one differently.")
        self._slots[service.name] = _Slot(service)

    def names(self) -> list[str]:
        """The parts in the order they were added."""
        return list(self._slots)

    def pids(self) -> dict[str, int]:
        """The running processes by part."""
        return {n: s.process.pid for n, s in self._slots.items() if s.is_running and s.process}

    def births(self) -> Mapping[str, float]:
        """When each of `pids` began, in seconds since the epoch."""
        return {n: s.born for n, s in self._slots.items() if s.is_running}

    def launch(self, name: str) -> None:
        """Starts a part that does not run, without waiting for it to be ready.

        Raises:
            StackError: What it needs is not there.
        """
        slot = self._slot(name)
        with slot.lock:
            slot.wanted = True
            if slot.is_running:
                return
            slot.service.prepare()
            command = slot.service.command()
            try:
                slot.process = spawn(command)
            except OSError as error:
                raise StackError(
                    f"{name} cannot be started ({error}); see that {command.argv[0]} is installed."
                ) from error
            slot.started = time.monotonic()
            slot.born = born(slot.process.pid) or 0.0
            if _dies_at_once(command):
                self._guard.watch(slot.process.pid)
        self._changed()

    def wait_ready(self, name: str, seconds: float) -> None:
        """Waits until a part does its work.

        Raises:
            PartDied: Its process ended.
            StackError: It was not ready in time.
        """
        slot = self._slot(name)
        deadline = time.monotonic() + seconds
        while True:
            process = slot.process
            if process is None or process.poll() is not None:
                said = last_words(slot.service.log)
                raise PartDied(f"{name} ended at once ({said}); see {slot.service.log}.")
            if slot.service.is_ready(process.pid):
                return
            if time.monotonic() > deadline:
                raise StackError(
                    f"{name} was not ready after {seconds:.0f} s; see {slot.service.log}, and"
                    " whether the machine is overloaded."
                )
            time.sleep(0.02)

    def tend(self) -> None:
        """One round: starts again what died and whose pause is over. Does not wait for it."""
        for name, slot in self._slots.items():
            with slot.lock:
                if not slot.wanted or slot.is_running:
                    continue
                if slot.process is not None:
                    self._bury(name, slot)
                if time.monotonic() >= slot.not_before:
                    self._revive(name, slot)

    def kill(self, name: str) -> int:
        """SIGKILL to a part's process; returns its pid when it is dead.

        Raises:
            StackError: It does not run.
        """
        slot = self._slot(name)
        process = slot.process
        if process is None or process.poll() is not None:
            raise StackError(f"{name} does not run; start it first.")
        process.kill()
        process.wait()
        return process.pid

    def stop(self, name: str) -> None:
        """Ends a part: its own signal, its grace, then SIGKILL to it and its children."""
        slot = self._slot(name)
        slot.wanted = False
        with slot.lock:
            process, slot.process = slot.process, None
            if process is None:
                return
            command = slot.service.command()
            process.send_signal(command.stop_signal)  # nothing, where it has ended
            with suppress(subprocess.TimeoutExpired):
                process.wait(command.grace)
            kill_group(process.pid)
            process.wait()
            self._guard.forget(process.pid)
        self._changed()

    def close(self) -> None:
        """Ends all parts, the last added first, and the guard."""
        for slot in self._slots.values():
            slot.wanted = False  # before the first stop: nothing is revived meanwhile
        for name in reversed(self.names()):
            self.stop(name)
        self._guard.close()

    def _slot(self, name: str) -> _Slot:
        try:
            return self._slots[name]
        except KeyError:
            known = ", ".join(self._slots) or "none"
            raise StackError(f"There is no part named {name}; there are: {known}.") from None

    def _bury(self, name: str, slot: _Slot) -> None:
        """Clears up after a death and settles when to try again: at once, then ever later."""
        assert slot.process is not None
        dead, slot.process = slot.process, None
        kill_group(dead.pid)  # its children, if it had any
        self._guard.forget(dead.pid)
        now = time.monotonic()
        slot.deaths = 1 if now - slot.started > STEADY else slot.deaths + 1
        pause = 0.0 if slot.deaths == 1 else min(0.5 * 2 ** (slot.deaths - 2), LONGEST_PAUSE)
        slot.not_before = now + pause
        log.warning(
            "%s ended (status %s) and starts again in %.1f s; see %s",
            *(name, dead.returncode, pause, slot.service.log),
        )

    def _revive(self, name: str, slot: _Slot) -> None:
        try:
            self.launch(name)
        except StackError as error:
            slot.not_before = time.monotonic() + LONGEST_PAUSE
            log.warning("%s", error)


def _dies_at_once(command: Command) -> bool:
    """Whether the guard may kill this part: not PostgreSQL, which shuts down in order."""
    return command.death_signal == signal.SIGKILL
