"""Credit notes take back what was charged, and all of them together exactly the invoice."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.crediting import (
    CreditableInvoice,
    CreditedSoFar,
    CreditExceedsInvoice,
    CreditLeavesLines,
    CreditNoteDraft,
    CreditOfNothing,
    CreditSettlement,
    InvoicedLine,
    NotCreditable,
    NothingLeftToCredit,
    UnknownLine,
    credit_amount,
    credit_in_full,
    credit_lines,
    credit_note_number,
    parse_credit_note_number,
    split_credit,
)
from domain.errors import InvalidValue
from domain.invoice import TaxLine
from domain.money import round_money
from domain.tax import TaxRule, TaxTreatment

VAT_19 = TaxTreatment(TaxRule.DOMESTIC, Decimal(19), "VAT")
SEVEN = TaxTreatment(TaxRule.DOMESTIC, Decimal(7), "Reduced VAT")
NUMBER = "INV-2026-02-0047"
NOTHING = CreditedSoFar()


def invoice(*amounts: str, treatment: TaxTreatment = VAT_19) -> CreditableInvoice:
    """An invoice in US dollars whose lines 1, 2, 3 and so on have `amounts`, taxed at one rate."""
    lines = tuple(InvoicedLine(n, f"Line {n}", Decimal(a)) for n, a in enumerate(amounts, 1))
    return taxed(lines, [treatment])


def taxed(
    lines: Sequence[InvoicedLine], treatments: Sequence[TaxTreatment], currency: str = "USD"
) -> CreditableInvoice:
    """An invoice of `lines`, taxed as `draft_invoice` does."""
    tax_lines = []
    for place, treatment in enumerate(treatments):
        net = sum((line.amount for line in lines if line.tax == place), Decimal(0))
        taxable = round_money(net, currency)
        tax_lines.append(TaxLine(treatment, taxable, treatment.amount_on(taxable, currency)))
    return CreditableInvoice(NUMBER, currency, tuple(lines), tuple(tax_lines))


def figures(note: CreditNoteDraft) -> tuple[str, str, str]:
    return f"{note.subtotal:f}", f"{note.tax:f}", f"{note.total:f}"


def parts(note: CreditNoteDraft) -> dict[int, str]:
    return {line.position: f"{line.amount:f}" for line in note.lines}


KNOWN = invoice("0.00", "90.00", "73.95", "99.00")
PRORATED = invoice("99.00", "-35.36")


# --- in full


def test_a_full_credit_is_the_invoice() -> None:
    note = credit_in_full(KNOWN, NOTHING)
    assert figures(note) == ("262.95", "49.96", "312.91")
    assert note.tax_lines == KNOWN.tax_lines
    assert parts(note) == {2: "90.00", 3: "73.95", 4: "99.00"}


def test_a_full_credit_takes_back_what_was_taken_off_as_well() -> None:
    note = credit_in_full(PRORATED, NOTHING)
    assert parts(note) == {1: "99.00", 2: "-35.36"}
    assert figures(note) == ("63.64", "12.09", "75.73")


def test_a_full_credit_after_another_is_the_rest() -> None:
    first = credit_amount(KNOWN, NOTHING, Decimal("100.00"))
    rest = credit_in_full(KNOWN, CreditedSoFar.by([first]))
    assert figures(first) == ("84.03", "15.97", "100.00")
    assert figures(rest) == ("178.92", "33.99", "212.91")


@pytest.mark.parametrize("amounts", [("0.00",), ("10.00", "-12.00"), ()])
def test_an_invoice_of_nothing_leaves_nothing_to_credit(amounts: tuple[str, ...]) -> None:
    with pytest.raises(NothingLeftToCredit, match=NUMBER):
        credit_in_full(invoice(*amounts), NOTHING)


Credit = Callable[[CreditedSoFar], CreditNoteDraft]


@pytest.mark.parametrize(
    "again",
    [
        lambda earlier: credit_in_full(KNOWN, earlier),
        lambda earlier: credit_lines(KNOWN, earlier, {2: None}),
        lambda earlier: credit_amount(KNOWN, earlier, Decimal("0.01")),
    ],
)
def test_what_is_credited_is_not_credited_again(again: Credit) -> None:
    earlier = CreditedSoFar.by([credit_in_full(KNOWN, NOTHING)])
    with pytest.raises(NothingLeftToCredit, match=r"came to 312\.91 USD and has nothing left"):
        again(earlier)


# --- by line


def test_a_whole_line_takes_its_tax_with_it() -> None:
    note = credit_lines(KNOWN, NOTHING, {4: None})
    assert parts(note) == {4: "99.00"}
    assert figures(note) == ("99.00", "18.81", "117.81")


def test_a_part_of_a_line_is_taxed_half_up() -> None:
    assert figures(credit_lines(KNOWN, NOTHING, {3: Decimal("0.50")})) == ("0.50", "0.10", "0.60")


def test_a_whole_line_is_what_earlier_notes_left_of_it() -> None:
    earlier = CreditedSoFar.by([credit_lines(KNOWN, NOTHING, {4: Decimal("40.00")})])
    assert parts(credit_lines(KNOWN, earlier, {4: None})) == {4: "59.00"}


@pytest.mark.parametrize("amount", ["99.01", "-0.01"])
def test_a_line_gives_back_no_more_than_it_took(amount: str) -> None:
    with pytest.raises(CreditExceedsInvoice, match=r"Line 4 of .* has 99\.00 USD left"):
        credit_lines(KNOWN, NOTHING, {4: Decimal(amount)})


@pytest.mark.parametrize("amount", ["-35.37", "0.01"])
def test_a_negative_line_gives_back_in_its_own_sign(amount: str) -> None:
    wanted = {1: None, 2: Decimal(amount)}
    with pytest.raises(CreditExceedsInvoice, match=r"Line 2 of .* has -35\.36 USD left"):
        credit_lines(PRORATED, NOTHING, wanted)


def test_a_full_charge_is_not_credited_past_its_proration() -> None:
    with pytest.raises(CreditExceedsInvoice, match=r"come to 99\.00 USD and 63\.64 USD is left"):
        credit_lines(PRORATED, NOTHING, {1: None})


def test_crediting_only_what_was_taken_off_is_no_credit() -> None:
    with pytest.raises(CreditOfNothing, match="asks for money"):
        credit_lines(PRORATED, NOTHING, {2: None})


def test_a_credit_leaves_no_lines_that_cancel_each_other_out() -> None:
    with pytest.raises(CreditLeavesLines, match="lines 1, 2"):
        credit_lines(PRORATED, NOTHING, {1: Decimal("63.64")})
    assert parts(credit_lines(PRORATED, NOTHING, {1: None, 2: None})) == {1: "99.00", 2: "-35.36"}


@pytest.mark.parametrize("wanted", [{}, {1: Decimal(0)}, {1: Decimal("9.00"), 2: Decimal("-9.00")}])
def test_a_note_of_nothing_is_refused(wanted: dict[int, Decimal | None]) -> None:
    with pytest.raises(CreditOfNothing, match=r"0\.00 USD gives nothing back"):
        credit_lines(PRORATED, NOTHING, wanted)


def test_a_line_that_the_invoice_does_not_have_is_refused() -> None:
    with pytest.raises(UnknownLine, match=f"{NUMBER} has no line 9"):
        credit_lines(KNOWN, NOTHING, {9: None})


def test_a_line_of_nothing_has_nothing_left() -> None:
    with pytest.raises(NothingLeftToCredit, match="Line 1"):
        credit_lines(KNOWN, NOTHING, {1: None})


@pytest.mark.parametrize("amount", ["0.001", "NaN", "Infinity"])
def test_what_is_no_amount_of_money_is_refused(amount: str) -> None:
    with pytest.raises(InvalidValue):
        credit_lines(KNOWN, NOTHING, {4: Decimal(amount)})
    with pytest.raises(InvalidValue):
        credit_amount(KNOWN, NOTHING, Decimal(amount))


# --- by amount


def test_an_amount_is_spread_over_the_lines_in_proportion() -> None:
    note = credit_amount(invoice("60.00", "30.00", "10.00"), NOTHING, Decimal("11.90"))
    assert parts(note) == {1: "6.00", 2: "3.00", 3: "1.00"}
    assert figures(note) == ("10.00", "1.90", "11.90")


def test_an_amount_keeps_charge_and_proration_in_step() -> None:
    note = credit_amount(PRORATED, NOTHING, Decimal("37.87"))
    assert parts(note) == {1: "49.50", 2: "-17.68"}


def test_an_amount_that_no_net_makes_stays_what_was_asked_for() -> None:
    assert figures(credit_amount(KNOWN, NOTHING, Decimal("0.03"))) == ("0.03", "0.00", "0.03")


@pytest.mark.parametrize("amount", ["312.92", "1E+9"])
def test_an_amount_above_the_rest_is_refused_with_the_rest(amount: str) -> None:
    with pytest.raises(CreditExceedsInvoice, match=r"has 312\.91 USD left to credit"):
        credit_amount(KNOWN, NOTHING, Decimal(amount))


@pytest.mark.parametrize("amount", ["0", "-1.00"])
def test_an_amount_of_nothing_is_refused(amount: str) -> None:
    with pytest.raises(CreditOfNothing):
        credit_amount(KNOWN, NOTHING, Decimal(amount))


# --- tax


def test_many_small_credits_take_back_no_more_tax_than_was_charged() -> None:
    """Each 0.03 rounds its 0.0057 up to 0.01; the invoice charged 0.06 on ten of them."""
    whole = invoice("0.30")
    notes: list[CreditNoteDraft] = []
    for _ in range(10):
        notes.append(credit_lines(whole, CreditedSoFar.by(notes), {1: Decimal("0.03")}))
    assert [f"{note.tax:f}" for note in notes] == ["0.01"] * 6 + ["0.00"] * 4


def test_the_last_credit_takes_the_tax_that_roundings_left() -> None:
    """Each 0.02 rounds its 0.0038 away; the invoice charged 0.02 on six of them."""
    whole = invoice("0.12")
    notes: list[CreditNoteDraft] = []
    for _ in range(6):
        notes.append(credit_lines(whole, CreditedSoFar.by(notes), {1: Decimal("0.02")}))
    assert [f"{note.tax:f}" for note in notes] == ["0.00"] * 5 + ["0.02"]


def test_an_amount_short_of_the_rest_leaves_a_net_for_the_last_tax() -> None:
    """0.02 and the 0.02 of tax that roundings left over: 0.03 cannot be net alone."""
    whole = invoice("0.12")
    earlier = CreditedSoFar({1: Decimal("0.10")}, {VAT_19: Decimal("0.00")})
    note = credit_amount(whole, earlier, Decimal("0.03"))
    assert figures(note) == ("0.01", "0.02", "0.03")


def test_lines_that_came_to_nothing_go_back_with_the_last_of_the_total() -> None:
    lines = [
        InvoicedLine(1, "Service", Decimal("50.00"), 0),
        InvoicedLine(2, "Books", Decimal("20.00"), 1),
        InvoicedLine(3, "Books returned", Decimal("-20.00"), 1),
    ]
    whole = taxed(lines, [VAT_19, SEVEN])
    with pytest.raises(CreditLeavesLines, match="lines 2, 3"):
        credit_lines(whole, NOTHING, {1: None})
    assert parts(credit_lines(whole, NOTHING, {1: Decimal("49.00")})) == {1: "49.00"}
    assert parts(credit_amount(whole, NOTHING, whole.total)).keys() == {1, 2, 3}


def test_each_rate_is_taken_back_by_itself() -> None:
    lines = [
        InvoicedLine(1, "Service", Decimal("100.00"), 0),
        InvoicedLine(2, "Books", Decimal("50.00"), 1),
    ]
    note = credit_lines(taxed(lines, [VAT_19, SEVEN]), NOTHING, {2: Decimal("10.00")})
    assert note.tax_lines == (TaxLine(SEVEN, Decimal("10.00"), Decimal("0.70")),)


def test_a_rate_of_nothing_is_still_named() -> None:
    reverse = TaxTreatment(TaxRule.REVERSE_CHARGE, Decimal(0), "VAT reverse charge")
    note = credit_amount(invoice("10.00", treatment=reverse), NOTHING, Decimal("4.00"))
    assert note.tax_lines == (TaxLine(reverse, Decimal("4.00"), Decimal("0.00")),)


def test_figures_that_no_rate_gives_are_not_credited() -> None:
    with pytest.raises(NotCreditable, match="come to"):
        replace(KNOWN, lines=KNOWN.lines[:-1])
    with pytest.raises(NotCreditable, match="which no rate gives"):
        CreditableInvoice(NUMBER, "USD", (), (TaxLine(VAT_19, Decimal(0), Decimal("5.00")),))
    with pytest.raises(NotCreditable, match="without a tax rate"):
        CreditableInvoice(NUMBER, "USD", KNOWN.lines, ())
    with pytest.raises(NotCreditable, match="repeats"):
        replace(KNOWN, lines=KNOWN.lines * 2)
    with pytest.raises(NotCreditable, match="repeats"):
        replace(KNOWN, tax_lines=KNOWN.tax_lines * 2)


# --- what happens with the money


def test_a_credit_reduces_what_is_open_before_anything_is_returned() -> None:
    split = split_credit(Decimal("80.00"), open_amount=Decimal("50.00"), paid=Decimal("40.00"))
    assert split == CreditSettlement(Decimal("50.00"), Decimal("30.00"))


def test_what_was_neither_open_nor_paid_cannot_be_credited() -> None:
    with pytest.raises(CreditExceedsInvoice, match=r"90\.01 exceeds the 50\.00"):
        split_credit(Decimal("90.01"), open_amount=Decimal("50.00"), paid=Decimal("40.00"))


AMOUNTS = st.decimals(0, 10**6, places=2)


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_a_settlement_adds_up_and_returns_nothing_unpaid(
    total: Decimal, still_open: Decimal, paid: Decimal
) -> None:
    assume(total <= still_open + paid)
    split = split_credit(total, open_amount=still_open, paid=paid)
    assert split.reduces_open + split.to_return == total
    assert 0 <= split.reduces_open <= still_open
    assert 0 <= split.to_return <= paid
    assert split.to_return == 0 or split.reduces_open == still_open


# --- numbers


@given(st.dates(date(2001, 1, 1), date(2199, 12, 31)), st.integers(1, 123_456))
def test_a_number_tells_its_month_and_its_place(on: date, sequence: int) -> None:
    month, place = parse_credit_note_number(credit_note_number(on, sequence))
    assert (month.year, month.month, place) == (on.year, on.month, sequence)


def test_numbers_are_of_the_business_dates_month() -> None:
    assert credit_note_number(date(2026, 3, 31), 7) == "CN-2026-03-0007"


@pytest.mark.parametrize(
    "text", ["", "INV-2026-03-0007", "CN-2026-03-0000", "CN-2026-13-0001", "CN-2026-03-7", "CN-x"]
)
def test_what_is_no_number_of_a_credit_note_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_credit_note_number(text)


def test_the_series_starts_at_one() -> None:
    with pytest.raises(InvalidValue, match="the first is 1"):
        credit_note_number(date(2026, 3, 1), 0)
