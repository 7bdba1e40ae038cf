"""The lines of an invoice: what kinds there are, and to which of its sums each counts."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class InvoiceSum(StrEnum):
    """What an invoice's lines are added up to; together they are its subtotal."""

    USAGE = "usage"
    SUBSCRIPTIONS = "subscriptions"
    PRORATION = "proration"
    DISCOUNTS = "discounts"
    LATE = "late"


class LineKind(StrEnum):
    """`minimum`: what usage lacks to the commitment of its plan; `prepaid_purchase`: the price of
    prepaid credit; `prepaid_draw`: usage that such credit pays for; `late`: by what a past month,
    which was billed before, came to differ.
    """

    USAGE = "usage"
    MINIMUM = "minimum"
    FLAT = "flat"
    PRORATION = "proration"
    DISCOUNT = "discount"
    PREPAID_PURCHASE = "prepaid_purchase"
    PREPAID_DRAW = "prepaid_draw"
    LATE = "late"

    @property
    def counts_to(self) -> InvoiceSum:
        return _SUMS[self]

    @property
    def is_prepaid(self) -> bool:
        """What no rating of a month gives: it is about the customer's credit."""
        return self in (LineKind.PREPAID_PURCHASE, LineKind.PREPAID_DRAW)


_SUMS = {
    LineKind.USAGE: InvoiceSum.USAGE,
    LineKind.MINIMUM: InvoiceSum.USAGE,
    LineKind.FLAT: InvoiceSum.SUBSCRIPTIONS,
    LineKind.PREPAID_PURCHASE: InvoiceSum.SUBSCRIPTIONS,
    LineKind.PRORATION: InvoiceSum.PRORATION,
    LineKind.DISCOUNT: InvoiceSum.DISCOUNTS,
    LineKind.PREPAID_DRAW: InvoiceSum.DISCOUNTS,
    LineKind.LATE: InvoiceSum.LATE,
}


@dataclass(frozen=True)
class RatedLine:
    """A priced line, its amount rounded to the currency's minor unit.

    `unit_price` is None where the amount is no product: a proration, a minimum, a discount, prepaid
    credit, a past month's difference. `plan_code` is empty for what is about no single plan: a
    discount on everything, and prepaid credit. `plan_version` says which version of the plan priced
    it; 0 without a plan.
    """

    kind: LineKind
    description: str
    quantity: Decimal
    unit_price: Decimal | None
    amount: Decimal
    plan_code: str = ""
    plan_version: int = 0


def sum_of(lines: Iterable[RatedLine]) -> Decimal:
    """What `lines` come to, not rounded again."""
    return sum((line.amount for line in lines), Decimal(0))


def figure(number: Decimal) -> str:
    """A number as descriptions have it: 247,891 or 0.0005, without zeros at the end."""
    return f"{number.normalize():,f}"
