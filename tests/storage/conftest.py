"""A billed month, as most tests of the storage begin."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from storage.engine import transaction
from storage.planning import Cycle
from tests.builders import KNOWN_ANSWER, Subscriber, open_february, plan_all
from tests.storage.collecting import BY_CARD, BY_WIRE, issue

OpenCycle = Callable[..., Cycle]


@pytest.fixture
def february(engine: Engine, tmp_path: Path) -> OpenCycle:
    """Imports the customers given and opens the cycle of February 2026, which is not planned."""

    def begin(*customers: Subscriber) -> Cycle:
        return open_february(engine, tmp_path / "files", customers)

    return begin


@pytest.fixture
def draft_1047(engine: Engine, february: OpenCycle) -> str:
    """The number of account 1047's draft: 312.91 USD."""
    plan_all(engine, february(KNOWN_ANSWER))
    return "INV-2026-02-0001"


@pytest.fixture(scope="session")
def issued_by_card(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """A database with one issued invoice of 312.91 USD and a card on file; nobody commits to it."""
    with fresh_engine() as engine:
        _issue_one(engine, tmp_path_factory.mktemp("by-card"), BY_CARD)
        yield engine


@pytest.fixture(scope="session")
def issued_by_wire(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """As `issued_by_card`, of a customer who pays by bank transfer."""
    with fresh_engine() as engine:
        _issue_one(engine, tmp_path_factory.mktemp("by-wire"), BY_WIRE)
        yield engine


@pytest.fixture
def by_card(issued_by_card: Engine) -> Iterator[Connection]:
    """A transaction on `issued_by_card`, rolled back after the test."""
    with issued_by_card.connect() as connection:
        yield connection


@pytest.fixture
def by_wire(issued_by_wire: Engine) -> Iterator[Connection]:
    """A transaction on `issued_by_wire`, rolled back after the test."""
    with issued_by_wire.connect() as connection:
        yield connection


@pytest.fixture
def own_by_card(engine: Engine, tmp_path: Path) -> Engine:
    """As `issued_by_card`, the test's own, to commit to."""
    _issue_one(engine, tmp_path / "by-card", BY_CARD)
    return engine


def _issue_one(engine: Engine, directory: Path, customer: Subscriber) -> None:
    plan_all(engine, open_february(engine, directory, [customer]))
    with transaction(engine) as connection:
        issue(connection)
