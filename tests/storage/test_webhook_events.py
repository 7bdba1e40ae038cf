"""What the card processor tells: kept once, applied once, in whatever order it comes."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from domain.dunning import CollectionState
from storage.collection import load_case
from storage.webhooks import store_event
from tests.storage.collecting import (
    FIRST,
    TOTAL,
    add_draft,
    begin,
    charge,
    credit,
    declined,
    dispute,
    event,
    everything,
    intent,
    issue,
    lock,
    outcomes,
    receive,
    refund,
    rows,
    standing,
    take_in,
    tell,
    told,
    wrongs,
)

Event = Mapping[str, Any]
NOTHING = Decimal(0)
MARCH = "INV-2026-03-0001"
SUCCEEDED = event("payment_intent.succeeded", intent("pi_1"), "evt_succeeded", created=2)
PAGE = event("payment_intent.succeeded", intent("pi_1", number=FIRST), "evt_page", created=2)


def disputes(status: str) -> list[Event]:
    opened, closed = dispute("du_1", "pi_1"), dispute("du_1", "pi_1", status=status)
    return [
        event("charge.dispute.created", opened, "evt_dispute", created=7),
        event("charge.dispute.closed", closed, "evt_end", created=8),
    ]


# --- kept


def test_an_event_of_an_invoice_waits_for_its_workflow(by_card: Connection) -> None:
    begin(by_card, "pi_1")
    assert store_event(by_card, SUCCEEDED) == FIRST
    assert outcomes(by_card) == {"evt_succeeded": None}
    take_in(by_card)
    assert outcomes(by_card) == {"evt_succeeded": "applied"}
    assert standing(by_card) == ("paid", TOTAL, NOTHING)


def test_an_event_told_twice_is_kept_once_and_told_until_it_is_applied(
    by_card: Connection,
) -> None:
    begin(by_card, "pi_1")
    assert [store_event(by_card, SUCCEEDED) for _ in range(2)] == [FIRST, FIRST]
    take_in(by_card)
    before = everything(by_card)
    assert store_event(by_card, SUCCEEDED) is None
    take_in(by_card)
    assert everything(by_card) == before


@pytest.mark.parametrize(
    "told_of",
    [
        event("payment_intent.succeeded", intent("pi_other"), "evt_1"),
        event("payment_intent.succeeded", intent("pi_x", number="INV-2026-02-0099"), "evt_1"),
        event("charge.dispute.created", dispute("du_1", "pi_other"), "evt_1"),
        event("customer.created", {"object": "customer", "id": "cus_1"}, "evt_1"),
        event("refund.created", {**refund("re_1", "", 1), "payment_intent": None}, "evt_1"),
    ],
    ids=["payment", "number", "dispute", "type", "no-payment"],
)
def test_what_is_about_nothing_we_know_is_kept_and_ignored(
    by_card: Connection, told_of: Event
) -> None:
    charge(by_card, "pi_1")
    before = everything(by_card)
    assert store_event(by_card, told_of) is None
    take_in(by_card)
    assert outcomes(by_card) == {"evt_1": "ignored"}
    assert everything(by_card)[:-3] == before[:-3]


def test_a_mark_on_a_draft_is_no_invoice_yet(by_card: Connection) -> None:
    add_draft(by_card, MARCH, date(2026, 3, 1))
    marked = event("payment_intent.succeeded", intent("pi_2", number=MARCH), "evt_1")
    assert store_event(by_card, marked) is None


def test_a_payment_is_found_by_its_id_whatever_its_mark_says(by_card: Connection) -> None:
    issue(by_card, add_draft(by_card, MARCH, date(2026, 3, 1)))
    begin(by_card, "pi_1")
    marked = event("payment_intent.succeeded", intent("pi_1", number=MARCH), "evt_1")
    assert store_event(by_card, marked) == FIRST


def test_a_refund_without_a_payment_takes_no_wire_back(by_wire: Connection) -> None:
    """The payments without a provider's id are no payments of the processor's."""
    for key in ("wire/1", "wire/2"):
        receive(by_wire, "100.00", key)
    marked = {**refund("re_1", "", 10_000), "payment_intent": None}
    marked["metadata"] = {"invoice_number": FIRST}
    tell(by_wire, event("refund.created", marked, "evt_1"))
    assert outcomes(by_wire) == {"evt_1": "ignored"}
    assert standing(by_wire)[1] == Decimal("200.00")


# --- payments


def test_a_payment_on_a_payers_page_is_booked_once(by_card: Connection) -> None:
    again = event("payment_intent.succeeded", intent("pi_1", number=FIRST), "evt_again", created=9)
    tell(by_card, PAGE, again)
    assert standing(by_card) == ("paid", TOTAL, NOTHING)
    assert len(rows(by_card, "SELECT id FROM payments")) == 1
    assert wrongs(by_card) == []


def test_a_payment_in_another_currency_waits_for_a_person(by_card: Connection) -> None:
    euros = intent("pi_1", number=FIRST, currency="eur")
    tell(by_card, event("payment_intent.succeeded", euros, "evt_1"))
    assert standing(by_card) == ("issued", NOTHING, NOTHING)
    assert told(by_card)[-1][0] == "card_event_ignored"
    ((note,),) = rows(by_card, "SELECT note FROM webhook_events")
    assert "31291 EUR came for INV-2026-02-0001, which is in USD" in note


def test_a_failure_on_a_payers_page_changes_nothing(by_card: Connection) -> None:
    failed = event(
        "payment_intent.payment_failed",
        {**declined("pi_9"), **intent("pi_9", 0, number=FIRST)},
        "e",
    )
    tell(by_card, failed)
    assert standing(by_card)[0] == "issued"
    assert outcomes(by_card) == {"e": "ignored"}


# --- disputes


def test_a_dispute_stops_the_steps_until_it_is_won(by_card: Connection) -> None:
    charge(by_card, "pi_1")
    opened, won = disputes("won")
    tell(by_card, opened)
    assert load_case(by_card, FIRST).disputed
    tell(by_card, won)
    case = load_case(by_card, FIRST)
    assert (case.disputed, case.state) == (False, CollectionState.PAID)


def test_one_of_two_disputes_goes_on_when_the_other_ends(by_card: Connection) -> None:
    tell(by_card, event("payment_intent.succeeded", intent("pi_1", 10_000, number=FIRST), "e1"))
    tell(by_card, event("payment_intent.succeeded", intent("pi_2", 5_000, number=FIRST), "e2"))
    tell(
        by_card,
        event("charge.dispute.created", dispute("du_1", "pi_1", 10_000), "e3"),
        event("charge.dispute.created", dispute("du_2", "pi_2", 5_000), "e4"),
        event("charge.dispute.closed", dispute("du_1", "pi_1", 10_000, "lost"), "e5"),
    )
    assert load_case(by_card, FIRST).disputed
    assert standing(by_card)[:2] == ("manual_review", Decimal("50.00"))
    tell(by_card, event("charge.dispute.closed", dispute("du_2", "pi_2", 5_000, "won"), "e6"))
    assert not load_case(by_card, FIRST).disputed
    assert standing(by_card)[:2] == ("manual_review", Decimal("50.00"))


def test_a_dispute_that_is_told_closed_twice_takes_the_money_once(by_card: Connection) -> None:
    charge(by_card, "pi_1")
    (opened, lost), again = disputes("lost"), disputes("lost")[1]
    tell(by_card, opened, lost, {**again, "id": "evt_end_again"})
    assert [name for name, *_ in told(by_card)].count("money_returned") == 1
    assert outcomes(by_card)["evt_end_again"] == "ignored"


def test_a_lost_dispute_of_overpaid_money_takes_the_credit(by_card: Connection) -> None:
    tell(by_card, event("payment_intent.succeeded", intent("pi_1", 41_291, number=FIRST), "e1"))
    assert credit(by_card) == Decimal("100.00")
    tell(by_card, event("charge.dispute.closed", dispute("du_1", "pi_1", 10_000, "lost"), "e2"))
    assert credit(by_card) == 0
    assert standing(by_card) == ("paid", TOTAL, NOTHING)
    assert wrongs(by_card) == []


# --- cards


def setup(card: str, created: int, customer: str = "cus_1047") -> dict[str, Any]:
    return {
        "object": "setup_intent",
        "id": f"seti_{card}",
        "customer": customer,
        "payment_method": card,
        "created": created,
        "metadata": {"invoice_number": FIRST},
    }


def card_on_file(connection: Connection) -> str:
    ((card,),) = rows(connection, "SELECT stripe_payment_method_id FROM customers")
    return str(card)


def test_a_new_card_is_kept_and_the_other_open_invoices_are_to_wake(by_card: Connection) -> None:
    issue(by_card, add_draft(by_card, MARCH, date(2026, 3, 1)))
    tell(by_card, event("setup_intent.succeeded", setup("pm_2", 5), "e1", created=5))
    assert card_on_file(by_card) == "pm_2"
    assert load_case(by_card, FIRST).to_wake == (MARCH,)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_new_cards_the_later_one_stays(by_card: Connection, order: tuple[int, int]) -> None:
    cards = [
        event("setup_intent.succeeded", setup("pm_2", 5), "e1", created=5),
        event("setup_intent.succeeded", setup("pm_3", 6), "e2", created=6),
    ]
    tell(by_card, *(cards[n] for n in order))
    assert card_on_file(by_card) == "pm_3"


def test_a_card_of_somebody_else_is_not_kept(by_card: Connection) -> None:
    tell(by_card, event("setup_intent.succeeded", setup("pm_2", 5, "cus_other"), "e1"))
    assert card_on_file(by_card) == "pm_1"
    assert outcomes(by_card) == {"e1": "ignored"}


def test_invoices_that_are_settled_or_came_from_elsewhere_are_not_woken_for_a_card(
    by_card: Connection,
) -> None:
    for number in (MARCH, "INV-2026-04-0001"):
        month = date.fromisoformat(f"{number[4:11]}-01")
        add_draft(by_card, number, month)
    by_card.execute(text("UPDATE invoices SET cycle_id = NULL WHERE number = :n"), {"n": MARCH})
    for number in (MARCH, "INV-2026-04-0001"):
        issue(by_card, number)
    charge(by_card, "pi_4", number="INV-2026-04-0001")
    tell(by_card, event("setup_intent.succeeded", setup("pm_2", 5), "e1"))
    assert load_case(by_card, FIRST).to_wake == ()


def test_the_lock_of_the_invoice_does_not_keep_an_event_from_being_stored(
    by_card: Connection, issued_by_card: Engine
) -> None:
    lock(by_card)
    with issued_by_card.connect() as other:
        other.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert store_event(other, PAGE) == FIRST
