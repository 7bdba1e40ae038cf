"""Whatever the bytes, a statement is read whole or refused with the place and the remedy."""

import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.money import minor_digits
from storage.importing.statements import Statement, StatementRefused, read_statement

SAMPLES = Path(__file__).parent.parent / "statements"
CAMT = (SAMPLES / "camt053_v02.xml").read_bytes()
CAMT_8 = (SAMPLES / "camt053_v08.xml").read_bytes()
GERMAN = (SAMPLES / "german.sta").read_bytes()
SWIFT = (SAMPLES / "swift.sta").read_bytes()
CSV = (SAMPLES / "statement.csv").read_bytes()
ALL = [CAMT, CAMT_8, GERMAN, SWIFT, CSV]
NAMES = ["camt 2", "camt 8", "german", "swift", "csv"]


def refusal(content: bytes, **limits: int) -> str:
    with pytest.raises(StatementRefused) as refused:
        read_statement(content, filename="file", **limits)
    message = refused.value.message
    assert message.startswith("file")
    assert message.endswith("Nothing of the file was taken.")
    assert len(message) < 1_000
    return message


def storable(statement: Statement) -> bool:
    """Whether PostgreSQL and the rest of the product can hold every entry."""
    for entry in statement.entries:
        minor_digits(entry.currency)
        texts = (entry.bank_reference, entry.payer_name, entry.payer_iban, entry.remittance)
        if not entry.amount.is_finite() or entry.amount == 0 or not entry.bank_reference:
            return False
        if any(re.search(r"[\x00-\x1f\x7f-\x9f]", text) for text in texts):
            return False
        "".join(texts).encode()
    references = [entry.bank_reference for entry in statement.entries]
    return len(set(references)) == len(references)


# --- whole or refused


@pytest.mark.parametrize("content", ALL[:4], ids=NAMES[:4])
def test_no_part_of_a_statement_is_taken_for_the_whole(content: bytes) -> None:
    whole = read_statement(content)
    for length in range(0, len(content), 3):
        try:
            part = read_statement(content[:length])
        except StatementRefused:
            continue
        assert part == whole  # only what stands behind the last balance was cut off
        assert length > len(content) - 60


@settings(max_examples=300)
@given(data=st.data(), content=st.sampled_from(ALL))
def test_bytes_that_were_changed_are_refused_or_read_into_something_storable(
    data: st.DataObject, content: bytes
) -> None:
    start = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, 40))
    inserted = data.draw(
        st.binary(max_size=12)
        | st.sampled_from([b"\x00", b"-", b"9" * 30, b"NaN", b"\n", b"<", b"&x;", b'"', b"\xc3"])
    )
    with suppress(StatementRefused):
        statement = read_statement(content[:start] + inserted + content[start + length :])
        assert storable(statement)


@settings(max_examples=200)
@given(st.binary() | st.text().map(str.encode))
@example(b"")
@example(b"<")
@example(b":20:")
@example(b":20:x\n:25:\n:60F:\n:61:\n:86:\n:62F:\n")
@example(b"bank_reference")
@example(b"\xff\xfe<\x00")
def test_any_bytes_are_refused_with_a_reason(content: bytes) -> None:
    with pytest.raises(StatementRefused):
        read_statement(content)


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from(["20", "25", "28C", "60F", "61", "86", "62F", "99"]), st.text())
    )
)
def test_any_fields_of_mt940_are_refused_or_storable(fields: list[tuple[str, str]]) -> None:
    text = ":20:A\n" + "".join(f":{tag}:{value}\n" for tag, value in fields)
    with suppress(StatementRefused):
        assert storable(read_statement(text.encode()))


# --- XML as a weapon


def doctype(declaration: str, text: str = "") -> bytes:
    return CAMT.replace(b"<Document", f"{declaration}<Document".encode(), 1).replace(
        b"Kunde 1047", text.encode()
    )


LAUGHS = "<!DOCTYPE l [<!ENTITY a0 'ha'>" + "".join(
    f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "content",
    [
        doctype("<!DOCTYPE Document>"),
        doctype(f"{LAUGHS}]>", "&a11;"),
        doctype('<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "&x;"),
        doctype('<!DOCTYPE d SYSTEM "http://127.0.0.1:9/evil.dtd">'),
        doctype('<!DOCTYPE d [<!ENTITY % p SYSTEM "http://127.0.0.1:9/"> %p;]>'),
    ],
    ids=["plain", "billion laughs", "file", "external DTD", "parameter entity"],
)
def test_a_document_type_is_refused_before_anything_of_it_is_used(content: bytes) -> None:
    started = time.perf_counter()
    assert "line 2: has a document type" in refusal(content)
    assert time.perf_counter() - started < 5


def test_an_entity_that_nobody_declared_is_refused() -> None:
    assert "not well-formed" in refusal(CAMT.replace(b"Kunde 1047", b"&kunde;"))


def test_elements_without_an_end_are_refused() -> None:
    assert "deeper" in refusal(CAMT.replace(b"Kunde 1047", b"<a>" * 100 + b"</a>" * 100))
    many = b"<Document>" + b"<a/>" * 2_000_001 + b"</Document>"
    assert "more elements" in refusal(many)
    assert "more than 300,000 elements" in refusal(CAMT.replace(b"Kunde 1047", b"<a/>" * 300_000))


@pytest.mark.parametrize("encoding", [b"utf-7", b"klingon", b"shift_jis", b"utf-16"])
def test_an_encoding_that_is_not_the_files_is_refused(encoding: bytes) -> None:
    refusal(CAMT.replace(b"UTF-8", encoding, 1))


# --- fields


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        (b'"EUR">312.91</Amt>\n        <Cdt', b'"EUR">NaN</Amt>\n        <Cdt', "entry 1, Amt"),
        (b'"EUR">312.91</Amt>\n        <Cdt', b'"EUR">-1</Amt>\n        <Cdt', "entry 1, Amt"),
        (b'"EUR">312.91</Amt>\n        <Cdt', b'"EUR">1e3</Amt>\n        <Cdt', "entry 1, Amt"),
        (b'"EUR">312.91</Amt>\n        <Cdt', b'"EUR">0.001</Amt>\n        <Cdt', "minor unit"),
        (b'"EUR">312.91</Amt>\n        <Cdt', b'"euro">312.91</Amt>\n        <Cdt', "entry 1, Amt"),
        (b"<Sts>BOOK</Sts>\n        <BookgDt><Dt>2026", b"<BookgDt><Dt>2026", "entry 1, Sts"),
        (b"<BookgDt><Dt>2026-03-05", b"<BookgDt><Dt>2026-02-30", "entry 1, BookgDt"),
        (b"<BookgDt><Dt>2026-03-05", b"<BookgDt><Dt>0001-01-01", "entry 1, BookgDt"),
        (b"<BookgDt><Dt>2026-03-05", b"<BookgDt><Dt>9999-12-31", "entry 1, BookgDt"),
        (b"<BookgDt><Dt>2026-03-05", b"<BookgDt><Dt>2026-W10-4", "entry 1, BookgDt"),
        (
            b"CRDT</CdtDbtInd>\n        <Sts>BOOK",
            b"BOTH</CdtDbtInd>\n        <Sts>BOOK",
            "CdtDbtInd",
        ),
        (b"2026030500001", b"X" * 201, "AcctSvcrRef"),
        (b">799.00<", b">798.00<", "come to 897.00"),
        (b"2180.41", b"2180.40", "some are missing or wrong"),
        (b"camt.053.001.02", b"camt.052.001.02", "camt.053"),
        (b"<Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>", b"<Ccy>", "account"),
        (b"Kunde 1047", b"x" * 1_000_000, "longer than 10000"),
        (b"Kunde 1047", b"Kunde \x00 1047", "not well-formed"),
        (b"Kunde 1047", b"Kunde &#0; 1047", "not well-formed"),
        (b"Kunde 1047", b"Kunde \xc2\x85 1047", "control character"),
    ],
)
def test_a_bad_field_of_camt_is_named(before: bytes, after: bytes, place: str) -> None:
    assert before in CAMT
    message = refusal(CAMT.replace(before, after))
    assert place in message
    assert "line " in message


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        (b"CR312,91", b"CRNaN", "line 5, entry 1, :61:"),
        (b"CR312,91", b"CR312.91", "line 5, entry 1, :61:"),
        (b"CR312,91", b"CR312,911", "minor unit"),
        (b"CR312,91", b"CR312,92", "some are missing or wrong"),
        (b"2603050305CR312", b"2602300305CR312", "no day of the calendar"),
        (b"2603050305CR312", b"2603051305CR312", "no day of the calendar"),
        (b":60F:C260304EUR1000,00\n", b"", "stands outside of a statement's balances"),
        (b":62F:C260306EUR1073,50\n", b"", "without its closing balance"),
        (b":60F:C260304EUR", b":60F:C260304eur", "no balance"),
        (b":62F:C260306EUR", b":62F:C260306USD", "in USD"),
        (b":25:37040044/0532013000\n", b"", "before its account"),
        (b":20:STARTUMS\n", b":20:STARTUMS\nnonsense\n-\nmore nonsense\n", "belongs to no field"),
        (b"Kontofuehrung", b"x" * 1_000_000, "longer than 10000"),
        (b"Kontofuehrung", b"a\x00b", "control character"),
        (b"Kontofuehrung", b"\x81\x8d", "neither UTF-8 nor Windows-1252"),
    ],
)
def test_a_bad_field_of_mt940_is_named(before: bytes, after: bytes, place: str) -> None:
    assert before in GERMAN
    message = refusal(GERMAN.replace(before, after))
    assert place in message
    assert "line " in message


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        (b",312.91,", b",NaN,", "line 2, entry 1, amount"),
        (b",312.91,", b",Infinity,", "line 2, entry 1, amount"),
        (b",312.91,", b',"312,91",', "line 2, entry 1, amount"),
        (b",312.91,", b",312.911,", "minor unit"),
        (b",312.91,", b"," + b"9" * 40 + b",", "line 2, entry 1, amount"),
        (b",EUR,Nord", b",Euro,Nord", "line 3, entry 2, currency"),
        (b"2026-03-05,+99", b"5.3.2026,+99", "line 3, entry 2, booked_on"),
        (b"2026-03-05,+99", b"0001-01-01,+99", "line 3, entry 2, booked_on"),
        (b"W-2", b"W-1", "line 3, entry 2: bank reference W-1 stands for another entry"),
        (b"W-2", b"x" * 201, "line 3, entry 2, bank_reference"),
        (b"Toner", b"x" * 100_000, "longer than 10000"),
        (b"Toner", b"x" * 1_000_000, "line 5"),
        (b"Toner", b"a\x00b", "control character"),
        (b"Toner", b"a\x1bb", "control character"),
        (b"Toner", b'"open', "is not CSV"),
        (b"Toner", b"\xff", "line 5: is not UTF-8"),
        (b"Toner,,", b"Toner", "line 5, entry 4: has 7 cells"),
        (b",currency,", b",ccy,", "currency: is missing"),
        (b",reverses", b",colour", "colour: is no column"),
        (b",reverses", b",amount", "amount: stands twice"),
    ],
)
def test_a_bad_cell_of_csv_is_named(before: bytes, after: bytes, place: str) -> None:
    assert before in CSV
    message = refusal(CSV.replace(before, after))
    assert place in message
    assert "line " in message


def test_semicolons_are_told_from_missing_columns() -> None:
    assert "save it with commas" in refusal(CSV.replace(b",", b";"))


# --- size


def test_a_file_beyond_the_limit_is_refused_unread() -> None:
    assert "and may have 20,000,000" in refusal(CSV + b" " * 20_000_000)
    assert "and may have 100" in refusal(CSV, max_bytes=100)


def test_a_million_entries_are_refused() -> None:
    header = CSV.split(b"\n", 1)[0]
    rows = b"".join(b"\n,2026-03-05,1,EUR,,,,," for _ in range(1_000_000))
    assert "more than 5,000 entries" in refusal(header + rows, max_bytes=10**9, max_entries=5_000)
    assert "more than 2 entries" in refusal(GERMAN, max_entries=2)


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (b"", "is empty"),
        (b" \r\n\t ", "is empty"),
        (b"PK\x03\x04...", "ZIP"),
        (b"\x1f\x8b...", "gzip"),
        (b"%PDF-1.7", "PDF"),
        (b"Hello", "none of CAMT.053"),
        (CSV.decode().encode("utf-16"), "none of CAMT.053"),
    ],
)
def test_what_is_no_statement_is_told_from_one(content: bytes, remedy: str) -> None:
    assert remedy in refusal(content)


def test_a_name_of_a_file_cannot_break_the_message() -> None:
    with pytest.raises(StatementRefused) as refused:
        read_statement(b"", filename="a\nb\x00\ud800" + "x" * 10_000)
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 1_000
