"""Why a card was not charged, sorted by what can be done about it.

Source: Stripe's lists of error codes and of decline codes (docs.stripe.com/error-codes,
docs.stripe.com/declines/codes).
"""

from enum import StrEnum


class DeclineClass(StrEnum):
    """What a declined charge means for the next step."""

    EXPIRED_CARD = "expired_card"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    DECLINED = "declined"
    """The bank gave no reason, or one that says nothing of what helps."""
    AUTHENTICATION_REQUIRED = "authentication_required"
    """The customer must confirm the payment to their bank; charging again is of no use."""
    LOST_OR_STOLEN = "lost_or_stolen"
    """The bank has withdrawn the card, or this seller's right to charge it, or suspects fraud."""
    NO_CARD = "no_card"
    """There is no card, or none with that number."""

    @property
    def may_be_retried(self) -> bool:
        """Whether the same charge may succeed days later without the customer's doing.

        An expired card counts: its bank may have sent a new one by then, under the same number.
        """
        return self in (
            DeclineClass.EXPIRED_CARD,
            DeclineClass.INSUFFICIENT_FUNDS,
            DeclineClass.DECLINED,
        )

    @property
    def reason(self) -> str:
        """One sentence for the customer's e-mail.

        It never says that a card was reported lost or stolen: whoever reads it may be the thief.
        """
        return _REASONS[self]


_REASONS = {
    DeclineClass.EXPIRED_CARD: "The card we have on file has expired.",
    DeclineClass.INSUFFICIENT_FUNDS: "Your bank told us that the card lacked sufficient funds.",
    DeclineClass.DECLINED: "Your bank declined the charge without giving us a reason.",
    DeclineClass.AUTHENTICATION_REQUIRED: "Your bank asks you to confirm this payment yourself.",
    DeclineClass.LOST_OR_STOLEN: "Your bank no longer lets us charge the card we have on file.",
    DeclineClass.NO_CARD: "We have no card on file that can be charged.",
}

_CODES = {
    DeclineClass.EXPIRED_CARD: "expired_card",
    DeclineClass.INSUFFICIENT_FUNDS: (
        "insufficient_funds card_velocity_exceeded withdrawal_count_limit_exceeded"
    ),
    DeclineClass.AUTHENTICATION_REQUIRED: (
        "authentication_required authentication_not_handled mobile_device_authentication_required"
        " payment_intent_authentication_failure setup_intent_authentication_failure"
    ),
    DeclineClass.LOST_OR_STOLEN: (
        "lost_card stolen_card pickup_card restricted_card fraudulent merchant_blacklist"
        " security_violation stop_payment_order revocation_of_authorization"
        " revocation_of_all_authorizations previously_declined_do_not_retry"
    ),
    DeclineClass.NO_CARD: (
        "resource_missing incorrect_number invalid_number invalid_account"
        " payment_method_unexpected_state"
    ),
}
_CLASSES = {code: kind for kind, codes in _CODES.items() for code in codes.split()}


def classify_decline(code: str, decline_code: str = "") -> DeclineClass:
    """The class of an error that Stripe answered to a charge.

    `code`: the error's code, such as "card_declined"; `decline_code`: the bank's reason, which
    says more where there is one. What neither list knows is DECLINED.
    """
    return _CLASSES.get(decline_code) or _CLASSES.get(code) or DeclineClass.DECLINED
