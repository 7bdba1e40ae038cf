"""A real Temporal server on PostgreSQL, as docker-compose.yml runs it, but as a process.

`python -m benchmarks.temporal_on_postgres install` builds it into the user's cache, with Go 1.25 or
newer; that takes minutes.
"""

import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from google.protobuf.duration_pb2 import Duration
from sqlalchemy import make_url
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from stack.cache import Say, cache_folder, install_command, installing
from stack.errors import StackError
from stack.ports import HOST, is_free, listens
from stack.postgres import PostgresServer
from stack.processes import Command, run, until
from stack.temporal import NAMESPACE

VERSION = "1.32.0"
MODULE = "go.temporal.io/server"
SHARDS = 128
"""History shards, as in docker-compose.yml; fixed for the life of the database."""

_DATABASES = ("temporal", "temporal_visibility")
_SERVICES = ("frontend", "history", "matching", "worker")
_ANY_PORT = range(12_000, 32_000)
_PATIENCE = 60.0  # seconds


class TemporalOnPostgres:
    """All four services of a Temporal server in one process, on `postgres`; there is no Web UI.

    Args:
        home: Absolute; the folder of the stack.
        port: Of the gRPC service.
        ui_port: Unused.
        postgres: Makes room for the databases `temporal` and `temporal_visibility`.
    """

    name = "temporal"

    def __init__(self, home: Path, port: int, ui_port: int, postgres: PostgresServer) -> None:
        self.ports = {"temporal": port}
        self.log = home / "logs" / "temporal.log"
        self._home = home
        self._ui_port = ui_port
        self._postgres = postgres

    @property
    def address(self) -> str:
        return f"{HOST}:{self.ports['temporal']}"

    @property
    def ui_url(self) -> str:
        return f"http://{HOST}:{self._ui_port}"

    def prepare(self) -> None:
        """Makes the databases and their tables, once PostgreSQL answers. Raises StackError."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        folder = ensure_server(lambda line: print(line, file=sys.stderr, flush=True))
        if not until(self._postgres_answers, seconds=_PATIENCE):
            raise StackError("PostgreSQL did not answer; Temporal keeps its state in it.")
        self._make_databases(folder)
        self._config.write_text(json.dumps(self._settings()), encoding="utf-8")  # YAML is wider

    def command(self) -> Command:
        server = str(cache_folder(f"temporal-server-{VERSION}") / "server")
        return Command(
            argv=(server, "--config-file", str(self._config), "--allow-no-auth", "start"),
            env={"PATH": os.environ.get("PATH", os.defpath)},
            log=self.log,
            grace=10,
        )

    def is_ready(self, pid: int) -> bool:
        return listens(pid, self.ports["temporal"])

    def check(self) -> None:
        """Makes the namespace, as the compose file's `temporal-namespace` does."""
        try:
            asyncio.run(asyncio.wait_for(_make_namespace(self.address), _PATIENCE))
        except TimeoutError as error:
            raise StackError(f"Temporal did not take up its namespace; see {self.log}.") from error

    @property
    def _config(self) -> Path:
        return self._home / "temporal-server.yaml"

    def _postgres_answers(self) -> bool:
        try:
            psycopg.connect(_libpq(self._postgres.url), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _make_databases(self, folder: Path) -> None:
        with psycopg.connect(_libpq(self._postgres.url), autocommit=True) as connection:
            known = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            extensions = connection.execute(
                "SELECT FROM pg_available_extensions WHERE name = 'btree_gin'"
            ).fetchall()
            if set(_DATABASES) <= known:
                return
            for name in _DATABASES:
                connection.execute(f"CREATE DATABASE {name}")
        schema = folder / "schema" if extensions else _without_btree_gin(folder, self._home)
        for name, part in zip(_DATABASES, ("temporal", "visibility"), strict=True):
            self._sql(folder, name, "setup-schema", "-v", "0.0")
            self._sql(folder, name, "update-schema", "-d", str(schema / part / "versioned"))

    def _sql(self, folder: Path, database: str, *arguments: str) -> None:
        url = make_url(self._postgres.url)
        connection = {
            "SQL_PLUGIN": "postgres12",
            "SQL_HOST": HOST,
            "SQL_PORT": str(url.port),
            "SQL_USER": str(url.username),
            "SQL_PASSWORD": str(url.password),
        }
        command = Command(
            argv=(str(folder / "sql"), "--db", database, *arguments),
            env={"PATH": os.environ.get("PATH", os.defpath), **connection},
            log=self.log,
        )
        if run(command) != 0:
            raise StackError(f"The tables of {database} could not be made; see {self.log}.")

    def _settings(self) -> dict[str, Any]:
        """What the compose file's environment makes of the image's template."""
        url = make_url(self._postgres.url)

        def store(database: str, connections: int) -> dict[str, Any]:
            return {
                "sql": {
                    "pluginName": "postgres12",
                    "databaseName": database,
                    "connectAddr": f"{HOST}:{url.port}",
                    "connectProtocol": "tcp",
                    "user": url.username,
                    "password": url.password,
                    "maxConns": connections,
                    "maxIdleConns": connections,
                    "maxConnLifetime": "1h",
                }
            }

        grpc, membership = _free_ports(3), _free_ports(4)
        services = zip(_SERVICES, (self.ports["temporal"], *grpc), membership, strict=True)
        return {
            "log": {"stdout": True, "level": "warn"},
            "persistence": {
                "defaultStore": "default",
                "visibilityStore": "visibility",
                "numHistoryShards": SHARDS,
                "datastores": {
                    "default": store(_DATABASES[0], 20),
                    "visibility": store(_DATABASES[1], 10),
                },
            },
            "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": HOST}},
            "services": {
                name: {"rpc": {"grpcPort": port, "membershipPort": member, "bindOnLocalHost": True}}
                for name, port, member in services
            },
            "clusterMetadata": {
                "enableGlobalNamespace": False,
                "failoverVersionIncrement": 10,
                "masterClusterName": "active",
                "currentClusterName": "active",
                "clusterInformation": {
                    "active": {
                        "enabled": True,
                        "initialFailoverVersion": 1,
                        "rpcName": "frontend",
                        "rpcAddress": self.address,
                    }
                },
            },
            "dcRedirectionPolicy": {"policy": "noop"},
        }


def _libpq(url: str) -> str:
    return url.replace("+psycopg", "")


def _free_ports(count: int) -> list[int]:
    return [port for port in random.sample(_ANY_PORT, 500) if is_free(port)][:count]


def _without_btree_gin(folder: Path, home: Path) -> Path:
    """The schema for a PostgreSQL that lacks the extension, such as the embedded one.

    Only indexes of attributes that hold lists or text need it, and we have none: they lose the
    namespace, which is one.
    """
    target = home / "temporal-schema"
    shutil.copytree(folder / "schema", target, dirs_exist_ok=True)
    for file in (target / "visibility" / "versioned").rglob("*.sql"):
        sql = file.read_text(encoding="utf-8")
        sql = sql.replace("CREATE EXTENSION btree_gin;", "NULL;")
        sql = re.sub(r"(USING GIN \()namespace_id, ", r"\1", sql, flags=re.IGNORECASE)
        file.write_text(sql, encoding="utf-8")
    return target


async def _make_namespace(address: str) -> None:
    retention = Duration()
    retention.FromTimedelta(timedelta(days=1))  # the worker sets the real one
    while True:
        try:
            client = await Client.connect(address)
            service = client.workflow_service
            await service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                await service.register_namespace(
                    RegisterNamespaceRequest(
                        namespace=NAMESPACE, workflow_execution_retention_period=retention
                    )
                )
        except RuntimeError:  # it does not answer yet
            pass
        else:
            return
        await asyncio.sleep(0.5)


def ensure_server(say: Say) -> Path:
    """The folder with `server`, `sql` and `schema/`, built where they are missing.

    Raises StackError.
    """
    folder = cache_folder(f"temporal-server-{VERSION}")
    with installing(folder) as draft:
        if (folder / "schema").exists():
            return folder
        go = shutil.which("go")
        if go is None:
            raise StackError("Install Go 1.25 or newer: the Temporal server is built with it.")
        say(f"Temporal server {VERSION} for PostgreSQL: building it, some minutes ...")
        began = time.monotonic()
        environment = {**os.environ, "GOBIN": str(draft), "CGO_ENABLED": "0", "GOFLAGS": ""}
        packages = [f"{MODULE}/cmd/{name}@v{VERSION}" for name in ("server", "tools/sql")]
        _go(go, environment, "install", "-ldflags=-s -w", *packages)
        told = _go(go, environment, "mod", "download", "-json", f"{MODULE}@v{VERSION}")
        source = Path(json.loads(told)["Dir"]) / "schema" / "postgresql" / "v12"
        for program in ("server", "sql"):
            (draft / program).replace(folder / program)
        shutil.copytree(source, draft / "schema")
        for path in (draft / "schema").rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)  # Go keeps its copy from being written
        (draft / "schema").chmod(0o755)
        (draft / "schema").replace(folder / "schema")
        say(f"Temporal server {VERSION}: built in {time.monotonic() - began:.0f} s, in {folder}.")
    return folder


def _go(go: str, environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [go, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        complaint = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise StackError(f"The Temporal server cannot be built: {complaint[-1]}.")
    return done.stdout


if __name__ == "__main__":
    sys.exit(install_command("benchmarks.temporal_on_postgres", __doc__, ensure_server))
