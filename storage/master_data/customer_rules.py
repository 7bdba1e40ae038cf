"""What makes a row of `customers` one that can be billed, wherever it comes from."""

from collections.abc import Container, Mapping
from typing import Any

from domain.errors import InvalidField
from domain.tax import EU_MEMBER_STATES
from storage.collection import STANDARD
from storage.importing import fields

PAYMENT_METHODS = ("card", "bank_transfer")
STATUSES = ("active", "paused", "churned")
KEPT_HERE = ("stripe_customer_id", "stripe_payment_method_id", "dunning_policy")
"""What Billwright goes on with by itself: a file that was imported once may lag behind."""


def checked_customer(row: Mapping[str, Any], *, policies: Container[str]) -> dict[str, Any]:
    """`row`, its values parsed, as it may be kept: with `tax_id_valid`, and None for what is empty
    of `KEPT_HERE`.

    `policies` are the codes of the dunning policies known. Raises InvalidField for an unknown
    policy, a place in the US without its state, and a VAT id that is none of its member state.
    """
    checked = dict(row)
    checked["tax_id_valid"] = fields.vat_id_valid(row["tax_id"], row["country"])
    for name in KEPT_HERE:
        checked[name] = row[name] or None
    policy = checked["dunning_policy"]
    if policy == STANDARD:
        checked["dunning_policy"] = None
    elif policy and policy not in policies:
        raise InvalidField(
            "dunning_policy",
            f"{policy} is no dunning policy; add it to dunning_policies.json",
        )
    try:
        fields.require_state(row["region"], row["country"])
    except ValueError as reason:
        raise InvalidField("region", str(reason)) from None
    if row["country"] in EU_MEMBER_STATES and row["tax_id"] and not checked["tax_id_valid"]:
        raise InvalidField(
            "tax_id",
            f"{row['tax_id']!r} is no VAT id of {row['country']}; correct it or leave it empty",
        )
    return checked
