"""The card processor's pages that are kept: one that is usable is handed out again."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from storage.charges import begin_attempt
from storage.checkouts import (
    USABLE_FOR,
    keep_page,
    next_page_key,
    open_pages,
    record_page,
    usable_page,
)
from storage.collection import load_case
from tests.storage.collecting import (
    FIRST,
    TOTAL,
    event,
    intent,
    lock,
    outcomes,
    rows,
    standing,
    tell,
    wrongs,
)

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
EXPIRES = NOW + timedelta(days=1)


def keep(
    connection: Connection,
    session_id: str = "cs_1",
    *,
    number: str = FIRST,
    mode: str = "payment",
    amount: Decimal = TOTAL,
    expires_at: datetime = EXPIRES,
) -> None:
    keep_page(
        connection,
        number,
        mode,
        session_id=session_id,
        url=f"https://pay.example/{session_id}",
        amount=amount,
        expires_at=expires_at,
    )


def usable(connection: Connection, mode: str = "payment", amount: Decimal = TOTAL) -> str | None:
    return usable_page(connection, FIRST, mode, amount, now=NOW)


def test_a_page_over_what_is_open_is_handed_out_again(by_wire: Connection) -> None:
    assert usable(by_wire) is None
    keep(by_wire)
    assert usable(by_wire) == "https://pay.example/cs_1"
    assert usable(by_wire, amount=TOTAL - 1) is None
    assert usable(by_wire, mode="setup") is None


@pytest.mark.parametrize(
    ("left", "handed_out"),
    [(USABLE_FOR + timedelta(seconds=1), True), (USABLE_FOR, False), (timedelta(0), False)],
)
def test_a_page_that_closes_soon_is_not_handed_out(
    by_wire: Connection, left: timedelta, handed_out: bool
) -> None:
    keep(by_wire, expires_at=NOW + left)
    assert (usable(by_wire) is not None) is handed_out


@pytest.mark.parametrize("status", ["complete", "expired"])
def test_a_page_that_is_over_is_neither_open_nor_usable(by_wire: Connection, status: str) -> None:
    keep(by_wire)
    assert load_case(by_wire, FIRST).open_checkouts
    record_page(by_wire, "cs_1", status)
    assert usable(by_wire) is None
    assert open_pages(by_wire, FIRST, "payment") == []
    assert not load_case(by_wire, FIRST).open_checkouts


def test_a_page_is_kept_once_as_it_was(by_wire: Connection) -> None:
    keep(by_wire)
    record_page(by_wire, "cs_1", "expired")
    keep(by_wire, amount=TOTAL - 1)
    assert rows(by_wire, "SELECT status, amount FROM checkout_sessions") == [("expired", TOTAL)]


def test_pages_are_known_by_mode_in_the_order_of_their_opening(by_wire: Connection) -> None:
    keep(by_wire, "cs_1", mode="setup", amount=Decimal(0))
    keep(by_wire, "cs_2")
    assert [page.session_id for page in open_pages(by_wire, FIRST, "payment")] == ["cs_2"]
    assert [page.amount for page in open_pages(by_wire, FIRST, "setup")] == [0]
    assert not load_case(by_wire, FIRST).charge_pending


def test_a_page_that_only_sets_a_card_keeps_no_invoice_waiting(by_wire: Connection) -> None:
    keep(by_wire, mode="setup", amount=Decimal(0))
    assert not load_case(by_wire, FIRST).open_checkouts


def test_each_page_has_the_next_key_of_its_mode(by_wire: Connection) -> None:
    assert next_page_key(by_wire, FIRST, "payment") == f"{FIRST}/payment-page/1"
    keep(by_wire)
    assert next_page_key(by_wire, FIRST, "payment") == f"{FIRST}/payment-page/2"
    assert next_page_key(by_wire, FIRST, "setup") == f"{FIRST}/setup-page/1"


def test_a_page_of_no_invoice_is_not_kept(by_wire: Connection) -> None:
    with pytest.raises(IntegrityError):
        keep(by_wire, number="INV-2026-02-9999")


def session(mode: str = "payment", **changes: Any) -> dict[str, Any]:
    """The page cs_1 as the processor tells of it."""
    paid = {"payment_intent": "pi_1", "payment_status": "paid"}
    left = {"payment_intent": None, "payment_status": "no_payment_required"}
    return {
        "object": "checkout.session",
        "id": "cs_1",
        "mode": mode,
        "amount_total": 31_291 if mode == "payment" else None,
        "currency": "usd",
        "metadata": {"invoice_number": FIRST},
        **(paid if mode == "payment" else left),
        **changes,
    }


@pytest.mark.parametrize(
    ("type_", "status", "told_of"),
    [
        ("checkout.session.completed", "complete", session("setup")),
        ("checkout.session.expired", "expired", session("setup")),
        (
            "checkout.session.expired",
            "expired",
            session(payment_intent=None, payment_status="unpaid"),
        ),
    ],
)
def test_the_processor_says_what_became_of_a_page(
    by_wire: Connection, type_: str, status: str, told_of: dict[str, Any]
) -> None:
    keep(by_wire)
    tell(by_wire, event(type_, told_of, "e1"))
    assert rows(by_wire, "SELECT status FROM checkout_sessions") == [(status,)]
    assert outcomes(by_wire) == {"e1": "applied"}
    assert standing(by_wire) == ("issued", 0, 0)


def test_a_page_that_is_paid_on_is_never_over_before_its_money_is_booked(
    by_card: Connection,
) -> None:
    keep(by_card)
    tell(by_card, event("checkout.session.completed", session(), "e1"))
    assert open_pages(by_card, FIRST, "payment") == []
    # the event of the payment itself is still on its way: the card on file is left alone
    assert begin_attempt(lock(by_card), 1) is None
    assert standing(by_card) == ("paid", TOTAL, 0)
    tell(by_card, event("payment_intent.succeeded", intent("pi_1", number=FIRST), "e2"))
    assert rows(by_card, "SELECT amount, provider_id FROM payments") == [(TOTAL, "pi_1")]
    assert wrongs(by_card) == []


def test_a_page_whose_payment_is_not_through_stays_open(by_card: Connection) -> None:
    keep(by_card)
    told_of = session(payment_status="unpaid")
    tell(by_card, event("checkout.session.completed", told_of, "e1"))
    assert [page.session_id for page in open_pages(by_card, FIRST, "payment")] == ["cs_1"]
    assert standing(by_card) == ("issued", 0, 0)
    assert outcomes(by_card) == {"e1": "ignored"}
