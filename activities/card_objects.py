"""What the gateway to Stripe answers, in our own words: payments, pages, refunds, failures."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.declines import DeclineClass
from domain.errors import BillwrightError


class PaymentStatus(StrEnum):
    REQUIRES_CARD = "requires_card"
    """No card was given yet, as to the payment of a Checkout page that nobody has filled in."""
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    """The customer is asked to confirm it to their bank."""
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    CANCELED = "canceled"


@dataclass(frozen=True)
class CardPayment:
    """A PaymentIntent. `decline` is set where `status` is DECLINED."""

    id: str
    status: PaymentStatus
    amount: Decimal
    currency: str
    decline: DeclineClass | None = None
    decline_code: str = ""
    """Stripe's own code, for the audit log."""
    message: str = ""
    """Stripe's words, for the finance team."""


@dataclass(frozen=True)
class CheckoutSession:
    """A page of Stripe's, to pay on or to leave a card on."""

    id: str
    url: str | None
    """None once it is no longer open."""
    status: str
    """open, complete or expired."""
    expires_at: datetime
    payment_id: str | None
    """Of mode payment, once the payer has submitted the page."""
    setup_id: str | None = None
    """Of mode setup."""


@dataclass(frozen=True)
class CardRefund:
    id: str
    status: str
    """pending, succeeded, failed, canceled or requires_action."""
    amount: Decimal


class CardGatewayUnavailable(Exception):
    """Stripe did not do what was asked, for a reason that passes or that is mended on our side.

    No connection, an error of Stripe's, too many requests, the same key in flight, an API key
    that is not valid. Whether it was done after all is not known: ask again under the same key,
    or by id. `replayed`: Stripe repeats a failure that it keeps under the key.
    """

    def __init__(self, message: str, *, replayed: bool = False) -> None:
        super().__init__(message)
        self.replayed = replayed


class CardRequestRefused(BillwrightError):
    """Stripe refuses the request for good: what it names is gone or cannot be done."""

    code = "card_request_refused"


class CardGone(CardRequestRefused):
    """The customer or the card that was to be charged does not exist (any more)."""

    code = "card_gone"
