"""Idempotency keys, as Stripe keeps them: a repeated request gets the first one's answer."""

import json
from dataclasses import dataclass

from stack.card_sandbox.errors import Json, SandboxError
from stack.card_sandbox.store import Store

_LONGEST = 255


@dataclass(frozen=True)
class Answer:
    """What goes out: the status of HTTP and the object."""

    status: int
    body: str
    replayed: bool = False


class IdempotencyKeys:
    """The answers by key. A key that is being worked on is refused to anybody else."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._in_flight: set[str] = set()

    def claim(self, key: str) -> None:
        """Takes `key` until `release`. Raises SandboxError (409) while another request has it."""
        if len(key) > _LONGEST:
            message = f"Idempotency-Key must be at most {_LONGEST} characters."
            error = {"type": "invalid_request_error", "message": message}
            raise SandboxError(400, error, stored=False)
        if key in self._in_flight:
            error = {
                "type": "idempotency_error",
                "code": "idempotency_key_in_use",
                "message": (
                    "There is currently another in-progress request using this Idempotent Key"
                    f" (that probably means you submitted twice): {key}"
                ),
            }
            raise SandboxError(409, error, stored=False)
        self._in_flight.add(key)

    def release(self, key: str) -> None:
        self._in_flight.discard(key)

    def recall(self, key: str, request: str) -> Answer | None:
        """The answer stored under `key`; None: there is none yet.

        Raises SandboxError (400) if it was stored for another request.
        """
        row = self._store.execute(
            "SELECT request, status, body FROM answers WHERE key = ?", key
        ).fetchone()
        if row is None:
            return None
        if row[0] != request:
            error = {
                "type": "idempotency_error",
                "message": (
                    "Keys for idempotent requests can only be used with the same parameters they"
                    f" were first used with. Try using a key other than '{key}' if you meant to"
                    " execute a different request."
                ),
            }
            raise SandboxError(400, error, stored=False)
        return Answer(row[1], row[2], replayed=True)

    def store(self, key: str, request: str, answer: Answer) -> None:
        """Keeps `answer` for `key`, in the caller's transaction."""
        self._store.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?)", key, request, answer.status, answer.body
        )


def description(method: str, path: str, params: Json) -> str:
    """What a request asks for, the same for the same."""
    return f"{method} {path} {json.dumps(params, sort_keys=True)}"
