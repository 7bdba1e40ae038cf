"""What a home folder knows: who holds it, where its parts answer, its secrets."""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO

from stack.errors import StackError
from stack.processes import born, until

STATE = "stack.json"
LOCK = "stack.lock"
SECRETS = "secrets.json"

# What a user's shell may hold for another installation; it must not reach the embedded one.
_FOREIGN = (
    "TEMPORAL_API_KEY",
    "TEMPORAL_NAMESPACE",
    "TEMPORAL_TLS",
    "SMTP_USERNAME",
    "SMTP_PASSWORD",
    "SMTP_START_TLS",
)


@dataclass(frozen=True)
class StackAddresses:
    """Where a stack answers."""

    home: Path
    database_url: str = field(repr=False)
    """For SQLAlchemy with psycopg; holds the password."""
    temporal_address: str
    temporal_ui_url: str
    smtp_host: str
    smtp_port: int
    mail_dir: Path
    """A Maildir; see `stack.mailbox.read_mails`."""
    api_url: str
    """Where the API answers once that part is started; no slash at the end."""
    secret: str = field(repr=False)
    """Signs payer links."""
    stripe_api_base: str = ""
    """Where the card sandbox answers, no slash at the end; empty where Stripe itself is used."""
    stripe_api_key: str = field(default="", repr=False)
    """Of the card sandbox, as is the next; both empty where Stripe itself is used."""
    stripe_webhook_secret: str = field(default="", repr=False)
    pids: Mapping[str, int] = field(default_factory=dict)
    """Process ids by part; `supervisor` is the process that holds the stack."""

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables with which a process finds this stack, on top of `base`.

        A public address and a secret that `base` sets are kept: they are the installation's own.
        So is a Stripe account, where the stack was started with one.

        Args:
            base: Default: this process's environment.
        """
        given = dict(os.environ if base is None else base)
        for name in _FOREIGN:
            given.pop(name, None)
        return given | {
            "BILLWRIGHT_HOME": str(self.home),
            "DATABASE_URL": self.database_url,
            "TEMPORAL_ADDRESS": self.temporal_address,
            "TEMPORAL_UI_URL": self.temporal_ui_url,
            "SMTP_HOST": self.smtp_host,
            "SMTP_PORT": str(self.smtp_port),
            "BILLWRIGHT_API_PORT": self.api_url.rpartition(":")[2],
            "BILLWRIGHT_PUBLIC_URL": given.get("BILLWRIGHT_PUBLIC_URL") or self.api_url,
            "BILLWRIGHT_SECRET": given.get("BILLWRIGHT_SECRET") or self.secret,
            **self._card_environment(),
        }

    def _card_environment(self) -> dict[str, str]:
        if not self.stripe_api_base:
            return {}
        return {
            "STRIPE_API_BASE": self.stripe_api_base,
            "STRIPE_API_KEY": self.stripe_api_key,
            "STRIPE_WEBHOOK_SECRET": self.stripe_webhook_secret,
        }


@dataclass(frozen=True)
class Secrets:
    """Made once for a home and kept in it, readable by its owner alone."""

    database_password: str
    link_secret: str
    card_api_key: str
    """Of the card sandbox, as is the next."""
    card_webhook_secret: str

    @classmethod
    def new(cls) -> "Secrets":
        return cls(
            database_password=secrets.token_urlsafe(24),
            link_secret=secrets.token_urlsafe(32),
            card_api_key=f"sk_test_{secrets.token_hex(24)}",
            card_webhook_secret=f"whsec_{secrets.token_hex(24)}",
        )


def write_atomically(path: Path, text: str) -> None:
    """Replaces `path` as a whole, mode 0600, durable when this returns."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes renames within `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_secrets(home: Path) -> Secrets:
    """The secrets of `home`, made on first use; one that an older home lacks is made then.

    Raises:
        StackError: The file is damaged.
    """
    path = home / SECRETS
    new = Secrets.new()
    try:
        kept = json.loads(path.read_text())
        known = replace(new, **kept)
        if "database_password" not in kept or "link_secret" not in kept:
            raise ValueError("a secret that is in use is lost")
    except FileNotFoundError:
        kept, known = {}, new
    except (ValueError, TypeError) as error:
        raise StackError(
            f"{path} is damaged; restore it from a backup, or remove {home} to start anew."
        ) from error
    if kept != asdict(known):
        write_atomically(path, json.dumps(asdict(known), indent=2))
    return known


class HomeLock:
    """The claim of one supervisor on a home; the kernel drops it with the process."""

    def __init__(self, home: Path) -> None:
        self._path = home / LOCK
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Claims the home.

        Raises:
            StackError: Another stack runs here.
        """
        file = self._path.open("a+")
        # Retried for a moment: `is_held` of another process takes the lock to look at it.
        if not until(lambda: _try_lock(file, fcntl.LOCK_EX), seconds=1):
            file.seek(0)
            owner = file.read().strip()
            file.close()
            raise StackError(
                f"A stack already runs in {self._path.parent}"
                + (f" (pid {owner})" if owner else "")
                + "; use it, stop it, or set BILLWRIGHT_HOME to another folder."
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Gives the home back; nothing happens where it was not claimed."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(home: Path) -> bool:
    """Whether some supervisor holds `home` now."""
    try:
        with (home / LOCK).open() as file:
            return not _try_lock(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class StackState:
    """The state file: addresses, the ports by name, and each part's process."""

    addresses: StackAddresses
    ports: Mapping[str, int]
    births: Mapping[str, float]
    """When each part's process began: a pid alone may name a stranger by now."""
    ready: bool
    """False from the moment a supervisor claims the home until all parts answer."""

    def write(self) -> None:
        """Replaces the state file of the home."""
        fields = asdict(self)
        fields["addresses"] |= {
            "home": str(self.addresses.home),
            "mail_dir": str(self.addresses.mail_dir),
        }
        write_atomically(self.addresses.home / STATE, json.dumps(fields, indent=2))

    def alive(self) -> dict[str, int]:
        """The parts whose very process still runs, without the supervisor."""
        return {
            name: pid
            for name, pid in self.addresses.pids.items()
            if name in self.births and born(pid) == self.births[name]
        }


def read_state(home: Path) -> StackState | None:
    """The state that was last written; None where there is none that can be read."""
    with suppress(FileNotFoundError, ValueError, TypeError, KeyError):
        fields = json.loads((home / STATE).read_text())
        addresses = fields.pop("addresses")
        addresses |= {"home": Path(addresses["home"]), "mail_dir": Path(addresses["mail_dir"])}
        return StackState(addresses=StackAddresses(**addresses), **fields)
    return None


def forget_readiness(home: Path) -> None:
    """Marks the state as old; its ports are still worth remembering."""
    state = read_state(home)
    if state is not None and state.ready:
        replace(state, ready=False).write()


def running_stack(home: Path, *, patience: float = 30.0) -> StackAddresses | None:
    """The stack that a supervisor runs in `home`, of this process or another; None: none does.

    Args:
        patience: Seconds to wait for a stack that is just starting.
    """
    home = home.absolute()
    deadline = time.monotonic() + patience
    while is_held(home):
        state = read_state(home)
        if state is not None and state.ready:
            return state.addresses
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return None
