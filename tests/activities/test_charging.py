"""Cards charged: once, whatever is declined, killed or lost on the way."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from activities.card_objects import CardGatewayUnavailable
from domain.declines import DeclineClass
from domain.dunning import CollectionState
from domain.errors import Conflict
from tests.activities.card_house import CUSTOMER, ORDER, PAGE, CardHouse, OpenHouse
from tests.activities.cards import Killed, card_sandbox
from tests.activities.conftest import Plan
from tests.builders import ISSUED_ON, Subscriber

TOTAL = Decimal("195.10")
CREATE, CONFIRM = "/v1/payment_intents", "/v1/payment_intents/*/confirm"
PAYMENTS = "SELECT attempt, status, amount, failure_code FROM payments ORDER BY id"
PAID_ONCE = [(1, "succeeded", TOTAL, "")]


@pytest.fixture
def open_house(plan: Plan, tmp_path: Path) -> Iterator[OpenHouse]:
    """Issues an invoice to a customer with this card; `seeded`: the processor knows both."""
    with card_sandbox(tmp_path) as cards:

        def open_house(
            card: str = "pm_card_visa_1001",
            *,
            customer: str = CUSTOMER,
            calls: int = 247_891,
            seeded: bool = True,
        ) -> CardHouse:
            if card and seeded:
                cards.seed(customer, card)
            columns = {
                "payment_method": "card",
                "stripe_customer_id": customer,
                "stripe_payment_method_id": card,
            }
            books = plan(Subscriber("1001", calls, columns=columns))
            books.issue()
            return CardHouse(books, cards)

        yield open_house


@pytest.fixture
def house(open_house: OpenHouse) -> CardHouse:
    return open_house()


def test_a_charge_is_written_down_made_confirmed_and_recorded(house: CardHouse) -> None:
    case = house.charge()
    assert case.state is CollectionState.PAID
    assert (case.open_amount, case.amount_paid) == (Decimal(0), TOTAL)
    assert house.books.ask(PAYMENTS) == PAID_ONCE
    assert house.books.told() == ["issued", "charge_begun", "settled"]
    (intent,) = house.cards.objects("payment_intents")
    assert (intent["status"], intent["amount"], intent["currency"]) == ("succeeded", 19510, "usd")
    assert intent["metadata"] == {"invoice_number": house.number, "attempt": "1"}


def test_the_same_attempt_again_asks_nobody(house: CardHouse) -> None:
    first = house.charge()
    asked = len(house.cards.requests(""))
    assert house.charge() == first
    assert len(house.cards.requests("")) == asked


@pytest.mark.parametrize(
    ("token", "decline", "state"),
    [
        ("chargeDeclinedExpiredCard", DeclineClass.EXPIRED_CARD, "retry_scheduled"),
        ("chargeDeclinedInsufficientFunds", DeclineClass.INSUFFICIENT_FUNDS, "retry_scheduled"),
        ("chargeDeclined", DeclineClass.DECLINED, "retry_scheduled"),
        ("authenticationRequired", DeclineClass.AUTHENTICATION_REQUIRED, "payment_attempted"),
        ("chargeDeclinedStolenCard", DeclineClass.LOST_OR_STOLEN, "payment_attempted"),
    ],
)
def test_a_declined_card_is_a_result_with_its_class(
    open_house: OpenHouse, token: str, decline: DeclineClass, state: str
) -> None:
    house = open_house(card=f"pm_card_{token}_1001")
    case = house.charge()
    assert (case.decline, case.state, case.open_amount) == (decline, state, TOTAL)
    assert (case.first_failed_on, case.dunning_from) == (ISSUED_ON, ISSUED_ON)
    assert house.books.ask(PAYMENTS) == [(1, "failed", TOTAL, decline.value)]
    again = house.charge()
    assert again == case
    assert len(house.cards.requests("/confirm")) == 1


def test_a_second_attempt_is_a_payment_of_its_own(open_house: OpenHouse) -> None:
    house = open_house(card="pm_card_chargeDeclined_1001")
    house.charge()
    case = house.charge(replace(ORDER, attempt=2, business_date=ISSUED_ON + timedelta(days=3)))
    assert (case.attempts, case.first_failed_on) == (2, ISSUED_ON)
    assert len(house.cards.objects("payment_intents")) == 2


def test_without_a_card_nobody_is_asked(open_house: OpenHouse) -> None:
    house = open_house(customer="", card="")
    case = house.charge()
    assert (case.decline, case.attempts) == (DeclineClass.NO_CARD, 1)
    assert house.cards.requests("") == []


def test_a_card_that_is_gone_at_the_processor_is_no_card(open_house: OpenHouse) -> None:
    house = open_house(seeded=False)
    case = house.charge()
    assert (case.decline, case.charge_pending) == (DeclineClass.NO_CARD, False)
    assert house.books.told() == ["issued", "charge_begun", "charge_refused"]


def test_less_than_a_card_can_be_charged_is_not_tried(open_house: OpenHouse) -> None:
    house = open_house(calls=10_200)
    case = house.charge()
    assert (case.open_amount, case.chargeable_amount) == (Decimal("0.24"), False)
    assert (case.attempts, house.cards.requests("")) == (0, [])


# --- paid otherwise meanwhile


def test_what_was_settled_meanwhile_is_not_charged(house: CardHouse) -> None:
    house.killed_in("create_payment")
    house.pay("195.10")
    case = house.charge()
    assert (case.state, case.amount_paid) == ("paid", TOTAL)
    assert house.cards.statuses() == ["canceled"]
    assert house.books.told()[-1] == "charge_given_up"


def test_what_was_paid_in_part_meanwhile_is_charged_for_the_rest_alone(house: CardHouse) -> None:
    house.killed_in("create_payment")
    house.pay("95.10")
    for _ in range(2):
        case = house.charge()
        assert (case.state, case.attempts, case.amount_paid) == ("paid", 2, TOTAL)
    assert house.cards.statuses() == ["canceled", "succeeded"]
    assert house.books.ask(
        "SELECT sum(allocated), sum(amount) FROM payments WHERE attempt = 2"
    ) == [(Decimal("100.00"), Decimal("100.00"))]
    assert house.books.ask("SELECT count(*) FROM credit_balances") == [(0,)]


def test_a_payment_page_is_closed_before_the_card_is_charged(house: CardHouse) -> None:
    page = house.open_page()
    assert house.charge().state is CollectionState.PAID
    refused = house.cards.pay_on(page)
    assert (refused.status_code, house.cards.statuses()) == (410, ["succeeded"])


@pytest.mark.parametrize("told_before", [False, True])
def test_a_page_that_was_paid_is_booked_and_nothing_is_charged(
    house: CardHouse, told_before: bool
) -> None:
    page = house.open_page()
    assert house.cards.pay_on(page).status_code == 303
    if told_before:
        house.take_in_events()
    case = house.charge()
    assert (case.state, case.attempts, case.amount_paid) == ("paid", 0, TOTAL)
    if not told_before:
        house.take_in_events()
    assert house.books.ask(PAYMENTS) == [(None, "succeeded", TOTAL, "")]
    assert house.cards.requests("/confirm") == []


# --- killed


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("method", ["create_payment", "confirm_payment"])
def test_killed_around_the_processor_the_card_is_charged_once(
    house: CardHouse, method: str, before: bool
) -> None:
    house.killed_in(method, before=before)
    for _ in range(2):
        assert house.charge().state is CollectionState.PAID
    assert house.books.ask(PAYMENTS) == PAID_ONCE
    assert house.cards.statuses() == ["succeeded"]
    assert house.books.told() == ["issued", "charge_begun", "settled"]


def test_killed_with_the_key_forgotten_a_second_payment_is_made_and_one_confirmed(
    house: CardHouse,
) -> None:
    house.killed_in("create_payment")
    house.forget_keys()
    assert house.charge().state is CollectionState.PAID
    assert sorted(house.cards.statuses()) == ["requires_confirmation", "succeeded"]


def test_killed_behind_a_decline_it_is_recorded_and_not_tried_again(open_house: OpenHouse) -> None:
    house = open_house(card="pm_card_chargeDeclined_1001")
    house.killed_in("confirm_payment")
    assert house.charge().decline is DeclineClass.DECLINED
    assert len(house.cards.requests("/confirm")) == 1


def test_the_webhook_may_be_first_with_the_outcome(house: CardHouse) -> None:
    house.killed_in("confirm_payment")
    house.take_in_events()
    assert house.charge().state is CollectionState.PAID
    assert house.books.ask(PAYMENTS) == PAID_ONCE
    assert house.books.told() == ["issued", "charge_begun", "settled"]


# --- a bad day at the processor


@pytest.mark.parametrize("path", [CREATE, CONFIRM])
@pytest.mark.parametrize("kind", ["error_before", "error_stored", "error_stored_after"])
def test_an_error_of_the_processors_charges_once(house: CardHouse, kind: str, path: str) -> None:
    house.cards.fault(kind, path)
    case = house.charge_until_it_answers()
    assert (case.state, house.books.ask(PAYMENTS)) == ("paid", PAID_ONCE)
    assert house.cards.statuses().count("succeeded") == 1


@pytest.mark.parametrize("path", [CREATE, CONFIRM])
@pytest.mark.parametrize("kind", ["timeout_after", "drop_after"])
def test_an_answer_that_never_came_charges_once(
    house: CardHouse, monkeypatch: pytest.MonkeyPatch, kind: str, path: str
) -> None:
    monkeypatch.setattr("activities.card_gateway._READ_SECONDS", 0.5)
    house.cards.fault(kind, path, times=3)  # the SDK's own retries as well
    with pytest.raises(CardGatewayUnavailable):
        house.charge()
    case = house.charge_until_it_answers()
    assert (case.state, house.books.ask(PAYMENTS)) == ("paid", PAID_ONCE)
    assert house.cards.statuses() == ["succeeded"]


def test_a_processor_that_is_away_leaves_the_charge_pending(house: CardHouse) -> None:
    house.cards.fault("error_before", "/v1/*", times=3)
    with pytest.raises(CardGatewayUnavailable):
        house.charge()
    assert house.case().charge_pending
    assert house.charge().state is CollectionState.PAID


# --- pages


def test_a_page_is_handed_out_again_while_its_amount_is_open(house: CardHouse) -> None:
    page = house.open_page()
    assert house.open_page() == page
    assert len(house.cards.requests("/sessions")) == 1


def test_a_page_of_another_amount_is_closed_for_a_new_one(house: CardHouse) -> None:
    page = house.open_page()
    house.pay("95.10")
    newer = house.open_page()
    assert newer != page
    assert house.cards.pay_on(page).status_code == 410
    assert house.cards.pay_on(newer).status_code == 303
    house.take_in_events()
    assert (house.case().state, house.case().amount_paid) == ("paid", TOTAL)


def test_a_page_that_soon_ends_is_closed_for_a_new_one(house: CardHouse) -> None:
    page = house.open_page()
    house.later(hours=23, minutes=45)
    assert house.open_page() != page
    assert house.cards.pay_on(page).status_code == 410


def test_killed_behind_the_opening_the_same_page_is_handed_out(house: CardHouse) -> None:
    with pytest.raises(Killed):
        house.charging("open_checkout").open_checkout(PAGE)
    house.open_page()
    assert len(house.cards.objects("checkout/sessions")) == 1


def test_nothing_is_paid_on_a_page_once_nothing_is_open(house: CardHouse) -> None:
    house.pay("195.10")
    with pytest.raises(Conflict, match="nothing is to be paid"):
        house.open_page()
    assert house.cards.requests("/sessions") == []


def test_closing_pages_expires_them_all(house: CardHouse) -> None:
    page = house.open_page()
    house.pay("195.10")
    for _ in range(2):
        assert not house.close_pages().open_checkouts
    assert house.cards.pay_on(page).status_code == 410
    assert len(house.cards.requests("/expire")) == 1


@pytest.mark.parametrize("before", [True, False])
def test_killed_around_the_closing_what_was_paid_there_is_booked_once(
    house: CardHouse, before: bool
) -> None:
    page = house.open_page()
    house.cards.pay_on(page)
    with pytest.raises(Killed):
        house.charging("close_checkout", before=before).close_checkouts(house.occasion)
    case = house.close_pages()
    assert (case.state, case.amount_paid, case.open_checkouts) == ("paid", TOTAL, False)


# --- a card for later


def test_a_customer_is_made_once_for_the_card_that_they_leave(open_house: OpenHouse) -> None:
    house = open_house(customer="", card="")
    with pytest.raises(Killed):
        house.charging("ensure_customer").open_card_setup(PAGE)
    page = house.charging().open_card_setup(PAGE)
    assert house.charging().open_card_setup(PAGE) == page
    ((kept,),) = house.books.ask("SELECT stripe_customer_id FROM customers")
    assert [customer["id"] for customer in house.cards.objects("customers")] == [kept]

    assert house.cards.pay_on(page).status_code == 303
    assert house.charge().decline is DeclineClass.NO_CARD
    house.take_in_events()
    assert house.case().card_waiting
    case = house.charge(replace(ORDER, attempt=2))
    assert (case.state, house.cards.statuses()) == ("paid", ["succeeded"])


def test_a_known_customer_leaves_the_card_as_themselves(house: CardHouse) -> None:
    house.charging().open_card_setup(PAGE)
    (session,) = house.cards.objects("checkout/sessions")
    assert (session["customer"], session["mode"]) == (CUSTOMER, "setup")
    assert house.cards.requests("/customers") == []


# --- refunds


@pytest.mark.parametrize("before", [True, False])
def test_a_credit_note_is_refunded_once(house: CardHouse, before: bool) -> None:
    house.charge()
    note = house.books.credit("100.00", to_card=True)
    with pytest.raises(Killed):
        house.charging("refund", before=before).refund_credit_note(house.credit_order(note))
    for _ in range(2):
        house.refund(note)
    house.take_in_events()
    (refund,) = house.cards.objects("refunds")
    assert (refund["amount"], refund["metadata"]["credit_note"]) == (10000, note)
    assert house.books.ask("SELECT status, amount FROM refunds") == [("succeeded", 100)]
    assert house.books.told().count("refunded") == 1


def test_a_refund_that_fails_leaves_the_money_as_credit(open_house: OpenHouse) -> None:
    house = open_house(card="pm_card_refundFail_1001")
    house.charge()
    note = house.books.credit("100.00", to_card=True)
    house.refund(note)
    house.cards.settles("refund.failed")
    for _ in range(2):
        house.take_in_events()
    assert house.books.ask("SELECT status FROM refunds") == [("failed",)]
    assert house.books.ask("SELECT balance FROM credit_balances") == [(100,)]
    assert house.books.ask("SELECT allocated, returned FROM payments") == [(Decimal("95.10"), 0)]


def test_a_processor_that_is_away_leaves_the_refund_owed(house: CardHouse) -> None:
    house.charge()
    note = house.books.credit(to_card=True)
    house.cards.fault("error_before", "/v1/refunds", times=3)
    with pytest.raises(CardGatewayUnavailable):
        house.refund(note)
    house.refund(note)
    assert [refund["amount"] for refund in house.cards.objects("refunds")] == [19510]
    assert house.books.ask("SELECT status FROM refunds") == [("succeeded",)]


def test_a_refund_whose_answer_was_lost_is_found_again(
    house: CardHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.charge()
    note = house.books.credit(to_card=True)
    monkeypatch.setattr("activities.card_gateway._READ_SECONDS", 0.5)
    house.cards.fault("timeout_after", "/v1/refunds", times=3)
    with pytest.raises(CardGatewayUnavailable):
        house.refund(note)
    house.forget_keys()
    house.refund(note)
    assert len(house.cards.objects("refunds")) == 1


def test_the_step_has_the_business_date_of_its_order(open_house: OpenHouse) -> None:
    house = open_house(card="pm_card_chargeDeclined_1001")
    day = date(2026, 3, 8)
    assert house.charge(replace(ORDER, business_date=day)).first_failed_on == day
    assert house.books.ask("SELECT business_date FROM payments") == [(day,)]
