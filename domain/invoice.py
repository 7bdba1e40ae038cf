"""An invoice as computed: lines, tax, totals, dates and number."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from domain.errors import InvalidValue
from domain.lines import InvoiceSum, RatedLine, sum_of
from domain.money import round_money
from domain.periods import BillingPeriod
from domain.plans import PriceBook
from domain.prepaid import PrepaidDraw, PrepaidGrant, draw_down, purchase_lines
from domain.rating import Contract, DailyUsage, rate_customer
from domain.tax import TaxPolicy, TaxSubject, TaxTable, TaxTreatment, determine_tax

_NUMBER = re.compile(r"INV-(\d{4})-(\d{2})-(?!0000$)(\d{4}|[1-9]\d{4,8})", re.ASCII)


class InvoiceStatus(StrEnum):
    DRAFT = "draft"
    ISSUED = "issued"
    PAID = "paid"
    OVERDUE = "overdue"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"

    @property
    def is_settled(self) -> bool:
        """Nothing more is asked of the customer."""
        return self in (InvoiceStatus.PAID, InvoiceStatus.VOID, InvoiceStatus.UNCOLLECTIBLE)


class InvoiceKind(StrEnum):
    """`regular`: the period's own; `late`: usage of a month that was billed before it arrived."""

    REGULAR = "regular"
    LATE = "late"


NOTHING_TO_BILL = "no usage and no active subscription"


@dataclass(frozen=True)
class TaxLine:
    """The tax at one rate: on `taxable`, the sum of the rounded lines, rounded half-up."""

    treatment: TaxTreatment
    taxable: Decimal
    amount: Decimal


class _HasAmount(Protocol):
    @property
    def amount(self) -> Decimal: ...


class TaxedDraft:
    """What lines and tax lines come to, each rounded before; an invoice's rule and its credit
    notes' alike.
    """

    currency: str
    lines: Sequence[_HasAmount]
    tax_lines: tuple[TaxLine, ...]

    @property
    def subtotal(self) -> Decimal:
        return self._sum(line.amount for line in self.lines)

    @property
    def tax(self) -> Decimal:
        return self._sum(line.amount for line in self.tax_lines)

    @property
    def total(self) -> Decimal:
        return self.subtotal + self.tax

    def _sum(self, amounts: Iterable[Decimal]) -> Decimal:
        return round_money(sum(amounts, Decimal(0)), self.currency)


@dataclass(frozen=True)
class InvoiceDraft(TaxedDraft):
    """What one customer owes for one period, before it is numbered and issued.

    Every amount is rounded to the currency's minor unit; `total` is the sum of the lines and
    the tax lines. `draws`: the prepaid credit that it takes, which has its lines at the end.
    """

    currency: str
    lines: tuple[RatedLine, ...]
    tax_lines: tuple[TaxLine, ...]
    draws: tuple[PrepaidDraw, ...] = ()

    @property
    def treatment(self) -> TaxTreatment:
        """An invoice has one."""
        return self.tax_lines[0].treatment

    @property
    def undrawn(self) -> tuple[RatedLine, ...]:
        """Its lines without what prepaid credit pays."""
        return self.lines[: len(self.lines) - len(self.draws)]

    def amount_of(self, part: InvoiceSum) -> Decimal:
        """One of the sums that make the subtotal."""
        return self._sum(line.amount for line in self.lines if line.kind.counts_to is part)


@dataclass(frozen=True)
class PriceList:
    """The rules that a cycle applies to every customer."""

    prices: PriceBook
    taxes: TaxTable
    tax_policy: TaxPolicy


def draft_invoice(
    subject: TaxSubject,
    contract: Contract,
    usage: Iterable[DailyUsage],
    rules: PriceList,
    period: BillingPeriod,
    *,
    grants: Sequence[PrepaidGrant] = (),
) -> InvoiceDraft | None:
    """One customer's invoice for `period`, or None where there is nothing to bill.

    Usage inside the free tier alone gives an invoice of 0.00, which is not nothing. `grants`: all
    prepaid credit of the customer. Raises CustomerCannotBeBilled with the reason and the remedy.
    """
    lines = rate_customer(contract, usage, rules.prices, period)
    lines += purchase_lines(grants, contract.currency, period)
    if not lines:
        return None
    treatment = determine_tax(subject, rules.taxes, rules.tax_policy, period.last_day)
    return draft_of(lines, contract.currency, treatment, period, grants=grants)


def draft_of(
    lines: Sequence[RatedLine],
    currency: str,
    treatment: TaxTreatment,
    period: BillingPeriod,
    *,
    grants: Sequence[PrepaidGrant] = (),
    late_usage: Mapping[BillingPeriod, Decimal] | None = None,
) -> InvoiceDraft:
    """`lines`, and what they draw from prepaid credit that is for `period`, with the tax on them.

    `late_usage`: what of the lines of kind late is for usage, by its month.
    """
    draws = draw_down(grants, lines, currency, period, late_usage=late_usage)
    whole = (*lines, *(draw.line for draw in draws))
    taxable = round_money(sum_of(whole), currency)
    tax_line = TaxLine(treatment, taxable, treatment.amount_on(taxable, currency))
    return InvoiceDraft(currency, whole, (tax_line,), tuple(draws))


def invoice_number(period: BillingPeriod, sequence: int) -> str:
    """`INV-2026-02-0047` for the 47th invoice of February 2026; five digits from 10,000 on."""
    if sequence < 1:
        raise InvalidValue(f"{sequence} is not an invoice's place in its month; the first is 1.")
    return f"INV-{period}-{sequence:04d}"


def parse_invoice_number(number: str) -> tuple[BillingPeriod, int]:
    """Period and sequence of an invoice number. Raises InvalidValue for anything else."""
    match = _NUMBER.fullmatch(number)
    if match is None:
        raise InvalidValue(f"{number!r} is not an invoice number; they look like INV-2026-02-0047.")
    return BillingPeriod(int(match[1]), int(match[2])), int(match[3])


def due_date(issued_on: date, terms_days: int) -> date:
    """Net terms: the day by which the invoice is to be paid, inclusive."""
    return issued_on + timedelta(days=terms_days)


def overdue_from(due_on: date) -> date:
    """The first day on which an unpaid invoice is overdue."""
    return due_on + timedelta(days=1)


def nothing_to_pay(total: Decimal) -> bool:
    """An invoice of 0.00 or less is settled when it is issued."""
    return total <= 0


def open_amount(
    status: InvoiceStatus, total: Decimal, *, paid: Decimal, credited: Decimal
) -> Decimal:
    """What is still to be paid; zero for a draft and for a settled invoice."""
    if status is InvoiceStatus.DRAFT or status.is_settled:
        return total * 0
    return total - paid - credited
