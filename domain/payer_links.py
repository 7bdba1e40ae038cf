"""Tokens of the links that payers receive.

A token is derived, not stored, so that a reminder can print it again:
`<number>.<version>.<HMAC(secret, purpose, number, version)>`. A purpose that expires carries its
last day too, which the HMAC covers: `<number>.<version>.<yyyymmdd>.<HMAC>`. Raising the invoice's
link version revokes every link sent before.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from datetime import date
from enum import StrEnum

from domain.errors import InvalidValue, NotFound
from domain.invoice import parse_invoice_number


class LinkPurpose(StrEnum):
    """`pay`: see one invoice and pay it. `card`: put another card on the customer's account."""

    PAY = "pay"
    CARD = "card"

    @property
    def expires(self) -> bool:
        """Whether a link is good for some days only: one that changes more than its invoice."""
        return self is LinkPurpose.CARD


def payer_token(
    secret: str,
    purpose: LinkPurpose,
    number: str,
    version: int,
    *,
    expires_on: date | None = None,
) -> str:
    """The token that lets its holder do one thing, `purpose`, with one invoice.

    `expires_on`: the last day on which it opens anything, inclusive. Raises InvalidValue unless
    it is given for exactly the purposes that expire.
    """
    if purpose.expires is (expires_on is None):
        raise InvalidValue(
            f"A link to {purpose} {'needs its' if purpose.expires else 'has no'} last day."
        )
    last_day = () if expires_on is None else (expires_on.isoformat().replace("-", ""),)
    facts = (number, str(version), *last_day)
    return ".".join([*facts, _signature(secret, purpose, *facts)])


def read_payer_token(
    secret: str, purpose: LinkPurpose, token: str, *, today: date | None = None
) -> tuple[str, int]:
    """The invoice number and link version inside a token of ours.

    `today`: needed for a purpose that expires; without it no such token is good. The caller
    compares the version with the invoice's. Raises NotFound, without saying why, for anything that
    was not made by `payer_token` with this secret and purpose, and for what has expired.
    """
    unknown = NotFound("This link is not valid; ask the sender for a new one.")
    *facts, signature = token.split(".")
    if not token.isascii() or len(facts) != 2 + purpose.expires:
        raise unknown
    number, version = facts[:2]
    if not version.isdigit() or len(version) > 9 or version != str(int(version)):
        raise unknown
    if not hmac.compare_digest(_signature(secret, purpose, *facts), signature):
        raise unknown
    if purpose.expires and (today is None or today > date.fromisoformat(facts[2])):
        raise unknown
    parse_invoice_number(number)
    return number, int(version)


def _signature(secret: str, purpose: LinkPurpose, *facts: str) -> str:
    message = "\0".join([purpose, *facts]).encode()
    digest = hmac.new(secret.encode(), message, hashlib.sha256).digest()[:18]
    return urlsafe_b64encode(digest).decode()
