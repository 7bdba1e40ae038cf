"""The gateway to Stripe: the only module that speaks to it.

Blocking; for the threads of activities. Every request that changes something carries a key of the
caller's, made of business facts (`INV-2026-02-0047/charge/2`), so that a repeated one acts once.
Stripe forgets keys after a day and replays a stored 500 under them until then. So what matters is
found again by its id, and where a 500 is replayed, the gateway looks at what is there and asks
under the next key only where that is safe.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import stripe

from activities.card_answers import movement_of, refund_of, session_of
from activities.card_objects import (
    CardGatewayUnavailable,
    CardGone,
    CardPayment,
    CardRefund,
    CardRequestRefused,
    CheckoutSession,
    PaymentStatus,
)
from domain.card_amounts import from_stripe, to_stripe
from domain.card_movements import CardMovement
from domain.declines import classify_decline

__all__ = [
    "CardGateway",
    "CardGatewayUnavailable",
    "CardGone",
    "CardPayment",
    "CardRefund",
    "CardRequestRefused",
    "CheckoutSession",
    "PaymentStatus",
]

_CONNECT_SECONDS, _READ_SECONDS = 5.0, 30.0
_RETRIES = 1  # of the SDK, under the same key, within a second or two
_SUFFIXES = ("", "/2", "/3")  # of keys: the next one where the one before replays a failure
_UNEXPECTED_STATE = "payment_intent_unexpected_state"
_OF_THE_CARD = ("customer", "payment_method")

T = TypeVar("T")


class CardGateway:
    """Stripe, or what answers in its place at `api_base`.

    Every method raises CardGatewayUnavailable for what passes and CardRequestRefused for what does
    not. Amounts are in the currency's own units, not in Stripe's; NotChargeable is raised for one
    that Stripe cannot express. May be shared by threads.
    """

    def __init__(self, api_key: str, *, api_base: str | None = None) -> None:
        client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base} if api_base else None,
            http_client=stripe.RequestsClient(timeout=(_CONNECT_SECONDS, _READ_SECONDS)),
            max_network_retries=_RETRIES,
        )
        self._v1 = client.v1

    def create_payment(
        self,
        *,
        number: str,
        attempt: int,
        customer_id: str,
        payment_method_id: str,
        amount: Decimal,
        currency: str,
        key: str,
    ) -> CardPayment:
        """A payment of invoice `number` that moves no money until it is confirmed.

        Raises CardGone if there is no such customer or card.
        """
        params: Any = {
            "amount": to_stripe(amount, currency),
            "currency": currency.lower(),
            "customer": customer_id,
            "payment_method": payment_method_id,
            "payment_method_types": ["card"],
            "confirm": False,
            "description": f"Invoice {number}",
            "metadata": {"invoice_number": number, "attempt": str(attempt)},
        }
        # One that was made unseen behind a 500 is never confirmed, so a second one harms nobody.
        return _payment(
            _changed(key, lambda fresh: self._v1.payment_intents.create(params, _under(fresh)))
        )

    def confirm_payment(self, payment_id: str, *, key: str) -> CardPayment:
        """Charges the card without the customer's presence; a decline is a result.

        A payment that was confirmed or canceled before answers its state: it is charged once,
        whatever the keys. Raises CardGone if the card is gone.
        """

        def confirm(fresh: str) -> CardPayment:
            try:
                return _payment(
                    self._v1.payment_intents.confirm(
                        payment_id, {"off_session": True}, _under(fresh)
                    )
                )
            except stripe.CardError as decline:
                intent = decline.error.payment_intent if decline.error else None
                return self.find_payment(payment_id) if intent is None else _payment(intent)
            except stripe.InvalidRequestError as refusal:
                if refusal.code != _UNEXPECTED_STATE:
                    raise
                return self.find_payment(payment_id)

        def confirmed() -> CardPayment | None:
            found = self.find_payment(payment_id)
            return None if found.status is PaymentStatus.REQUIRES_CONFIRMATION else found

        return _changed(key, confirm, done=confirmed)

    def find_payment(self, payment_id: str) -> CardPayment:
        """The payment as Stripe has it now."""
        with _sorted_errors():
            return _payment(self._v1.payment_intents.retrieve(payment_id))

    def cancel_payment(self, payment_id: str) -> CardPayment:
        """Cancels a payment; one that succeeded, or is being processed, answers that instead."""

        def cancel(fresh: str) -> CardPayment:
            try:
                return _payment(self._v1.payment_intents.cancel(payment_id, {}, _under(fresh)))
            except stripe.InvalidRequestError as refusal:
                if refusal.code != _UNEXPECTED_STATE:
                    raise
                return self.find_payment(payment_id)

        return _changed(f"{payment_id}/cancel", cancel)

    def ensure_customer(self, *, account_number: str, name: str, email: str, key: str) -> str:
        """The id of Stripe's customer for the account, made under `key`.

        The caller keeps it: once Stripe has forgotten the key, the same call makes another one.
        """
        params: Any = {"name": name, "metadata": {"account_number": account_number}}
        if email:
            params["email"] = email
        made = _changed(key, lambda fresh: self._v1.customers.create(params, _under(fresh)))
        return made.id

    def open_checkout(
        self,
        *,
        number: str,
        amount: Decimal,
        currency: str,
        customer_id: str | None,
        customer_email: str,
        description: str,
        success_url: str,
        cancel_url: str,
        key: str,
    ) -> CheckoutSession:
        """A page on which invoice `number` is paid, open for a day.

        `customer_email` is filled in on the page where there is no `customer_id`; may be empty.
        """
        item = {
            "quantity": 1,
            "price_data": {
                "currency": currency.lower(),
                "unit_amount": to_stripe(amount, currency),
                "product_data": {"name": description},
            },
        }
        params: Any = {
            "mode": "payment",
            "payment_method_types": ["card"],
            "line_items": [item],
            "client_reference_id": number,
            "metadata": {"invoice_number": number},
            "payment_intent_data": {
                "description": f"Invoice {number}",
                "metadata": {"invoice_number": number},
            },
            "success_url": success_url,
            "cancel_url": cancel_url,
        }
        if customer_id:
            params["customer"] = customer_id
        elif customer_email:
            params["customer_email"] = customer_email
        return self._open_session(params, key)

    def open_card_setup(
        self,
        *,
        number: str,
        customer_id: str,
        currency: str,
        success_url: str,
        cancel_url: str,
        key: str,
    ) -> CheckoutSession:
        """A page on which the customer leaves a card for later charges, open for a day.

        `number`: the invoice that gave rise to it. Nothing is charged there.
        """
        metadata = {"invoice_number": number}
        params: Any = {
            "mode": "setup",
            "payment_method_types": ["card"],
            "currency": currency.lower(),
            "customer": customer_id,
            "client_reference_id": number,
            "metadata": metadata,
            "setup_intent_data": {"metadata": metadata},
            "success_url": success_url,
            "cancel_url": cancel_url,
        }
        return self._open_session(params, key)

    def _open_session(self, params: Any, key: str) -> CheckoutSession:
        # One that was opened unseen behind a 500 has an address that nobody was given.
        return session_of(
            _changed(key, lambda fresh: self._v1.checkout.sessions.create(params, _under(fresh)))
        )

    def find_checkout(self, session_id: str) -> CheckoutSession:
        """The page as Stripe has it now."""
        with _sorted_errors():
            return session_of(self._v1.checkout.sessions.retrieve(session_id))

    def close_checkout(self, session_id: str) -> CheckoutSession:
        """Expires a page that is open, so that nobody pays on it; answers the state of any other.

        Once it answers "expired", the page can take no payment any more.
        """

        def expire(fresh: str) -> CheckoutSession:
            try:
                return session_of(self._v1.checkout.sessions.expire(session_id, {}, _under(fresh)))
            except stripe.InvalidRequestError:
                found = self.find_checkout(session_id)
                if found.status == "open":
                    raise
                return found

        return _changed(f"{session_id}/expire", expire)

    def refund(
        self,
        payment_id: str,
        *,
        amount: Decimal,
        currency: str,
        number: str,
        credit_note: str,
        key: str,
    ) -> CardRefund:
        """Returns `amount` of a payment to its card, once for each `credit_note`.

        Looks first for a refund that carries the credit note: neither a forgotten key nor a failed
        answer returns the money twice. One that failed or was canceled does not count.
        Raises CardRequestRefused if more would be returned than was paid.
        """
        params: Any = {
            "payment_intent": payment_id,
            "amount": to_stripe(amount, currency),
            "metadata": {"invoice_number": number, "credit_note": credit_note},
        }

        def refunded() -> CardRefund | None:
            query: Any = {"payment_intent": payment_id, "limit": 100}
            with _sorted_errors():
                refunds = self._v1.refunds.list(query)
                for refund in refunds.auto_paging_iter():
                    noted = getattr(refund.metadata, "credit_note", None)
                    if noted == credit_note and refund.status not in ("failed", "canceled"):
                        return refund_of(refund)
            return None

        return refunded() or _changed(
            key,
            lambda fresh: refund_of(self._v1.refunds.create(params, _under(fresh))),
            done=refunded,
        )

    def find_refund(self, refund_id: str) -> CardRefund:
        """The refund as Stripe has it now."""
        with _sorted_errors():
            return refund_of(self._v1.refunds.retrieve(refund_id))

    def list_movements(self, since: datetime) -> list[CardMovement]:
        """Charges, refunds and disputes in the account's balance from `since` on, before fees.

        A request for each hundred. What is no customer's, such as payouts and Stripe's own fees,
        is left out.
        """
        query: Any = {
            "created": {"gte": int(since.timestamp())},
            "limit": 100,
            "expand": ["data.source"],
        }
        with _sorted_errors():
            found = self._v1.balance_transactions.list(query).auto_paging_iter()
            moved = [movement_of(transaction) for transaction in found]
        return [movement for movement in moved if movement is not None]


def _under(key: str) -> Any:
    return {"idempotency_key": key}


def _changed(
    key: str, change: Callable[[str], T], *, done: Callable[[], T | None] = lambda: None
) -> T:
    """What `change` answers under `key`.

    Where Stripe replays a failure that it stored under it: what `done` finds to have happened
    nevertheless, otherwise what `change` answers under the next key.
    """
    for suffix in _SUFFIXES:
        try:
            with _sorted_errors():
                return change(key + suffix)
        except CardGatewayUnavailable as failure:
            if not failure.replayed or suffix == _SUFFIXES[-1]:
                raise
        found = done()
        if found is not None:
            return found
    raise AssertionError("the last key answers or raises")


@contextmanager
def _sorted_errors() -> Iterator[None]:
    """Stripe's errors as ours: what passes, what does not. Others stay what they are."""
    try:
        yield
    except (
        stripe.APIConnectionError,
        stripe.APIError,
        stripe.AuthenticationError,
        stripe.PermissionError,
        stripe.RateLimitError,
    ) as failure:
        replayed = failure.headers is not None and "idempotent-replayed" in failure.headers
        raise CardGatewayUnavailable(_words(failure), replayed=replayed) from failure
    except stripe.InvalidRequestError as refusal:
        malformed = (refusal.code or "").startswith("parameter_")
        gone = refusal.param in _OF_THE_CARD and not malformed
        raise (CardGone if gone else CardRequestRefused)(_words(refusal)) from refusal
    except (stripe.CardError, stripe.IdempotencyError) as refusal:
        raise CardRequestRefused(_words(refusal)) from refusal


def _words(error: stripe.StripeError) -> str:
    """For the finance team, with the id by which Stripe finds the request."""
    status = f" ({error.http_status})" if error.http_status else ""
    return f"Stripe{status}: {error}"


def _payment(intent: stripe.PaymentIntent) -> CardPayment:
    currency = intent.currency.upper()
    amount = from_stripe(intent.amount, currency)
    error = intent.last_payment_error
    if intent.status != "requires_payment_method":
        return CardPayment(intent.id, PaymentStatus(intent.status), amount, currency)
    if error is None:
        return CardPayment(intent.id, PaymentStatus.REQUIRES_CARD, amount, currency)
    # Stripe leaves out what an error does not have.
    code, decline_code, message = (
        getattr(error, name, None) or "" for name in ("code", "decline_code", "message")
    )
    return CardPayment(
        intent.id,
        PaymentStatus.DECLINED,
        amount,
        currency,
        decline=classify_decline(code, decline_code),
        decline_code=decline_code or code,
        message=message,
    )
