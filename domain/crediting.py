"""What a credit note takes back from an issued invoice, never a cent more than is left.

A credit note takes back net amounts of lines and, for each tax rate, the tax on them. Between them
the credit notes of an invoice may reach the invoice and not pass it: in every line, in the tax of
every rate, in the total.

**Lines.** An invoice may carry negative lines, such as a proration beside its full charge. What is
left of a line keeps the line's own sign, so crediting such a line asks again for what it had
taken off; alone that is no credit, and it is refused. Beside it the full charge may be
credited only as far as the two together were charged: at each rate the lines credited come to no
less than nothing and to no more than is left. A note that takes all that is left at a rate takes
every line's rest with it, so that no +36.00 and -36.00 remain that nobody could credit.

**Tax.** On the net credited at a rate, rounded half-up, and at most what is left of that rate's
tax. The note that takes the last of a rate takes the rest of its tax, however the roundings before
it fell.

**Amounts.** A gross amount is spread over the rates, then over each rate's lines, in proportion to
what is left of them; the minor units that rounding leaves over go to the largest remainders. Its
tax is the tax contained in it, rounded half-up. Where some net plus its half-up tax makes the gross
amount, this is that net and that tax; where none does (0.03 at 19 %), the amount asked for stays
exact and the tax is the nearest.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from domain.apportioning import contained_tax, spread
from domain.errors import Conflict, InvalidValue
from domain.invoice import TaxedDraft, TaxLine
from domain.money import Money
from domain.periods import BillingPeriod
from domain.tax import TaxTreatment

_NUMBER = re.compile(r"CN-(\d{4})-(\d{2})-(?!0000$)(\d{4}|[1-9]\d{4,8})", re.ASCII)


class CreditExceedsInvoice(Conflict):
    """More was to be taken back than earlier credit notes left."""

    code = "credit_exceeds_invoice"


class NothingLeftToCredit(Conflict):
    """The invoice, or the line that was named, is credited already or never asked for money."""

    code = "nothing_left_to_credit"


class CreditLeavesLines(Conflict):
    """Lines would remain that cancel each other out, so that no later note could take them back."""

    code = "credit_leaves_lines"


class NotCreditable(Conflict):
    """The invoice's own figures give no rule by which to take them back."""

    code = "not_creditable"


class CreditOfNothing(InvalidValue):
    """The credit note would come to 0.00 or less."""

    code = "credit_of_nothing"


class UnknownLine(InvalidValue):
    """A position that the invoice does not have."""

    code = "unknown_line"


class RefundTo(StrEnum):
    """Where credited money goes that was paid already; empty where none was."""

    NOWHERE = ""
    CARD = "card"
    CREDIT = "credit"


@dataclass(frozen=True)
class InvoicedLine:
    """A line of the invoice; `tax` is the place of its rate in the invoice's `tax_lines`."""

    position: int
    description: str
    amount: Decimal
    tax: int = 0


@dataclass(frozen=True)
class CreditableInvoice:
    """An invoice as it was issued, its amounts in `currency` and rounded to its minor unit.

    Raises NotCreditable unless the lines of each rate come to what was taxed at it, no rate
    stands twice, and none has a negative sum or tax on nothing.
    """

    number: str
    currency: str
    lines: tuple[InvoicedLine, ...]
    tax_lines: tuple[TaxLine, ...]

    def __post_init__(self) -> None:
        positions = {line.position for line in self.lines}
        treatments = {tax.treatment for tax in self.tax_lines}
        if len(positions) < len(self.lines) or len(treatments) < len(self.tax_lines):
            raise NotCreditable(f"{self.number} repeats a line's position or a tax rate.")
        if not all(0 <= line.tax < len(self.tax_lines) for line in self.lines):
            raise NotCreditable(f"{self.number} has a line without a tax rate; name its rate.")
        if self.total <= 0:
            return
        for place, tax in enumerate(self.tax_lines):
            net = sum(line.amount for line in self.lines if line.tax == place)
            if net != tax.taxable:
                raise NotCreditable(
                    f"{self.number} taxes {tax.taxable} at {tax.treatment.name} and its lines "
                    f"there come to {net}; correct them in a new invoice."
                )
            if tax.taxable < 0 or tax.amount < 0 or (tax.amount > 0 and tax.taxable == 0):
                raise NotCreditable(
                    f"{self.number} has a tax of {tax.amount} on {tax.taxable}, which no rate "
                    "gives; settle it with the customer outside the credit notes."
                )

    @property
    def total(self) -> Decimal:
        lines = sum((line.amount for line in self.lines), Decimal(0))
        return lines + sum((tax.amount for tax in self.tax_lines), Decimal(0))


@dataclass(frozen=True)
class CreditLine:
    """The net amount taken back of one line of the invoice, in the sign of that line."""

    position: int
    description: str
    amount: Decimal


@dataclass(frozen=True)
class CreditNoteDraft(TaxedDraft):
    """What one credit note takes back; its total is above zero, subtotal and tax not below.

    Lines of which nothing is taken back are left out; so are rates.
    """

    currency: str
    lines: tuple[CreditLine, ...]
    tax_lines: tuple[TaxLine, ...]


@dataclass(frozen=True)
class CreditedSoFar:
    """What the credit notes before took back: net by line position, tax by rate."""

    lines: Mapping[int, Decimal] = field(default_factory=dict)
    taxes: Mapping[TaxTreatment, Decimal] = field(default_factory=dict)

    @classmethod
    def by(cls, notes: Iterable[CreditNoteDraft]) -> "CreditedSoFar":
        """The sums over `notes`, all of one invoice."""
        lines: dict[int, Decimal] = {}
        taxes: dict[TaxTreatment, Decimal] = {}
        for note in notes:
            for line in note.lines:
                lines[line.position] = lines.get(line.position, Decimal(0)) + line.amount
            for tax in note.tax_lines:
                taxes[tax.treatment] = taxes.get(tax.treatment, Decimal(0)) + tax.amount
        return cls(lines, taxes)


@dataclass(frozen=True)
class CreditSettlement:
    """What a credit note does: reduces what is still owed, and gives back what was paid."""

    reduces_open: Decimal
    to_return: Decimal


def credit_in_full(invoice: CreditableInvoice, earlier: CreditedSoFar) -> CreditNoteDraft:
    """All that `earlier` left of the invoice. Raises NothingLeftToCredit."""
    rest = _Rest(invoice, earlier)
    return rest.note(rest.lines, rest.taxes)


def credit_lines(
    invoice: CreditableInvoice, earlier: CreditedSoFar, wanted: Mapping[int, Decimal | None]
) -> CreditNoteDraft:
    """Net amounts by line position, each in its line's sign; None takes what is left of a line.

    Raises UnknownLine, CreditExceedsInvoice, CreditOfNothing, CreditLeavesLines,
    NothingLeftToCredit, and InvalidValue for an amount with a fraction of a minor unit.
    """
    rest = _Rest(invoice, earlier)
    lines = {position: rest.part(position, amount) for position, amount in wanted.items()}
    taxes = [rest.tax_on(place, lines) for place in range(len(invoice.tax_lines))]
    return rest.note(lines, taxes)


def credit_amount(
    invoice: CreditableInvoice, earlier: CreditedSoFar, amount: Decimal
) -> CreditNoteDraft:
    """`amount` with its tax, spread over what is left in proportion.

    Raises CreditExceedsInvoice, CreditOfNothing, NothingLeftToCredit, and InvalidValue for an
    amount with a fraction of a minor unit.
    """
    rest = _Rest(invoice, earlier)
    units = rest.units(amount)
    if units > rest.total:
        raise CreditExceedsInvoice(
            f"{invoice.number} has {rest.show(rest.total)} left to credit and {amount:f} was asked "
            "for; credit at most what is left."
        )
    if units <= 0:
        raise CreditOfNothing(f"{amount:f} is no credit; give an amount above zero.")
    if units == rest.total:
        return rest.note(rest.lines, rest.taxes)
    lines: dict[int, int] = {}
    taxes = []
    left = [rest.net(place) + tax for place, tax in enumerate(rest.taxes)]
    for place, gross in enumerate(spread(units, left)):
        net, tax = rest.net_and_tax(place, gross)
        parts = {line: rest.lines[line] for line in rest.positions(place)}
        lines |= zip(parts, spread(net, list(parts.values())), strict=True)
        taxes.append(tax)
    return rest.note(lines, taxes)


def split_credit(draft_total: Decimal, *, open_amount: Decimal, paid: Decimal) -> CreditSettlement:
    """First reduces what is open; the rest was paid, and is to be returned.

    `open_amount`: what is still owed, `paid`: what was paid and not given back yet; neither below
    zero. Raises CreditExceedsInvoice where the two together are less than `draft_total`.
    """
    reduces_open = min(draft_total, open_amount)
    to_return = draft_total - reduces_open
    if to_return > paid:
        raise CreditExceedsInvoice(
            f"A credit of {draft_total} exceeds the {open_amount} that is open and the {paid} that "
            "was paid; credit at most their sum."
        )
    return CreditSettlement(reduces_open, to_return)


def credit_note_number(on: date, sequence: int) -> str:
    """`CN-2026-03-0007` for the 7th credit note of March 2026, by its business date."""
    if sequence < 1:
        raise InvalidValue(f"{sequence} is no credit note's place in its month; the first is 1.")
    return f"CN-{BillingPeriod.of(on)}-{sequence:04d}"


def parse_credit_note_number(number: str) -> tuple[BillingPeriod, int]:
    """Month and sequence of a credit note's number. Raises InvalidValue for anything else."""
    match = _NUMBER.fullmatch(number)
    if match is None:
        raise InvalidValue(
            f"{number!r} is not a credit note's number; they look like CN-2026-03-0007."
        )
    return BillingPeriod(int(match[1]), int(match[2])), int(match[3])


class _Rest:
    """What is left of an invoice, in minor units: of lines by position, of taxes by place."""

    def __init__(self, invoice: CreditableInvoice, earlier: CreditedSoFar) -> None:
        self._invoice = invoice
        self.lines = {
            line.position: self.units(line.amount - earlier.lines.get(line.position, 0))
            for line in invoice.lines
        }
        self.taxes = [
            self.units(tax.amount - earlier.taxes.get(tax.treatment, 0))
            for tax in invoice.tax_lines
        ]
        self.total = sum(self.lines.values()) + sum(self.taxes)
        if self.total <= 0:
            raise NothingLeftToCredit(
                f"{invoice.number} came to {invoice.total:f} {invoice.currency} and has nothing "
                "left to credit."
            )

    def units(self, amount: Decimal) -> int:
        return Money(amount, self._invoice.currency).to_minor()

    def show(self, units: int) -> str:
        return str(Money.from_minor(units, self._invoice.currency))

    def positions(self, place: int) -> list[int]:
        return [line.position for line in self._invoice.lines if line.tax == place]

    def net(self, place: int, lines: Mapping[int, int] | None = None) -> int:
        """What `lines`, or all that is left, come to at one rate."""
        units = self.lines if lines is None else lines
        return sum(units.get(position, 0) for position in self.positions(place))

    def part(self, position: int, amount: Decimal | None) -> int:
        """What is asked for of a line, all that is left for None."""
        number = self._invoice.number
        if position not in self.lines:
            raise UnknownLine(f"{number} has no line {position}; name one of its lines.")
        left = self.lines[position]
        if amount is None and left == 0:
            raise NothingLeftToCredit(f"Line {position} of {number} has nothing left to credit.")
        units = left if amount is None else self.units(amount)
        if not min(left, 0) <= units <= max(left, 0):
            raise CreditExceedsInvoice(
                f"Line {position} of {number} has {self.show(left)} left to credit and "
                f"{self.show(units)} was asked for; stay between nothing and what is left."
            )
        return units

    def tax_on(self, place: int, lines: Mapping[int, int]) -> int:
        """The tax that goes back with `lines` at one rate, whose bounds it keeps."""
        net, left = self.net(place, lines), self.net(place)
        treatment = self._invoice.tax_lines[place].treatment
        if net < 0:
            raise CreditOfNothing(
                f"The lines at {treatment.name} come to {self.show(net)}, which asks for money; "
                "credit the lines that they reduce beside them."
            )
        if net > left:
            raise CreditExceedsInvoice(
                f"The lines at {treatment.name} come to {self.show(net)} and {self.show(left)} is "
                f"left there of {self._invoice.number}; credit its negative lines beside them."
            )
        if net == left:
            return self.taxes[place]
        credited = Money.from_minor(net, self._invoice.currency)
        tax = treatment.amount_on(credited.amount, credited.currency)
        return min(self.units(tax), self.taxes[place])

    def net_and_tax(self, place: int, gross: int) -> tuple[int, int]:
        """`gross` parted at one rate; a part of what is left leaves some net to be taxed."""
        net, tax = self.net(place), self.taxes[place]
        if gross == net + tax:
            return net, tax
        contained = contained_tax(gross, self._invoice.tax_lines[place].treatment.rate_percent)
        taken = min(max(contained, gross - net + 1), gross, tax)
        return gross - taken, taken

    def note(self, lines: Mapping[int, int], taxes: Sequence[int]) -> CreditNoteDraft:
        """The draft that takes back `lines` and `taxes`, and leaves what can be taken back."""
        total = sum(lines.values()) + sum(taxes)
        if total <= 0:
            raise CreditOfNothing(
                f"A credit note of {self.show(total)} gives nothing back; credit more than zero."
            )
        for place in range(len(taxes)):
            emptied = total == self.total or 0 < self.net(place) == self.net(place, lines)
            stay = [n for n in self.positions(place) if self.lines[n] != lines.get(n, 0)]
            if emptied and stay:
                named = ", ".join(map(str, stay))
                raise CreditLeavesLines(
                    f"This takes all that is left of {self._invoice.number} but not all of lines "
                    f"{named}, which cancel each other out; credit the rest of them as well."
                )
        return self._draft(lines, taxes)

    def _draft(self, lines: Mapping[int, int], taxes: Sequence[int]) -> CreditNoteDraft:
        currency = self._invoice.currency

        def amount(units: int) -> Decimal:
            return Money.from_minor(units, currency).rounded().amount

        nets = [self.net(place, lines) for place in range(len(taxes))]
        return CreditNoteDraft(
            currency,
            tuple(
                CreditLine(line.position, line.description, amount(lines[line.position]))
                for line in self._invoice.lines
                if lines.get(line.position, 0) != 0
            ),
            tuple(
                TaxLine(tax.treatment, amount(net), amount(units))
                for tax, net, units in zip(self._invoice.tax_lines, nets, taxes, strict=True)
                if net != 0 or units != 0
            ),
        )
