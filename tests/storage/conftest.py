"""A billed month, as most tests of the storage begin."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from storage.planning import Cycle
from tests.builders import KNOWN_ANSWER, Subscriber, open_february, plan_all

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
