"""The schema: made once, however often and by however many, and the same as `storage.tables`."""

import threading
from collections.abc import Iterator
from datetime import date

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from domain.periods import BillingPeriod
from storage.engine import make_engine, transaction
from storage.schema import make_partitions, migrate
from storage.tables import metadata

TODAY = date(2026, 3, 15)
PARTITIONS = ("billing_events_", "usage_event_keys_")


@pytest.fixture
def empty_engine(empty_database_url: str) -> Iterator[Engine]:
    engine = make_engine(empty_database_url)
    yield engine
    engine.dispose()


def months_with_a_partition(engine: Engine) -> list[str]:
    names = inspect(engine).get_table_names()
    return sorted(
        name.removeprefix("billing_events_") for name in names if name.startswith("billing_events_")
    )


def test_a_fresh_database_gets_every_table(empty_engine: Engine) -> None:
    migrate(empty_engine, today=TODAY)
    assert set(metadata.tables) <= set(inspect(empty_engine).get_table_names())


def test_migrating_twice_changes_nothing(empty_engine: Engine) -> None:
    migrate(empty_engine, today=TODAY)
    before = inspect(empty_engine).get_table_names()
    migrate(empty_engine, today=TODAY)
    assert inspect(empty_engine).get_table_names() == before


def test_two_processes_may_migrate_at_once(empty_database_url: str) -> None:
    engines = [make_engine(empty_database_url) for _ in range(2)]
    errors: list[BaseException] = []
    together = threading.Barrier(len(engines))

    def start(engine: Engine) -> None:
        try:
            together.wait()
            migrate(engine, today=TODAY)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=start, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert set(metadata.tables) <= set(inspect(engines[0]).get_table_names())
    for engine in engines:
        engine.dispose()


def test_usage_partitions_reach_a_year_to_both_sides(empty_engine: Engine) -> None:
    migrate(empty_engine, today=TODAY)
    months = months_with_a_partition(empty_engine)
    assert (months[0], months[-1], len(months)) == ("2025_03", "2027_03", 25)


def test_a_later_start_adds_the_months_that_came_near(empty_engine: Engine) -> None:
    migrate(empty_engine, today=TODAY)
    migrate(empty_engine, today=date(2026, 5, 1))
    assert months_with_a_partition(empty_engine)[-1] == "2027_05"


def test_partitions_that_exist_are_left_alone(engine: Engine) -> None:
    before = months_with_a_partition(engine)
    make_partitions(engine, BillingPeriod(2026, 1), BillingPeriod(2026, 3))
    assert months_with_a_partition(engine) == before
    make_partitions(engine, BillingPeriod(2019, 11), BillingPeriod(2020, 1))
    assert months_with_a_partition(engine) == ["2019_11", "2019_12", "2020_01", *before]


def test_tables_and_columns_are_those_that_queries_see(module_engine: Engine) -> None:
    def ours(name: str | None, kind: str, _: object) -> bool:
        if kind == "table":
            return name != "alembic_version" and not str(name).startswith(PARTITIONS)
        return kind in ("schema", "column")

    with module_engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": ours, "compare_type": True, "compare_server_default": False},
        )
        differences = compare_metadata(context, metadata)
    structure = [d for d in differences if isinstance(d, list) or "index" not in d[0]]
    assert [d for d in structure if isinstance(d, list) or "constraint" not in d[0]] == []


def test_a_failed_transaction_leaves_nothing(engine: Engine) -> None:
    insert = text("INSERT INTO webhook_events (event_id, type, payload) VALUES ('e', 't', '{}')")

    def write_and_fail() -> None:
        with transaction(engine) as connection:
            connection.execute(insert)
            raise LookupError

    with pytest.raises(LookupError):
        write_and_fail()
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM webhook_events")).scalar_one() == 0
