"""Faults on order: what a network and a payment provider do on a bad day."""

import fnmatch
from dataclasses import asdict, dataclass
from enum import StrEnum

from stack.card_sandbox.errors import Json, SandboxError
from stack.card_sandbox.store import Store


class FaultKind(StrEnum):
    ERROR_BEFORE = "error_before"
    """500; nothing is done and nothing is stored under the key."""
    ERROR_STORED = "error_stored"
    """500, stored under the key; nothing is done."""
    ERROR_STORED_AFTER = "error_stored_after"
    """500, stored under the key; yet it is done."""
    DROP_AFTER = "drop_after"
    """It is done, and the connection breaks before the answer leaves."""
    TIMEOUT_AFTER = "timeout_after"
    """It is done, and no answer ever leaves: the client gives up."""
    RATE_LIMIT = "rate_limit"
    """429; nothing is done."""
    DELAY = "delay"
    """The key is taken, and after `seconds` it is done."""


@dataclass(frozen=True)
class Fault:
    """What is to go wrong with the next `times` requests that match.

    Attributes:
        path: Shell pattern, such as `/v1/payment_intents/*/confirm`.
        seconds: For DELAY.
    """

    kind: FaultKind
    method: str = "POST"
    path: str = "/v1/*"
    times: int = 1
    seconds: float = 0.0


class Faults:
    """The faults that are still to happen, in the order in which they were ordered."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def order(self, fault: Fault) -> None:
        self._store.execute(
            "INSERT INTO faults (method, path, kind, seconds, times) VALUES (?, ?, ?, ?, ?)",
            *(fault.method, fault.path, fault.kind, fault.seconds, fault.times),
        )

    def waiting(self) -> list[Json]:
        return [asdict(fault) for _, fault in self._rows()]

    def clear(self) -> None:
        self._store.execute("DELETE FROM faults")

    def take(self, method: str, path: str) -> Fault | None:
        """The first fault that matches, counted as having happened; None: all goes well."""
        for seq, fault in self._rows():
            if fault.method in (method, "*") and fnmatch.fnmatchcase(path, fault.path):
                self._store.execute("UPDATE faults SET times = times - 1 WHERE seq = ?", seq)
                return fault
        return None

    def _rows(self) -> list[tuple[int, Fault]]:
        rows = self._store.execute(
            "SELECT seq, kind, method, path, times, seconds FROM faults WHERE times > 0"
            " ORDER BY seq"
        )
        return [(seq, Fault(FaultKind(kind), *rest)) for seq, kind, *rest in rows]


def rate_limited() -> SandboxError:
    error = {
        "type": "invalid_request_error",
        "code": "rate_limit",
        "message": "Request rate limit exceeded.",
    }
    return SandboxError(429, error, stored=False)
