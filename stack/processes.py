"""Child processes that cannot outlive the process that started them.

Two nets, because one has a hole: the kernel signals a child when its parent dies (Linux,
`PR_SET_PDEATHSIG`), and a guard kills the process groups of parts, so that the children of
children (a pool of PDF processes) go too.
"""

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

_PR_SET_PDEATHSIG = 1
_LOG_KEPT = 10_000_000  # bytes; a larger log is set aside when its part starts

# Looked up before any fork: a child between fork and exec should not load libraries.
_prctl: Callable[..., int] | None = getattr(ctypes.CDLL(None), "prctl", None)


@dataclass(frozen=True)
class Command:
    """How one part is run."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    user: str | None = None
    """System user to run as; needs root. None: whoever runs the stack."""
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    """What the child receives when the supervisor dies."""
    grace: float = 10.0
    """Seconds between the stop signal and SIGKILL."""


class _Starter:
    """One thread, as old as the process, that does all the forking.

    The kernel sends the death signal when the *thread* that forked ends. A part started from a
    thread pool, or restarted by a supervising thread, would be killed when that thread is done.
    """

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[
            tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]
        ] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="stack-starter", daemon=True).start()

    def start(self, popen: Callable[[], "subprocess.Popen[bytes]"]) -> "subprocess.Popen[bytes]":
        """The process that `popen` started. Raises what `popen` raised."""
        outcome: Future[subprocess.Popen[bytes]] = Future()
        self._work.put((popen, outcome))
        return outcome.result()

    def _run(self) -> None:
        while True:
            popen, outcome = self._work.get()
            try:
                outcome.set_result(popen())
            except BaseException as error:
                outcome.set_exception(error)


_starter: _Starter | None = None
_starter_owner: int | None = None
_starter_lock = threading.Lock()


def _the_starter() -> _Starter:
    """The starter of this process; a fork has none, since threads do not survive one."""
    global _starter, _starter_owner
    with _starter_lock:
        if _starter is None or _starter_owner != os.getpid():
            _starter, _starter_owner = _Starter(), os.getpid()
        return _starter


def _tied_to(parent: int, death_signal: int) -> Callable[[], None]:
    """What a child does between fork and exec.

    It runs after `Popen(user=…)` has changed the user, which matters: changing it clears the tie.
    """

    def tie() -> None:
        if _prctl is None:
            return
        if _prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0 or os.getppid() != parent:
            os._exit(127)  # the parent died before the tie was made

    return tie


def spawn(command: Command) -> "subprocess.Popen[bytes]":
    """Starts `command` in its own session, its output appended to its log.

    Raises:
        OSError: The program is missing, or the user cannot be changed.
    """
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        if command.log.stat().st_size > _LOG_KEPT:
            command.log.replace(command.log.with_suffix(".log.1"))
    return _start(command, subprocess.DEVNULL, command.death_signal)


def _start(command: Command, stdin: int, death_signal: signal.Signals) -> "subprocess.Popen[bytes]":
    """A child in a session of its own, tied to this process, its output in the command's log."""
    as_user = {} if command.user is None else _identity(command.user)

    def popen() -> "subprocess.Popen[bytes]":
        with command.log.open("ab") as log:
            return subprocess.Popen(
                command.argv,
                env=dict(command.env),
                cwd=command.cwd,
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_tied_to(os.getpid(), death_signal),
                **as_user,
            )

    return _the_starter().start(popen)


def run(command: Command, *, text: str = "", timeout: float = 120) -> int:
    """Runs `command` to its end with `text` on its standard input; output goes to the log.

    Args:
        timeout: Seconds; then the command is killed.

    Returns:
        Its exit status.
    """
    process = _start(command, subprocess.PIPE, signal.SIGKILL)
    try:
        process.communicate(text.encode(), timeout=timeout)
    except BaseException:
        kill_group(process.pid)
        process.wait()
        raise
    return process.returncode


def _identity(user: str) -> dict[str, Any]:
    import pwd

    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def kill_group(leader: int) -> None:
    """SIGKILL to every process of the group that `leader` leads or led."""
    if leader > 1:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def last_words(log: Path, lines: int = 3) -> str:
    """The last lines of a log, joined, to quote in an error."""
    with suppress(OSError):
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4000))
            text = file.read().decode(errors="replace")
        return " / ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())
    return ""


def born(pid: int) -> float | None:
    """When a process began, in seconds since the epoch; with its pid this names it for good."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return float(process.create_time())
    return None


def until(condition: Callable[[], bool], *, seconds: float, every: float = 0.02) -> bool:
    """Whether `condition` came true within `seconds`; asked at once, then `every` so often."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


@dataclass
class Guard:
    """A helper process that kills the registered process groups once this process is gone."""

    _groups: set[int] = field(default_factory=set)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def watch(self, group: int) -> None:
        """From now on `group` dies with this process."""
        self._groups.add(group)
        self._tell(f"+ {group}\n")

    def forget(self, group: int) -> None:
        """`group` is gone; its number may soon belong to somebody else."""
        self._groups.discard(group)
        self._tell(f"- {group}\n")

    def close(self) -> None:
        """Dismisses the guard. Groups still registered are killed."""
        if self._process is not None:
            assert self._process.stdin is not None
            with suppress(OSError):
                self._process.stdin.close()
            self._process.wait()
            self._process = None

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.poll() is None:
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()
                return
        if self._groups:
            self._begin()

    def _begin(self) -> None:
        """Starts a guard, a second one if the first was killed, and tells it all groups."""
        script = str(Path(__file__).with_name("guard.py"))

        def popen() -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                [sys.executable, "-I", "-S", script],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )

        self._process = _the_starter().start(popen)
        assert self._process.stdin is not None
        for group in sorted(self._groups):
            self._process.stdin.write(f"+ {group}\n".encode())
        self._process.stdin.flush()


def run_quietly(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> bool:
    """Whether `argv` ran and ended with status 0 within 30 s."""
    try:
        done = subprocess.run(argv, capture_output=True, timeout=30, env=env, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
