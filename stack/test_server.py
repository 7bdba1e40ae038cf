"""The time-skipping Temporal server that workflow tests run on.

`python -m stack.test_server install` installs it into the user's cache: the SDK's own download,
or the jar on Maven Central with a script around it.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

from stack.cache import Say, cache_folder, install_command, installing, programs
from stack.errors import StackError
from stack.temporal import DOWNLOAD_PATIENCE

VERSION = "1.38.0"

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>billwright</groupId>
  <artifactId>test-server</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>io.temporal</groupId>
      <artifactId>temporal-test-server</artifactId>
      <version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""

_SCRIPT = """#!/bin/sh
# The port is the only argument. Short runs: the quick compiler is enough.
exec java -Xmx512m -XX:TieredStopAtLevel=1 \\
  -cp "$(dirname "$0")/jars/*" io.temporal.testserver.TestServer "$@"
"""


def _folder() -> Path:
    return cache_folder(f"test-server-{VERSION}")


def test_server_path() -> Path | None:
    """The program for `start_time_skipping(test_server_existing_path=…)`; None: not installed."""
    program = _folder() / "test-server"
    if not os.access(program, os.X_OK):
        return None
    if (_folder() / "jars").is_dir() and shutil.which("java") is None:
        return None
    return program


def ensure_test_server(say: Say) -> Path:
    """The test server, installed where it is missing.

    Raises:
        StackError: It can neither be downloaded nor fetched by Maven, or it does not run.
    """
    found = test_server_path()
    if found is not None:
        return found
    folder = _folder()
    with installing(folder) as draft:
        found = test_server_path()
        if found is not None:
            return found
        say("Time-skipping test server: downloading ...")
        reason = _start(download_to=draft)
        if reason is None:
            programs(draft)[0].replace(folder / "test-server")
        else:
            say(f"Time-skipping test server: no download ({reason}); fetching it with Maven ...")
            reason = _fetch(draft) or _start(existing=draft / "test-server")
            if reason is not None:
                raise StackError(
                    f"The time-skipping test server cannot be installed ({reason}): install Java"
                    " and Maven (default-jre-headless, maven) and try again."
                )
            shutil.rmtree(folder / "jars", ignore_errors=True)
            (draft / "jars").replace(folder / "jars")
            (draft / "test-server").replace(folder / "test-server")
    say(f"Time-skipping test server: installed in {folder}.")
    return folder / "test-server"


def _start(*, download_to: Path | None = None, existing: Path | None = None) -> str | None:
    """Starts and stops the server once; None, or why that failed."""
    from temporalio.testing import WorkflowEnvironment

    async def once() -> None:
        environment = await WorkflowEnvironment.start_time_skipping(
            download_dest_dir=str(download_to) if download_to else None,
            test_server_existing_path=str(existing) if existing else None,
        )
        await environment.shutdown()

    try:
        asyncio.run(asyncio.wait_for(once(), DOWNLOAD_PATIENCE))
    except TimeoutError:
        return f"not done after {DOWNLOAD_PATIENCE:.0f} s"
    except RuntimeError as error:  # the SDK's only kind, for every cause
        return str(error).splitlines()[0]
    return None


def _fetch(target: Path) -> str | None:
    """Fetches the jars with Maven and writes the script; None, or why it could not."""
    if shutil.which("java") is None:
        return "Java is not installed"
    (target / "pom.xml").write_text(_POM)
    argv = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
    try:
        done = subprocess.run(argv, cwd=target, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "Maven is not installed"
    if done.returncode != 0:
        complaint = [line for line in done.stdout.splitlines() if "ERROR" in line]
        return complaint[0] if complaint else f"Maven ended with status {done.returncode}"
    script = target / "test-server"
    script.write_text(_SCRIPT)
    script.chmod(0o755)
    return None


if __name__ == "__main__":
    sys.exit(install_command("stack.test_server", __doc__, ensure_test_server))
