"""The embedded stack as one object: starts, supervises and stops all parts of a home."""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

from stack.card_sandbox.service import CardSandbox
from stack.errors import StackError
from stack.mailbox import Mailbox
from stack.ports import HOST, PortBook, Ports, is_free
from stack.postgres import PostgresServer
from stack.processes import Command, kill_group
from stack.processes import until as wait_until
from stack.state import (
    HomeLock,
    Secrets,
    StackAddresses,
    StackState,
    forget_readiness,
    load_secrets,
    read_state,
    running_stack,
)
from stack.supervisor import PartDied, Service, Supervisor
from stack.temporal import TemporalServer

__all__ = [
    "EmbeddedStack",
    "MakeTemporal",
    "Part",
    "Ports",
    "StackAddresses",
    "StackError",
    "running_stack",
]

START_PATIENCE = 60.0
"""Seconds for one part to be ready; it takes about one on an idle machine."""
_ATTEMPTS = 3  # at free ports, when somebody else was quicker
_ROOM = 200_000_000  # bytes free on the disk of the home


@dataclass(frozen=True)
class Part:
    """An application part, such as the worker: run with the stack's environment."""

    name: str
    argv: tuple[str, ...]


class TemporalService(Service, Protocol):
    """A Temporal server as the stack needs it."""

    @property
    def address(self) -> str:
        """Host and port of the gRPC service."""

    @property
    def ui_url(self) -> str:
        """Address of the Web UI; no slash at the end."""


MakeTemporal = Callable[[Path, int, int, PostgresServer], TemporalService]
"""Out of the home, the ports of gRPC and Web UI, and the database beside it, which may start
at the same time."""


def _development_server(
    home: Path, port: int, ui_port: int, postgres: PostgresServer
) -> TemporalServer:
    return TemporalServer(home, port, ui_port)


class _Application:
    """A `Part` as the supervisor sees it."""

    def __init__(self, part: Part, home: Path, environment: Mapping[str, str]) -> None:
        self.name = part.name
        self.ports: dict[str, int] = {}
        self.log = home / "logs" / f"{part.name}.log"
        self._command = Command(argv=part.argv, env=environment, log=self.log)

    def prepare(self) -> None:
        """Nothing to do."""

    def command(self) -> Command:
        return self._command

    def is_ready(self, pid: int) -> bool:
        return True

    def check(self) -> None:
        """Nothing to do."""


class EmbeddedStack:
    """PostgreSQL, the Temporal server, the mailbox and the card sandbox of one home, and the
    application's parts.

    The sandbox is left out where this process's environment names a Stripe account. All of them
    end with this process, even where it is killed; what they had committed is there at the next
    start.

    Args:
        home: The folder that keeps everything; made where it is missing.
        parts: Application parts, started by `start_parts` in this order.
        ports: Ports that must be used.
        temporal: Makes the Temporal server; the development server unless one is given.
    """

    def __init__(
        self,
        home: Path,
        *,
        parts: Sequence[Part] = (),
        ports: Ports = Ports(),
        temporal: MakeTemporal | None = None,
    ) -> None:
        self.home = home.absolute()
        self._parts = tuple(parts)
        self._make_temporal = temporal or _development_server
        self._asked = ports
        self._lock = HomeLock(self.home)
        self._state_lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._supervisor = Supervisor(self._write_state)
        self._addresses: StackAddresses | None = None
        self._book = PortBook(self._asked, {})

    def start(self) -> StackAddresses:
        """Starts what the parts need and waits until it answers; returns at once if it runs.

        Raises:
            StackError: One sentence with the remedy; nothing is left running.
        """
        if self._addresses is not None:
            return self.addresses()
        _make_home(self.home)
        self._lock.acquire()
        try:
            previous = read_state(self.home)
            forget_readiness(self.home)
            if previous is not None:
                _end_leftovers(previous)
            self._book = PortBook(self._asked, previous.ports if previous else {})
            self._start_services(load_secrets(self.home))
            self._write_state()
        except BaseException:
            self.stop()
            raise
        return self.addresses()

    def start_parts(self) -> None:
        """Starts the application parts with `environment()`; does not wait for them.

        Raises:
            StackError: The stack is not started, or a part's program is missing.
        """
        environment = self.environment()
        for part in self._parts:
            if part.name not in self._supervisor.names():
                self._supervisor.add(_Application(part, self.home, environment))
            self._supervisor.launch(part.name)

    def addresses(self) -> StackAddresses:
        """Where the stack answers now, with the present process ids.

        Raises:
            StackError: The stack is not started.
        """
        if self._addresses is None:
            raise StackError("The embedded stack is not started; call start() first.")
        return replace(self._addresses, pids=self.pids())

    def environment(self) -> dict[str, str]:
        """This process's environment with the variables by which a part finds the stack.

        Raises:
            StackError: The stack is not started.
        """
        return self.addresses().environment()

    def pids(self) -> dict[str, int]:
        """The running processes by part, `supervisor` (this one) among them."""
        return {"supervisor": os.getpid(), **self._supervisor.pids()}

    def supervise(self, until: Callable[[], bool] | threading.Event) -> None:
        """Starts again each part that dies, on the same ports, until told to end.

        May run in any thread; returns within a tenth of a second.

        Args:
            until: Set, or true, when supervision is to end. The parts run on.
        """
        pause = until if isinstance(until, threading.Event) else threading.Event()
        is_over = until.is_set if isinstance(until, threading.Event) else until
        while not is_over():
            self._supervisor.tend()
            pause.wait(0.1)

    def restart(self, name: str) -> None:
        """Ends one part in order and starts it again; waits until it answers.

        Raises:
            StackError: There is no such part, or it does not come back.
        """
        self._supervisor.stop(name)
        self._supervisor.launch(name)
        self._supervisor.wait_ready(name, START_PATIENCE)

    def kill(self, name: str) -> int:
        """SIGKILL to one part, for tests; supervision starts it again. Returns its pid.

        Raises:
            StackError: There is no such part, or it does not run.
        """
        return self._supervisor.kill(name)

    def wait_ready(self, name: str, *, seconds: float = START_PATIENCE) -> None:
        """Waits until one part answers, such as one that supervision is starting again.

        Raises:
            StackError: It does not in `seconds`.
        """

        def answers() -> bool:
            try:
                self._supervisor.wait_ready(name, seconds)
            except PartDied:
                return False
            return True

        if not wait_until(answers, seconds=seconds, every=0.05):
            raise StackError(f"{name} did not come back in {seconds:.0f} s; see {self.home}/logs.")

    def stop(self) -> None:
        """Ends all parts in order: the application's, then the services."""
        self._supervisor.close()
        if self._addresses is not None:
            self._write_state(ready=False)
        self._book.close()
        self._reset()
        self._lock.release()

    def __enter__(self) -> "EmbeddedStack":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_services(self, secrets: Secrets) -> None:
        """The services side by side; the slowest sets the time."""
        book = self._book
        postgres = PostgresServer(self.home, book.take("postgres"), secrets.database_password)
        temporal = self._make_temporal(
            self.home, book.take("temporal"), book.take("temporal_ui"), postgres
        )
        mailbox = Mailbox(self.home, book.take("smtp"))
        api_url = f"http://{HOST}:{book.take('api')}"
        services: list[Service] = [postgres, temporal, mailbox]
        sandbox = None
        if not os.environ.get("STRIPE_API_KEY"):
            sandbox = CardSandbox(
                self.home,
                book.take("cards"),
                api_key=secrets.card_api_key,
                webhook_url=f"{api_url}/webhooks/stripe",
                webhook_secret=secrets.card_webhook_secret,
            )
            services.append(sandbox)
        for service in services:
            self._supervisor.add(service)
        with ThreadPoolExecutor(len(services)) as pool:
            # As a list: each one is waited for, so that none starts after a failure is handled.
            for outcome in [pool.submit(self._start_service, service) for service in services]:
                outcome.result()
        self._addresses = StackAddresses(
            home=self.home,
            database_url=postgres.url,
            temporal_address=temporal.address,
            temporal_ui_url=temporal.ui_url,
            smtp_host=HOST,
            smtp_port=mailbox.ports["smtp"],
            mail_dir=mailbox.mail_dir,
            api_url=api_url,
            secret=secrets.link_secret,
            stripe_api_base=sandbox.url if sandbox else "",
            stripe_api_key=secrets.card_api_key if sandbox else "",
            stripe_webhook_secret=secrets.card_webhook_secret if sandbox else "",
        )

    def _start_service(self, service: Service) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            self._supervisor.launch(service.name)
            try:
                self._supervisor.wait_ready(service.name, START_PATIENCE)
            except PartDied:
                if attempt == _ATTEMPTS or not self._moved(service):
                    raise
            else:
                service.check()
                return

    def _moved(self, service: Service) -> bool:
        """Whether another program was quicker at a port of `service`, which now has others."""
        lost = [name for name, port in service.ports.items() if not is_free(port)]
        for name in lost:
            service.ports[name] = self._book.take(name)
        return bool(lost)

    def _write_state(self, *, ready: bool = True) -> None:
        if self._addresses is None:
            return
        with self._state_lock:
            StackState(
                addresses=self.addresses(),
                ports=self._book.given,
                births=self._supervisor.births(),
                ready=ready,
            ).write()


def _make_home(home: Path) -> None:
    """Makes the folder of a stack.

    Raises:
        StackError: It cannot be written to, or its disk is full.
    """
    try:
        if not home.exists():
            home.mkdir(parents=True, mode=0o700)
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"The folder {home} cannot be made ({error.strerror}); set BILLWRIGHT_HOME to one that"
            " you may write to."
        ) from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise StackError(
            f"The folder {home} is not writable; set BILLWRIGHT_HOME to one that you may write to."
        )
    if shutil.disk_usage(home).free < _ROOM:
        raise StackError(
            f"The disk of {home} has less than {_ROOM // 1_000_000} MB free; make room, or set"
            " BILLWRIGHT_HOME to a folder on another disk."
        )


def _end_leftovers(previous: StackState) -> None:
    """Ends what a killed supervisor left, if the kernel and the guard have not yet.

    Only processes that the state names by pid and time of birth. PostgreSQL gets the time to
    close its files, so that its port is free again.
    """
    for name, pid in previous.alive().items():
        if name == "postgres":
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGINT)
        else:
            kill_group(pid)
    wait_until(lambda: not previous.alive(), seconds=15)
