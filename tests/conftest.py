"""Databases for the tests: one server a session, a fresh migrated database a test."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine, create_engine, make_url, text
from xdist.scheduler import LoadScopeScheduling

from stack.ports import PortBook, Ports
from stack.postgres import PostgresServer
from stack.processes import Command
from stack.supervisor import PartDied, Supervisor
from storage.engine import make_engine
from storage.schema import migrate

# The same examples on every machine, however slow it is.
settings.register_profile(
    "billwright", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("billwright")


class _OneFileInOneProcess(LoadScopeScheduling):
    """A file's tests share what they prepare. Those of whole stacks run one after another, since
    each of them keeps the machine busy, beside all others.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/end_to_end" if file.startswith("tests/end_to_end/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return _OneFileInOneProcess(config, log)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Tests that schemathesis makes of a description have one id for all operations, and whoever
    hands tests out to processes takes them for one: each gets its operation's name.
    """
    if label := getattr(item, "operation_label", None):
        item._id = item.id.with_params(label)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many cases were made out of the API's description, over all processes."""
    cases = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "teardown"
        for name, value in report.user_properties
        if name == "cases of the description"
    ]
    if cases:
        terminalreporter.write_line(f"{sum(cases):,} fuzz cases over {len(cases)} operations")


MIGRATED_ON = date(2026, 3, 1)
"""The day of the migration: usage partitions reach a year to both sides of it."""
IMAGE = "postgres:18-alpine"
_ATTEMPTS = 3  # at free ports, when somebody else was quicker


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A PostgreSQL whose role may create databases.

    `TEST_DATABASE_URL`, else a container where a Docker daemon answers, else the embedded server.
    """
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    started = _container()
    if started is not None:
        url, stop = started
        yield url
        stop()
        return
    # Not in pytest's own folder: the next session to start closes that to all other users, and
    # to the one that PostgreSQL runs as where the tests run as root.
    with (
        TemporaryDirectory(prefix="billwright-") as folder,
        _embedded_server(Path(folder) / "home") as url,
    ):
        yield url


@pytest.fixture(scope="session")
def _databases(server_url: str) -> Iterator["_Databases"]:
    databases = _Databases(server_url)
    yield databases
    databases.close()


@pytest.fixture
def database_url(_databases: "_Databases") -> Iterator[str]:
    """A migrated database without rows, dropped after the test; for SQLAlchemy with psycopg."""
    with _databases.copy_of_template() as url:
        yield url


@pytest.fixture
def empty_database_url(_databases: "_Databases") -> Iterator[str]:
    """A database without tables, dropped after the test."""
    with _databases.empty() as url:
        yield url


@pytest.fixture(scope="session")
def fresh_engine(_databases: "_Databases") -> Callable[[], AbstractContextManager[Engine]]:
    """Makes engines on migrated databases without rows, for fixtures of a wider scope."""

    @contextmanager
    def fresh() -> Iterator[Engine]:
        with _databases.copy_of_template() as url:
            engine = make_engine(url)
            try:
                yield engine
            finally:
                engine.dispose()

    return fresh


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """On a migrated database without rows, that of `database_url`."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def module_engine(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
) -> Iterator[Engine]:
    """As `engine`, shared by a module whose tests leave the tables as they find them."""
    with fresh_engine() as engine:
        yield engine


class _Databases:
    """Databases on one server; their names are no other session's."""

    def __init__(self, server_url: str) -> None:
        self._url = make_url(server_url).set(drivername="postgresql+psycopg")
        self._admin = create_engine(self._url, isolation_level="AUTOCOMMIT", pool_size=1)
        self._numbers = itertools.count(1)
        self._template = f"billwright_test_{os.getpid()}_template"
        self._run("CREATE", self._template)
        engine = make_engine(self._url_of(self._template))
        migrate(engine, today=MIGRATED_ON)
        engine.dispose()

    @contextmanager
    def copy_of_template(self) -> Iterator[str]:
        with self._database(f"TEMPLATE {self._template}") as url:
            yield url

    @contextmanager
    def empty(self) -> Iterator[str]:
        with self._database("") as url:
            yield url

    def close(self) -> None:
        self._run("DROP", self._template)
        self._admin.dispose()

    @contextmanager
    def _database(self, options: str) -> Iterator[str]:
        name = f"billwright_test_{os.getpid()}_{next(self._numbers)}"
        self._run("CREATE", name, options)
        try:
            yield self._url_of(name)
        finally:
            # not WITH (FORCE): that stumbles over an autovacuum worker, which is not ours to end
            with self._admin.connect() as connection:
                connection.execute(_END_SESSIONS, {"name": name})
            self._run("DROP", name)

    def _run(self, verb: str, name: str, options: str = "") -> None:
        with self._admin.connect() as connection:
            connection.execute(text(f"{verb} DATABASE {name} {options}"))

    def _url_of(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)


def _container() -> tuple[str, Callable[[], None]] | None:
    """URL of a new container and what ends it; None where no daemon answers or has the image."""
    import docker
    from testcontainers.community.postgres import PostgresContainer

    try:
        docker.from_env(timeout=5).ping()
        container = PostgresContainer(IMAGE, driver="psycopg").start()
    except docker.errors.DockerException:
        return None
    return container.get_connection_url(), container.stop


_END_SESSIONS = text(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = :name AND usename = current_user"
)


class _HastyServer(PostgresServer):
    """The embedded server for data that nobody will miss: it never waits for the disk."""

    def command(self) -> Command:
        command = super().command()
        hasty = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")
        flags = [flag for setting in hasty for flag in ("-c", setting)]
        return replace(command, argv=(*command.argv, *flags))


@contextmanager
def _embedded_server(home: Path) -> Iterator[str]:
    home.mkdir(mode=0o700)
    book = PortBook(Ports(), {})
    server = _HastyServer(home, book.take("postgres"), "test")
    supervisor = Supervisor(lambda: None)
    supervisor.add(server)
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            supervisor.launch(server.name)
            try:
                supervisor.wait_ready(server.name, 60)
                break
            except PartDied:
                if attempt == _ATTEMPTS:
                    raise
                server.ports["postgres"] = book.take("postgres")
        server.check()
        yield server.url
    finally:
        supervisor.close()
