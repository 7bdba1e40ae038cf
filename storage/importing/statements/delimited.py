"""A statement as CSV, in UTF-8, with a header that names the columns in any order."""

import csv
import io
import re

from storage.importing.statements.entries import Entries
from storage.importing.statements.model import LONGEST_NAME, Place, Statement, StatementEntry

COLUMNS = (
    "bank_reference",
    "booked_on",
    "amount",
    "currency",
    "payer_name",
    "payer_iban",
    "remittance",
)
OPTIONAL = ("end_to_end_id", "reverses")

_AMOUNT = re.compile(r"[+-]?\d{1,15}(\.\d{1,6})?", re.ASCII)


def read_delimited(content: bytes, place: Place, entries: Entries) -> Statement:
    """An entry a row. `amount` is signed, above zero for money in; `reverses` makes a reversal.

    A row without a bank_reference gets one that is derived from its content.
    """
    try:
        lines = io.StringIO(content.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise place.at("", line).refuse("is not UTF-8; save the file as CSV in UTF-8") from None
    reader = csv.reader(lines, strict=True)
    try:
        header = _header(next(reader, []), place.at("", 1))
        for cells in reader:
            if not cells:
                continue
            here = Place(place.file, reader.line_num, entries.seen + 1)
            if len(cells) != len(header):
                raise here.refuse(
                    f"has {len(cells)} cells and the header {len(header)}; complete the row"
                )
            entries.add(_entry(dict(zip(header, cells, strict=True)), here), here)
    except csv.Error as error:
        raise place.at("", reader.line_num).refuse(
            f"is not CSV ({error}); put text with commas or quotes in double quotes"
        ) from None
    return entries.statement("csv", ())


def _header(header: list[str], place: Place) -> list[str]:
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise place.refuse("separates its columns by another sign; save it with commas")
    for name in COLUMNS:
        if name not in header:
            raise place.at(name).refuse("is missing from the header; add the column")
    for name in header:
        if name not in COLUMNS and name not in OPTIONAL:
            raise place.at(place.text(name[:80])).refuse("is no column of a statement; remove it")
        if header.count(name) > 1:
            raise place.at(name).refuse("stands twice in the header; remove one")
    return header


def _entry(row: dict[str, str], place: Place) -> StatementEntry:
    currency = place.at("currency").currency(row["currency"].strip())
    reverses = place.at("reverses").reference(row.get("reverses", ""))
    return StatementEntry(
        bank_reference=place.at("bank_reference").reference(row["bank_reference"]),
        booked_on=place.at("booked_on").iso_day(row["booked_on"]),
        amount=place.at("amount").amount(row["amount"], currency, form=_AMOUNT),
        currency=currency,
        payer_name=place.at("payer_name").text(row["payer_name"], LONGEST_NAME),
        payer_iban=place.at("payer_iban").account(row["payer_iban"]),
        remittance=place.at("remittance").text(row["remittance"]),
        end_to_end_id=place.at("end_to_end_id").reference(row.get("end_to_end_id", "")),
        reverses=reverses,
        is_reversal=bool(reverses),
    )
