"""What every format of statement comes to, and the rules that each field of it passes."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from domain.errors import BillwrightError, InvalidValue
from domain.money import minor_digits, round_money
from storage.importing.fields import is_whole_text

LONGEST_TEXT = 10_000
LONGEST_NAME = 500
LONGEST_REFERENCE = 200
FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2099, 12, 31)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BLANKS = re.compile(r"[ \t\r\n\xa0]+")
_ISO_DAY = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T[\d:.]+|(?=Z|[+-]|$))(?:Z|[+-]\d\d:\d\d)?", re.ASCII
)
_NO_REFERENCE = frozenset({"NOTPROVIDED", "NOTPROVIDED.", "NONREF", "NONE", "N/A", "-"})


class StatementRefused(BillwrightError):
    """Something in a statement cannot be read, so none of it was."""

    code = "statement_refused"


@dataclass(frozen=True)
class StatementEntry:
    """One booked movement.

    Attributes:
        bank_reference: unique; the bank's, or derived from the content where it gives none.
        booked_on: the day on which the bank booked it.
        amount: above zero is money in; rounded to the minor unit of `currency`, never zero.
        payer_name: the other side's; the receiver's where the money went out. May be empty.
        payer_iban: the other side's account without blanks, an IBAN where it has one.
        remittance: what the payer wrote, structured references included; one line.
        end_to_end_id: the payer's own id, or "".
        reverses: bank reference of the entry that this one takes back, as far as the bank tells
            it; "" where it does not.
        is_reversal: it takes back an earlier entry; which one may be unknown.
    """

    bank_reference: str
    booked_on: date
    amount: Decimal
    currency: str
    payer_name: str
    payer_iban: str
    remittance: str
    end_to_end_id: str = ""
    reverses: str = ""
    is_reversal: bool = False


@dataclass(frozen=True)
class StatementBalance:
    """What was on the account before the first and behind the last entry of a statement."""

    currency: str
    opening: Decimal
    closing: Decimal


@dataclass(frozen=True)
class Statement:
    """A statement of one account.

    Attributes:
        format: camt.053, mt940 or csv.
        account_iban: the account's IBAN, or its number in another form; "" in a CSV file.
        statement_number: the bank's; several, in one file, are joined by a comma.
        currency: the account's; "" where the entries have several, or there are none.
        balances: one for each statement in the file that tells both; none in a CSV file.
    """

    format: str
    account_iban: str
    statement_number: str
    currency: str
    entries: tuple[StatementEntry, ...]
    balances: tuple[StatementBalance, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where in a file something stands. `line` and `entry` count from 1; 0: not said."""

    file: str
    line: int = 0
    entry: int = 0
    element: str = ""

    def at(self, element: str, line: int = 0) -> "Place":
        return Place(self.file, line or self.line, self.entry, element)

    def refuse(self, reason: str) -> StatementRefused:
        parts = [self.file or "the statement"]
        if self.line:
            parts.append(f"line {self.line}")
        if self.entry:
            parts.append(f"entry {self.entry}")
        if self.element:
            parts.append(self.element)
        return StatementRefused(f"{', '.join(parts)}: {reason}. Nothing of the file was taken.")

    # --- fields; each raises StatementRefused

    def text(self, value: str, longest: int = LONGEST_TEXT) -> str:
        """`value` in one line, without blanks around it."""
        if len(value) > longest:
            raise self.refuse(f"is longer than {longest} characters; ask the bank for a valid file")
        line = _BLANKS.sub(" ", value).strip()
        if _CONTROL.search(line) or not is_whole_text(line):
            raise self.refuse("has a control character or half a character; remove it")
        return line

    def account(self, value: str) -> str:
        """An account's number without blanks, its letters capitals."""
        return self.text(value, LONGEST_REFERENCE).replace(" ", "").upper()

    def reference(self, value: str) -> str:
        """A reference; "" for what banks write where there is none."""
        found = self.text(value, LONGEST_REFERENCE)
        return "" if found.upper() in _NO_REFERENCE else found

    def currency(self, value: str) -> str:
        try:
            minor_digits(value)
        except InvalidValue:
            raise self.refuse(
                f"{clip(value)} is not a currency; give an ISO 4217 code such as EUR"
            ) from None
        return value

    def amount(self, value: str, currency: str, *, form: re.Pattern[str]) -> Decimal:
        """The number in `value`, with the digits of `currency`; `form` says how it is written."""
        written = value.strip()
        if not form.fullmatch(written):
            raise self.refuse(f"{clip(value)} is not an amount; give a number such as 1234.50")
        amount = Decimal(written.replace(",", "."))
        rounded = round_money(amount, currency)
        if rounded != amount:
            raise self.refuse(
                f"{clip(value)} has a fraction of a minor unit of {currency}; round it"
            )
        return rounded

    def day(self, year: int, month: int, day: int) -> date:
        try:
            found = date(year, month, day)
        except ValueError:
            raise self.refuse(
                f"{year}-{month}-{day} is no day of the calendar; correct it"
            ) from None
        if not FIRST_DAY <= found <= LAST_DAY:
            raise self.refuse(f"{found} is not between {FIRST_DAY} and {LAST_DAY}; correct it")
        return found

    def iso_day(self, value: str) -> date:
        """The day of an ISO 8601 date or timestamp, in the zone in which it is written."""
        match = _ISO_DAY.fullmatch(value.strip())
        if match is None:
            raise self.refuse(f"{clip(value)} is not a date; write it as 2026-02-28")
        return self.day(int(match[1]), int(match[2]), int(match[3]))


def clip(value: str) -> str:
    """`value` in quotes, short enough for a message."""
    return repr(value if len(value) <= 40 else value[:40] + "…")
