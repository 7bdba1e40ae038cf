"""What the reminders achieve: each rule on one invoice, and several currencies."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from domain.declines import DeclineClass
from domain.dunning import Event
from domain.instructions import InstructionKind
from domain.reporting import MissingExchangeRate, RecoveryStep
from storage.allocation import add_credit, apply_credit
from storage.charges import begin_attempt, record_decline, record_success
from storage.collection import begin_review, mark_overdue
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.reports.collections import CollectedMonth, Collections, collections
from tests.builders import (
    DUE_ON,
    ISSUED_ON,
    NOW,
    Subscriber,
    exchange_rate_row,
    invoice_row,
    write_billing_files,
    write_csv,
)
from tests.storage.collecting import FIRST, TOTAL, instruct, lock, receive, take_in, wire

NOTHING = Decimal(0)
LATE = DUE_ON + timedelta(1)
"""The first of April."""
APRIL, MAY, JUNE = date(2026, 4, 30), date(2026, 5, 31), date(2026, 6, 30)


def told(
    connection: Connection, as_of: date, *, currency: str = "USD", months: int = 6
) -> Collections:
    return collections(connection, as_of=as_of, currency=currency, months=months)


def last(connection: Connection, as_of: date) -> CollectedMonth:
    return told(connection, as_of).months[-1]


def by_step(month: CollectedMonth) -> dict[str, tuple[int, str]]:
    """The steps on which something happened."""
    return {
        row.step.value: (row.settled, f"{row.recovered:f}")
        for row in month.steps
        if row.settled or row.recovered
    }


@pytest.fixture
def late(by_wire: Connection) -> Connection:
    """The known invoice, found overdue on the first of April."""
    mark_overdue(lock(by_wire, on=LATE))
    return by_wire


def move(connection: Connection, event: Event, on: date) -> None:
    lock(connection, on=on).move(event)


def test_an_empty_database_has_months_without_anything(engine: Engine) -> None:
    with transaction(engine) as connection:
        found = told(connection, APRIL)
    assert [str(month.month) for month in found.months] == [
        *("2025-11", "2025-12", "2026-01", "2026-02", "2026-03", "2026-04")
    ]
    assert (found.opened, found.settled, found.recovered, found.unaided) == (0, 0, NOTHING, None)
    assert all(month.dso is None and month.dso_change is None for month in found.months)
    assert [row.step for row in found.steps] == list(RecoveryStep)


def test_an_invoice_paid_in_time_is_no_case(by_wire: Connection) -> None:
    receive(by_wire, TOTAL, "k1", on=DUE_ON)
    found = told(by_wire, APRIL)
    assert (found.opened, found.settled, found.recovered) == (0, 0, NOTHING)


def test_a_case_is_told_of_the_day_on_which_it_opens(late: Connection) -> None:
    before, after = last(late, DUE_ON), last(late, LATE)
    assert (before.opened, before.open_cases, before.open_amount) == (0, 0, NOTHING)
    assert (after.opened, after.open_cases, after.open_amount) == (1, 1, TOTAL)


def test_the_last_day_of_a_month_belongs_to_it(late: Connection) -> None:
    receive(late, TOTAL, "k1", on=APRIL)
    april, may = told(late, MAY).months[-2:]
    assert (april.settled, april.open_cases, may.settled) == (1, 0, 0)
    assert last(late, APRIL - timedelta(1)).open_cases == 1


def test_two_parts_on_two_steps_settle_one_case(late: Connection) -> None:
    receive(late, "100.00", "k1", on=LATE)
    move(late, Event.REMINDER_SENT, LATE + timedelta(2))
    receive(late, "212.91", "k2", on=LATE + timedelta(3))
    assert by_step(last(late, APRIL)) == {
        "before_reminders": (0, "100.00"),
        "reminder": (1, "212.91"),
    }


def test_money_from_before_the_case_is_not_recovered(by_wire: Connection) -> None:
    receive(by_wire, "100.00", "k1", on=ISSUED_ON)
    mark_overdue(lock(by_wire, on=LATE))
    receive(by_wire, "250.00", "k2", on=LATE)
    assert by_step(last(by_wire, APRIL)) == {"before_reminders": (1, "212.91")}


def test_customer_credit_settles_and_recovers_nothing(late: Connection) -> None:
    locked = lock(late, on=LATE)
    add_credit(locked, TOTAL, reason="overpayment", key="elsewhere")
    apply_credit(locked)
    found = last(late, APRIL)
    assert (by_step(found), found.open_cases) == ({"before_reminders": (1, "0.00")}, 0)


def test_a_credit_note_settles_and_recovers_nothing(late: Connection) -> None:
    instruct(late, InstructionKind.CREDIT_NOTE, on=LATE, amount=f"{TOTAL:f}")
    assert by_step(last(late, APRIL)) == {"before_reminders": (1, "0.00")}


def test_what_is_paid_elsewhere_was_recovered_by_a_person(late: Connection) -> None:
    begin_review(lock(late, on=LATE), place=3)
    instruct(late, InstructionKind.PAID_ELSEWHERE, on=LATE)
    found = last(late, APRIL)
    assert by_step(found) == {"manual_review": (1, "312.91")}
    assert found.unaided == Decimal("0.0")


def test_a_write_off_closes_and_what_comes_behind_it_counts_on_its_day(late: Connection) -> None:
    begin_review(lock(late, on=LATE), place=3)
    instruct(late, InstructionKind.WRITE_OFF, on=LATE)
    receive(late, "12.91", "k1", on=MAY)
    receive(late, "300.00", "k2", on=JUNE)
    april, may, june = told(late, JUNE).months[-3:]
    assert (april.settled, april.open_cases, april.receivables) == (0, 0, NOTHING)
    assert by_step(may) == {"manual_review": (0, "12.91")}
    assert by_step(june) == {"manual_review": (1, "300.00")}


def test_a_void_closes_and_settles_nothing(late: Connection) -> None:
    instruct(late, InstructionKind.VOID, on=LATE)
    found = last(late, APRIL)
    assert (found.opened, found.settled, found.open_cases, found.billed) == (1, 0, 0, TOTAL)


def test_a_reversal_opens_the_case_again_and_a_day_that_is_over_stays(late: Connection) -> None:
    id_ = wire(late, "w1", {FIRST: TOTAL}, on=LATE)
    take_in(late, on=LATE)
    before = told(late, APRIL)
    wire(late, "w2", {FIRST: -TOTAL}, reversal_of=id_, on=MAY)
    take_in(late, on=MAY)
    assert told(late, APRIL) == before
    april, may = told(late, MAY).months[-2:]
    assert (april.settled, april.open_cases) == (1, 0)
    assert (may.opened, may.open_cases, may.open_amount) == (1, 1, TOTAL)


def test_a_reversal_behind_the_due_date_opens_what_was_no_case(by_wire: Connection) -> None:
    id_ = wire(by_wire, "w1", {FIRST: TOTAL}, on=ISSUED_ON)
    take_in(by_wire, on=ISSUED_ON)
    wire(by_wire, "w2", {FIRST: -TOTAL}, reversal_of=id_, on=MAY)
    take_in(by_wire, on=MAY)
    found = last(by_wire, MAY)
    assert (found.opened, found.open_cases) == (1, 1)


def test_share_and_days_move_against_the_month_before(late: Connection) -> None:
    receive(late, TOTAL, "k1", on=LATE)
    march, april, may, june = told(late, JUNE).months[-4:]
    # owed and billed the same: as many days as January to March have
    assert (march.dso, march.dso_change) == (Decimal("90.0"), None)
    assert (april.dso, april.dso_change) == (Decimal("0.0"), Decimal("-90.0"))
    assert (may.dso, june.dso, june.dso_change) == (Decimal("0.0"), None, None)
    assert (april.unaided, april.unaided_change, may.unaided) == (Decimal("100.0"), None, None)


def test_the_first_month_shown_has_its_change(late: Connection) -> None:
    receive(late, TOTAL, "k1", on=LATE)
    (april,) = told(late, APRIL, months=1).months
    assert april.dso_change == Decimal("-90.0")


@pytest.mark.parametrize(("card", "step"), [("pm_1", "retry"), ("pm_2", "before_reminders")])
def test_a_retry_is_of_the_card_that_had_failed(by_card: Connection, card: str, step: str) -> None:
    failed = begin_attempt(lock(by_card, on=ISSUED_ON), 1)
    assert failed is not None
    record_decline(lock(by_card, on=ISSUED_ON), failed.id, DeclineClass.INSUFFICIENT_FUNDS, "")
    by_card.execute(text("UPDATE customers SET stripe_payment_method_id = :card"), {"card": card})
    day_3 = ISSUED_ON + timedelta(3)
    again = begin_attempt(lock(by_card, on=day_3), 2)
    assert again is not None
    record_success(lock(by_card, on=day_3), again.id)
    assert by_step(last(by_card, day_3)) == {step: (1, "312.91")}


# --- several currencies


@pytest.fixture
def two_currencies(engine: Engine, tmp_path: Path) -> Engine:
    """Invoices of January over 100.00 USD and 100.00 EUR, found overdue on 4 March."""
    customers = [Subscriber("1001"), Subscriber("1003", columns={"currency": "EUR"})]
    write_billing_files(tmp_path, customers)
    write_csv(tmp_path / "exchange_rates.csv", [exchange_rate_row()])
    write_csv(
        tmp_path / "invoices.csv",
        [
            invoice_row(
                f"INV-2026-01-{account}",
                account_number=account,
                currency=currency,
                **dict.fromkeys(("subscriptions", "proration", "tax", "amount_paid"), "0.00"),
                usage="100.00",
                total="100.00",
                status="issued",
            )
            for account, currency in (("1001", "USD"), ("1003", "EUR"))
        ],
    )
    import_directory(engine, tmp_path, now=NOW)
    with transaction(engine) as connection:
        numbers = connection.execute(text("SELECT number FROM invoices")).scalars().all()
        for number in numbers:
            mark_overdue(lock(connection, number, on=date(2026, 3, 4)))
        for number in numbers:
            receive(connection, "40.00", number, number=number, on=date(2026, 3, 5))
    return engine


def test_other_currencies_are_converted_by_the_rate_of_the_day(two_currencies: Engine) -> None:
    with transaction(two_currencies) as connection:
        found = told(connection, date(2026, 3, 5))
    month = found.months[-1]
    assert (month.opened, month.open_cases) == (2, 2)
    assert by_step(month) == {"before_reminders": (0, "84.00")}
    assert (month.open_amount, month.receivables) == (Decimal("126.00"), Decimal("126.00"))
    assert month.billed == Decimal("210.00")
    assert [(rate.base, rate.rate) for rate in found.rates] == [("EUR", Decimal("1.1"))]


def test_a_rate_that_is_missing_is_named(two_currencies: Engine) -> None:
    with transaction(two_currencies) as connection, pytest.raises(MissingExchangeRate):
        told(connection, APRIL, currency="JPY")
