"""Starting, stopping, being killed: the data stays and no process does."""

import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from temporalio.client import Client

from stack.embedded import EmbeddedStack, Part, running_stack
from stack.errors import StackError
from stack.postgres import PostgresServer
from stack.processes import until
from stack.temporal import SEARCH_ATTRIBUTES
from tests.stack.conftest import connect, processes_of, supervised

SERVICES = ("postgres", "temporal", "mailbox")


def remember(stack: EmbeddedStack, fact: str) -> None:
    with connect(stack.addresses()) as session:
        session.execute("CREATE TABLE IF NOT EXISTS facts (fact text)")
        session.execute("INSERT INTO facts VALUES (%s)", (fact,))


def facts(stack: EmbeddedStack) -> list[str]:
    with connect(stack.addresses()) as session:
        return [row[0] for row in session.execute("SELECT fact FROM facts ORDER BY fact")]


def test_a_second_start_finds_the_data_secrets_and_ports_of_the_first(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with EmbeddedStack(home) as first:
        remember(first, "kept")
        before = first.addresses()
    assert processes_of(home) == []

    with EmbeddedStack(home) as second:
        assert facts(second) == ["kept"]
        after = second.addresses()
    assert after.database_url == before.database_url
    assert after.secret == before.secret
    assert after.temporal_address == before.temporal_address


def test_starting_twice_changes_nothing(stack: EmbeddedStack) -> None:
    pids = stack.pids()
    assert stack.start().pids == pids
    assert stack.pids() == pids


def test_no_process_survives_a_killed_supervisor_and_the_data_does(
    tmp_path: Path, start_supervisor: Callable[[Path], "subprocess.Popen[str]"]
) -> None:
    home = tmp_path / "home"
    supervisor = start_supervisor(home)
    addresses = running_stack(home)
    assert addresses is not None
    with connect(addresses) as session:
        session.execute("CREATE TABLE facts (fact text)")
        session.execute("INSERT INTO facts VALUES ('committed before the kill')")
    # The holder's own child is one that the kernel's death signal does not reach.
    assert len(processes_of(home)) >= len(SERVICES) + 2

    supervisor.kill()
    supervisor.wait()

    assert until(lambda: processes_of(home) == [], seconds=15), processes_of(home)
    assert running_stack(home) is None
    with EmbeddedStack(home) as again:
        assert facts(again) == ["committed before the kill"]


def test_a_start_right_after_a_killed_supervisor_waits_for_its_postgres(
    tmp_path: Path, start_supervisor: Callable[[Path], "subprocess.Popen[str]"]
) -> None:
    home = tmp_path / "home"
    supervisor = start_supervisor(home)
    addresses = running_stack(home)
    assert addresses is not None
    supervisor.kill()
    supervisor.wait()
    with EmbeddedStack(home) as again:
        assert again.addresses().database_url == addresses.database_url


@pytest.mark.parametrize("name", SERVICES)
def test_a_killed_service_comes_back_on_its_port(stack: EmbeddedStack, name: str) -> None:
    before = stack.addresses()
    with supervised(stack):
        killed = stack.kill(name)
        stack.wait_ready(name, seconds=20)
    after = stack.addresses()
    assert after.pids[name] != killed
    assert after.database_url == before.database_url
    assert after.temporal_address == before.temporal_address
    assert after.smtp_port == before.smtp_port
    seen = running_stack(stack.home)
    assert seen is not None
    assert seen.pids == after.pids


def test_all_services_killed_at_once_come_back_with_the_data(stack: EmbeddedStack) -> None:
    remember(stack, "committed")
    with supervised(stack):
        for name in SERVICES:
            stack.kill(name)
        for name in SERVICES:
            stack.wait_ready(name, seconds=20)
    assert "committed" in facts(stack)


def test_a_part_outlives_the_thread_that_restarted_it(stack: EmbeddedStack) -> None:
    with supervised(stack):
        stack.kill("mailbox")
        stack.wait_ready("mailbox", seconds=20)
    # The kernel's death signal is bound to a thread: had the supervising one forked, the mailbox
    # would die with it.
    pid = stack.pids()["mailbox"]
    assert not until(lambda: not psutil.pid_exists(pid), seconds=0.3)
    stack.wait_ready("mailbox", seconds=1)


def test_an_orderly_restart_gives_a_new_process(stack: EmbeddedStack) -> None:
    before = stack.pids()["postgres"]
    stack.restart("postgres")
    assert stack.pids()["postgres"] != before
    remember(stack, "after the restart")


def test_application_parts_find_the_stack_and_end_before_it(tmp_path: Path) -> None:
    home, seen = tmp_path / "home", tmp_path / "seen"
    report = (
        "import os, pathlib, time, psycopg\n"
        "psycopg.connect(os.environ['DATABASE_URL'].replace('+psycopg', '')).close()\n"
        f"pathlib.Path({str(seen)!r}).write_text(os.environ['TEMPORAL_ADDRESS'])\n"
        "time.sleep(300)\n"
    )
    part = Part("reporter", (sys.executable, "-c", report))
    with EmbeddedStack(home, parts=[part]) as stack:
        stack.start_parts()
        assert until(lambda: seen.exists() and seen.read_text() != "", seconds=10)
        assert seen.read_text() == stack.addresses().temporal_address
        with supervised(stack):
            killed = stack.kill("reporter")
            assert until(lambda: stack.pids().get("reporter", killed) != killed, seconds=5)
    assert processes_of(home) == []


def test_a_part_that_keeps_failing_is_tried_again_ever_later(tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    part = Part("failing", ("sh", "-c", f"echo tried >> {tries}; exit 3"))
    with EmbeddedStack(tmp_path / "home", parts=[part]) as stack:
        stack.start_parts()
        over = threading.Event()
        threading.Timer(1.5, over.set).start()
        stack.supervise(over)
    # At once, after 0.5 s, after 1 s more: not in every tenth of a second.
    assert 2 <= len(tries.read_text().splitlines()) <= 4


async def test_temporal_serves_its_namespace_and_takes_the_search_attributes(
    stack: EmbeddedStack,
) -> None:
    client = await Client.connect(stack.addresses().temporal_address)
    query = " AND ".join(f"{attribute} = 'x'" for attribute in SEARCH_ATTRIBUTES)
    assert (await client.count_workflows(query)).count == 0


def test_secrets_are_closed_to_other_users(stack: EmbeddedStack) -> None:
    for name in ("secrets.json", "stack.json"):
        assert stat.S_IMODE((stack.home / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((stack.home / "mail").stat().st_mode) == 0o700


def test_a_lost_password_names_the_remedy(stack: EmbeddedStack) -> None:
    port = int(stack.addresses().database_url.rpartition(":")[2].partition("/")[0])
    with pytest.raises(StackError, match=r"restore .*secrets\.json"):
        PostgresServer(stack.home, port, "another-password").check()
