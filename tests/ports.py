"""Ports for what a test starts by itself, away from those that a stack would like."""

import random
import socket

from stack.ports import claim, is_free

_ANY = range(13_000, 31_000)
_CLAIMS: list[socket.socket] = []


def reserved_port() -> int:
    """A free port that nobody else is given while this process lives, also when nothing listens."""
    for port in random.sample(_ANY, 200):
        mark = claim(port)
        if mark is not None and is_free(port):
            _CLAIMS.append(mark)
            return port
    raise AssertionError("no port is free")
