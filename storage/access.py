"""Who calls and as what, be it a program with its key or a person with their session."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a caller may do: `admin` everything, `finance` bill, `viewer` read, `ingest` send
    usage.
    """

    ADMIN = "admin"
    FINANCE = "finance"
    VIEWER = "viewer"
    INGEST = "ingest"


@dataclass(frozen=True)
class Caller:
    """Who calls, be it a key or a person, and as what. `email`: None for a key."""

    shown_name: str
    role: Role
    email: str | None = None

    @property
    def name(self) -> str:
        """As the audit log names them: two people may share a name."""
        return self.shown_name if self.email is None else f"{self.shown_name} <{self.email}>"


def fingerprint(secret: str) -> str:
    """What is kept of a key or of a session's token."""
    # random, of 256 bits: it needs no slow hash
    return hashlib.sha256(secret.encode()).hexdigest()
