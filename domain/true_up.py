"""A billed month rated anew: by what it differs from what was billed, and how that is settled.

The difference is always that of the whole month, so that tiers, minimums and changes of contract
come out by themselves, however often and in whatever order something comes late.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from domain.invoice import InvoiceDraft, draft_of
from domain.lines import InvoiceSum, LineKind, RatedLine, sum_of
from domain.periods import BillingPeriod
from domain.prepaid import PrepaidGrant
from domain.tax import TaxTreatment


class About(StrEnum):
    """What a line is about: what was used, or what was agreed."""

    USAGE = "usage"
    CONTRACT = "contract"


@dataclass(frozen=True)
class BilledLine:
    """A line of the month on an invoice that is not void, or what a credit note took back of it;
    that is below zero, as a late line may be. `quantity` counts units of usage.
    """

    about: About
    plan_code: str
    quantity: Decimal
    amount: Decimal


@dataclass(frozen=True)
class Difference:
    """By what a plan's month differs from what was billed of it, in net `amount` and units.

    `quantity` counts the units of usage alone. `plan_code` is empty for what is about no plan.
    """

    about: About
    plan_code: str
    plan_version: int
    quantity: Decimal
    amount: Decimal


@dataclass(frozen=True)
class Credited:
    """What people gave back of a month by credit notes that no difference has counted yet, net by
    plan; `of_usage`: so much of it in money for usage in all, since a note on lines that prepaid
    credit had paid gives back less than they say.
    """

    by_plan: Mapping[str, Decimal] = field(default_factory=dict)
    of_usage: Decimal = Decimal(0)


@dataclass(frozen=True)
class Terms:
    """What an invoice must have in common with the month's to take its difference.

    `country` and `region` are the customer's, since two places may have the same rate.
    """

    currency: str
    treatment: TaxTreatment
    country: str
    region: str


@dataclass(frozen=True)
class LateMonth:
    """A month's difference, as lines that may stand on an invoice; their sum may be zero.

    `usage_plans`: codes of the plans whose usage, which prepaid credit may pay, they are about.
    `below_zero`: it gives back more than the invoices of the month can, since one of another month
    charged it, or since they come to less than it already.
    """

    period: BillingPeriod
    terms: Terms
    lines: tuple[RatedLine, ...]
    usage_plans: frozenset[str] = frozenset()
    below_zero: bool = False

    @property
    def net(self) -> Decimal:
        return sum_of(self.lines)

    @property
    def usage(self) -> Decimal:
        """What of it is for usage."""
        return sum_of([line for line in self.lines if line.plan_code in self.usage_plans])


@dataclass(frozen=True)
class Settlement:
    """Where each month's difference goes: on the cycle's regular invoice, on an invoice of its own,
    or back to the customer by a credit note on what was billed.
    """

    on_regular: tuple[LateMonth, ...] = ()
    on_its_own: tuple[LateMonth, ...] = ()
    given_back: tuple[LateMonth, ...] = ()


def differences(billed: Iterable[BilledLine], anew: Iterable[RatedLine]) -> list[Difference]:
    """What the month, rated `anew`, differs by from what was `billed` of it, by plan.

    Plans of which every cent was billed are left out; usage comes first.
    """
    now: dict[str, Decimal] = defaultdict(Decimal)
    before: dict[str, Decimal] = defaultdict(Decimal)
    units: dict[str, Decimal] = defaultdict(Decimal)
    metered: set[str] = set()
    versions: dict[str, int] = {}
    for line in anew:
        now[line.plan_code] += line.amount
        versions[line.plan_code] = line.plan_version
        if line.kind.counts_to is InvoiceSum.USAGE:
            metered.add(line.plan_code)
        if line.kind is LineKind.USAGE:
            units[line.plan_code] += line.quantity
    for entry in billed:
        before[entry.plan_code] += entry.amount
        if entry.about is About.USAGE:
            units[entry.plan_code] -= entry.quantity
            metered.add(entry.plan_code)
    found = [
        Difference(
            About.USAGE if code in metered else About.CONTRACT,
            code,
            versions.get(code, 0),
            units[code],
            now[code] - before[code],
        )
        for code in dict.fromkeys((*now, *before))
        if now[code] != before[code]
    ]
    return sorted(found, key=lambda entry: (entry.about is About.CONTRACT, entry.plan_code))


def counted_before(
    found: Iterable[Difference], credited: Credited
) -> tuple[list[Difference], list[Difference]]:
    """What of the differences is still to be settled, and what people gave back of them before."""
    left: list[Difference] = []
    counted: list[Difference] = []
    usage_left = credited.of_usage
    for entry in found:
        part = min(-entry.amount, credited.by_plan.get(entry.plan_code, Decimal(0)))
        if entry.about is About.USAGE:
            part = min(part, usage_left)
        if part <= 0:
            left.append(entry)
            continue
        if entry.about is About.USAGE:
            usage_left -= part
        rest = entry.amount + part
        units = Decimal(0) if rest else entry.quantity
        counted.append(replace(entry, amount=-part, quantity=units))
        if rest:
            left.append(replace(entry, amount=rest))
    return left, counted


def late_month(
    period: BillingPeriod,
    terms: Terms,
    found: Sequence[Difference],
    names: Mapping[str, str],
    *,
    usage_changed: bool,
) -> LateMonth:
    """The differences of a month as lines of an invoice.

    `names`: of the plans, by code. `usage_changed`: whether the month's usage is another than the
    one that was billed; if not, the contract has changed.
    """
    lines = tuple(
        RatedLine(
            kind=LineKind.LATE,
            description=_described(period, entry, names, usage_changed),
            quantity=entry.quantity if entry.about is About.USAGE else Decimal(1),
            unit_price=None,
            amount=entry.amount,
            plan_code=entry.plan_code,
            plan_version=entry.plan_version,
        )
        for entry in found
    )
    usage_plans = frozenset(entry.plan_code for entry in found if entry.about is About.USAGE)
    return LateMonth(period, terms, lines, usage_plans)


def settle(months: Iterable[LateMonth], regular: tuple[Terms, Decimal] | None) -> Settlement:
    """Where each month's difference goes; `regular`: terms and subtotal of the customer's invoice
    of the cycle, None where there is none.

    It takes the months that have its own terms, as long as it does not come to less than nothing.
    What is owed beside it is an invoice of its own, what is to be given back a credit note. Months
    that ask for money come first, so that it can bear more of the others. One that is `below_zero`
    makes an invoice less than nothing, the regular one if it can, as it would have at its time.
    """
    terms, left = regular if regular is not None else (None, Decimal(0))
    taken: list[LateMonth] = []
    own: list[LateMonth] = []
    back: list[LateMonth] = []
    for month in sorted(months, key=lambda month: (month.net <= 0, month.period)):
        if month.terms == terms and (left + month.net >= 0 or month.below_zero):
            taken.append(month)
            left += month.net
        elif month.net > 0 or month.below_zero:
            own.append(month)
        else:
            back.append(month)
    taken.sort(key=lambda month: month.period)
    return Settlement(tuple(taken), tuple(own), tuple(back))


def with_late_months(
    draft: InvoiceDraft,
    months: Sequence[LateMonth],
    period: BillingPeriod,
    grants: Sequence[PrepaidGrant] = (),
) -> InvoiceDraft:
    """The regular `draft` of `period` with the lines of `months` behind its own; prepaid credit is
    drawn, and tax worked out, on the whole.
    """
    lines = (*draft.undrawn, *(line for month in months for line in month.lines))
    late_usage = {month.period: month.usage for month in months}
    return draft_of(
        lines, draft.currency, draft.treatment, period, grants=grants, late_usage=late_usage
    )


def invoice_of_its_own(month: LateMonth, grants: Sequence[PrepaidGrant] = ()) -> InvoiceDraft:
    """A late month as an invoice on its own terms; `grants`: what others left of prepaid credit."""
    terms = month.terms
    return draft_of(
        month.lines,
        terms.currency,
        terms.treatment,
        month.period,
        grants=grants,
        late_usage={month.period: month.usage},
    )


@dataclass(frozen=True)
class CreditableLine:
    """What is `left` of an invoice's line behind its credit notes; `of_month`: whether it is about
    the month of which something is given back.
    """

    position: int
    plan_code: str
    left: Decimal
    of_month: bool = True


@dataclass(frozen=True)
class DrawnCredit:
    """What an invoice drew of prepaid credit, less what was returned to it since."""

    grant_id: int
    amount: Decimal


@dataclass(frozen=True)
class Bill:
    """An invoice that billed a month: what is left of its lines, and the prepaid credit that paid
    a part of it, in the order in which it was drawn.
    """

    lines: Sequence[CreditableLine]
    drawn: Sequence[DrawnCredit] = ()

    def less(self, given: "GivenBack") -> "Bill":
        """What it has left behind `given`, which may be of another month on it."""
        zero = Decimal(0)
        lines = [
            replace(line, left=line.left - given.by_line.get(line.position, zero))
            for line in self.lines
        ]
        drawn = [
            replace(credit, amount=credit.amount - given.by_grant.get(credit.grant_id, zero))
            for credit in self.drawn
        ]
        return Bill(lines, drawn)


@dataclass(frozen=True)
class GivenBack:
    """What of each plan an invoice gives back.

    Attributes:
        by_plan, by_line: by a credit note, with the net amounts by line that take it back.
        returned, by_grant: to the prepaid credit that had paid it.
    """

    by_plan: Mapping[str, Decimal]
    by_line: Mapping[int, Decimal]
    returned: Mapping[str, Decimal] = field(default_factory=dict)
    by_grant: Mapping[int, Decimal] = field(default_factory=dict)

    @property
    def net(self) -> Decimal:
        return sum(self.by_line.values(), Decimal(0))


def give_back(
    lines: Sequence[CreditableLine], wanted: Mapping[str, Decimal], at_most: Decimal
) -> GivenBack:
    """What an invoice with `lines` can give back of the amounts `wanted` by plan, `at_most` in all.

    A plan's last lines give first, since usage that falls leaves the upper tiers first. Where all
    is taken that is left of the invoice, each of its lines is, also those that only offset others.
    """
    rest = sum((line.left for line in lines), Decimal(0))
    room = min(at_most, max(rest, Decimal(0)))
    by_plan: dict[str, Decimal] = {}
    by_line: dict[int, Decimal] = {}
    for code, amount in wanted.items():
        mine = [line for line in lines if line.of_month and line.plan_code == code]
        left = sum((line.left for line in mine), Decimal(0))
        taken = min(amount, left, room)
        if taken <= 0:
            continue
        by_plan[code] = taken
        room -= taken
        by_line |= (
            {line.position: line.left for line in mine if line.left}
            if taken == left
            else _taken_from_the_end(mine, taken)
        )
    if by_plan and sum(by_plan.values()) == rest:
        by_line = {line.position: line.left for line in lines if line.left}
    return GivenBack(by_plan, by_line)


def settle_with(bills: Sequence[Bill], month: LateMonth) -> list[GivenBack]:
    """What each of the invoices that billed a month gives back of its difference, in their order.

    What was paid in money comes back as money first; for usage that prepaid credit paid, the credit
    comes back. What the month owes for other plans is kept from what it gives back, and settled
    with the first, so that together they settle the difference to the cent, unless it
    `falls_short`.
    """
    open_by_plan = {line.plan_code: -line.amount for line in month.lines}
    at_most = -month.net
    given: list[GivenBack] = []
    for bill in bills:
        wanted = {code: amount for code, amount in open_by_plan.items() if amount > 0}
        part = give_back(bill.lines, wanted, at_most)
        at_most -= part.net
        for code, amount in part.by_plan.items():
            open_by_plan[code] -= amount
        given.append(part)
    for place, bill in enumerate(bills):
        wanted = {
            code: amount
            for code, amount in open_by_plan.items()
            if amount > 0 and code in month.usage_plans
        }
        returned, by_grant = _returned(bill.drawn, wanted, at_most)
        at_most -= sum(returned.values(), Decimal(0))
        for code, amount in returned.items():
            open_by_plan[code] -= amount
        given[place] = replace(given[place], returned=returned, by_grant=by_grant)
    first = given[0]
    rest = {code: amount for code, amount in open_by_plan.items() if amount}
    codes = dict.fromkeys((*first.by_plan, *rest))
    zero = Decimal(0)
    settled = {code: first.by_plan.get(code, zero) + rest.get(code, zero) for code in codes}
    return [replace(first, by_plan=settled), *given[1:]]


def falls_short(bills: Sequence[Bill], month: LateMonth) -> bool:
    """Whether the invoices that billed a month cannot give back its difference, as none takes a
    credit note of more than it comes to.
    """
    if not bills:
        return True
    given = settle_with(bills, month)
    in_all = sum((part.net + sum(part.by_grant.values()) for part in given), Decimal(0))
    return in_all < -month.net


def _returned(
    drawn: Sequence[DrawnCredit], wanted: Mapping[str, Decimal], at_most: Decimal
) -> tuple[dict[str, Decimal], dict[int, Decimal]]:
    """What of `wanted` prepaid credit had paid, by plan and by grant; what was drawn last would not
    have been drawn, so it comes back first.
    """
    room = min(at_most, sum((credit.amount for credit in drawn), Decimal(0)))
    by_plan = {}
    for code in sorted(wanted):
        if (part := min(wanted[code], room)) > 0:
            by_plan[code] = part
            room -= part
    left = sum(by_plan.values(), Decimal(0))
    by_grant = {}
    for credit in reversed(drawn):
        if (part := min(credit.amount, left)) > 0:
            by_grant[credit.grant_id] = part
            left -= part
    return by_plan, by_grant


def _taken_from_the_end(lines: Sequence[CreditableLine], amount: Decimal) -> dict[int, Decimal]:
    taken = {}
    for line in reversed(lines):
        part = min(line.left, amount)
        if part > 0:
            taken[line.position] = part
            amount -= part
    return taken


def _described(
    period: BillingPeriod, entry: Difference, names: Mapping[str, str], usage_changed: bool
) -> str:
    if not entry.plan_code:
        what = f"Discounts for {period}, counted anew"
    elif entry.about is About.CONTRACT or not usage_changed:
        what = f"Change of contract for {period}"
    elif (entry.quantity or entry.amount) < 0:
        what = f"Usage for {period}, corrected"
    else:
        what = f"Usage for {period}, arrived late"
    name = names.get(entry.plan_code)
    return f"{what}: {name}" if name else what
