"""Connections to PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine


def make_engine(database_url: str, *, pool_size: int = 10, checked: bool = True) -> Engine:
    """An engine with at most `pool_size` connections; psycopg 3 whatever driver the URL names.

    `checked`: a connection is asked whether it lives before it is handed out. Those who repeat
    what failed, as activities do, save the round trip.
    """
    url = database_url.replace("postgresql://", "postgresql+psycopg://", 1)
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=checked,
        connect_args={"options": "-c timezone=UTC", "connect_timeout": 10},
    )


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction: committed when the block ends, rolled back when it raises."""
    with engine.begin() as connection:
        yield connection


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """As `transaction`, in which every query sees the tables as they were at the first one."""
    with engine.execution_options(isolation_level="REPEATABLE READ").begin() as connection:
        yield connection
