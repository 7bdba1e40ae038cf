"""Changes of master data beside imports, cycles and each other: what was checked stays true."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from domain.errors import AlreadyBilled, Conflict
from domain.tax import TaxPolicy
from storage.cycles import load_cycle, open_cycle
from storage.engine import transaction
from storage.master_data import billed_months
from storage.master_data.subscriptions import KeptSubscription, add_subscription
from storage.planning import plan_page
from storage.price_list import load_price_list
from storage.recurring import lock_writers
from tests.builders import (
    FEBRUARY,
    ISSUED_ON,
    KNOWN_ANSWER,
    open_february,
    seed_billing,
)
from tests.storage.behind import behind


def subscribe(engine: Engine) -> KeptSubscription:
    """1047 to a dedicated IP from February 2026 on."""
    with transaction(engine) as connection:
        return add_subscription(
            connection,
            "1047",
            "dedicated-ip",
            Decimal(1),
            FEBRUARY.start,
            None,
            business_date=ISSUED_ON,
            by="test",
        )


def plan(connection: Connection) -> None:
    """The page of 1047, as the activity plans it."""
    plan_page(
        connection,
        load_cycle(connection, FEBRUARY, for_update=True),
        load_price_list(connection, TaxPolicy()),
        after_account="",
        limit=10,
        failed_again=False,
    )


def open_it(connection: Connection) -> None:
    open_cycle(
        connection,
        FEBRUARY,
        issued_on=ISSUED_ON,
        terms_days=30,
        hold_reminders=False,
        actor="test",
    )


def test_a_subscription_waits_for_the_page_that_is_being_planned(
    engine: Engine, tmp_path: Path
) -> None:
    open_february(engine, tmp_path, [KNOWN_ANSWER])
    assert isinstance(behind(engine, plan, subscribe).exception(), AlreadyBilled)


def test_a_page_is_planned_with_what_was_being_added(engine: Engine, tmp_path: Path) -> None:
    open_february(engine, tmp_path, [KNOWN_ANSWER])

    def add(connection: Connection) -> None:
        billed_months.begin_writing(connection)
        connection.execute(
            text(
                "INSERT INTO subscriptions (customer_id, plan_id, quantity, starts_on) "
                "SELECT c.id, p.id, 1, '2026-02-01' FROM customers c, pricing_plans p "
                "WHERE p.code = 'dedicated-ip'"
            )
        )

    def plan_it(engine: Engine) -> None:
        with transaction(engine) as connection:
            plan(connection)

    assert behind(engine, add, plan_it).exception() is None
    with transaction(engine) as connection:
        flat = connection.exec_driver_sql("SELECT subscription_amount FROM invoices").scalar_one()
    assert flat == Decimal("148.00")


def test_a_cycle_that_is_being_opened_is_seen(engine: Engine, tmp_path: Path) -> None:
    seed_billing(engine, tmp_path, [KNOWN_ANSWER])

    def open_and_plan(connection: Connection) -> None:
        open_it(connection)
        plan(connection)

    assert isinstance(behind(engine, open_and_plan, subscribe).exception(), AlreadyBilled)


def test_of_two_that_overlap_one_is_refused_by_name(engine: Engine, tmp_path: Path) -> None:
    seed_billing(engine, tmp_path, [KNOWN_ANSWER])
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(subscribe, engine) for _ in range(2)]
    refusals = [future.exception() for future in both]
    (refusal,) = [error for error in refusals if error is not None]
    (added,) = [future.result() for future in both if future.exception() is None]
    assert isinstance(refusal, Conflict)
    assert f"overlaps subscription {added.id} of 1047 to dedicated-ip" in str(refusal)


def test_whoever_waits_too_long_is_refused_as_by_an_outage(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_billing(engine, tmp_path, [KNOWN_ANSWER])
    monkeypatch.setattr(billed_months, "_PATIENCE", "10ms")
    with transaction(engine) as importing:
        lock_writers(importing)
        with pytest.raises(OperationalError):
            subscribe(engine)
    assert subscribe(engine).plan_code == "dedicated-ip"


def test_an_invoice_of_an_older_system_is_a_billed_month(engine: Engine, tmp_path: Path) -> None:
    open_february(engine, tmp_path, [KNOWN_ANSWER])
    with transaction(engine) as connection:
        plan(connection)
        connection.exec_driver_sql("UPDATE invoices SET cycle_id = NULL")
    with pytest.raises(AlreadyBilled):
        subscribe(engine)
