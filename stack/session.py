"""The stack that a command works on: configured, running already, or started for its time."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Thread, current_thread, main_thread

from pydantic import SecretStr
from sqlalchemy import Engine

from settings import Settings
from stack.embedded import EmbeddedStack, MakeTemporal, Part
from stack.errors import StackError
from stack.state import StackAddresses, running_stack
from storage.engine import make_engine
from storage.schema import migrate

WORKER = Part("worker", (sys.executable, "-m", "cli", "worker"))
API = Part("api", (sys.executable, "-m", "cli", "api"))


@contextmanager
def session(settings: Settings, *, parts: Sequence[Part] = ()) -> Iterator[Settings]:
    """Settings that name a running stack.

    Those given, where they name PostgreSQL and Temporal; else those of the embedded stack that
    holds `settings.home`; else those of one started here with `parts` and stopped at the end.
    Raises StackError, with the remedy, if none can be had or if only one of the two is named: the
    embedded stack in place of half a configured one would bill into the wrong database.
    """
    _require_both_or_none(settings)
    if settings.database_url and settings.temporal_address:
        yield settings
        return
    found = running_stack(settings.home)
    if found is not None:
        yield at(settings, found)
        return
    with embedded(settings, parts=parts) as stack:
        yield at(settings, stack.addresses())


@contextmanager
def database(found: Settings) -> Iterator[Engine]:
    """An engine on the database of the stack that `session` found, disposed of at the end."""
    engine = make_engine(found.database_url or "", pool_size=2)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def embedded(
    settings: Settings, *, parts: Sequence[Part], temporal: MakeTemporal | None = None
) -> Iterator[EmbeddedStack]:
    """The embedded stack of `settings.home`, migrated, its `parts` running.

    `temporal` None: the development server. A part that dies is started again. SIGTERM ends the
    process in order. Raises StackError.
    """
    if current_thread() is main_thread():
        signal.signal(signal.SIGTERM, _end)
    with EmbeddedStack(settings.home, parts=parts, temporal=temporal) as stack:
        engine = make_engine(stack.addresses().database_url, pool_size=1)
        migrate(engine, today=datetime.now(UTC).date())
        engine.dispose()
        stack.start_parts()
        over = Event()
        watch = Thread(target=stack.supervise, args=(over,), daemon=True)
        watch.start()
        try:
            yield stack
        finally:
            over.set()
            watch.join()


def _require_both_or_none(settings: Settings) -> None:
    given = {
        "DATABASE_URL": settings.database_url,
        "TEMPORAL_ADDRESS": settings.temporal_address,
    }
    named = [name for name, value in given.items() if value]
    missing = [name for name, value in given.items() if not value]
    if named and missing:
        raise StackError(
            f"{named[0]} is set and {missing[0]} is not: set {missing[0]} too, or unset "
            f"{named[0]} to work on the embedded stack."
        )


def _end(signum: int, frame: object) -> None:
    raise SystemExit(128 + signum)


def at(settings: Settings, addresses: StackAddresses) -> Settings:
    """`settings` with the addresses of an embedded stack.

    A Stripe account is kept where the stack was started with one, instead of a card sandbox.
    """
    cards = {
        "stripe_api_base": addresses.stripe_api_base,
        "stripe_api_key": SecretStr(addresses.stripe_api_key),
        "stripe_webhook_secret": SecretStr(addresses.stripe_webhook_secret),
    }
    return settings.model_copy(
        update={
            **(cards if addresses.stripe_api_base else {}),
            "home": addresses.home,
            "database_url": addresses.database_url,
            "temporal_address": addresses.temporal_address,
            "temporal_ui_url": addresses.temporal_ui_url,
            "temporal_namespace": "default",
            "temporal_tls": False,
            "temporal_api_key": None,
            "smtp_host": addresses.smtp_host,
            "smtp_port": addresses.smtp_port,
            "public_url": addresses.api_url,
            "secret": SecretStr(addresses.secret),
        }
    )
