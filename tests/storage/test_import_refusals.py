"""Bad rows are named by file, line, column and reason; nothing at all is written then."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, func, select

from domain.errors import InvalidValue
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.importing.problems import ImportRefused, Problems
from storage.tables import metadata
from tests.builders import (
    KNOWN_ANSWER,
    NOW,
    PLANS,
    Subscriber,
    csv_text,
    policy_entry,
    seed_billing,
    usage_row,
    write_billing_files,
    write_json,
)
from tests.storage.bad_rows import (
    CASES,
    CONTRADICTIONS,
    UNREADABLE,
    Case,
    history,
    seller,
    taxes,
    used,
)


def row_counts(engine: Engine) -> dict[str, int]:
    def count(connection: Connection, name: str) -> int:
        return connection.execute(
            select(func.count()).select_from(metadata.tables[name])
        ).scalar_one()

    with transaction(engine) as connection:
        return {name: count(connection, name) for name in metadata.tables}


def refusal(engine: Engine, directory: Path) -> Problems:
    with pytest.raises(ImportRefused) as refused:
        import_directory(engine, directory, now=NOW)
    return refused.value.problems


def put(directory: Path, file: str, content: str | bytes) -> None:
    """Replaces a file of the good set; usage is packed or plain, never both."""
    if file.startswith("usage"):
        (directory / "usage.csv").unlink()
    (directory / file).write_bytes(content.encode() if isinstance(content, str) else content)


def name_of(case: Case) -> str:
    return f"{case[0]}, {case[3]} {case[4]}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_bad_row_is_named_and_nothing_is_written(
    module_engine: Engine, tmp_path: Path, case: Case
) -> None:
    file, content, line, column, reason = case
    write_billing_files(tmp_path)
    put(tmp_path, file, content)
    problems = refusal(module_engine, tmp_path)
    (bad,) = problems.rows
    assert (bad.file, bad.line, bad.column) == (file, line, column)
    assert reason in bad.reason
    assert set(row_counts(module_engine).values()) == {0}


@pytest.mark.parametrize("case", UNREADABLE, ids=name_of)
def test_a_file_that_cannot_be_read_is_named(
    module_engine: Engine, tmp_path: Path, case: Case
) -> None:
    file, content, line, _, reason = case
    write_billing_files(tmp_path)
    put(tmp_path, file, content)
    (bad, *_) = [bad for bad in refusal(module_engine, tmp_path).rows if bad.file == file]
    assert bad.line == line
    assert reason in bad.reason
    assert set(row_counts(module_engine).values()) == {0}


def test_every_bad_row_of_every_file_is_named(module_engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    put(tmp_path, "seller.json", seller(bic="?"))
    put(tmp_path, "tax_rates.csv", taxes(country="?", rate_percent="?"))
    put(tmp_path, "usage.csv", csv_text([usage_row(metric="?"), usage_row(), usage_row(metric="")]))
    named = [(bad.file, bad.line, bad.column) for bad in refusal(module_engine, tmp_path).rows]
    assert named == [
        ("seller.json", 1, "bic"),
        ("tax_rates.csv", 2, "country"),
        ("tax_rates.csv", 2, "rate_percent"),
        ("usage.csv", 2, "metric"),
        ("usage.csv", 4, "metric"),
    ]


def test_a_history_with_fractions_of_a_cent_is_refused(
    module_engine: Engine, tmp_path: Path
) -> None:
    write_billing_files(tmp_path)
    put(tmp_path, "invoices.csv", history(usage="90.005", proration="-9.005"))
    named = [(bad.column, bad.reason) for bad in refusal(module_engine, tmp_path).rows]
    assert named == [(name, "has a fraction of a USD cent") for name in ("usage", "proration")]


def test_more_than_a_thousand_bad_rows_are_counted(module_engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    rows = [usage_row(f"evt-{n}", quantity="?") for n in range(1_200)]
    put(tmp_path, "usage.csv", csv_text(rows))
    problems = refusal(module_engine, tmp_path)
    assert (problems.count, len(problems.rows)) == (1_200, 1_000)


def test_a_bad_row_says_where_it_stands(module_engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    put(tmp_path, "usage.csv", used(quantity="many"))
    (bad,) = refusal(module_engine, tmp_path).rows
    assert str(bad).startswith("usage.csv, line 2, column quantity: 'many' is not a quantity")


def test_an_empty_directory_is_refused(module_engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"holds none of seller\.json"):
        import_directory(module_engine, tmp_path, now=NOW)


def test_two_files_of_usage_are_refused(module_engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    (tmp_path / "usage.csv.gz").write_bytes(b"")
    with pytest.raises(InvalidValue, match="keep one of them"):
        import_directory(module_engine, tmp_path, now=NOW)


# --- against what is in the database


@pytest.fixture(scope="module")
def seeded_engine(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """A database with accounts 1047 and 1048, their usage, an invoice of January of 1047's, and a
    dunning policy.
    """
    directory = tmp_path_factory.mktemp("seed")
    write_json(directory / "dunning_policies.json", [policy_entry("patient")])
    (directory / "invoices.csv").write_text(history())
    with fresh_engine() as engine:
        seed_billing(engine, directory, [KNOWN_ANSWER, Subscriber("1048")])
        yield engine


@pytest.mark.parametrize("case", CONTRADICTIONS, ids=name_of)
def test_what_contradicts_the_database_is_named_and_changes_nothing(
    seeded_engine: Engine, tmp_path: Path, case: Case
) -> None:
    file, content, line, column, reason = case
    before = row_counts(seeded_engine)
    (tmp_path / file).write_text(str(content))
    (bad,) = refusal(seeded_engine, tmp_path).rows
    assert (bad.file, bad.line, bad.column) == (file, line, column)
    assert reason in bad.reason
    assert row_counts(seeded_engine) == before


def test_a_plan_without_its_seller_is_no_contradiction(
    seeded_engine: Engine, tmp_path: Path
) -> None:
    write_json(tmp_path / "plans.json", PLANS)
    assert import_directory(seeded_engine, tmp_path, now=NOW).added == {"plans.json": 0}
