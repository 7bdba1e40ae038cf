"""References as people mistype them, and what a reading is worth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import iso11649

from domain.errors import InvalidValue
from domain.invoice import invoice_number
from domain.periods import BillingPeriod
from domain.references import Strength, plain_text, read_references, rf_reference

MONTHS = st.builds(BillingPeriod, st.integers(2020, 2039), st.integers(1, 12))
NUMBERS = st.builds(invoice_number, MONTHS, st.integers(1, 999_999_999))
SHORT_NUMBERS = st.builds(invoice_number, MONTHS, st.integers(1, 9_999))


def readings(text: str) -> dict[str, Strength]:
    return {
        number: reading.strength
        for reading in read_references(plain_text(text))
        for number in reading.numbers
    }


@given(NUMBERS)
def test_a_number_is_read_exactly_as_we_write_it(number: str) -> None:
    assert readings(f"Invoice {number}, thanks")[number] is Strength.EXACT


@given(NUMBERS)
def test_a_creditor_reference_is_valid_and_read_back(number: str) -> None:
    reference = rf_reference(number)
    assert iso11649.validate(reference) == reference
    for written in (reference, reference.lower(), iso11649.format(reference)):
        assert readings(written)[number] is Strength.EXACT


def test_the_creditor_reference_of_a_known_number() -> None:
    assert rf_reference("INV-2026-02-0047") == "RF15INV2026020047"
    with pytest.raises(InvalidValue):
        rf_reference("2026-02-0047")


@given(SHORT_NUMBERS, st.data())
def test_a_creditor_reference_with_a_wrong_digit_is_only_a_hint(
    number: str, data: st.DataObject
) -> None:
    reference = rf_reference(number)
    place = data.draw(st.sampled_from([2, 3, *range(7, len(reference))]))
    digit = data.draw(st.sampled_from([d for d in "0123456789" if d != reference[place]]))
    mistyped = reference[:place] + digit + reference[place + 1 :]
    assert set(readings(mistyped).values()) <= {Strength.HINT}


@given(
    SHORT_NUMBERS,
    st.sampled_from(["", " ", "/", ".", "–", "_", " - ", ":"]),
    st.sampled_from(["INV", "inv", "lNV", "1NV", "Invoice ", "Rechnung Nr. ", ""]),
)
def test_a_number_is_read_whatever_separates_its_parts(
    number: str, separator: str, prefix: str
) -> None:
    _, year, month, sequence = number.split("-")
    written = f"{prefix}{separator.join([year, month, sequence])}"
    assert readings(written).get(number, Strength.HINT) >= Strength.MENDED


@given(SHORT_NUMBERS, st.data())
def test_letters_that_look_like_digits_are_read_as_such(number: str, data: st.DataObject) -> None:
    alike = {"0": "0Oo", "1": "1Iil|", "5": "5Ss"}
    written = "INV-" + "".join(
        data.draw(st.sampled_from(alike.get(character, character))) for character in number[4:]
    )
    assert readings(written)[number] >= Strength.MENDED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "INV-2026-13-0047",
        "INV-2026-02-0000",
        "INV-2026-02-00471",
        "X2026020047",
        "2026020047X",
        "12026020047",
        "20260200475",
        "20260305 0047",
        "DE89 3704 0044 0532 0130 00",
        "0049 30 2026 5550",
    ],
)
def test_what_is_no_number_of_ours_is_not_read(text: str) -> None:
    assert readings(text) == {}


def test_the_short_numbers_of_a_list_take_their_month_from_the_first() -> None:
    assert readings("INV-2026-02-0047/0048 und 0051") == {
        "INV-2026-02-0047": Strength.EXACT,
        "INV-2026-02-0048": Strength.MENDED,
        "INV-2026-02-0051": Strength.MENDED,
    }


@pytest.mark.parametrize(
    "text", ["INV-2026-02-0047 bis 0049", "INV-2026-02-0047-0049", "INV-2026-02-0047 0049"]
)
def test_a_range_hints_at_its_end(text: str) -> None:
    assert readings(text)["INV-2026-02-0049"] is Strength.HINT


@pytest.mark.parametrize("text", ["INV-2026-02-0047, 312.91", "INV-2026-02-0047 1500,00 EUR"])
def test_an_amount_behind_a_number_is_no_number(text: str) -> None:
    assert readings(text) == {"INV-2026-02-0047": Strength.EXACT}


@pytest.mark.parametrize("text", ["INV-2026-02-47", "INV-2026-02-047", "INV-26-2-47"])
def test_a_number_that_is_short_of_digits_is_only_a_hint(text: str) -> None:
    assert readings(text) == {"INV-2026-02-0047": Strength.HINT}


def test_digits_cut_off_by_a_line_break_leave_two_readings() -> None:
    assert readings("INV-2026-02-1004 7").keys() == {"INV-2026-02-1004", "INV-2026-02-10047"}


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    for reading in read_references(plain_text(text)):
        assert reading.numbers
