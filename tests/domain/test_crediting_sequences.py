"""Whatever credits an invoice gets, and in whatever order: never more than it, in the end it."""

from decimal import Decimal

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from domain.crediting import (
    CreditableInvoice,
    CreditedSoFar,
    CreditExceedsInvoice,
    CreditLeavesLines,
    CreditNoteDraft,
    CreditOfNothing,
    InvoicedLine,
    NothingLeftToCredit,
    credit_amount,
    credit_in_full,
    credit_lines,
)
from domain.money import Money, round_money
from domain.tax import TaxRule, TaxTreatment
from tests.domain.test_crediting import NOTHING, invoice, taxed

CURRENCIES = st.sampled_from(["USD", "JPY", "KWD"])
RATES = st.sampled_from(["0", "5.5", "7", "19", "25.5", "100"]).map(Decimal)


@st.composite
def invoices(draw: st.DrawFn) -> CreditableInvoice:
    """Of one to three rates, each with full charges and what was taken off them."""
    currency = draw(CURRENCIES)
    rates = draw(st.lists(RATES, min_size=1, max_size=3))
    lines: list[InvoicedLine] = []
    for place in range(len(rates)):
        left = 0
        for charge in draw(st.lists(st.integers(0, 40_000), max_size=4)):
            taken_off = draw(st.integers(0, left + charge))
            left += charge - taken_off
            for units in (charge, -taken_off) if taken_off else (charge,):
                amount = Money.from_minor(units, currency).rounded().amount
                lines.append(InvoicedLine(len(lines) + 1, "Line", amount, place))
    treatments = [TaxTreatment(TaxRule.LISTED, r, f"Tax {n}") for n, r in enumerate(rates)]
    return taxed(lines, treatments, currency)


def some_credit(
    data: st.DataObject, whole: CreditableInvoice, earlier: CreditedSoFar
) -> CreditNoteDraft | None:
    """A credit of what is left, by an amount or by lines; None where the lines are refused."""
    rest = credit_in_full(whole, earlier)
    if data.draw(st.booleans()):
        units = data.draw(st.integers(1, Money(rest.total, whole.currency).to_minor()))
        return credit_amount(whole, earlier, Money.from_minor(units, whole.currency).amount)
    wanted: dict[int, Decimal | None] = {}
    for line in data.draw(st.lists(st.sampled_from(rest.lines), unique=True, min_size=1)):
        left = Money(line.amount, whole.currency).to_minor()
        units = data.draw(st.integers(min(left, 0), max(left, 0)))
        part = Money.from_minor(units, whole.currency).amount
        wanted[line.position] = data.draw(st.sampled_from([None, part]))
    try:
        return credit_lines(whole, earlier, wanted)
    except (CreditExceedsInvoice, CreditOfNothing, CreditLeavesLines):
        return None


def check_note(note: CreditNoteDraft, whole: CreditableInvoice) -> None:
    assert note.total > 0
    assert note.subtotal >= 0
    assert note.tax >= 0
    assert all(line.taxable >= 0 and line.amount >= 0 for line in note.tax_lines)
    assert sum(line.amount for line in note.lines) + sum(t.amount for t in note.tax_lines) == (
        note.total
    )
    assert sum(tax.taxable for tax in note.tax_lines) == note.subtotal
    amounts = [line.amount for line in note.lines] + [tax.amount for tax in note.tax_lines]
    assert all(round_money(amount, whole.currency) == amount for amount in amounts)


def check_within(earlier: CreditedSoFar, whole: CreditableInvoice) -> None:
    charged = {line.position: line.amount for line in whole.lines}
    for position, amount in earlier.lines.items():
        assert abs(amount) <= abs(charged[position])
        assert amount * charged[position] >= 0
    taxes = {tax.treatment: tax.amount for tax in whole.tax_lines}
    for treatment, amount in earlier.taxes.items():
        assert 0 <= amount <= taxes[treatment]
    total = sum(earlier.lines.values()) + sum(earlier.taxes.values())
    assert 0 <= total <= whole.total


@settings(max_examples=400)
@given(st.data(), invoices())
def test_any_credits_ending_in_a_full_one_are_the_invoice(
    data: st.DataObject, whole: CreditableInvoice
) -> None:
    assume(whole.total > 0)
    notes: list[CreditNoteDraft] = []
    for _ in range(data.draw(st.integers(0, 8))):
        if sum(note.total for note in notes) == whole.total:
            break
        note = some_credit(data, whole, CreditedSoFar.by(notes))
        if note is not None:
            check_note(note, whole)
            notes.append(note)
            check_within(CreditedSoFar.by(notes), whole)
    if sum(note.total for note in notes) < whole.total:
        notes.append(credit_in_full(whole, CreditedSoFar.by(notes)))
        check_note(notes[-1], whole)

    credited = CreditedSoFar.by(notes)
    assert {line.position: credited.lines.get(line.position, 0) for line in whole.lines} == {
        line.position: line.amount for line in whole.lines
    }
    assert {tax.treatment: credited.taxes.get(tax.treatment, 0) for tax in whole.tax_lines} == {
        tax.treatment: tax.amount for tax in whole.tax_lines
    }
    assert sum(note.total for note in notes) == whole.total
    with pytest.raises(NothingLeftToCredit):
        credit_in_full(whole, credited)


@given(st.data(), invoices())
def test_an_amount_asked_for_is_the_total_of_its_note(
    data: st.DataObject, whole: CreditableInvoice
) -> None:
    assume(whole.total > 0)
    most = Money(whole.total, whole.currency).to_minor()
    amount = Money.from_minor(data.draw(st.integers(1, most)), whole.currency).amount
    assert credit_amount(whole, NOTHING, amount).total == amount


@given(st.integers(1, 10**7), RATES)
@example(3, Decimal(19))
def test_the_tax_of_an_amount_is_that_of_its_net_where_a_net_makes_the_amount(
    units: int, rate: Decimal
) -> None:
    treatment = TaxTreatment(TaxRule.LISTED, rate, "Tax")
    whole = invoice("1000000.00", treatment=treatment)
    amount = Money.from_minor(units, "USD").amount
    assume(amount < whole.total)
    note = credit_amount(whole, NOTHING, amount)
    cent = Decimal("0.01")
    nets = [note.subtotal + cent * step for step in (-1, 0, 1)]
    makes_it = [net for net in nets if net + treatment.amount_on(net, "USD") == amount]
    if makes_it:
        assert note.subtotal == makes_it[0]
        assert note.tax == treatment.amount_on(note.subtotal, "USD")
    else:
        assert abs(note.tax - note.subtotal * rate / 100) <= cent
