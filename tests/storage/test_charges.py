"""A charge is written down before it is made, and its outcome counts once."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, text

from domain.declines import DeclineClass
from domain.errors import Conflict
from domain.instructions import InstructionKind
from storage.charges import (
    begin_attempt,
    record_decline,
    record_provider_id,
    record_success,
    record_superseded,
)
from storage.collection import begin_review, load_case
from tests.storage.collecting import (
    FIRST,
    TOTAL,
    begin,
    credit,
    everything,
    instruct,
    lock,
    receive,
    rows,
    standing,
    told,
    wrongs,
)

NOTHING = Decimal(0)


def status(connection: Connection) -> list[tuple[Any, ...]]:
    return rows(connection, "SELECT status, failure_code FROM payments ORDER BY id")


def test_an_attempt_is_pending_over_all_that_is_open(by_card: Connection) -> None:
    receive(by_card, "12.91", "wire/1")
    attempt = begin_attempt(lock(by_card), 1)
    assert attempt is not None
    assert (attempt.key, attempt.amount, attempt.currency) == (
        f"{FIRST}/charge/1",
        Decimal("300.00"),
        "USD",
    )
    assert (attempt.customer_id, attempt.payment_method_id) == ("cus_1047", "pm_1")
    assert (attempt.provider_id, attempt.has_outcome) == (None, False)
    assert told(by_card)[-1] == ("charge_begun", "issued", "payment_attempted")


def test_an_attempt_that_was_begun_is_answered_as_it_is(by_card: Connection) -> None:
    first = begin_attempt(lock(by_card), 1)
    before = everything(by_card)
    receive(by_card, "12.91", "wire/1")
    again = begin_attempt(lock(by_card), 1)
    assert again == first
    assert len(everything(by_card)[1]) == len(before[1]) + 1, "the wire alone is new"


def test_an_attempt_keeps_the_card_that_it_was_begun_with(by_card: Connection) -> None:
    begin_attempt(lock(by_card), 1)
    by_card.execute(text("UPDATE customers SET stripe_payment_method_id = 'pm_2'"))
    again = begin_attempt(lock(by_card), 1)
    assert again is not None
    assert again.payment_method_id == "pm_1"


@pytest.mark.parametrize("missing", ["stripe_customer_id", "stripe_payment_method_id"])
def test_without_a_card_the_attempt_has_failed_before_it_began(
    by_card: Connection, missing: str
) -> None:
    by_card.execute(
        text(
            "UPDATE customers SET stripe_customer_id = NULL"
            if missing == "stripe_customer_id"
            else "UPDATE customers SET stripe_payment_method_id = NULL"
        )
    )
    attempt = begin_attempt(lock(by_card), 1)
    assert attempt is not None
    assert attempt.has_outcome
    assert load_case(by_card, FIRST).decline is DeclineClass.NO_CARD


@pytest.mark.parametrize("paid", [TOTAL, TOTAL - Decimal("0.49")])
def test_nothing_is_charged_where_nothing_is_open_or_too_little_for_a_card(
    by_card: Connection, paid: Decimal
) -> None:
    receive(by_card, paid, "wire/1")
    before = everything(by_card)
    assert begin_attempt(lock(by_card), 1) is None
    assert everything(by_card) == before


@pytest.mark.parametrize("kind", [InstructionKind.VOID, InstructionKind.WRITE_OFF])
def test_nothing_is_charged_of_what_is_void_or_written_off(
    by_card: Connection, kind: InstructionKind
) -> None:
    begin_review(lock(by_card), place=3)
    assert instruct(by_card, kind).outcome == "done"
    assert begin_attempt(lock(by_card), 1) is None


def test_the_processors_id_is_kept_and_no_second_one(by_card: Connection) -> None:
    attempt = begin_attempt(lock(by_card), 1)
    assert attempt is not None
    for _ in range(2):
        record_provider_id(lock(by_card), attempt, "pi_1")
    with pytest.raises(Conflict, match="has another payment than pi_2"):
        record_provider_id(lock(by_card), attempt, "pi_2")
    assert rows(by_card, "SELECT provider_id FROM payments") == [("pi_1",)]


def test_success_pays_once(by_card: Connection) -> None:
    attempt = begin(by_card, "pi_1")
    record_success(lock(by_card), attempt.id)
    before = everything(by_card)
    record_success(lock(by_card), attempt.id)
    assert everything(by_card) == before
    assert standing(by_card) == ("paid", TOTAL, NOTHING)
    assert told(by_card)[-1] == ("settled", "payment_attempted", "paid")


@pytest.mark.parametrize(
    ("decline", "event", "state"),
    [
        (DeclineClass.INSUFFICIENT_FUNDS, "charge_declined", "retry_scheduled"),
        (DeclineClass.EXPIRED_CARD, "charge_declined", "retry_scheduled"),
        (DeclineClass.LOST_OR_STOLEN, "charge_refused", "payment_attempted"),
        (DeclineClass.AUTHENTICATION_REQUIRED, "charge_refused", "payment_attempted"),
    ],
)
def test_a_decline_is_told_once(
    by_card: Connection, decline: DeclineClass, event: str, state: str
) -> None:
    attempt = begin(by_card, "pi_1")
    record_decline(lock(by_card), attempt.id, decline, "words")
    before = everything(by_card)
    record_decline(lock(by_card), attempt.id, decline, "words")
    assert everything(by_card) == before
    assert told(by_card)[-1] == (event, "payment_attempted", state)
    assert status(by_card) == [("failed", decline.value)]


def test_a_late_failure_never_undoes_success(by_card: Connection) -> None:
    attempt = begin(by_card, "pi_1")
    record_success(lock(by_card), attempt.id)
    before = everything(by_card)
    record_decline(lock(by_card), attempt.id, DeclineClass.DECLINED, "late")
    record_superseded(lock(by_card), attempt.id)
    assert everything(by_card) == before


def test_a_late_success_undoes_a_failure(by_card: Connection) -> None:
    attempt = begin(by_card, "pi_1")
    record_decline(lock(by_card), attempt.id, DeclineClass.DECLINED, "early")
    record_success(lock(by_card), attempt.id)
    assert standing(by_card) == ("paid", TOTAL, NOTHING)
    assert status(by_card) == [("succeeded", "")]
    assert wrongs(by_card) == []


def test_a_charge_of_what_a_wire_paid_meanwhile_becomes_credit(by_card: Connection) -> None:
    attempt = begin(by_card, "pi_1")
    receive(by_card, "300.00", "wire/1")
    record_success(lock(by_card), attempt.id)
    assert standing(by_card) == ("paid", TOTAL, NOTHING)
    assert credit(by_card) == Decimal("300.00")
    assert wrongs(by_card) == []


def test_a_charge_that_comes_through_after_a_void_becomes_credit(by_card: Connection) -> None:
    attempt = begin(by_card, "pi_1")
    instruct(by_card, InstructionKind.VOID)
    record_success(lock(by_card), attempt.id)
    assert standing(by_card) == ("void", NOTHING, TOTAL)
    assert credit(by_card) == TOTAL
    assert wrongs(by_card) == []


def test_a_charge_that_was_given_up_is_no_decline(by_card: Connection) -> None:
    attempt = begin(by_card, "pi_1")
    receive(by_card, TOTAL, "wire/1")
    for _ in range(2):
        record_superseded(lock(by_card), attempt.id)
    case = load_case(by_card, FIRST)
    assert (case.decline, case.charge_pending, case.first_failed_on) == (None, False, None)
    assert [event for event, *_ in told(by_card)].count("charge_given_up") == 1


def test_the_dates_of_a_charge_are_those_of_its_outcome(by_card: Connection) -> None:
    attempt = begin(by_card, "pi_1")
    record_success(lock(by_card, on=date(2026, 3, 9)), attempt.id)
    assert rows(by_card, "SELECT business_date FROM payments") == [(date(2026, 3, 9),)]
