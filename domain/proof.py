"""The proof that a month was billed: equations whose two sides are gathered on different ways.

A side is never the source of the other. Whatever does not agree is named, by customer; a
difference is zero or an alarm, also where two of them cancel each other out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Equation(StrEnum):
    """What must agree, in the order in which it is shown."""

    USAGE_COUNTED = "usage_counted"
    USAGE_BY_DAY = "usage_by_day"
    USAGE_BILLED = "usage_billed"
    UNITS_PRICED = "units_priced"
    RATED_AGAIN = "rated_again"
    LINES = "lines"
    SUBTOTALS = "subtotals"
    TAXES = "taxes"
    TOTALS = "totals"
    OUTCOMES = "outcomes"
    BILLED_ONCE = "billed_once"
    NUMBERS = "numbers"
    CYCLE_TOTALS = "cycle_totals"
    REVENUE_REPORT = "revenue_report"
    OUTSTANDING_REPORT = "outstanding_report"
    INVOICE_EXPORT = "invoice_export"
    LINE_EXPORT = "line_export"
    SETTLED = "settled"
    RECEIVABLES = "receivables"
    CREDIT = "credit"
    CARD_PAYMENTS = "card_payments"
    BANK_PAYMENTS = "bank_payments"
    BANK_STATEMENTS = "bank_statements"
    BANK_BALANCES = "bank_balances"


class Measure(StrEnum):
    """What the sides of an equation count: units of a metric, amounts of a currency, or things."""

    UNITS = "units"
    MONEY = "money"
    THINGS = "things"


@dataclass(frozen=True)
class Law:
    """How an equation reads: the sentence that it proves, and what its two sides are."""

    part: str
    sentence: str
    left: str
    right: str
    measure: Measure = Measure.MONEY


LAWS: Mapping[Equation, Law] = {
    Equation.USAGE_COUNTED: Law(
        "Usage",
        "Every unit received is in the month's counter, by which customers are billed.",
        "events received",
        "the month's counter",
        Measure.UNITS,
    ),
    Equation.USAGE_BY_DAY: Law(
        "Usage",
        "The counters of the days come to the same.",
        "events received",
        "the days' counters",
        Measure.UNITS,
    ),
    Equation.USAGE_BILLED: Law(
        "Usage",
        "Every unit received was billed, or it is known where it is and why.",
        "received, with what was set aside",
        "billed or accounted for",
        Measure.UNITS,
    ),
    Equation.UNITS_PRICED: Law(
        "Prices",
        "Every unit that counts as billed has a plan that prices it.",
        "units billed",
        "units priced a second time",
        Measure.UNITS,
    ),
    Equation.RATED_AGAIN: Law(
        "Prices",
        "Rated a second time, by another formula, the month comes to the same.",
        "second rating",
        "invoice lines",
    ),
    Equation.LINES: Law(
        "Invoices",
        "Each line is its quantity times its price, rounded; of prepaid credit, what was drawn.",
        "quantity x price",
        "amounts of the lines",
    ),
    Equation.SUBTOTALS: Law(
        "Invoices",
        "Each invoice comes to the sum of its lines.",
        "sum of the lines",
        "subtotals",
    ),
    Equation.TAXES: Law(
        "Invoices",
        "The tax of each invoice is its rate on all that it charges.",
        "rate x lines",
        "tax",
    ),
    Equation.TOTALS: Law(
        "Invoices",
        "Each total is the subtotal and the tax.",
        "subtotal + tax",
        "totals",
    ),
    Equation.OUTCOMES: Law(
        "Customers",
        "Everybody with usage, late usage or a subscription was billed, or the reason is known.",
        "customers to bill",
        "customers with an outcome",
        Measure.THINGS,
    ),
    Equation.BILLED_ONCE: Law(
        "Customers",
        "Nobody is billed twice for the same.",
        "customers billed",
        "invoices",
        Measure.THINGS,
    ),
    Equation.NUMBERS: Law(
        "Customers",
        "The invoice numbers of the month have no gap.",
        "numbers up to the last",
        "numbers in use",
        Measure.THINGS,
    ),
    Equation.CYCLE_TOTALS: Law(
        "Reports",
        "The totals of the billing cycle are those of its invoices.",
        "invoices",
        "cycle's totals",
    ),
    Equation.REVENUE_REPORT: Law(
        "Reports",
        "The revenue report of the month is its invoices less their credit notes.",
        "invoices less credit notes",
        "revenue by customer",
    ),
    Equation.OUTSTANDING_REPORT: Law(
        "Reports",
        "The report of what is outstanding is what is open on the invoices.",
        "open on invoices",
        "outstanding",
    ),
    Equation.INVOICE_EXPORT: Law(
        "Reports",
        "The exported invoices come to the same total.",
        "invoices",
        "export of invoices",
    ),
    Equation.LINE_EXPORT: Law(
        "Reports",
        "The exported lines come to the same as the invoices, before tax.",
        "invoices before tax",
        "export of lines",
    ),
    Equation.SETTLED: Law(
        "Payments",
        "What counts as settled on each invoice was paid, taken from credit, or credited.",
        "settled on invoices",
        "payments and credit notes",
    ),
    Equation.RECEIVABLES: Law(
        "Payments",
        "What is open on each invoice is the sum of what was entered day by day.",
        "open on invoices",
        "entries by day",
    ),
    Equation.CREDIT: Law(
        "Payments",
        "Each customer's credit is what was paid beyond the invoices and not given back.",
        "paid and not used",
        "credit",
    ),
    Equation.CARD_PAYMENTS: Law(
        "Payments",
        "Charges, refunds and disputes are those of the card processor's account, one by one.",
        "our books",
        "card processor",
    ),
    Equation.BANK_PAYMENTS: Law(
        "Payments",
        "Every entry of the bank was booked, or it is known why not.",
        "bank transactions",
        "booked or accounted for",
    ),
    Equation.BANK_STATEMENTS: Law(
        "Payments",
        "The bank transactions are the entries of the statements that the bank sent.",
        "statement files, read again",
        "bank transactions",
    ),
    Equation.BANK_BALANCES: Law(
        "Payments",
        "The entries of each statement bring its opening to its closing balance.",
        "closing less opening balance",
        "bank transactions",
    ),
}


class ProofStatus(StrEnum):
    """`incomplete`: nothing is wrong as far as it was checked, and something could not be."""

    BALANCED = "balanced"
    ALARM = "alarm"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that both sides know: a customer, an invoice, a payment.

    Attributes:
        unit: what the amounts count: a metric, a currency, or a word such as "customers".
        account_number: the customer's; "" where nobody knows.
        expected, found: the left side and the right side.
        parts: what `found` is made of, by name; they come to it, or there are none.
        explanation: what to do, or what is known, where the two differ.
    """

    unit: str
    account_number: str
    expected: Decimal
    found: Decimal
    subject: str = ""
    parts: tuple[tuple[str, Decimal], ...] = ()
    explanation: str = ""


@dataclass(frozen=True)
class Part:
    """A part of an equation's right side; `count`: how many entries have it."""

    name: str
    amount: Decimal
    count: int


@dataclass(frozen=True)
class Weighed:
    """Both sides of an equation in one unit, over all customers.

    `not_checked`: why it could not be checked; both sides are 0 then and say nothing.
    """

    equation: Equation
    unit: str
    left: Decimal
    right: Decimal
    parts: tuple[Part, ...] = ()
    not_checked: str = ""

    @property
    def difference(self) -> Decimal:
        """Below zero: the right side has too little."""
        return self.right - self.left


@dataclass(frozen=True)
class Difference:
    """Something on which the sides of an equation do not agree, and whose it is."""

    equation: Equation
    unit: str
    account_number: str
    subject: str
    expected: Decimal
    found: Decimal
    explanation: str

    @property
    def difference(self) -> Decimal:
        """Below zero: too little was found."""
        return self.found - self.expected


@dataclass(frozen=True)
class Proof:
    """All equations of a month, and every difference; an equation has a row for each unit."""

    equations: tuple[Weighed, ...]
    differences: tuple[Difference, ...]

    @property
    def status(self) -> ProofStatus:
        if self.differences:
            return ProofStatus.ALARM
        if any(row.not_checked for row in self.equations):
            return ProofStatus.INCOMPLETE
        return ProofStatus.BALANCED

    def __add__(self, other: "Proof") -> "Proof":
        order = {equation: place for place, equation in enumerate(Equation)}
        rows = sorted(self.equations + other.equations, key=lambda row: order[row.equation])
        found = sorted(self.differences + other.differences, key=lambda row: order[row.equation])
        return Proof(tuple(rows), tuple(found))


class _Sums:
    """What the entries of one unit come to."""

    def __init__(self) -> None:
        self.left = self.right = Decimal(0)
        self.parts: dict[str, tuple[Decimal, int]] = {}

    def add(self, entry: Entry) -> None:
        self.left += entry.expected
        self.right += entry.found
        for name, amount in entry.parts:
            if amount:
                before, count = self.parts.get(name, (Decimal(0), 0))
                self.parts[name] = (before + amount, count + 1)


class Scale:
    """Weighs one equation, entry by entry: only what differs is kept."""

    def __init__(self, equation: Equation) -> None:
        self._equation = equation
        self._sums: dict[str, _Sums] = {}
        self._differences: list[Difference] = []

    def add(self, entry: Entry) -> None:
        self._sums.setdefault(entry.unit, _Sums()).add(entry)
        if entry.expected != entry.found:
            self._differences.append(
                Difference(
                    self._equation,
                    entry.unit,
                    entry.account_number,
                    entry.subject,
                    entry.expected,
                    entry.found,
                    entry.explanation,
                )
            )

    def proof(self) -> Proof:
        """What was weighed; without entries both sides are nothing, which is balanced."""
        rows = [
            Weighed(
                self._equation,
                unit,
                sides.left,
                sides.right,
                tuple(Part(name, *sides.parts[name]) for name in sides.parts),
            )
            for unit, sides in sorted(self._sums.items())
        ]
        empty = Weighed(self._equation, "", Decimal(0), Decimal(0))
        return Proof(tuple(rows) or (empty,), tuple(self._differences))


def weigh(equation: Equation, entries: Iterable[Entry]) -> Proof:
    """Sums both sides by unit, and names each entry on which they differ."""
    scale = Scale(equation)
    for entry in entries:
        scale.add(entry)
    return scale.proof()


def not_checked(equation: Equation, reason: str) -> Proof:
    """An equation of which a side cannot be had now: never zero, and never balanced."""
    return Proof((Weighed(equation, "", Decimal(0), Decimal(0), not_checked=reason),), ())
