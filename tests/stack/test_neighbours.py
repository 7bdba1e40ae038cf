"""Stacks beside each other, and programs that were there first."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from stack.embedded import EmbeddedStack, Ports, StackError, running_stack
from stack.ports import HOST, PREFERRED, PortBook, is_free
from stack.state import load_secrets
from tests.stack.conftest import ROOT, connect


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_was_asked_for_and_is_taken_is_named(tmp_path: Path, taken_port: int) -> None:
    stack = EmbeddedStack(tmp_path / "home", ports=Ports(temporal=taken_port))
    with pytest.raises(StackError) as refusal:
        stack.start()
    assert f"Port {taken_port}, asked for the Temporal server, is taken by" in str(refusal.value)
    assert stack.pids().keys() == {"supervisor"}
    assert running_stack(tmp_path / "home") is None


def test_the_usual_port_gives_way_where_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as server:
        usual = server.getsockname()[1]
        monkeypatch.setitem(PREFERRED, "smtp", usual)
        assert PortBook(Ports(), {}).take("smtp") != usual
    assert is_free(usual)
    assert PortBook(Ports(), {}).take("smtp") == usual


def test_a_port_is_never_given_twice(taken_port: int) -> None:
    book = PortBook(Ports(), {"postgres": 31_998, "api": 31_998})
    assert book.take("postgres") != book.take("api")
    with pytest.raises(StackError, match="asked for twice"):
        _take_both(PortBook(Ports(smtp=31_997, api=31_997), {}))


def test_stacks_that_start_at_the_same_time_choose_different_ports() -> None:
    first, second = (PortBook(Ports(), {"api": 31_996}) for _ in range(2))
    port = first.take("api")  # its part does not listen yet
    assert is_free(port)
    assert second.take("api") != port
    with pytest.raises(StackError, match=rf"Port {port}, asked for the API, is taken by another"):
        PortBook(Ports(api=port), {}).take("api")
    first.close()
    assert PortBook(Ports(api=port), {}).take("api") == port


def _take_both(book: PortBook) -> None:
    book.take("smtp")
    book.take("api")


def test_two_homes_run_side_by_side_one_on_a_port_asked_for(
    stack: EmbeddedStack, tmp_path: Path
) -> None:
    port = PortBook(Ports(), {"smtp": 31_999}).take("smtp")
    with EmbeddedStack(tmp_path / "other", ports=Ports(smtp=port)) as other:
        here, there = stack.addresses(), other.addresses()
        assert there.smtp_port == port
        assert here.database_url != there.database_url
        assert here.temporal_address != there.temporal_address
        with connect(there) as session:
            session.execute("CREATE TABLE only_there ()")
        with connect(here) as session:
            assert session.execute("SELECT to_regclass('only_there')").fetchone() == (None,)


def test_a_second_stack_on_a_home_is_refused_and_may_attach(stack: EmbeddedStack) -> None:
    with pytest.raises(StackError, match=r"^A stack already runs in .*\(pid \d+\)"):
        EmbeddedStack(stack.home).start()
    assert running_stack(stack.home) == stack.addresses()


def test_another_process_attaches_to_a_running_stack(
    tmp_path: Path, start_supervisor: Callable[[Path], "subprocess.Popen[str]"]
) -> None:
    home = tmp_path / "home"
    supervisor = start_supervisor(home)
    addresses = running_stack(home)
    assert addresses is not None
    assert addresses.pids["supervisor"] == supervisor.pid
    assert addresses.secret == load_secrets(home).link_secret
    with connect(addresses) as session:
        assert session.execute("SHOW timezone").fetchone() == ("UTC",)


def test_no_stack_runs_in_a_folder_without_one(tmp_path: Path) -> None:
    assert running_stack(tmp_path / "nowhere") is None


def test_a_part_does_not_inherit_the_address_of_another_installation(
    stack: EmbeddedStack,
) -> None:
    foreign = {
        "TEMPORAL_ADDRESS": "cloud:7233",
        "TEMPORAL_API_KEY": "key",
        "TEMPORAL_NAMESPACE": "prod",
        "BILLWRIGHT_PUBLIC_URL": "https://pay.example",
        "LANG": "C",
    }
    environment = stack.addresses().environment(foreign)
    assert environment["TEMPORAL_ADDRESS"] == stack.addresses().temporal_address
    assert "TEMPORAL_API_KEY" not in environment
    assert "TEMPORAL_NAMESPACE" not in environment
    assert environment["BILLWRIGHT_PUBLIC_URL"] == "https://pay.example"
    assert environment["LANG"] == "C"


def test_everything_listens_on_the_loopback_address_alone(stack: EmbeddedStack) -> None:
    for name, pid in stack.pids().items():
        if name == "supervisor":
            continue
        for connection in psutil.Process(pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in (HOST, "::1"), (name, connection)


def test_a_folder_that_cannot_be_made_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"cannot be made .* BILLWRIGHT_HOME"):
        EmbeddedStack(tmp_path / "file" / "home").start()


def test_the_command_line_of_the_mailbox_names_a_taken_port(
    tmp_path: Path, taken_port: int
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "stack.mailbox"),
            *("--port", str(taken_port), "--mail-dir", str(tmp_path / "mail")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"port {taken_port}" in done.stderr
