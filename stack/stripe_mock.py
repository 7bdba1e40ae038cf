"""Stripe's own mock server, on which the tests check that each request to Stripe is well formed.

`python -m stack.stripe_mock install` builds it into the user's cache. It knows Stripe's
description of its API and keeps no state: what a payment does is the card sandbox's to play.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from stack.cache import Say, cache_folder, install_command, installing
from stack.errors import StackError
from stack.processes import run_quietly
from stack.temporal import TOOLCHAIN, _fetch_go

VERSION = "0.203.0"
MODULE = "github.com/stripe/stripe-mock"

_REMEDY = (
    "put `stripe-mock` on PATH, or install Go 1.25 or newer and run"
    " `python -m stack.stripe_mock install` again"
)


def find_stripe_mock() -> Path | None:
    """stripe-mock on PATH or in the cache; one that does not run does not count."""
    cached = cache_folder(f"stripe-mock-{VERSION}") / "stripe-mock"
    on_path = shutil.which("stripe-mock")
    for candidate in (Path(on_path) if on_path else None, cached):
        if candidate is not None and _runs(candidate):
            return candidate
    return None


def ensure_stripe_mock(say: Say) -> Path:
    """stripe-mock, built into the cache where it is missing.

    Raises:
        StackError: It cannot be built, or what was built does not run.
    """
    found = find_stripe_mock()
    if found is not None:
        return found
    folder = cache_folder(f"stripe-mock-{VERSION}")
    with installing(folder) as draft:
        found = find_stripe_mock()  # another process may have built it while we waited
        if found is not None:
            return found
        say(f"stripe-mock {VERSION}: building it ...")
        reason = _build(draft, say)
        if reason is not None:
            raise StackError(f"stripe-mock cannot be installed ({reason}): {_REMEDY}.")
        made = draft / "stripe-mock"
        if not _runs(made):
            raise StackError(f"The stripe-mock that was built does not run: {_REMEDY}.")
        made.replace(folder / "stripe-mock")
    say(f"stripe-mock {VERSION}: installed in {folder}.")
    return folder / "stripe-mock"


def _runs(binary: Path) -> bool:
    return os.access(binary, os.X_OK) and run_quietly([str(binary), "-version"])


def _build(target: Path, say: Say) -> str | None:
    """Builds it into `target`; None, or why it could not."""
    # Without cgo no C compiler is needed; GOFLAGS of the user may forbid modules.
    env = {**os.environ, "GOBIN": str(target), "CGO_ENABLED": "0", "GOFLAGS": ""}
    go = shutil.which("go")
    if go is None:
        say(f"stripe-mock {VERSION}: fetching the compiler, {TOOLCHAIN} ...")
        fetched = _fetch_go(target / "toolchain")
        if fetched is None:
            return "Go is not installed"
        go = str(fetched)
        # Nothing of a compiler that is not the user's stays behind in the user's folders.
        here = {name: str(target / name.lower()) for name in ("GOPATH", "GOCACHE")}
        env |= here | {"GOFLAGS": "-modcacherw"}
    argv = [go, "install", "-ldflags=-s -w", f"{MODULE}@v{VERSION}"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        complaint = done.stderr.strip().splitlines()
        return complaint[-1] if complaint else f"go ended with status {done.returncode}"
    return None


if __name__ == "__main__":
    sys.exit(install_command("stack.stripe_mock", __doc__, ensure_stripe_mock))
