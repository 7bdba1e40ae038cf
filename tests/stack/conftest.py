"""Real stacks in folders of their own; each test leaves nothing running."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from stack.embedded import EmbeddedStack, StackAddresses

ROOT = Path(__file__).parents[2]

# A supervisor in a process of its own, to be killed; `holder` is a part with a child of its own.
SUPERVISOR = """
import sys, threading
from pathlib import Path
from stack.embedded import EmbeddedStack, Part
sleeper = [sys.executable, "-c", "import time; time.sleep(300)"]
holder = (sys.executable, "-c", f"import subprocess; subprocess.run({sleeper!r})")
stack = EmbeddedStack(Path(sys.argv[1]), parts=[Part("holder", holder)])
stack.start()
stack.start_parts()
print("started", flush=True)
stack.supervise(threading.Event())
"""


def connect(addresses: StackAddresses) -> "psycopg.Connection[tuple]":
    """A session of the application's role."""
    url = addresses.database_url.replace("+psycopg", "")
    return psycopg.connect(url, autocommit=True, connect_timeout=5)


def processes_of(home: Path) -> list[psutil.Process]:
    """All living processes that were started for `home`, at any depth."""
    found = []
    for process in psutil.process_iter():
        try:
            names_home = any(str(home) in argument for argument in process.cmdline())
            inherits = process.environ().get("BILLWRIGHT_HOME") == str(home)
            if (names_home or inherits) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [process for process in found if process.pid != os.getpid()]


@contextmanager
def supervised(stack: EmbeddedStack) -> Iterator[None]:
    """Supervision in the background, as the command line runs it."""
    over = threading.Event()
    thread = threading.Thread(target=stack.supervise, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def start_supervisor() -> Iterator[Callable[[Path], "subprocess.Popen[str]"]]:
    """Starts a supervisor process on a home and waits until its stack answers."""
    started: list[subprocess.Popen[str]] = []

    def start(home: Path) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, str(home)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def stack() -> Iterator[EmbeddedStack]:
    """One running stack for all tests that leave it running.

    Not in pytest's own folder: a second run of pytest closes that one to PostgreSQL's user.
    """
    with (
        tempfile.TemporaryDirectory(prefix="billwright-stack-") as folder,
        EmbeddedStack(Path(folder) / "home") as running,
    ):
        yield running
