"""Brings a database to the present schema and keeps partitions ahead of the calendar."""

from datetime import date
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from domain.periods import BillingPeriod
from storage.engine import transaction

MONTHS_AHEAD = 12
_MIGRATION_LOCK = 0x42494C4C  # "BILL": two starting processes migrate one after the other


def migrate(engine: Engine, *, today: date) -> None:
    """Applies all migrations and makes the usage partitions around `today`.

    Safe to call at every start and from several processes at once.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    first = BillingPeriod.of(today)
    for _ in range(MONTHS_AHEAD):
        first = first.previous()
    make_partitions(engine, first, BillingPeriod(today.year + 1, today.month))


def make_partitions(engine: Engine, first: BillingPeriod, last: BillingPeriod) -> None:
    """Makes the usage partitions of the months `first` to `last`, both inclusive."""
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        connection.execute(
            text(
                "SELECT make_event_partition(month::date) "
                "FROM generate_series(CAST(:first AS date), CAST(:last AS date), '1 month') month"
            ),
            {"first": first.start, "last": last.start},
        )
