"""Stripe's test cards: what each number and token does.

Source: docs.stripe.com/testing. Another card number is refused, as test mode refuses it.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from stack.card_sandbox.errors import Json, SandboxError, card_error, declined

_MESSAGES = {
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "incorrect_number": "Your card number is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "insufficient_funds": "Your card has insufficient funds.",
    "authentication_required": (
        "Your card was declined. This transaction requires authentication."
    ),
    "invalid_expiry_month": "Your card's expiration month is invalid.",
    "invalid_expiry_year": "Your card's expiration year is invalid.",
}
_DECLINED = "Your card was declined."


class Asks(Enum):
    """When the card's bank wants the customer to confirm."""

    NEVER = "never"
    UNLESS_SET_UP = "unless set up"
    ALWAYS = "always"


@dataclass(frozen=True)
class TestCard:
    """One of Stripe's test cards.

    Attributes:
        code: Of the error, where charges are declined; empty where they succeed.
        decline_code: The bank's reason; the code itself where empty.
        attaches: Whether a customer can keep it.
        dispute: The reason for which its charges are disputed at once.
        refund: What becomes of a refund a moment later: "succeeded" or "failed".
    """

    __test__ = False  # not a test, whatever pytest thinks of the name

    number: str
    token: str
    brand: str = "visa"
    funding: str = "credit"
    code: str = ""
    decline_code: str = ""
    attaches: bool = True
    asks: Asks = Asks.NEVER
    dispute: str = ""
    refund: str = ""

    @property
    def last4(self) -> str:
        return self.number[-4:]

    def decline(self, **more: Any) -> Json:
        """The error with which a charge of this card ends."""
        return decline(self.code, self.decline_code, **more)


def decline(code: str, decline_code: str = "", **more: Any) -> Json:
    """A card error in the words that Stripe has for it."""
    message = _MESSAGES.get(decline_code) or _MESSAGES.get(code) or _DECLINED
    return card_error(message, code=code, decline_code=decline_code or None, **more)


def _declined_card(number: str, token: str, code: str, decline_code: str = "") -> TestCard:
    return TestCard(number, token, code=code, decline_code=decline_code or code, attaches=False)


CARDS = (
    TestCard("4242424242424242", "visa"),
    TestCard("4000056655665556", "visa_debit", funding="debit"),
    TestCard("5555555555554444", "mastercard", "mastercard"),
    TestCard("5200828282828210", "mastercard_debit", "mastercard", "debit"),
    TestCard("5105105105105100", "mastercard_prepaid", "mastercard", "prepaid"),
    TestCard("378282246310005", "amex", "amex"),
    TestCard("6011111111111117", "discover", "discover"),
    TestCard("3056930009020004", "diners", "diners"),
    TestCard("3566002020360505", "jcb", "jcb"),
    TestCard("6200000000000005", "unionpay", "unionpay"),
    _declined_card("4000000000000002", "chargeDeclined", "card_declined", "generic_decline"),
    _declined_card(
        "4000000000009995",
        "chargeDeclinedInsufficientFunds",
        "card_declined",
        "insufficient_funds",
    ),
    _declined_card("4000000000009987", "chargeDeclinedLostCard", "card_declined", "lost_card"),
    _declined_card("4000000000009979", "chargeDeclinedStolenCard", "card_declined", "stolen_card"),
    _declined_card("4000000000000069", "chargeDeclinedExpiredCard", "expired_card"),
    _declined_card("4000000000000127", "chargeDeclinedIncorrectCvc", "incorrect_cvc"),
    _declined_card("4000000000000101", "cvcCheckFail", "incorrect_cvc"),
    _declined_card("4000000000000119", "chargeDeclinedProcessingError", "processing_error"),
    _declined_card(
        "4000000000006975",
        "chargeDeclinedVelocityLimitExceeded",
        "card_declined",
        "card_velocity_exceeded",
    ),
    _declined_card("4100000000000019", "radarBlock", "card_declined", "fraudulent"),
    TestCard(
        "4000000000000341",
        "chargeCustomerFail",
        code="card_declined",
        decline_code="generic_decline",
    ),
    TestCard("4000002500003155", "authenticationRequiredOnSetup", asks=Asks.UNLESS_SET_UP),
    TestCard("4000002760003184", "authenticationRequired", asks=Asks.ALWAYS),
    TestCard("4000000000000259", "createDispute", dispute="fraudulent"),
    TestCard("4000000000002685", "createDisputeProductNotReceived", dispute="product_not_received"),
    TestCard("4000000000007726", "pendingRefund", refund="succeeded"),
    TestCard("4000000000005126", "refundFail", refund="failed"),
)
_BY_NUMBER = {card.number: card for card in CARDS}
_BY_TOKEN = {card.token: card for card in CARDS}


def by_token(token: str) -> TestCard | None:
    """The card of `pm_card_visa` or `pm_card_visa_chargeDeclined`; None: no such token."""
    name = token.removeprefix("pm_card_")
    if name == token:
        return None
    return _BY_TOKEN.get(name) or _BY_TOKEN.get(name.removeprefix("visa_"))


def by_last4(last4: str, brand: str) -> TestCard:
    """The card of a stored payment method, which does not keep the number."""
    return next(card for card in CARDS if (card.last4, card.brand) == (last4, brand))


def by_number(number: str, exp_month: int, exp_year: int, cvc: str | None) -> TestCard:
    """The card with that number, its other data being possible.

    Spaces in `number` do not count. Raises SandboxError (402) for what no card has.
    """
    digits = number.replace(" ", "").replace("-", "")
    is_number = digits.isascii() and digits.isdigit() and 12 <= len(digits) <= 19
    if not is_number or not _has_check_digit(digits):
        raise _refused("incorrect_number")
    today = datetime.now(UTC)
    if not 1 <= exp_month <= 12:
        raise _refused("invalid_expiry_month")
    if not (today.year, today.month) <= (exp_year, exp_month) < (today.year + 50, 1):
        raise _refused("invalid_expiry_year")
    if cvc is not None and not (cvc.isascii() and cvc.isdigit() and len(cvc) in (3, 4)):
        raise _refused("incorrect_cvc")
    card = _BY_NUMBER.get(digits)
    if card is None:
        error = card_error(
            "Your card was declined. This is a sandbox, and that is no test card.",
            code="card_declined",
            decline_code="test_mode_live_card",
        )
        raise declined(error)
    return card


def fingerprint(card: TestCard) -> str:
    """The same for the same number, and not the number."""
    return hashlib.sha256(f"billwright sandbox {card.number}".encode()).hexdigest()[:16]


def _refused(code: str) -> SandboxError:
    return declined(decline(code))


def _has_check_digit(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit (ISO/IEC 7812-1) of those before."""
    doubled = [int(d) * (1 + place % 2) for place, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0
