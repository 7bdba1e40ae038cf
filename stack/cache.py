"""The user's cache: programs that no Python package carries, kept for every home."""

import argparse
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.errors import StackError

Say = Callable[[str], None]
"""Takes one line of progress."""


def cache_folder(tool: str) -> Path:
    """`${XDG_CACHE_HOME:-~/.cache}/billwright/<tool>`; not made yet."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "billwright" / tool


@contextmanager
def installing(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder` to install into; one process at a time, removed at the end.

    What is finished is moved from it into `folder` by a rename, so `folder` never holds half a
    program.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        draft = Path(tempfile.mkdtemp(prefix=".install-", dir=folder))
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def programs(folder: Path) -> list[Path]:
    """The executable files of `folder`, the largest first."""
    files = [f for f in folder.iterdir() if f.is_file() and os.access(f, os.X_OK)]
    return sorted(files, key=lambda f: f.stat().st_size, reverse=True)


def install_command(module: str, description: str | None, ensure: Callable[[Say], Path]) -> int:
    """`python -m <module> install`: runs `ensure`; exit status 0 where the program is there."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("action", choices=["install"])
    parser.parse_args()
    try:
        ensure(lambda line: print(line, flush=True))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
