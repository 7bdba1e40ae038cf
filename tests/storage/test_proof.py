"""Every equation of a month holds, and each one that is broken on purpose is caught by name."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import Connection, Engine

from domain.proof import ProofStatus
from tests.storage.proved import bill_rich_month, prove, shown


@pytest.fixture(scope="module")
def month(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    with fresh_engine() as engine:
        bill_rich_month(engine, tmp_path_factory.mktemp("proved") / "files")
        yield engine


@pytest.fixture
def books(month: Engine) -> Iterator[Connection]:
    """A transaction on the month, rolled back after the test."""
    with month.connect() as connection:
        yield connection


def test_a_month_that_was_billed_right_is_balanced(books: Connection) -> None:
    proof = prove(books)
    assert proof.status is ProofStatus.BALANCED, shown(proof.differences)
    assert all(row.left for row in proof.equations), "an equation of nothing proves nothing"
    assert all(
        sum(part.amount for part in row.parts) in (row.right, 0) for row in proof.equations
    ), "parts come to their side"
