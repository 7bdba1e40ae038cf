"""What is certain, what a person is shown, and that money is neither lost nor guessed away."""

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.matching import Allocation, MatchResult, match_payment
from domain.open_invoices import IncomingPayment, OpenInvoice, OpenInvoices
from domain.payer_names import name_key
from domain.references import rf_reference
from storage.banking.likeness import name_likeness
from tests.domain.wires import book, open_invoice, paid_invoice, wire

BRANDT = {"payer_name": "BRANDT U. SOEHNE"}
OTHER = open_invoice(
    "INV-2026-02-0048",
    account_number="1048",
    customer_name="Nordlicht Energie AG",
    open_amount=Decimal("99.00"),
)


def booked(payment: IncomingPayment, *invoices: OpenInvoice) -> dict[str, str]:
    """Amounts by invoice number of what is certain."""
    return amounts(match_payment(payment, book(*invoices)))


def amounts(result: MatchResult) -> dict[str, str]:
    return {part.number: str(part.amount) for part in result.certain}


# --- one invoice


def test_an_exact_reference_with_the_open_amount_is_certain() -> None:
    assert booked(wire(), open_invoice(), OTHER) == {"INV-2026-02-0047": "312.91"}


def test_an_exact_reference_with_less_is_certain_and_with_more_from_its_customer() -> None:
    assert booked(wire(amount="300.00"), open_invoice()) == {"INV-2026-02-0047": "300.00"}
    more = wire(amount="400.00", **BRANDT)
    assert booked(more, open_invoice()) == {"INV-2026-02-0047": "400.00"}


@pytest.mark.parametrize("payer", ["", "Zilver"])
def test_more_than_is_open_from_nobody_we_know_waits_for_a_person(payer: str) -> None:
    stranger = wire(amount="1000000000.00", payer_name=payer)
    result = match_payment(stranger, book(open_invoice(), OTHER))
    assert not result.certain
    assert "the payer is not known" in result.why_not
    assert [candidate.number for candidate in result.candidates] == ["INV-2026-02-0047"]


def test_a_mended_reference_needs_the_amount_or_the_payer() -> None:
    mended = "inv 2O26/02/0047"
    assert booked(wire(mended), open_invoice()) == {"INV-2026-02-0047": "312.91"}
    assert booked(wire(mended, amount="300.00", **BRANDT), open_invoice())
    result = match_payment(wire(mended, amount="300.00"), book(open_invoice()))
    assert not result.certain
    assert "mended" in result.why_not


def test_the_payer_is_known_by_an_account_from_which_the_customer_paid() -> None:
    known = open_invoice(known_ibans=("DE02120300000000202051",))
    payment = wire("inv 2026 02 0047", amount="300.00", payer_iban="DE02120300000000202051")
    assert booked(payment, known) == {"INV-2026-02-0047": "300.00"}


def test_the_payers_own_id_counts_where_the_remittance_names_nothing() -> None:
    payment = wire("thank you", end_to_end_id="INV-2026-02-0047")
    assert booked(payment, open_invoice()) == {"INV-2026-02-0047": "312.91"}


def test_a_payers_id_that_names_another_invoice_leaves_a_different_amount_open() -> None:
    payment = wire("INV-2026-02-0047", amount="400.00", end_to_end_id="INV-2026-02-0048")
    assert booked(payment, open_invoice(), OTHER) == {}


def test_an_invoice_in_another_currency_is_never_paid() -> None:
    result = match_payment(wire(currency="USD"), book(open_invoice()))
    assert not result.certain
    assert not result.candidates
    assert "INV-2026-02-0047 is in EUR and the payment in USD" in result.why_not


def test_a_reference_to_another_customers_invoice_needs_its_amount() -> None:
    payment = wire("INV-2026-02-0048", payer_name="Brandt & Söhne GmbH", amount="100.00")
    result = match_payment(payment, book(open_invoice(), OTHER))
    assert not result.certain
    assert "looks like account 1047" in result.why_not


def test_a_payer_who_owes_the_same_amount_elsewhere_may_have_mistaken_the_number() -> None:
    same = open_invoice("INV-2026-02-0074", account_number="1074", customer_name="Lindqvist AB")
    payment = wire("INV-2026-02-0074", payer_name="Brandt & Söhne GmbH")
    result = match_payment(payment, book(open_invoice(), same))
    assert not result.certain
    assert {candidate.number for candidate in result.candidates} == {
        "INV-2026-02-0047",
        "INV-2026-02-0074",
    }


def test_two_readings_of_one_reference_are_never_certain() -> None:
    short = open_invoice("INV-2026-02-1004")
    long = open_invoice("INV-2026-02-10047")
    result = match_payment(wire("INV-2026-02-1004 7"), book(short, long))
    assert not result.certain
    assert result.why_not == "The reference may mean INV-2026-02-1004 or INV-2026-02-10047."
    assert {c.number for c in result.candidates} == {short.number, long.number}


def test_a_settled_invoice_is_told_and_its_customers_credit_proposed() -> None:
    result = match_payment(wire("INV-2026-01-0048"), book(OTHER, settled=[paid_invoice()]))
    assert not result.certain
    assert "INV-2026-01-0048 is paid already" in result.why_not
    assert result.candidates[0].number == "INV-2026-01-0048"
    assert "credit of account 1048" in result.candidates[0].reasons[0]


def test_a_void_invoice_is_told_and_not_proposed() -> None:
    void = paid_invoice(status="void")
    result = match_payment(wire("INV-2026-01-0048"), book(settled=[void]))
    assert "is void" in result.why_not
    assert result.candidates == ()


def test_a_number_of_nobody_is_told() -> None:
    result = match_payment(wire("INV-2025-02-0047"), book(OTHER))
    assert result.why_not == "There is no open invoice INV-2025-02-0047."


def test_an_invoice_that_was_paid_a_moment_ago_is_settled_for_the_next_payment() -> None:
    known = book(open_invoice())
    known.pay("INV-2026-02-0047", Decimal("300.00"))
    assert match_payment(wire(amount="12.91"), known).certain
    known.pay("INV-2026-02-0047", Decimal("12.91"))
    assert "paid already" in match_payment(wire(amount="12.91"), known).why_not


@pytest.mark.parametrize("amount", ["0.00", "-312.91"])
def test_money_that_did_not_come_in_is_refused(amount: str) -> None:
    with pytest.raises(InvalidValue):
        match_payment(wire(amount=amount), book(open_invoice()))


# --- several invoices

OLDER = open_invoice("INV-2026-01-0047", open_amount=Decimal("180.00"), due_on=date(2026, 2, 28))
BOTH = "INV-2026-02-0047 and INV-2026-01-0047"


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("492.91", {"INV-2026-01-0047": "180.00", "INV-2026-02-0047": "312.91"}),
        ("400.00", {"INV-2026-01-0047": "180.00", "INV-2026-02-0047": "220.00"}),
        ("500.00", {"INV-2026-01-0047": "180.00", "INV-2026-02-0047": "320.00"}),
        ("150.00", {"INV-2026-01-0047": "150.00"}),
    ],
)
def test_several_invoices_are_paid_oldest_first(amount: str, expected: dict[str, str]) -> None:
    assert booked(wire(BOTH, amount=amount, **BRANDT), open_invoice(), OLDER) == expected


def test_invoices_of_several_customers_are_paid_by_their_sum_alone() -> None:
    both = "INV-2026-02-0047 INV-2026-02-0048"
    assert len(booked(wire(both, amount="411.91"), open_invoice(), OTHER)) == 2
    result = match_payment(wire(both, amount="400.00"), book(open_invoice(), OTHER))
    assert not result.certain
    assert "several customers" in result.why_not


# --- the account


def test_account_and_amount_are_certain_only_from_the_customer() -> None:
    assert booked(wire("Kunde 1047", **BRANDT), open_invoice()) == {"INV-2026-02-0047": "312.91"}
    result = match_payment(wire("Kunde 1047", payer_name="Vogt"), book(open_invoice()))
    assert not result.certain
    assert result.candidates[0].number == "INV-2026-02-0047"
    assert "account 1047 is named" in result.candidates[0].reasons


def test_two_invoices_of_the_amount_leave_the_account_open() -> None:
    twin = open_invoice("INV-2026-03-0047")
    assert booked(wire("Kunde 1047", **BRANDT), open_invoice(), twin) == {}


def test_the_payer_and_the_amount_alone_are_never_enough() -> None:
    result = match_payment(wire("February", payer_name="Brandt & Söhne GmbH"), book(open_invoice()))
    assert not result.certain
    assert result.candidates[0].number == "INV-2026-02-0047"


# --- names


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("BRANDT UND SOEHNE GMBH", "Brandt & Söhne GmbH"),
        ("Sohne Brandt", "Brandt & Söhne GmbH"),
        ("KOWALSKI LOGISTYKA SP Z O O", "Kowalski Logistyka Sp. z o.o."),
        ("Oneill Partners", "O'Neill & Partners Ltd"),
        ("SMOERREBROD APS", "Smørrebrød ApS"),
    ],
)
def test_names_are_known_as_banks_write_them(written: str, known: str) -> None:
    assert name_likeness(name_key(written), [name_key(known)], at_least=85)


@pytest.mark.parametrize(
    "payer", ["GmbH", "", "Filiale 48 Brandt Söhne", "Nordlicht Energie", "& Co. KG"]
)
def test_other_names_do_not_stand_for_the_customer(payer: str) -> None:
    customer = open_invoice(customer_name="Brandt & Söhne Filiale 47 GmbH")
    assert booked(wire("Kunde 1047", payer_name=payer), customer) == {}


def test_the_customer_whose_very_name_it_is_goes_before_one_with_a_longer_name() -> None:
    longer = open_invoice(customer_name="Brandt & Söhne Logistik GmbH")
    own = open_invoice(
        "INV-2026-02-0099", account_number="1099", customer_name="Brandt & Söhne GmbH"
    )
    assert booked(wire("Kunde 1047", payer_name="Brandt & Söhne"), longer) != {}
    assert booked(wire("Kunde 1047", payer_name="Brandt & Söhne"), longer, own) == {}


# --- whatever comes

AMOUNTS = st.decimals("0.01", "5000.00", places=2)
NAMES = st.sampled_from(
    ["Brandt & Söhne GmbH", "Brandt Logistik GmbH", "Nordlicht Energie AG", "Fjordtech AS"]
)
INVOICES = st.lists(
    st.builds(
        OpenInvoice,
        number=st.integers(1, 30).map(lambda n: f"INV-2026-02-{n:04d}"),
        account_number=st.integers(1001, 1006).map(str),
        customer_name=NAMES,
        currency=st.sampled_from(["EUR", "USD"]),
        open_amount=AMOUNTS | st.just(Decimal("99.00")),
        due_on=st.dates(date(2026, 1, 1), date(2026, 6, 30)),
    ),
    unique_by=lambda invoice: invoice.number,
    max_size=12,
)
REFERENCES = st.integers(1, 30).flatmap(
    lambda n: st.sampled_from(
        [
            f"INV-2026-02-{n:04d}",
            f"inv 2026/02/{n:04d}",
            f"2O26-02-{n:04d}",
            rf_reference(f"INV-2026-02-{n:04d}"),
            f"INV-2026-02-{n}",
            f"/{n:04d}",
            f"customer {1000 + n}",
        ]
    )
)
TEXTS = st.lists(REFERENCES | st.text(max_size=10), max_size=4).map(" ".join)
PAYMENTS = st.builds(
    IncomingPayment,
    amount=AMOUNTS | st.just(Decimal("99.00")),
    currency=st.sampled_from(["EUR", "USD"]),
    payer_name=NAMES | st.just(""),
    payer_iban=st.just(""),
    remittance=TEXTS,
    end_to_end_id=TEXTS,
)


@given(payment=PAYMENTS, invoices=INVOICES)
def test_a_certain_match_gives_out_exactly_the_payment_in_its_currency(
    payment: IncomingPayment, invoices: Sequence[OpenInvoice]
) -> None:
    result = match_payment(payment, book(*invoices))
    by_number = {invoice.number: invoice for invoice in invoices}
    assert bool(result.certain) != bool(result.why_not)
    if not result.certain:
        return
    assert sum(part.amount for part in result.certain) == payment.amount
    assert len({part.number for part in result.certain}) == len(result.certain)
    for part in result.certain:
        assert part.amount > 0
        assert by_number[part.number].currency == payment.currency
    for part in result.certain[:-1]:
        assert part.amount == by_number[part.number].open_amount


@given(payment=PAYMENTS, invoices=INVOICES)
def test_candidates_are_few_ranked_and_say_why(
    payment: IncomingPayment, invoices: Sequence[OpenInvoice]
) -> None:
    result = match_payment(payment, book(*invoices))
    scores = [candidate.score for candidate in result.candidates]
    assert len(scores) <= 5
    assert scores == sorted(scores, reverse=True)
    for candidate in result.candidates:
        assert 0 < candidate.score <= 100
        assert candidate.reasons


FIRST = "INV-2026-02-1047"
MONTHS = [f"{month:02d}" for month in range(1, 13)]


@given(
    mistyped=st.sampled_from([7, 9, 10, 12, 13, 14, 15]).flatmap(
        lambda place: st.sampled_from(
            [FIRST[:place] + digit + FIRST[place + 1 :] for digit in "0123456789"]
        )
    ),
    mend=st.sampled_from([str, str.lower, lambda text: text.replace("-", " ")]),
    amount=st.sampled_from(["312.91", "300.00", "400.00"]),
    payer=st.sampled_from(["", "Brandt & Söhne GmbH", "Nordlicht Energie AG"]),
)
def test_a_digit_that_names_another_open_invoice_never_books_to_the_first(
    mistyped: str, mend: Callable[[str], str], amount: str, payer: str
) -> None:
    assume(mistyped != FIRST and mistyped[9:11] in MONTHS)
    first = open_invoice(FIRST)
    second = open_invoice(mistyped, account_number="1048", customer_name="Nordlicht Energie AG")
    payment = wire(f"account 1047 {mend(mistyped)}", amount=amount, payer_name=payer)
    assert first.number not in booked(payment, first, second)


def test_names_are_compared_with_few_others_however_many_are_open() -> None:
    compared: list[int] = []

    def counting(name: str, names: Sequence[str], *, at_least: int) -> Sequence[tuple[int, int]]:
        compared.append(len(names))
        return name_likeness(name, names, at_least=at_least)

    invoices = [
        open_invoice(
            f"INV-2026-02-{n:04d}", account_number=str(n), customer_name=f"Brandt & Söhne {n} GmbH"
        )
        for n in range(1, 10_000)
    ]
    known = OpenInvoices(invoices, likeness=counting)
    for n in range(1, 10_000, 7):
        payment = wire(f"INV-2026-02-{n:04d}", amount="5.00", payer_name="Brandt Soehne")
        match_payment(payment, known, propose=False)
    assert max(compared) <= 50
    assert sum(compared) <= 60 * len(range(1, 10_000, 7))


def test_the_last_allocation_takes_what_is_over() -> None:
    payment = wire(BOTH, amount="1000.00", **BRANDT)
    result = match_payment(payment, book(open_invoice(), OLDER))
    assert result.certain[-1] == Allocation("INV-2026-02-0047", Decimal("820.00"))
