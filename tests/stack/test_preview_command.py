"""`billwright preview`: a plan on the command line, and its approval there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

import cli
from domain.errors import Conflict, NotFound, PlanNotApproved
from settings import settings
from storage.cycles import move_cycle, open_cycle
from storage.engine import transaction
from tests.builders import (
    ACTOR,
    FEBRUARY,
    FRENCH,
    ISSUED_ON,
    Subscriber,
    invoice_row,
    plan_all,
    seed_billing,
    write_csv,
)

Run = Callable[..., Any]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")  # which the command does not ask
    settings.cache_clear()
    yield lambda *words: CliRunner().invoke(cli.app, ("preview", "2026-02", *words))
    settings.cache_clear()


@pytest.fixture
def planned(engine: Engine, tmp_path: Path) -> Engine:
    files = tmp_path / "files"
    files.mkdir()
    write_csv(files / "invoices.csv", [invoice_row(account_number="1001")])
    seed_billing(engine, files, [Subscriber("1001", 20_000), FRENCH])
    with transaction(engine) as connection:
        cycle = open_cycle(
            connection,
            FEBRUARY,
            issued_on=ISSUED_ON,
            terms_days=30,
            hold_reminders=False,
            approval_required=True,
            actor=ACTOR,
        )
    plan_all(engine, cycle)
    with transaction(engine) as connection:
        move_cycle(connection, FEBRUARY, "planned", actor=ACTOR)
    return engine


def test_a_plan_is_shown_with_what_stands_out(run: Run, planned: Engine) -> None:
    shown = run()
    assert shown.exit_code == 0
    for words in (
        "2026-02 against 2026-01: 1 customers with an invoice, 1 before",
        "! total fell, USD: 214.20 before, 11.90 now (-94.4 %)",
        "1 drafts and 0 credits wait to be approved",
    ):
        assert words in shown.output
    rows = [line.split("│")[1:5] for line in shown.output.splitlines() if "│ 100" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["1002", "failed", "–", "–"],
        ["1001", "drop", "180.00", "10.00"],
    ]


def test_a_plan_is_approved_with_a_note_where_it_stands_out(run: Run, planned: Engine) -> None:
    with pytest.raises(PlanNotApproved):
        cli._waits_approved(planned, FEBRUARY)
    assert "say why" in str(run("--approve", "").exception)
    done = run("--approve", "Carnival")
    assert "Approved 1 drafts" in done.output
    assert "All of it is approved" in run().output
    assert cli._waits_approved(planned, FEBRUARY)
    assert isinstance(run("--approve", "again").exception, Conflict)


def test_a_month_without_a_plan_has_none_to_show(run: Run, engine: Engine) -> None:
    assert isinstance(run().exception, NotFound)
