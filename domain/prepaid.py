"""Prepaid credit: bought, or given, in advance, and drawn down by the usage of later invoices."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Protocol

from domain.errors import PrepaidInAnotherCurrency
from domain.lines import InvoiceSum, LineKind, RatedLine, sum_of
from domain.periods import BillingPeriod, overlap


@dataclass(frozen=True)
class PrepaidGrant:
    """Credit of `amount`, of which `left` is not drawn yet.

    It pays for the usage of each month with a day in `[valid_from, expires_on)`; `expires_on` None:
    without an end. `price` is what it was sold for, 0 for a gift.
    """

    id: int
    currency: str
    amount: Decimal
    price: Decimal
    valid_from: date
    expires_on: date | None
    left: Decimal

    def pays_for(self, period: BillingPeriod, currency: str) -> bool:
        days = overlap((self.valid_from, self.expires_on), (period.start, period.end))
        return self.currency == currency and self.left > 0 and days

    @property
    def _order(self) -> tuple[date, date, int]:
        return self.expires_on or date.max, self.valid_from, self.id


@dataclass(frozen=True)
class PrepaidDraw:
    """What an invoice takes from a grant, with the line that says so."""

    grant_id: int
    amount: Decimal
    line: RatedLine


def purchase_lines(
    grants: Iterable[PrepaidGrant], currency: str, period: BillingPeriod
) -> list[RatedLine]:
    """The prices of the credit that is valid from a day of `period`, by that day; gifts cost none.

    Raises PrepaidInAnotherCurrency where one was sold in any other than `currency`, the invoice's.
    """
    sold = [
        grant
        for grant in grants
        if grant.price > 0 and BillingPeriod.of(grant.valid_from) == period
    ]
    for grant in sold:
        if grant.currency != currency:
            raise PrepaidInAnotherCurrency(grant.id, grant.currency, currency)
    return [
        RatedLine(
            kind=LineKind.PREPAID_PURCHASE,
            description=f"Prepaid credit of {grant.amount:,f} from {grant.valid_from}"
            + (f", expires on {grant.expires_on}" if grant.expires_on else ""),
            quantity=Decimal(1),
            unit_price=grant.price,
            amount=grant.price,
        )
        for grant in sorted(sold, key=lambda grant: (grant.valid_from, grant.id))
    ]


def draw_down(
    grants: Sequence[PrepaidGrant],
    lines: Sequence[RatedLine],
    currency: str,
    period: BillingPeriod,
    *,
    late_usage: Mapping[BillingPeriod, Decimal] | None = None,
) -> list[PrepaidDraw]:
    """What an invoice of `lines`, all that it has before tax, takes from `grants`. `late_usage`:
    what of its lines of kind late is for usage, by its month.

    Each month's usage draws the credit that is for that month, the oldest month first, and of its
    credit what expires soonest. Together no more than the usage comes to with the discounts on its
    plans, no more than the subtotal, and no more than is left of each grant.
    """
    usage: dict[BillingPeriod, Decimal] = defaultdict(Decimal, late_usage or {})
    usage[period] += _usage(lines)
    open_amount = min(sum(usage.values(), Decimal(0)), sum_of(lines))
    taken: dict[int, Decimal] = defaultdict(Decimal)
    paying = sorted(grants, key=lambda grant: grant._order)
    for month in sorted(usage):
        of_month = usage[month]
        for grant in paying:
            if not grant.pays_for(month, currency):
                continue
            amount = min(grant.left - taken[grant.id], of_month, open_amount)
            if amount > 0:
                taken[grant.id] += amount
                of_month -= amount
                open_amount -= amount
    return [_draw(grant, taken[grant.id]) for grant in paying if taken[grant.id] > 0]


def _draw(grant: PrepaidGrant, amount: Decimal) -> PrepaidDraw:
    says = (
        f"Prepaid credit from {grant.valid_from}, "
        f"{grant.left - amount:,f} of {grant.amount:,f} left"
    )
    line = RatedLine(LineKind.PREPAID_DRAW, says, Decimal(1), None, -amount)
    return PrepaidDraw(grant.id, amount, line)


class _Drawn(Protocol):
    @property
    def grant_id(self) -> int: ...

    @property
    def amount(self) -> Decimal: ...


def after_draws(
    grants: Iterable[PrepaidGrant], draws: Iterable[_Drawn]
) -> tuple[PrepaidGrant, ...]:
    """`grants` as another invoice of the same customer finds them behind `draws`."""
    drawn: dict[int, Decimal] = defaultdict(Decimal)
    for draw in draws:
        drawn[draw.grant_id] += draw.amount
    return tuple(replace(grant, left=grant.left - drawn[grant.id]) for grant in grants)


def _usage(lines: Sequence[RatedLine]) -> Decimal:
    """What usage comes to, with the discounts on usage plans."""
    usage = [line for line in lines if line.kind.counts_to is InvoiceSum.USAGE]
    plans = {line.plan_code for line in usage}
    discounts = [
        line for line in lines if line.kind is LineKind.DISCOUNT and line.plan_code in plans
    ]
    return sum_of(usage) + sum_of(discounts)
