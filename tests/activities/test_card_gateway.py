"""The gateway against the card sandbox: what a charge, a page and a refund come to."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest

from activities.card_answers import movement_of
from activities.card_gateway import (
    CardGateway,
    CardGatewayUnavailable,
    CardGone,
    CardPayment,
    CardRequestRefused,
    CheckoutSession,
    PaymentStatus,
)
from domain.card_amounts import NotChargeable
from domain.card_movements import MovementKind
from domain.declines import DeclineClass
from stack.processes import until
from tests.cards import Sandbox, running_sandbox

keys = (f"key/{number}" for number in count())


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with TemporaryDirectory() as folder, running_sandbox(Path(folder)) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox) -> CardGateway:
    return sandbox.gateway


def create(sandbox: Sandbox, token: str = "pm_card_visa", **changed: Any) -> CardPayment:
    """A payment of 312.91 USD by a customer's card, not confirmed."""
    customer, method = sandbox.seed(token)
    given: dict[str, Any] = {
        "number": "INV-2026-02-0047",
        "attempt": 1,
        "customer_id": customer,
        "payment_method_id": method,
        "amount": Decimal("312.91"),
        "currency": "USD",
        "key": next(keys),
    }
    return sandbox.gateway.create_payment(**(given | changed))


def checkout(gateway: CardGateway, **changed: Any) -> CheckoutSession:
    given: dict[str, Any] = {
        "number": "INV-2026-02-0047",
        "amount": Decimal("312.91"),
        "currency": "EUR",
        "customer_id": None,
        "customer_email": "ada@example.com",
        "description": "Invoice INV-2026-02-0047",
        "success_url": "https://pay.example/done",
        "cancel_url": "https://pay.example/back",
        "key": next(keys),
    }
    return gateway.open_checkout(**(given | changed))


def pay(sandbox: Sandbox, session: CheckoutSession, number: str = "4242424242424242") -> int:
    """The status with which the page answers a payer who submits it."""
    assert session.url is not None
    fields = {"card_number": number, "exp": "12/34", "cvc": "123"}
    return sandbox.browser.post(session.url, data=fields).status_code


def succeeded_charges(sandbox: Sandbox, payment_id: str) -> int:
    charges = sandbox.listed("/v1/charges", payment_intent=payment_id)
    return sum(charge["status"] == "succeeded" for charge in charges)


# --- charges


def test_a_payment_moves_no_money_until_it_is_confirmed(
    sandbox: Sandbox, gateway: CardGateway
) -> None:
    payment = create(sandbox)
    assert payment.status is PaymentStatus.REQUIRES_CONFIRMATION
    assert (payment.amount, payment.currency) == (Decimal("312.91"), "USD")
    assert gateway.find_payment(payment.id) == payment
    assert sandbox.listed("/v1/charges", payment_intent=payment.id) == []

    paid = gateway.confirm_payment(payment.id, key=next(keys))
    assert paid.status is PaymentStatus.SUCCEEDED
    assert gateway.find_payment(payment.id) == paid
    assert succeeded_charges(sandbox, payment.id) == 1


def test_a_payment_carries_its_invoice_and_attempt(sandbox: Sandbox) -> None:
    payment = create(sandbox, attempt=2)
    intent = sandbox.api.get(f"/v1/payment_intents/{payment.id}").json()
    assert intent["metadata"] == {"invoice_number": "INV-2026-02-0047", "attempt": "2"}


def test_a_payment_is_charged_once_whatever_the_keys(
    sandbox: Sandbox, gateway: CardGateway
) -> None:
    payment = create(sandbox)
    key = next(keys)
    outcomes = [gateway.confirm_payment(payment.id, key=k) for k in (key, key, next(keys))]
    assert {outcome.status for outcome in outcomes} == {PaymentStatus.SUCCEEDED}
    assert succeeded_charges(sandbox, payment.id) == 1


def test_the_same_key_makes_the_same_payment(sandbox: Sandbox) -> None:
    customer, method = sandbox.seed()
    same = {"customer_id": customer, "payment_method_id": method, "key": next(keys)}
    assert create(sandbox, **same) == create(sandbox, **same)


@pytest.mark.parametrize(
    ("token", "kind", "code"),
    [
        ("pm_card_chargeDeclinedExpiredCard", DeclineClass.EXPIRED_CARD, "expired_card"),
        (
            "pm_card_chargeDeclinedInsufficientFunds",
            DeclineClass.INSUFFICIENT_FUNDS,
            "insufficient_funds",
        ),
        ("pm_card_chargeDeclined", DeclineClass.DECLINED, "generic_decline"),
        ("pm_card_chargeDeclinedProcessingError", DeclineClass.DECLINED, "processing_error"),
        ("pm_card_chargeDeclinedLostCard", DeclineClass.LOST_OR_STOLEN, "lost_card"),
        ("pm_card_chargeDeclinedStolenCard", DeclineClass.LOST_OR_STOLEN, "stolen_card"),
        ("pm_card_radarBlock", DeclineClass.LOST_OR_STOLEN, "fraudulent"),
        (
            "pm_card_authenticationRequired",
            DeclineClass.AUTHENTICATION_REQUIRED,
            "authentication_required",
        ),
    ],
)
def test_a_decline_is_a_result_with_its_class(
    sandbox: Sandbox, gateway: CardGateway, token: str, kind: DeclineClass, code: str
) -> None:
    payment = create(sandbox, token)
    declined = gateway.confirm_payment(payment.id, key=next(keys))
    assert (declined.status, declined.decline) == (PaymentStatus.DECLINED, kind)
    assert declined.decline_code == code
    assert declined.message
    assert gateway.find_payment(payment.id) == declined
    assert gateway.confirm_payment(payment.id, key=next(keys)) == declined
    assert succeeded_charges(sandbox, payment.id) == 0


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [("500", "JPY", 500), ("500", "ISK", 50000), ("5.120", "KWD", 5120)],
)
def test_amounts_are_counted_as_stripe_counts_them(
    sandbox: Sandbox, amount: str, currency: str, units: int
) -> None:
    payment = create(sandbox, amount=Decimal(amount), currency=currency)
    assert str(payment.amount) == amount
    intent = sandbox.api.get(f"/v1/payment_intents/{payment.id}").json()
    assert (intent["amount"], intent["currency"]) == (units, currency.lower())


def test_an_amount_that_stripe_cannot_express_is_never_sent(sandbox: Sandbox) -> None:
    before = len(sandbox.log())
    with pytest.raises(NotChargeable):
        create(sandbox, amount=Decimal("1.005"))
    assert len(sandbox.log()) == before


def test_an_amount_below_stripes_minimum_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(CardRequestRefused, match="at least"):
        create(sandbox, amount=Decimal("0.49"))


def test_a_customer_or_card_that_is_gone_is_told_apart(
    sandbox: Sandbox, gateway: CardGateway
) -> None:
    customer, method = sandbox.seed()
    for wrong in ({"customer_id": "cus_gone"}, {"payment_method_id": "pm_gone"}):
        ids = {"customer_id": customer, "payment_method_id": method} | wrong
        with pytest.raises(CardGone):
            create(sandbox, **ids)

    payment = create(sandbox, customer_id=customer, payment_method_id=method)
    assert sandbox.post(f"/v1/payment_methods/{method}/detach").status_code == 200
    with pytest.raises(CardGone):
        gateway.confirm_payment(payment.id, key=next(keys))


def test_a_card_of_another_customer_is_not_charged(sandbox: Sandbox) -> None:
    _, method_of_another = sandbox.seed()
    with pytest.raises(CardGone, match="attached to the customer"):
        create(sandbox, payment_method_id=method_of_another)


def test_a_payment_that_does_not_exist_is_refused(gateway: CardGateway) -> None:
    with pytest.raises(CardRequestRefused, match="No such payment_intent") as refusal:
        gateway.find_payment("pi_nothing")
    assert not isinstance(refusal.value, CardGone)


def test_a_canceled_payment_is_never_charged(sandbox: Sandbox, gateway: CardGateway) -> None:
    payment = create(sandbox)
    assert gateway.cancel_payment(payment.id).status is PaymentStatus.CANCELED
    assert gateway.cancel_payment(payment.id).status is PaymentStatus.CANCELED
    after = gateway.confirm_payment(payment.id, key=next(keys))
    assert after.status is PaymentStatus.CANCELED
    assert succeeded_charges(sandbox, payment.id) == 0


def test_a_payment_that_succeeded_stays_so_when_it_is_canceled(
    sandbox: Sandbox, gateway: CardGateway
) -> None:
    payment = create(sandbox)
    gateway.confirm_payment(payment.id, key=next(keys))
    assert gateway.cancel_payment(payment.id).status is PaymentStatus.SUCCEEDED


def test_a_key_that_was_used_for_another_amount_is_refused(sandbox: Sandbox) -> None:
    customer, method = sandbox.seed()
    same = {"customer_id": customer, "payment_method_id": method, "key": next(keys)}
    create(sandbox, **same)
    with pytest.raises(CardRequestRefused, match="same parameters"):
        create(sandbox, **same, amount=Decimal("312.92"))


# --- pages


def test_a_payer_pays_on_the_page(sandbox: Sandbox, gateway: CardGateway) -> None:
    session = checkout(gateway)
    assert (session.status, session.payment_id) == ("open", None)
    assert pay(sandbox, session) == 303

    complete = gateway.find_checkout(session.id)
    assert (complete.status, complete.url) == ("complete", None)
    assert complete.payment_id is not None
    payment = gateway.find_payment(complete.payment_id)
    assert (payment.status, payment.amount) == (PaymentStatus.SUCCEEDED, Decimal("312.91"))
    intent = sandbox.api.get(f"/v1/payment_intents/{payment.id}").json()
    assert intent["metadata"] == {"invoice_number": "INV-2026-02-0047"}


def test_a_page_of_which_the_card_was_declined_stays_open(
    sandbox: Sandbox, gateway: CardGateway
) -> None:
    session = checkout(gateway)
    assert pay(sandbox, session, "4000000000009995") == 402
    waiting = gateway.find_checkout(session.id)
    assert waiting.status == "open"
    assert waiting.payment_id is not None
    found = gateway.find_payment(waiting.payment_id)
    assert found.decline is DeclineClass.INSUFFICIENT_FUNDS
    assert pay(sandbox, session) == 303
    assert gateway.find_payment(waiting.payment_id).status is PaymentStatus.SUCCEEDED


def test_a_closed_page_takes_no_payment(sandbox: Sandbox, gateway: CardGateway) -> None:
    session = checkout(gateway)
    assert gateway.close_checkout(session.id).status == "expired"
    assert gateway.close_checkout(session.id).status == "expired"
    assert pay(sandbox, session) == 410
    assert gateway.find_checkout(session.id).payment_id is None


def test_a_page_that_was_paid_cannot_be_closed(sandbox: Sandbox, gateway: CardGateway) -> None:
    session = checkout(gateway)
    pay(sandbox, session)
    assert gateway.close_checkout(session.id).status == "complete"


def test_a_page_for_a_known_customer_is_theirs(sandbox: Sandbox, gateway: CardGateway) -> None:
    customer, _ = sandbox.seed()
    session = checkout(gateway, customer_id=customer)
    pay(sandbox, session)
    found = sandbox.api.get(f"/v1/checkout/sessions/{session.id}").json()
    assert found["customer"] == customer


def test_a_customer_leaves_a_new_card_that_is_then_charged(
    sandbox: Sandbox, gateway: CardGateway
) -> None:
    customer = gateway.ensure_customer(
        account_number="1047", name="Kestrel", email="ap@kestrel.example", key=next(keys)
    )
    session = gateway.open_card_setup(
        number="INV-2026-02-0047",
        customer_id=customer,
        currency="USD",
        success_url="https://pay.example/done",
        cancel_url="https://pay.example/back",
        key=next(keys),
    )
    assert pay(sandbox, session) == 303
    complete = gateway.find_checkout(session.id)
    assert complete.status == "complete"
    setup = sandbox.api.get(f"/v1/setup_intents/{complete.setup_id}").json()
    assert setup["metadata"] == {"invoice_number": "INV-2026-02-0047"}
    assert setup["customer"] == customer

    payment = create(sandbox, customer_id=customer, payment_method_id=setup["payment_method"])
    paid = gateway.confirm_payment(payment.id, key=next(keys))
    assert paid.status is PaymentStatus.SUCCEEDED


def test_the_same_key_makes_the_same_customer(gateway: CardGateway) -> None:
    key = next(keys)
    made = {
        gateway.ensure_customer(account_number="1047", name="Kestrel", email="", key=key)
        for _ in range(2)
    }
    assert len(made) == 1


# --- refunds


def refund(gateway: CardGateway, payment: CardPayment, amount: str, note: str) -> Any:
    return gateway.refund(
        payment.id,
        amount=Decimal(amount),
        currency=payment.currency,
        number="INV-2026-02-0047",
        credit_note=note,
        key=next(keys),
    )


def test_a_refund_is_made_once_for_its_credit_note_whatever_the_keys(
    sandbox: Sandbox, gateway: CardGateway
) -> None:
    payment = create(sandbox)
    gateway.confirm_payment(payment.id, key=next(keys))
    first = refund(gateway, payment, "12.91", "CN-2026-03-0001")
    assert (first.status, first.amount) == ("succeeded", Decimal("12.91"))
    assert refund(gateway, payment, "12.91", "CN-2026-03-0001") == first
    assert refund(gateway, payment, "300.00", "CN-2026-03-0002") != first
    assert gateway.find_refund(first.id) == first
    assert len(sandbox.listed("/v1/refunds", payment_intent=payment.id)) == 2


def test_more_than_was_paid_is_never_returned(sandbox: Sandbox, gateway: CardGateway) -> None:
    payment = create(sandbox)
    gateway.confirm_payment(payment.id, key=next(keys))
    refund(gateway, payment, "300.00", "CN-2026-03-0001")
    with pytest.raises(CardRequestRefused, match="greater than unrefunded"):
        refund(gateway, payment, "12.92", "CN-2026-03-0002")


def test_what_was_not_paid_cannot_be_returned(sandbox: Sandbox, gateway: CardGateway) -> None:
    with pytest.raises(CardRequestRefused, match="successful charge"):
        refund(gateway, create(sandbox), "1.00", "CN-2026-03-0001")


def test_a_refund_that_failed_may_be_made_again(sandbox: Sandbox, gateway: CardGateway) -> None:
    payment = create(sandbox, "pm_card_refundFail")
    gateway.confirm_payment(payment.id, key=next(keys))
    failed = refund(gateway, payment, "12.91", "CN-2026-03-0001")
    assert _becomes(gateway, failed.id, "failed")
    assert refund(gateway, payment, "12.91", "CN-2026-03-0001").id != failed.id


def test_a_refund_may_be_pending_at_first(sandbox: Sandbox, gateway: CardGateway) -> None:
    payment = create(sandbox, "pm_card_pendingRefund")
    gateway.confirm_payment(payment.id, key=next(keys))
    pending = refund(gateway, payment, "12.91", "CN-2026-03-0001")
    assert pending.status == "pending"
    assert _becomes(gateway, pending.id, "succeeded")


def _becomes(gateway: CardGateway, refund_id: str, status: str) -> bool:
    return until(lambda: gateway.find_refund(refund_id).status == status, seconds=15, every=0.1)


# --- access


def test_a_wrong_key_is_an_outage_until_it_is_mended(sandbox: Sandbox) -> None:
    wrong = CardGateway("sk_test_wrong", api_base=sandbox.url)
    with pytest.raises(CardGatewayUnavailable, match=r"\(401\)") as outage:
        wrong.find_payment("pi_any")
    assert "sk_test_wrong" not in str(outage.value)


def test_what_moved_is_listed_page_by_page_with_its_payment(
    gateway: CardGateway, sandbox: Sandbox
) -> None:
    since = datetime.now(UTC)
    paid = create(sandbox)
    gateway.confirm_payment(paid.id, key=next(keys))
    credit = {"number": "INV-2026-02-0047", "credit_note": "CN-2026-03-0001", "key": next(keys)}
    back = gateway.refund(paid.id, amount=Decimal("12.91"), currency="USD", **credit)
    sandbox.order("disputes", payment_intent=paid.id)
    for _ in range(100):  # a charge and more than a page
        gateway.confirm_payment(create(sandbox, amount=Decimal("1.00")).id, key=next(keys))
    moved = gateway.list_movements(since - timedelta(seconds=1))
    ours = [movement for movement in moved if movement.payment_id == paid.id]
    assert [(m.kind, m.amount, m.currency) for m in reversed(ours)] == [
        (MovementKind.CHARGE, Decimal("312.91"), "USD"),
        (MovementKind.REFUND, Decimal("-12.91"), "USD"),
        (MovementKind.DISPUTE, Decimal("-300.00"), "USD"),
    ]
    assert [m.id for m in reversed(ours)][:2] == [paid.id, back.id]
    assert ours[-1].invoice_number == "INV-2026-02-0047"
    assert sum(movement.amount == Decimal("1.00") for movement in moved) == 100


def test_what_moved_in_an_account_of_another_currency_counts_as_it_was_paid() -> None:
    source = SimpleNamespace(
        object="charge",
        id="ch_1",
        amount=31_291,
        currency="usd",
        payment_intent="pi_1",
        customer=None,
        metadata=SimpleNamespace(invoice_number="INV-2026-02-0047"),
    )
    booked = SimpleNamespace(source=source, amount=28_700, currency="eur", created=1_772_000_000)
    moved = movement_of(booked)
    assert moved is not None
    assert (moved.id, moved.amount, moved.currency) == ("pi_1", Decimal("312.91"), "USD")
    back = SimpleNamespace(source=source, amount=-28_700, currency="eur", created=1_772_000_000)
    assert movement_of(back) == replace(moved, amount=-moved.amount)


@pytest.mark.parametrize("source", [None, "po_1", SimpleNamespace(object="payout", id="po_1")])
def test_what_is_no_payment_of_a_customers_is_left_out(source: object) -> None:
    payout = SimpleNamespace(source=source, amount=-100, currency="usd", created=1_772_000_000)
    assert movement_of(payout) is None
