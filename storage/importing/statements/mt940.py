"""MT940, the SWIFT statement, in SWIFT's and the German banks' way of writing field 86.

Read line by line and not by mt-940, which counts a reversed credit as money in, mends days that no
calendar has, joins the payer's account and name, and does not say where a file is wrong.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from stdnum import iban

from storage.importing.statements.details import read_details
from storage.importing.statements.entries import Entries, require_balance
from storage.importing.statements.model import (
    LONGEST_TEXT,
    Place,
    Statement,
    StatementBalance,
    StatementEntry,
    clip,
)

FORMAT = "mt940"

_TAG = re.compile(r":(\d\d[A-Z]?|NS):(.*)", re.DOTALL)
_BALANCE = re.compile(r"([CD])(\d\d)(\d\d)(\d\d)([A-Z]{3})(\d[\d,]{0,17})", re.ASCII)
_ENTRY = re.compile(
    r"(\d\d)(\d\d)(\d\d)"  # value date
    r"(\d{4})?"  # booking date, without its year
    r"(R?[CD])[A-Z]?\s?"  # credit or debit, R: taken back; third letter of the currency
    r"(\d[\d,]{0,17})"
    r"[NSF][A-Z0-9]{3}"  # kind of transaction
    r"([^\n]*?)"  # the payer's reference
    r"(?://([^\n]*))?"  # the bank's
    r"(?:\n(.*))?",  # supplementary details
    re.ASCII | re.DOTALL,
)
_AMOUNT = re.compile(r"\d{1,15}(,\d{0,6})?", re.ASCII)
_SIGNS = {"C": 1, "D": -1, "RC": -1, "RD": 1}
_HALF_A_YEAR = 183
_GERMAN_ACCOUNT = re.compile(r"(\d{8})/(\d{1,10})", re.ASCII)
_ELSEWHERE = frozenset({"EREF", "KREF"})  # where field 86 has the reference
_ENVELOPE = re.compile(r"\{[1-5]:")


@dataclass(frozen=True)
class _Field:
    """A tag with its value; further lines follow behind newlines."""

    tag: str
    value: str
    line: int

    def and_then(self, other: "_Field") -> "_Field":
        return replace(self, value=f"{self.value}\n{other.value}")


def read_mt940(content: bytes, place: Place, entries: Entries) -> Statement:
    """The entries of the file, which may hold several statements of one account.

    Each must have its opening and its closing balance, and its entries must come to the
    difference. In UTF-8, or in Windows-1252 as some banks still write.
    """
    file = _File(place, entries)
    for found in _fields(_decoded(content, place), place):
        file.take(found)
    file.close()
    if not file.statements:
        raise place.refuse("holds no statement (:20:); ask the bank for the whole file")
    return entries.statement(FORMAT, file.numbers, file.currency, file.balances)


def _decoded(content: bytes, place: Place) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise place.at("", line).refuse(
            "is neither UTF-8 nor Windows-1252; save the file in UTF-8"
        ) from None


def _fields(text: str, place: Place) -> Iterator[_Field]:
    """The fields in their order; envelopes and the dashes between statements are passed over."""
    tag, lines, start = "", [""], 0
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        match = _TAG.fullmatch(line)
        ends = match is not None or line.rstrip() in ("-", "-}") or bool(_ENVELOPE.match(line))
        if ends and tag:
            yield _Field(tag, "\n".join(lines), start)
        if match is not None:
            tag, lines, start = match[1], [match[2]], number
        elif ends:
            tag = ""
        elif tag:
            lines.append(line)
            if len(lines) > LONGEST_TEXT // 10:
                raise place.at(f":{tag}:", start).refuse("has too many lines; ask for a valid file")
        elif line.strip():
            raise place.at("", number).refuse(
                f"{clip(line)} belongs to no field; ask the bank for a valid file"
            )
    if tag:
        yield _Field(tag, "\n".join(lines), start)


@dataclass
class _File:
    """The statements of a file, and what the open one has told so far."""

    place: Place
    entries: Entries
    numbers: list[str] = field(default_factory=list)
    currency: str = ""
    opening: Decimal | None = None
    closing: Decimal | None = None
    balances: list[StatementBalance] = field(default_factory=list)
    moved: Decimal = Decimal(0)
    read: int = 0
    statements: int = 0
    line: int = 0
    pending: tuple[_Field, _Field | None] | None = None

    def take(self, found: _Field) -> None:
        here = self.place.at(f":{found.tag}:", found.line)
        match found.tag:
            case "20":
                self.close()
                self.line = found.line
            case "25":
                self._take_account(found, here)
            case "28" | "28C":
                self.numbers.append(here.reference(found.value))
            case "60F" | "60M":
                self._flush()
                self.opening = self._balance(found, here)
            case "61":
                self._flush()
                self.pending = (found, None)
            case "86":
                if self.pending is not None:
                    entry, before = self.pending
                    self.pending = (entry, found if before is None else before.and_then(found))
            case "62F" | "62M":
                self._flush()
                self.closing = self._balance(found, here)

    def close(self) -> None:
        """Ends the open statement, if there is one. Raises StatementRefused if it is not whole."""
        self._flush()
        if not self.line:
            return
        here = Place(self.place.file, self.line)
        for name, balance in (("opening", self.opening), ("closing", self.closing)):
            if balance is None:
                raise here.refuse(
                    f"begins a statement without its {name} balance, so it is not whole; "
                    "ask the bank for the whole file"
                )
        require_balance(here, self.opening, self.moved, self.closing)
        if self.opening is not None and self.closing is not None:
            self.balances.append(StatementBalance(self.currency, self.opening, self.closing))
        if not self.entries.account:
            raise here.refuse("begins a statement of no account (:25:); ask for a valid file")
        self.opening = self.closing = None
        self.moved, self.line = Decimal(0), 0
        self.statements += 1

    def _take_account(self, found: _Field, here: Place) -> None:
        account = _iban(here.account(found.value))
        if not account:
            raise here.refuse("names no account; ask the bank for a valid file")
        if self.entries.account not in ("", account):
            raise here.refuse(
                f"is {account}, and a statement before it is of {self.entries.account}; "
                "split the file by account"
            )
        self.entries.account = account

    def _balance(self, found: _Field, here: Place) -> Decimal:
        match = _BALANCE.fullmatch(found.value.strip())
        if match is None:
            raise here.refuse(
                f"{clip(found.value)} is no balance such as C260305EUR1234,50; "
                "ask the bank for a valid file"
            )
        here.day(2000 + int(match[2]), int(match[3]), int(match[4]))
        currency = here.currency(match[5])
        if self.currency not in ("", currency):
            raise here.refuse(
                f"is in {currency} and one before it in {self.currency}; split the file"
            )
        self.currency = currency
        amount = here.amount(match[6], currency, form=_AMOUNT)
        return amount if match[1] == "C" else -amount

    def _flush(self) -> None:
        """Reads the entry that waited for its field 86."""
        if self.pending is None:
            return
        (found, details), self.pending = self.pending, None
        self.read += 1
        here = Place(self.place.file, found.line, self.read)
        if not self.line or self.opening is None or self.closing is not None:
            raise here.refuse(
                "stands outside of a statement's balances; ask the bank for the whole file"
            )
        if not self.entries.account:
            raise here.refuse("stands before its account (:25:); ask the bank for a valid file")
        entry = self._entry(found, details, here)
        self.moved += entry.amount
        self.entries.add(entry, here)

    def _entry(self, found: _Field, details: _Field | None, here: Place) -> StatementEntry:
        match = _ENTRY.fullmatch(found.value.rstrip())
        if match is None:
            raise here.at(":61:").refuse(
                f"{clip(found.value)} is no entry such as 2603050305C1234,50NTRFNONREF; "
                "ask the bank for a valid file"
            )
        own = "" if match[7] in _ELSEWHERE else here.at(":61:").reference(match[7])
        sign, reversal = _SIGNS[match[5]], match[5].startswith("R")
        amount = here.at(":61:").amount(match[6], self.currency, form=_AMOUNT) * sign
        told = read_details(
            details.value if details is not None else (match[9] or ""),
            here.at(":86:", details.line if details is not None else 0),
        )
        entry = StatementEntry(
            bank_reference="",
            booked_on=_booked_on(match, here.at(":61:")),
            amount=amount,
            currency=self.currency,
            payer_name=told.name,
            payer_iban=told.account,
            remittance=told.remittance,
            end_to_end_id=told.end_to_end_id or own,
            is_reversal=reversal,
        )
        if not amount:
            return entry
        # banks give one reference to several entries, so the content belongs to it
        bank = here.at(":61:").reference(match[8] or "")
        return replace(entry, bank_reference=self.entries.derive(entry, bank))


def _iban(account: str) -> str:
    """The IBAN of an account that is written with its currency, or as a German bank code and
    account; any other as it is written.
    """
    if iban.is_valid(account[:-3]):
        return account[:-3]
    german = _GERMAN_ACCOUNT.fullmatch(account)
    if german is None:
        return account
    number = f"{german[1]}{german[2]:0>10}"
    return f"DE{iban.calc_check_digits(f'DE00{number}')}{number}"


def _booked_on(match: re.Match[str], here: Place) -> date:
    """The booking date, in the year that brings it nearest to the value date."""
    value = here.day(2000 + int(match[1]), int(match[2]), int(match[3]))
    if match[4] is None:
        return value
    month, day = int(match[4][:2]), int(match[4][2:])
    booked = here.day(value.year if (month, day) != (2, 29) else _leap(value.year), month, day)
    distance = (booked - value).days
    if abs(distance) <= _HALF_A_YEAR:
        return booked
    return here.day(booked.year - (1 if distance > 0 else -1), month, day)


def _leap(year: int) -> int:
    """The leap year next to `year`; `year` if there is none."""
    return next((y for y in (year, year - 1, year + 1) if y % 4 == 0), year)
