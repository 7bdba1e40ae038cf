"""What the API refuses, in the words of a form: labels instead of names, no patterns."""

import re
from collections.abc import Mapping
from typing import Any

_LABELS = {
    "ends_on": "first day not covered any more",
    "starts_on": "first day",
    "from": "day",
    "issued_on": "date on the invoices",
    "valid_from": "first day",
    "valid_to": "first day not valid any more",
    "up_to": "up to and with",
    "unit_price": "price",
    "rate_percent": "percent",
    "billing_emails": "e-mail addresses",
    "address_line1": "street",
    "period": "month",
    "allocations": "invoices",
    "until": "more time until",
    "plan_code": "plan",
    "expires_on": "lapses on",
    "ends_previous": "the rate before it ends then",
    "po_number": "order number",
    "assign_to": "customer's account",
}
"""What a field is called on a page, where it is not its own name with blanks."""
_EMPTY = "is missing"
_PLAIN = (
    (re.compile(r"(?:String|List|Value) should have at least 1 .*"), _EMPTY),
    (re.compile(r"Field required.*|Value error, '' is not a number.*"), _EMPTY),
    (re.compile(r"Input should be a valid date.*|Value error, '' is not a date.*"), "give a day"),
    (re.compile(r"Input should be a valid decimal.*"), "is not a number such as 1234.50"),
    (re.compile(r"Input should be a valid (?:integer|number).*"), "is not a number"),
    (re.compile(r"(?:String|List|Value) should have at most (\d+) .*"), r"has more than \1"),
    (
        re.compile(r"String should match pattern '\^\[A-Za-z0-9\].*"),
        "may have letters, digits, '.', '_' and '-', up to 64, and begins with a letter or digit",
    ),
    (re.compile(r"String should match pattern .*"), "is not written as it should be"),
    (re.compile(r"Input should be .*"), "is none of the choices"),
    (re.compile(r"Value error, (.*)"), r"\1"),
)
_NAMED = re.compile(r"^([a-z]+(?:_[a-z]+)*): ")


def in_words(problem: Mapping[str, Any]) -> str:
    """A problem of the API's (RFC 9457) as sentences for whoever filled in a form."""
    errors = problem.get("errors")
    if not errors:
        return _NAMED.sub(lambda found: f"{label(found[1])}: ", str(problem["detail"]))
    told = (f"{_field(error['field'])}: {_plain(error['reason'])}" for error in errors)
    return "; ".join(dict.fromkeys(told))


def label(name: str) -> str:
    """What the field `name` is called on a page."""
    shown = _LABELS.get(name, name.replace("_", " "))
    return shown[:1].upper() + shown[1:]


def _field(path: str) -> str:
    """`body.tiers.0.unit_price` as `Tiers, 1: price`."""
    _, *parts = path.split(".")
    names = [label(part) if not part.isdigit() else str(int(part) + 1) for part in parts]
    return ", ".join(names) or "This form"


def _plain(reason: str) -> str:
    for pattern, words in _PLAIN:
        if found := pattern.fullmatch(reason):
            return found.expand(words)
    return reason
