"""Tokens of the links that payers receive.

A token is derived, not stored, so that a reminder can print it again:
`<number>.<version>.<HMAC(secret, purpose, number, version)>`. Raising the invoice's link version
revokes every link sent before.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from enum import StrEnum

from domain.errors import NotFound
from domain.invoice import parse_invoice_number


class LinkPurpose(StrEnum):
    PAY = "pay"


def payer_token(secret: str, purpose: LinkPurpose, number: str, version: int) -> str:
    """The token that lets its holder do one thing, `purpose`, with one invoice."""
    return f"{number}.{version}.{_signature(secret, purpose, number, version)}"


def read_payer_token(secret: str, purpose: LinkPurpose, token: str) -> tuple[str, int]:
    """The invoice number and link version inside a token of ours.

    The caller compares the version with the invoice's. Raises NotFound, without saying why, for
    anything that was not made by `payer_token` with this secret and purpose.
    """
    unknown = NotFound("This link is not valid; ask the sender for a new one.")
    if not token.isascii() or token.count(".") != 2:
        raise unknown
    number, version, signature = token.split(".")
    if not version.isdigit() or len(version) > 9 or version != str(int(version)):
        raise unknown
    expected = _signature(secret, purpose, number, int(version))
    if not hmac.compare_digest(expected, signature):
        raise unknown
    parse_invoice_number(number)
    return number, int(version)


def _signature(secret: str, purpose: LinkPurpose, number: str, version: int) -> str:
    message = "\0".join([purpose, number, str(version)]).encode()
    digest = hmac.new(secret.encode(), message, hashlib.sha256).digest()[:18]
    return urlsafe_b64encode(digest).decode()
