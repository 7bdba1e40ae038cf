"""Which TCP ports the stack listens on."""

import random
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields

import psutil

from stack.errors import StackError

HOST = "127.0.0.1"

PREFERRED = {
    "postgres": 5433,
    "temporal": 7233,
    "temporal_ui": 8233,
    "smtp": 1025,
    "cards": 12111,
    "api": 8000,
}

TITLES = {
    "postgres": "PostgreSQL",
    "temporal": "the Temporal server",
    "temporal_ui": "the Temporal Web UI",
    "smtp": "the mailbox",
    "cards": "the card sandbox",
    "api": "the API",
}

# Below the range from which the kernel hands out ports, so that no program gets one by chance.
_ANY = range(12_000, 32_000)


@dataclass(frozen=True)
class Ports:
    """Ports asked for; None: the usual one where it is free, otherwise any free one."""

    postgres: int | None = None
    temporal: int | None = None
    temporal_ui: int | None = None
    smtp: int | None = None
    cards: int | None = None
    api: int | None = None


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
    return True


def listens(pid: int, port: int) -> bool:
    """Whether process `pid` itself accepts connections on `port`.

    That somebody answers there is not enough: another stack may have been quicker.
    """
    try:
        sockets = psutil.Process(pid).net_connections("tcp")
    except psutil.AccessDenied:
        return not is_free(port)
    except psutil.NoSuchProcess:
        return False
    return any(s.status == psutil.CONN_LISTEN and s.laddr.port == port for s in sockets)


def claim(port: int) -> socket.socket | None:
    """Marks `port` as spoken for, for every stack of this machine; None where it is already.

    Between the choice of a port and the start of the part that listens there are seconds. The
    mark is a name of the kernel's, which goes with the process; closing it takes it back.
    """
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        mark.bind(f"\0billwright/port/{port}")
    except OSError:
        mark.close()
        return None
    return mark


class PortBook:
    """Gives out ports, each once, and none that another stack of this machine was given.

    Args:
        asked: Ports that must be used.
        remembered: Ports this home used last time; kept where possible, so that links in e-mails
            still lead somewhere after a restart.
    """

    def __init__(self, asked: Ports, remembered: Mapping[str, int]) -> None:
        self._asked = {f.name: getattr(asked, f.name) for f in fields(asked)}
        self._remembered = remembered
        self._lock = threading.Lock()
        self._claims: dict[str, socket.socket] = {}
        self.given: dict[str, int] = {}

    def close(self) -> None:
        """Takes the claims back; what listens on the ports does not mind."""
        for mark in self._claims.values():
            mark.close()
        self._claims.clear()

    def take(self, name: str) -> int:
        """A free port for `name`.

        Raises:
            StackError: The port asked for is taken.
        """
        with self._lock:
            if name in self._claims:
                self._claims.pop(name).close()
            return self._take(name)

    def _take(self, name: str) -> int:
        asked: int | None = self._asked[name]
        if asked is not None:
            if asked in (port for other, port in self.given.items() if other != name):
                raise StackError(
                    f"Port {asked} was asked for twice, the second time for {TITLES[name]};"
                    " ask for another one."
                )
            if not self._give(name, asked):
                raise StackError(
                    f"Port {asked}, asked for {TITLES[name]}, is taken by {_owner(asked)};"
                    " stop that program or ask for another port."
                )
            return asked
        spoken_for = {*self.given.values(), *(p for p in self._asked.values() if p is not None)}
        wishes = [self._remembered.get(name), PREFERRED[name], *random.sample(_ANY, 200)]
        for port in wishes:
            if port is not None and port not in spoken_for and self._give(name, port):
                return port
        raise StackError(
            f"No free port was found for {TITLES[name]}; stop some program that listens on"
            f" {HOST}, or ask for a port that you know to be free."
        )

    def _give(self, name: str, port: int) -> bool:
        """Whether `port` is `name`'s from now on."""
        mark = claim(port)
        if mark is None:
            return False
        if not is_free(port):
            mark.close()
            return False
        self._claims[name] = mark
        self.given[name] = port
        return True


def _owner(port: int) -> str:
    """Who listens on `port`, as well as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            listening = connection.status == psutil.CONN_LISTEN
            if listening and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another program"
