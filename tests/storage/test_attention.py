"""What waits for a person: who is counted, with how much money, and who is not."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from storage.attention import (
    Attention,
    CurrencyAmount,
    FailedCustomers,
    RunningCycle,
    WaitingMoney,
    what_waits,
)
from storage.engine import transaction
from storage.importing.directory import import_directory
from tests.builders import (
    FRENCH,
    KNOWN_ANSWER,
    NOW,
    Subscriber,
    invoice_row,
    plan_all,
    seed_billing,
    write_csv,
)
from tests.storage.conftest import OpenCycle

MARCH = date(2026, 3, 15)
NOTHING = WaitingMoney(0, ())
OWED = Decimal("312.91")


def waits(engine: Engine, business_date: date = MARCH) -> Attention:
    with transaction(engine) as connection:
        return what_waits(connection, business_date=business_date)


def test_nothing_waits_where_nothing_is(engine: Engine) -> None:
    assert waits(engine) == Attention(NOTHING, NOTHING, NOTHING, NOTHING, 0, 0, (), (), (), ())


@pytest.mark.parametrize(
    ("became", "field"),
    [
        ("collection_state = 'manual_review'", "review_cases"),
        ("disputed = true", "disputes"),
        ("on_hold = true", "held_invoices"),
    ],
)
def test_an_invoice_waits_with_its_money(by_wire: Connection, became: str, field: str) -> None:
    before = what_waits(by_wire, business_date=MARCH)
    by_wire.execute(text(f"UPDATE invoices SET {became}"))  # noqa: S608
    after = what_waits(by_wire, business_date=MARCH)
    assert getattr(before, field) == NOTHING
    assert getattr(after, field) == WaitingMoney(1, (CurrencyAmount("USD", OWED),))


def test_what_is_paid_is_disputed_with_its_total_and_held_no_more(by_wire: Connection) -> None:
    by_wire.execute(
        text(
            "UPDATE invoices SET status = 'paid', collection_state = 'paid', disputed = true, "
            "amount_paid = total, on_hold = true, settled_on = '2026-03-02'"
        )
    )
    found = what_waits(by_wire, business_date=MARCH)
    assert found.disputes == WaitingMoney(1, (CurrencyAmount("USD", OWED),))
    assert found.held_invoices == NOTHING


def test_wires_wait_by_currency_until_somebody_decides(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO bank_transactions (bank_reference, booked_on, amount, currency, "
                "payer_name, payer_iban, remittance, status) VALUES "
                "('1', '2026-03-01', 10.50, 'USD', '', '', '', 'unmatched'), "
                "('2', '2026-03-01', -4.00, 'USD', '', '', '', 'unmatched'), "
                "('3', '2026-03-01', 7, 'EUR', '', '', '', 'unmatched'), "
                "('4', '2026-03-01', 9, 'EUR', '', '', '', 'ignored')"
            )
        )
    assert waits(engine).unmatched_transactions == WaitingMoney(
        3, (CurrencyAmount("EUR", Decimal(7)), CurrencyAmount("USD", Decimal("6.50")))
    )


def write_email(connection: Connection, step: int, **values: Any) -> None:
    given = {"age": "0 days", "sent": False} | values
    connection.execute(
        text(
            "INSERT INTO emails (invoice_id, kind, step, message_id, recipients, subject, "
            "business_date, created_at, sent_at) "
            "SELECT id, 'invoice', :step, 'm' || :step, '{a@b.example}', 's', '2026-03-01', "
            "now() - CAST(:age AS interval), CASE WHEN :sent THEN now() END FROM invoices"
        ),
        {"step": step} | given,
    )


def refuse(connection: Connection, message_id: str) -> None:
    connection.execute(
        text(
            "INSERT INTO audit_log (business_date, actor, subject_kind, subject, event, details) "
            "SELECT '2026-03-01', 'test', 'invoice', number, 'invoice_email_refused', "
            "jsonb_build_object('message_id', CAST(:id AS text)) FROM invoices"
        ),
        {"id": message_id},
    )


def test_mail_waits_once_it_was_refused_or_a_day_is_over(by_wire: Connection) -> None:
    write_email(by_wire, 1)
    write_email(by_wire, 2, age="23 hours")
    assert what_waits(by_wire, business_date=MARCH).undelivered_emails == 0
    refuse(by_wire, "m1")
    write_email(by_wire, 3, age="25 hours")
    assert what_waits(by_wire, business_date=MARCH).undelivered_emails == 2


def test_mail_waits_no_more_once_a_later_one_went_out(by_wire: Connection) -> None:
    write_email(by_wire, 1, age="2 days", sent=True)
    write_email(by_wire, 2, age="2 days")
    assert what_waits(by_wire, business_date=MARCH).undelivered_emails == 1
    write_email(by_wire, 3, sent=True)
    assert what_waits(by_wire, business_date=MARCH).undelivered_emails == 0


def test_a_cycle_that_runs_and_its_failures_are_told(engine: Engine, february: OpenCycle) -> None:
    plan_all(engine, february(FRENCH, KNOWN_ANSWER))
    found = waits(engine)
    assert found.running_cycles == (RunningCycle("2026-02", "planning"),)
    assert found.failed_customers == (FailedCustomers("2026-02", 1),)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE billing_cycles SET status = 'closed'"))
        connection.execute(text("UPDATE billing_cycle_items SET outcome = 'drafted'"))
    found = waits(engine)
    assert (found.running_cycles, found.failed_customers) == ((), ())


# --- months that nobody billed


@pytest.mark.parametrize(
    ("customer", "business_date", "unbilled"),
    [
        (Subscriber(), date(2026, 2, 28), ()),
        (Subscriber(), date(2026, 3, 1), ("2026-02",)),
        (Subscriber(), date(2026, 4, 1), ()),
        (Subscriber(calls=0, flat_plans=("premium-support",)), date(2026, 4, 1), ("2026-03",)),
    ],
    ids=["not over", "over", "only the latest", "a flat plan goes on"],
)
def test_without_a_cycle_the_latest_month_is_unbilled(
    engine: Engine,
    tmp_path: Path,
    customer: Subscriber,
    business_date: date,
    unbilled: tuple[str, ...],
) -> None:
    seed_billing(engine, tmp_path / "files", [customer])
    assert waits(engine, business_date).unbilled_periods == unbilled


def test_behind_the_first_cycle_every_month_with_something_to_bill_is_unbilled(
    engine: Engine, february: OpenCycle
) -> None:
    february(Subscriber(flat_plans=("premium-support",)))
    assert waits(engine, date(2026, 3, 31)).unbilled_periods == ()
    assert waits(engine, date(2026, 5, 1)).unbilled_periods == ("2026-03", "2026-04")
    with transaction(engine) as connection:
        connection.execute(text("UPDATE subscriptions SET ends_on = '2026-04-01'"))
    assert waits(engine, date(2026, 5, 1)).unbilled_periods == ("2026-03",)


def test_a_month_of_which_invoices_were_brought_along_is_billed(
    engine: Engine, tmp_path: Path
) -> None:
    seed_billing(engine, tmp_path / "files")
    assert waits(engine, date(2026, 3, 1)).unbilled_periods == ("2026-02",)
    history = tmp_path / "history"
    history.mkdir()
    row = invoice_row("INV-2026-02-0001", period="2026-02", issued_on="2026-03-01")
    write_csv(history / "invoices.csv", [row])
    import_directory(engine, history, now=NOW)
    assert waits(engine, date(2026, 3, 1)).unbilled_periods == ()
