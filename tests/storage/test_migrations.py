"""The schema: made once, however often and by however many, and the same as `storage.tables`."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

import storage
from domain.dunning import Due, next_due
from domain.invoice import overdue_from
from domain.periods import BillingPeriod
from domain.plans import Charge, Interval, Tier
from storage.collection import load_case
from storage.engine import make_engine, transaction
from storage.price_list import load_prices
from storage.schema import make_partitions, migrate
from storage.tables import metadata
from storage.usage.rollups import check_rollups
from tests.builders import DUE_ON, SELLER
from tests.storage.collecting import lock, receive, standing, wrongs

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


def test_a_month_is_made_while_usage_is_read_and_written(engine: Engine, database_url: str) -> None:
    impatient = create_engine(database_url, connect_args={"options": "-c lock_timeout=50"})
    event = text(
        "INSERT INTO billing_events (customer_id, metric, occurred_at, quantity, event_id) "
        "VALUES (1, 'api_calls', :at, 1, 'e')"
    )
    with engine.connect() as busy:
        busy.execute(event, {"at": "2026-02-03T00:00Z"})
        assert busy.execute(text("SELECT count(*) FROM billing_events")).scalar_one() == 1
        make_partitions(impatient, BillingPeriod(2019, 11), BillingPeriod(2019, 11))
    impatient.dispose()
    with transaction(engine) as connection:
        connection.execute(event, {"at": "2019-11-30T23:59Z"})
    (index,) = inspect(engine).get_indexes("billing_events_2019_11")
    assert index["column_names"][:2] == ["customer_id", "occurred_at"]


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


# --- from 0001 to 0002

OPEN, PAID, PART_PAID, CYCLES_OWN = "INV-OLD-1", "INV-OLD-2", "INV-OLD-3", "INV-2026-02-0001"
OF_0001 = """
    INSERT INTO customers (account_number, name, billing_emails, country, region, address_line1,
        postal_code, city, tax_id, tax_id_valid, tax_exempt, currency, segment, payment_method,
        status)
    VALUES ('1047', 'Brandt', '{a@b.example}', 'DE', '', '', '', '', '', false, false, 'USD', '',
        'bank_transfer', 'active');
    INSERT INTO pricing_plans (code, name, kind, metric)
    VALUES ('api-calls', 'API calls', 'usage', 'api_calls'), ('support', 'Support', 'flat', NULL);
    INSERT INTO plan_prices (plan_id, currency, version, valid_from, unit_price, tiers)
    VALUES (1, 'USD', 1, '2025-01-01', NULL,
            '[{"name": "Free", "up_to": 10, "unit_price": "0"},
              {"name": "All", "up_to": null, "unit_price": "0.001"}]'),
           (2, 'USD', 1, '2025-01-01', 99, '[]');
    INSERT INTO billing_cycles (period_start, status, issued_on, terms_days, hold_reminders)
    VALUES ('2026-02-01', 'closed', '2026-03-01', 30, false);
    INSERT INTO documents (sha256, media_type, content) VALUES (repeat('0', 64), 'x', 'x');
    INSERT INTO invoices (number, customer_id, cycle_id, period_start, kind, status,
        collection_state, currency, usage_amount, subscription_amount, proration_amount, subtotal,
        tax, total, tax_lines, amount_paid, segment, customer, seller_version, issued_on, due_on,
        issued_at, settled_on, pdf_sha256)
    SELECT number, 1, cycle, month, 'regular', status, status, 'USD', 100, 0, 0, 100, 0, 100, '[]',
        paid, '', '{}', 1, '2026-03-01', '2026-03-31', now(),
        CASE status WHEN 'paid' THEN date '2026-03-02' END,
        CASE WHEN cycle IS NOT NULL THEN repeat('0', 64) END
    FROM (VALUES ('INV-OLD-1', CAST(NULL AS bigint), date '2025-10-01', 'issued', 0),
                 ('INV-OLD-2', NULL, '2025-11-01', 'paid', 100),
                 ('INV-OLD-3', NULL, '2025-12-01', 'issued', 40),
                 ('INV-2026-02-0001', 1, '2026-02-01', 'issued', 0)
         ) AS old(number, cycle, month, status, paid);
    INSERT INTO payments (invoice_id, method, status, amount, currency, idempotency_key,
        business_date)
    SELECT id, 'bank_transfer', 'succeeded', amount_paid, 'USD', 'import/' || number, '2026-03-02'
    FROM invoices WHERE amount_paid > 0;
    INSERT INTO payments (invoice_id, method, status, amount, currency, idempotency_key,
        business_date)
    SELECT id, 'card', 'failed', 100, 'USD', 'declined', '2026-03-02'
    FROM invoices WHERE number = 'INV-OLD-1';
    INSERT INTO audit_log (business_date, actor, subject_kind, subject, event, from_state,
        to_state)
    SELECT '2026-03-01', 'import', 'invoice', number, 'issued', 'draft', status FROM invoices;
    SELECT make_event_partition('2026-02-01');
    INSERT INTO billing_events (customer_id, metric, occurred_at, quantity, event_id)
    VALUES (1, 'api_calls', '2026-02-03 14:05+00', 7, 'e-1');
    INSERT INTO usage_event_keys (event_id, content_hash) VALUES ('e-1', 'hash');
"""


@pytest.fixture
def migrated(empty_engine: Engine) -> Engine:
    """A database of 0001 with invoices of an older system and one of a cycle, brought to now."""
    config = Config()
    folder = Path(str(storage.schema.__file__)).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    with transaction(empty_engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with transaction(empty_engine) as connection:
        seller = SELLER | {"logo_svg": ""}
        names, values = ", ".join(seller), ", ".join(f":{name}" for name in seller)
        connection.execute(text(f"INSERT INTO sellers ({names}) VALUES ({values})"), seller)  # noqa: S608
        connection.execute(text(OF_0001))
    migrate(empty_engine, today=TODAY)
    return empty_engine


def test_what_was_paid_before_is_allocated_to_its_invoice(migrated: Engine) -> None:
    with transaction(migrated) as connection:
        assert wrongs(connection) == []
        found = connection.execute(
            text("SELECT status, amount, allocated FROM payments ORDER BY id")
        ).all()
    assert [tuple(row) for row in found] == [
        ("succeeded", 100, 100),
        ("succeeded", 40, 40),
        ("failed", 100, 0),
    ]


def test_what_was_issued_before_there_were_reminders_is_on_hold(migrated: Engine) -> None:
    with transaction(migrated) as connection:
        cases = {
            number: load_case(connection, number) for number in (OPEN, PAID, PART_PAID, CYCLES_OWN)
        }
    assert [number for number, case in cases.items() if case.on_hold] == [
        OPEN,
        PART_PAID,
        CYCLES_OWN,
    ]
    assert cases[PART_PAID].open_amount == 60
    for case in cases.values():
        expected = None if case.is_settled else Due(overdue_from(DUE_ON))
        assert next_due(case, steps_taken=0) == expected


def test_money_that_comes_after_the_migration_finds_its_invoice(migrated: Engine) -> None:
    with transaction(migrated) as connection:
        receive(connection, "75.00", "wire/1", number=PART_PAID)
        assert standing(connection, PART_PAID) == ("paid", Decimal(100), Decimal(0))
        assert wrongs(connection) == []


def test_a_released_invoice_of_before_is_dunned_from_its_release(migrated: Engine) -> None:
    on = date(2026, 4, 20)
    with transaction(migrated) as connection:
        locked = lock(connection, OPEN, on=on)
        locked.change(on_hold=False)
        locked.restart_steps(resumed_on=on, new_round=False)
        case = load_case(connection, OPEN)
    assert case.dunning_from == on


def test_plans_of_before_are_priced_as_before(migrated: Engine) -> None:
    with transaction(migrated) as connection:
        usage, support = sorted(load_prices(connection), key=lambda price: price.code)
        discounts = connection.execute(text("SELECT DISTINCT discount_amount FROM invoices"))
        assert list(discounts.scalars()) == [0]
    tiers = (Tier("Free", 10, Decimal(0)), Tier("All", None, Decimal("0.001")))
    assert usage.charges == (Charge("api_calls", tiers=tiers),)
    assert (support.unit_price, support.charges, support.interval) == (99, (), Interval.MONTH)


def test_an_event_of_before_is_found_by_its_id_and_summed(migrated: Engine) -> None:
    with transaction(migrated) as connection:
        key = connection.execute(text("SELECT * FROM usage_event_keys")).one()
        month = connection.execute(text("SELECT quantity, changes FROM usage_monthly")).one()
        differences = check_rollups(connection, time_zone="UTC")
    assert (key.customer_id, key.occurred_at) == (1, datetime(2026, 2, 3, 14, 5, tzinfo=UTC))
    assert (tuple(month), differences.count) == ((7, 1), 0)


def test_the_log_is_joined_by_its_index(migrated: Engine) -> None:
    """Two collations would not meet in an index."""
    with transaction(migrated) as connection:
        collations = connection.execute(
            text("""
                SELECT DISTINCT collation_name FROM information_schema.columns
                WHERE (table_name, column_name)
                      IN (('invoices', 'number'), ('audit_log', 'subject'))
            """)
        ).scalars()
        assert list(collations) == ["C"]
