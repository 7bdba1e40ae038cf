"""Which invoices a payment is for: certain, or for a person to decide.

A match is certain where the payment names its invoices in one way only, in their currency, and
the amount or the payer bears it out. What looks alike but for a name or an amount is proposed and
never booked by itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import islice

from domain.errors import InvalidValue
from domain.open_invoices import IncomingPayment, OpenInvoice, OpenInvoices, SettledInvoice
from domain.references import Strength, plain_text, read_references

_PROPOSED = 5
_LOOKED_AT = 50  # invoices for each clue that a person may be shown
_SCORES = {Strength.EXACT: 50, Strength.MENDED: 40, Strength.HINT: 20}
_IN_WORDS = {
    Strength.EXACT: "the reference names it",
    Strength.MENDED: "the reference names it, but for its form",
    Strength.HINT: "the reference hints at it",
}
_SETTLED = {"paid": "is paid already", "void": "is void", "uncollectible": "was written off"}
_ACCOUNT_WORDS = (re.compile(r"[^\s,;:#()]+"), re.compile(r"[0-9A-Z]+"))
_SEQUENCE = re.compile(r"(?<![0-9])[0-9]{1,9}(?![0-9])")


@dataclass(frozen=True)
class Allocation:
    """A part of a payment; above zero. What exceeds the open amount is for credit."""

    number: str
    amount: Decimal


@dataclass(frozen=True)
class Candidate:
    """An invoice that the payment may be for. `score` of 0 to 100; `reasons` in words."""

    number: str
    score: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class MatchResult:
    """Allocations that come to the whole payment; or none, and why, and what a person may choose.

    `candidates` have the likeliest first.
    """

    certain: tuple[Allocation, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    why_not: str = ""


def match_payment(
    payment: IncomingPayment, open_invoices: OpenInvoices, *, propose: bool = True
) -> MatchResult:
    """What `payment` is for. `propose` False leaves the candidates out, which cost the most.

    Certain are: one open invoice or several, named in one way each, in the payment's currency,
    and either the amount is what is open, or the payer is the customer, or the reference is exact,
    the amount is less, and nothing speaks against it; where no invoice is named, the account's
    number with the exact amount from that customer. Several invoices are paid oldest first.
    """
    if payment.amount <= 0:
        raise InvalidValue(f"{payment.amount} did not come in; match payments above zero only.")
    clues = _Clues.of(payment, open_invoices)
    invoices, why_not = _decide(payment, open_invoices, clues)
    if not why_not:
        return MatchResult(certain=_allocate(payment.amount, invoices))
    proposed = _candidates(payment, open_invoices, clues) if propose else ()
    return MatchResult(candidates=proposed, why_not=why_not)


@dataclass(frozen=True)
class _Clues:
    """What the payer wrote.

    Attributes:
        named: open invoices with the strength of their reading.
        settled: invoices that are not open any more.
        doubtful: numbers of ours that a reading may mean beside another one.
        hinted: open invoices that something hints at, beside those named.
        unknown: an exact reference that is none of ours, or "".
    """

    named: dict[str, Strength]
    settled: tuple[SettledInvoice, ...]
    doubtful: tuple[str, ...]
    hinted: frozenset[str]
    unknown: str
    text: str

    @classmethod
    def of(cls, payment: IncomingPayment, known: OpenInvoices) -> "_Clues":
        """A payer's own id counts where the remittance names nothing, else it only hints."""
        written, own = plain_text(payment.remittance), plain_text(payment.end_to_end_id)
        readings, aside = read_references(written), read_references(own)
        if not any(known.knows(number) for reading in readings for number in reading.numbers):
            readings, aside = (*readings, *aside), ()
        named: dict[str, Strength] = {}
        doubtful: list[str] = []
        unknown = ""
        hinted = {number for reading in aside for number in reading.numbers}
        for reading in readings:
            ours = [number for number in reading.numbers if known.knows(number)]
            if reading.strength is Strength.HINT:
                hinted.update(ours)
            elif len(ours) > 1:
                doubtful += ours
            elif ours:
                named[ours[0]] = max(reading.strength, named.get(ours[0], Strength.HINT))
            elif reading.strength is Strength.EXACT:
                unknown = unknown or reading.numbers[0]
        settled = known.settled
        return cls(
            named={number: s for number, s in named.items() if number in known.by_number},
            settled=tuple(settled[number] for number in named if number in settled),
            doubtful=tuple(doubtful),
            hinted=frozenset(n for n in hinted if n in known.by_number and n not in named),
            unknown=unknown,
            text=f"{written} {own}",
        )


_Decision = tuple[Sequence[OpenInvoice], str]
"""The invoices that are paid for certain, or the reason why none is."""


def _decide(payment: IncomingPayment, known: OpenInvoices, clues: _Clues) -> _Decision:
    if clues.doubtful:
        return (), f"The reference may mean {' or '.join(clues.doubtful)}."
    if clues.settled:
        first = clues.settled[0]
        return (), (
            f"{first.number} {_SETTLED[first.status]}; if it was paid twice, the payment is credit "
            f"of account {first.account_number}."
        )
    invoices = [known.by_number[number] for number in clues.named]
    if not invoices:
        if clues.unknown:
            return (), f"There is no open invoice {clues.unknown}."
        return _by_account(payment, known, clues)
    for invoice in invoices:
        if invoice.currency != payment.currency:
            return (), (
                f"{invoice.number} is in {invoice.currency} and the payment in {payment.currency}."
            )
    if payment.amount == sum(invoice.open_amount for invoice in invoices):
        return invoices, _against_equal(payment, known, clues, invoices)
    return invoices, _against_other_amount(payment, known, clues, invoices)


def _against_equal(
    payment: IncomingPayment, known: OpenInvoices, clues: _Clues, invoices: list[OpenInvoice]
) -> str:
    """What speaks against invoices that are named and come to the payment; "" for nothing.

    An exact reference yields only to a payer who owes the same amount for another invoice and may
    have mistaken the number; a mended one to any customer who is known to be another.
    """
    named = {invoice.account_number for invoice in invoices}
    others = known.accounts_of_payer(payment).keys() - named
    if not others or all(known.payer_is(payment, invoice) for invoice in invoices):
        return ""
    if min(clues.named.values()) is Strength.EXACT:
        alike = known.of_amount(payment.amount, payment.currency)
        rivals = [invoice.number for invoice in alike if invoice.account_number in others]
        if rivals:
            return f"The payer owes the same amount for {rivals[0]}."
    elif others:
        return f"The reference is mended, and the payer looks like account {min(others)}."
    return ""


def _against_other_amount(
    payment: IncomingPayment, known: OpenInvoices, clues: _Clues, invoices: list[OpenInvoice]
) -> str:
    """What speaks against invoices that do not come to the payment; "" for nothing."""
    amounts = f"{sum(i.open_amount for i in invoices):f} is open and {payment.amount:f} came in"
    if len({invoice.account_number for invoice in invoices}) > 1:
        return f"{amounts}, for invoices of several customers."
    if clues.hinted or clues.unknown:
        another = min(clues.hinted, default=clues.unknown)
        return f"{amounts}, and it may be for {another} too."
    if all(known.payer_is(payment, invoice) for invoice in invoices):
        return ""
    if min(clues.named.values()) is not Strength.EXACT:
        return f"{amounts}, the reference is mended, and the payer is not known."
    if others := known.accounts_of_payer(payment):
        return f"{amounts}, and the payer looks like account {min(others)}."
    if payment.amount > sum(invoice.open_amount for invoice in invoices):
        return f"{amounts}, and the payer is not known, whose money the rest would be."
    return ""


def _by_account(payment: IncomingPayment, known: OpenInvoices, clues: _Clues) -> _Decision:
    """The one invoice of this amount on an account that is named, if its customer is the payer."""
    if clues.hinted:
        return (), f"The reference only hints at {min(clues.hinted)}."
    fitting = [
        invoice
        for account in _accounts_named(clues, known)
        for invoice in known.of_account(account)
        if (invoice.currency, invoice.open_amount) == (payment.currency, payment.amount)
    ]
    if not fitting:
        return (), "No open invoice is named."
    if len(fitting) > 1:
        return (), f"Several invoices fit the account and the amount: {fitting[0].number} and more."
    if not known.payer_is(payment, fitting[0]):
        return (), f"Account and amount fit {fitting[0].number}; the payer is not known."
    return fitting, ""


def _accounts_named(clues: _Clues, known: OpenInvoices) -> list[str]:
    """Account numbers that stand in the text as words."""
    words = dict.fromkeys(word for form in _ACCOUNT_WORDS for word in form.findall(clues.text))
    return [word for word in words if known.of_account(word)]


def _allocate(amount: Decimal, invoices: Sequence[OpenInvoice]) -> tuple[Allocation, ...]:
    """Oldest first, each its open amount; the last one takes what is left, over or short."""
    allocations: list[Allocation] = []
    left = amount
    ordered = sorted(invoices, key=lambda invoice: (invoice.due_on, invoice.number))
    for place, invoice in enumerate(ordered, 1):
        part = left if place == len(ordered) else min(left, invoice.open_amount)
        if part > 0:
            allocations.append(Allocation(invoice.number, part))
        left -= part
    return tuple(allocations)


def _candidates(
    payment: IncomingPayment, known: OpenInvoices, clues: _Clues
) -> tuple[Candidate, ...]:
    """The likeliest invoices, each with what speaks for it; only such that may be paid so."""
    payers, most = known.accounts_of_payer(payment), _LOOKED_AT
    accounts = _accounts_named(clues, known)
    sequences = {f"{word:0>4}" for word in _SEQUENCE.findall(clues.text)}
    considered = [
        *(known.by_number[n] for n in (*clues.named, *clues.hinted)),
        *(known.by_number[n] for n in clues.doubtful if n in known.by_number),
        *(i for account in (*accounts, *payers) for i in islice(known.of_account(account), most)),
        *islice(known.of_amount(payment.amount, payment.currency), most),
        *(i for sequence in sequences for i in islice(known.of_sequence(sequence), most)),
    ]
    scored = [
        (_scored(payment, invoice, clues, payers, accounts, sequences), invoice.due_on)
        for invoice in {invoice.number: invoice for invoice in considered}.values()
        if invoice.currency == payment.currency
    ]
    scored += [
        (
            Candidate(
                settled.number,
                _SCORES[Strength.EXACT],
                (
                    f"the reference names it; it {_SETTLED[settled.status]}, so what it does not "
                    f"need would be credit of account {settled.account_number}",
                ),
            ),
            date.min,
        )
        for settled in clues.settled
        if settled.status != "void"
    ]
    scored.sort(key=lambda found: (-found[0].score, found[1], found[0].number))
    return tuple(candidate for candidate, _ in scored[:_PROPOSED])


def _scored(
    payment: IncomingPayment,
    invoice: OpenInvoice,
    clues: _Clues,
    payers: dict[str, int],
    accounts: list[str],
    sequences: set[str],
) -> Candidate:
    points: list[tuple[int, str]] = []
    strength = clues.named.get(invoice.number)
    if strength is None and invoice.number in clues.doubtful:
        strength = Strength.MENDED
    if strength is None and invoice.number in clues.hinted:
        strength = Strength.HINT
    if strength is not None:
        points.append((_SCORES[strength], _IN_WORDS[strength]))
    elif invoice.number.rpartition("-")[2] in sequences:
        points.append((10, "the end of its number is in the text"))
    if invoice.open_amount == payment.amount:
        points.append((25, "the amount is what is open"))
    if payment.payer_iban and payment.payer_iban in invoice.known_ibans:
        points.append((20, "its customer has paid from this account before"))
    elif likeness := payers.get(invoice.account_number):
        points.append((likeness * 15 // 100, f"the payer's name is {likeness} % alike"))
    if plain_text(invoice.account_number) in accounts:
        points.append((15, f"account {invoice.account_number} is named"))
    score = min(100, sum(score for score, _ in points))
    return Candidate(invoice.number, score, tuple(reason for _, reason in points))
