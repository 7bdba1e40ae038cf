"""Statements of three formats come to the same entries, in the words of their banks."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import mt940
import pytest
from pycamt.parser import Camt053Parser

from storage.importing.statements import Statement, StatementEntry, read_statement

SAMPLES = Path(__file__).parent.parent / "statements"
NAMES = ["camt053_v02.xml", "camt053_v08.xml", "german.sta", "swift.sta", "statement.csv"]


def sample(name: str) -> Statement:
    return read_statement((SAMPLES / name).read_bytes(), filename=name)


def changed(name: str, *changes: tuple[str, str]) -> bytes:
    """A sample in which each first text stands once more or less often, and is the second now."""
    text = (SAMPLES / name).read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return text.encode()


def entry_of(name: str, place: int) -> StatementEntry:
    return sample(name).entries[place]


# --- CAMT.053


def test_an_entry_of_camt_has_all_that_the_payer_wrote() -> None:
    statement = sample("camt053_v02.xml")
    assert (statement.format, statement.account_iban) == ("camt.053", "DE89370400440532013000")
    assert (statement.statement_number, statement.currency) == ("2026-064", "EUR")
    assert statement.entries[0] == StatementEntry(
        bank_reference="2026030500001",
        booked_on=date(2026, 3, 5),
        amount=Decimal("312.91"),
        currency="EUR",
        payer_name="Brandt & Söhne GmbH",
        payer_iban="DE02120300000000202051",
        remittance="Rechnung vom 01.03.2026 Kunde 1047 RF15INV2026020047",
        end_to_end_id="B2026-118",
    )


def test_a_batch_is_as_many_entries_as_it_has_payments() -> None:
    batch = sample("camt053_v02.xml").entries[1:3]
    assert [(e.bank_reference, e.amount, e.payer_name) for e in batch] == [
        ("2026030500002/1", Decimal("99.00"), "Nordlicht Energie AG"),
        ("2026030500002/2", Decimal("799.00"), "Fjordtech AS"),
    ]
    assert [e.bank_reference for e in sample("camt053_v08.xml").entries[1:]] == ["P-1", "P-2"]


def test_a_batch_that_does_not_tell_its_amounts_stays_one_entry() -> None:
    content = changed(
        "camt053_v02.xml", ('<AmtDtls><TxAmt><Amt Ccy="EUR">99.00</Amt></TxAmt></AmtDtls>', "")
    )
    batch = read_statement(content).entries[1]
    assert (batch.amount, batch.bank_reference) == (Decimal("898.00"), "2026030500002")
    assert batch.remittance == "INV-2026-02-0048 INV-2026-02-0049"


def test_what_is_pending_is_left_out() -> None:
    assert Decimal("500.00") not in [e.amount for e in sample("camt053_v02.xml").entries]


def test_money_that_went_out_names_its_receiver() -> None:
    entry = entry_of("camt053_v02.xml", 3)
    assert (entry.amount, entry.payer_name) == (Decimal("-30.50"), "Papierhandel Krause")
    assert entry.remittance == "Entgelt"


def test_a_reversal_names_the_entry_and_the_payer_that_it_takes_back() -> None:
    entry = entry_of("camt053_v08.xml", 0)
    assert entry.is_reversal
    assert entry.amount == Decimal("-312.91")
    assert (entry.bank_reference, entry.reverses) == ("2026030600001", "2026030500001")
    assert entry.payer_name == "Brandt & Söhne GmbH"


def test_a_reversal_under_its_originals_reference_is_an_entry_of_its_own() -> None:
    entry = read_statement(changed("camt053_v08.xml", ("2026030600001", "2026030500001"))).entries[
        0
    ]
    assert (entry.bank_reference, entry.reverses) == ("2026030500001/reversal", "2026030500001")


def test_numbers_of_documents_and_other_accounts_are_read() -> None:
    entry = entry_of("camt053_v08.xml", 1)
    assert entry.remittance == "INV-2026-02-0110 acconto"
    assert entry.payer_iban == "000047-11"


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "windows-1252"])
def test_camt_may_come_in_the_encoding_that_it_names(encoding: str) -> None:
    content = changed("camt053_v02.xml", ('encoding="UTF-8"', f'encoding="{encoding}"'))
    assert read_statement(content.decode().encode(encoding)) == sample("camt053_v02.xml")


def test_camt_may_have_a_prefix_on_every_element() -> None:
    text = (SAMPLES / "camt053_v02.xml").read_text(encoding="utf-8")
    prefixed = text.replace("xmlns=", "xmlns:c=").replace("</", "\0").replace("<", "<c:")
    prefixed = prefixed.replace("\0", "</c:").replace("<c:?xml", "<?xml")
    assert read_statement(prefixed.encode()) == sample("camt053_v02.xml")


def test_plain_entries_of_camt_are_what_another_reader_finds() -> None:
    for name in NAMES[:2]:
        other = Camt053Parser((SAMPLES / name).read_bytes()).get_transactions()
        booked = [found for found in other if found["Status"] == "BOOK"]
        own = sample(name).entries
        assert len(booked) == len(own)
        for found, entry in zip(booked, own, strict=True):
            assert found["BookingDate"][:10] == str(entry.booked_on)
            assert found["Currency"] == entry.currency
            assert (found["CreditDebitIndicator"] == "DBIT") == (entry.amount < 0)


# --- MT940


def test_the_german_form_of_mt940_is_split_into_its_parts() -> None:
    statement = sample("german.sta")
    assert statement.account_iban == "DE89370400440532013000"
    assert statement.statement_number == "00064/001"
    entry = statement.entries[0]
    assert entry.amount == Decimal("312.91")
    assert entry.payer_name == "Brandt und Soehne Verwaltungsgesellschaft mbH"
    assert entry.payer_iban == "DE02120300000000202051"
    assert entry.remittance == "Rechnung INV-2026-02- 0047 Kunde 1047 vielen Dank"
    assert entry.end_to_end_id == "B2026-118"


def test_a_credit_taken_back_went_out_and_a_debit_taken_back_came_in() -> None:
    amounts = [(e.amount, e.is_reversal) for e in sample("german.sta").entries]
    assert amounts == [
        (Decimal("312.91"), False),
        (Decimal("99.00"), False),
        (Decimal("-312.91"), True),
        (Decimal("-30.50"), False),
        (Decimal("5.00"), True),
    ]


def test_the_booking_date_is_in_the_year_next_to_the_value_date() -> None:
    assert entry_of("german.sta", 4).booked_on == date(2026, 1, 2)


def test_swifts_code_words_are_read_with_slashes_in_the_text() -> None:
    statement = sample("swift.sta")
    assert statement.account_iban == "NL91ABNA0417164300"
    first, second, third = statement.entries
    assert first.remittance == "factuur INV/2026/02/0051"
    assert (first.payer_name, first.payer_iban) == ("VAN DER BERG TRANSPORT", "NL20INGB0001234567")
    assert first.end_to_end_id == ""
    assert (second.payer_name, second.payer_iban) == (
        "BIANCHI MECCANICA",
        "IT60X0542811101000000123456",
    )
    assert (second.remittance, second.end_to_end_id) == ("INV-2026-02-0110", "E-77")
    assert third.remittance == "Interest credited"


def test_mt940_may_be_in_windows_1252() -> None:
    text = changed("german.sta", ("Soehne", "Söhne")).decode()
    entry = read_statement(text.encode("cp1252")).entries[0]
    assert entry.payer_name.startswith("Brandt und Söhne")


def test_statements_of_mt940_may_follow_one_another() -> None:
    first = (SAMPLES / "german.sta").read_text()
    second = first.replace("00064/001", "00065/001").replace("260305030", "260307030")
    second = second.replace("2603060306", "2603090309")
    statement = read_statement((first + second).encode())
    assert statement.statement_number == "00064/001,00065/001"
    assert len(statement.entries) == 10


def test_mt940_has_the_amounts_and_days_that_another_reader_finds() -> None:
    for name in ("german.sta", "swift.sta"):
        other = list(mt940.parse((SAMPLES / name).read_text()))
        own = sample(name).entries
        assert [abs(found.data["amount"].amount) for found in other] == [
            abs(entry.amount) for entry in own
        ]
        assert [found.data["entry_date"] for found in other] == [e.booked_on for e in own]


# --- CSV


def test_a_row_of_csv_is_an_entry() -> None:
    first, _, reversal, out = sample("statement.csv").entries
    assert (first.bank_reference, first.payer_iban) == ("W-1", "DE02120300000000202051")
    assert first.remittance == "INV-2026-02-0047, Kunde 1047"
    assert (reversal.reverses, reversal.is_reversal) == ("W-1", True)
    assert out.bank_reference.startswith("derived-")


def test_csv_may_leave_out_what_is_optional_and_have_its_columns_in_any_order() -> None:
    rows = (
        "remittance,payer_iban,payer_name,currency,amount,booked_on,bank_reference\r\n"
        "INV-2026-02-0047,,Brandt,KWD,3.125,2026-03-05,W-9\r\n"
    )
    entry = read_statement(rows.encode("utf-8-sig")).entries[0]
    assert (entry.amount, entry.currency, entry.end_to_end_id) == (Decimal("3.125"), "KWD", "")


# --- references


@pytest.mark.parametrize("name", NAMES)
def test_the_same_content_has_the_same_references(name: str) -> None:
    assert sample(name) == sample(name)
    references = [entry.bank_reference for entry in sample(name).entries]
    assert len(set(references)) == len(references)


def test_a_derived_reference_does_not_depend_on_what_else_is_in_the_file() -> None:
    header, *rows = (SAMPLES / "statement.csv").read_text(encoding="utf-8").splitlines()
    alone = read_statement("\n".join([header, rows[3]]).encode()).entries[0]
    assert alone == entry_of("statement.csv", 3)


def test_equal_entries_without_a_reference_are_told_apart_by_counting() -> None:
    header, *rows = (SAMPLES / "statement.csv").read_text(encoding="utf-8").splitlines()
    once = read_statement("\n".join([header, rows[3]]).encode()).entries
    twice = read_statement("\n".join([header, rows[3], rows[3]]).encode()).entries
    assert len({entry.bank_reference for entry in twice}) == 2
    assert twice[0] == once[0]


def test_an_entry_that_stands_twice_under_its_reference_counts_once() -> None:
    header, *rows = (SAMPLES / "statement.csv").read_text(encoding="utf-8").splitlines()
    assert len(read_statement("\n".join([header, rows[0], rows[0]]).encode()).entries) == 1


# --- balances


@pytest.mark.parametrize("name", NAMES)
def test_entries_bring_the_opening_to_the_closing_balance_where_both_are_told(name: str) -> None:
    statement = sample(name)
    moved = sum(balance.closing - balance.opening for balance in statement.balances)
    assert bool(statement.balances) == (name != "statement.csv")
    if statement.balances:
        assert moved == sum(entry.amount for entry in statement.entries)


def test_a_statement_of_camt_that_tells_one_balance_alone_has_none() -> None:
    told = changed("camt053_v02.xml", ("PRCD", "ITBD"))
    assert read_statement(told).balances == ()
