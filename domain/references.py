"""References to invoices, as people and their banks write them.

A number is read as it was meant where only its form differs: blanks, case, other separators or
none, and O, I, l and S where digits belong. What such a reading is worth is for the matching to
say.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from domain.errors import InvalidValue
from domain.invoice import parse_invoice_number

_LONGEST = 15  # digits of a number: year, month and a sequence of up to nine
_SHORTEST = 10
_EXACT = re.compile(
    r"(?<![0-9A-Z])INV-(\d{4})-(\d\d)-(\d{4,9})(?![0-9A-Z])(?: ?(\d{1,5})(?![0-9A-Z]))?", re.ASCII
)
_RF = re.compile(r"(?<![0-9A-Z])RF ?(\d) ?(\d) ?I ?N ?V((?: ?\d){10,15})(?![0-9A-Z])", re.ASCII)
_START = re.compile(r"(?:(?<![0-9A-Z])|(?<=[I1L|]NV)|(?<=VOICE))(?=2[ ]?[0O])")
_SEPARATORS = frozenset(" -_./\\:,'#")
_LONGEST_GAP = 3
_DIGITS = {**{d: d for d in "0123456789"}, "O": "0", "I": "1", "L": "1", "|": "1", "S": "5"}
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−_"), "-")
_LIST = re.compile(
    r" ?(?:[,;/+&]|AND|UND|U\.|ET|EN|OG|Y|E) ?-?([0-9OILS]{1,4})"
    r"(?![0-9A-Z]|[.,][0-9]{2}(?![0-9]))"  # an amount is no number of an invoice
)
_BESIDE = re.compile(r" ([0-9]{4})(?![0-9A-Z]|[.,][0-9]{2}(?![0-9]))")
_RANGE = re.compile(r" ?(?:-|TO|BIS|THRU|TOT|A|À|AL) ?([0-9OILS]{4})(?![0-9A-Z])")
_SHORT = re.compile(
    r"(?<![0-9A-Z])INV[ .:#-]*(20\d\d|\d\d)[-/. ](\d{1,2})[-/. ](\d{1,3})(?![0-9A-Z])", re.ASCII
)


class Strength(IntEnum):
    """What a reading is worth.

    HINT: for a person to look at. MENDED: the form differs from ours. EXACT: as we write it, or a
    creditor reference whose check digits are right.
    """

    HINT = 0
    MENDED = 1
    EXACT = 2


@dataclass(frozen=True)
class Reading:
    """One stretch of text and the invoice numbers that it may mean, the shortest first."""

    numbers: tuple[str, ...]
    strength: Strength


def rf_reference(number: str) -> str:
    """The creditor reference of an invoice number: RF, check digits, its letters and digits.

    Source: ISO 11649; the check digits are those of ISO 7064, mod 97-10. Raises InvalidValue
    unless `number` is an invoice number.
    """
    parse_invoice_number(number)
    body = number.replace("-", "")
    return f"RF{_check_digits(body)}{body}"


def plain_text(text: str) -> str:
    """`text` in capitals, with one kind of blank and of dash."""
    folded = unicodedata.normalize("NFKC", text).translate(_DASHES).upper()
    return " ".join(folded.split())


def read_references(text: str) -> tuple[Reading, ...]:
    """Every reading of `text`, as `plain_text` gives it; the strongest for each stretch of it."""
    readings: list[Reading] = []
    taken = [False] * (len(text) + 1)
    for start, end, reading in _all_readings(text):
        if any(taken[start:end]):
            continue
        taken[start:end] = [True] * (end - start)
        readings.append(reading)
        if reading.strength is not Strength.HINT:
            readings.extend(_continued(text, end, reading.numbers[0]))
    return tuple(dict.fromkeys(readings))


Found = tuple[int, int, Reading]


def _all_readings(text: str) -> Iterator[Found]:
    yield from _creditor_references(text)
    yield from _exact(text)
    yield from _mended(text)
    for match in _SHORT.finditer(text):
        year = match[1] if len(match[1]) == 4 else f"20{match[1]}"
        if numbers := _valid(f"{year}{match[2]:0>2}{match[3]:0>4}"):
            yield match.start(), match.end(), Reading(numbers, Strength.HINT)


def _creditor_references(text: str) -> Iterator[Found]:
    """Digits behind a reference may be none of it, so each length is tried by the check digits."""
    for match in _RF.finditer(text):
        digits = match[3].replace(" ", "")
        lengths = range(_SHORTEST, len(digits) + 1)
        checked = tuple(
            number
            for length in lengths
            for number in _valid(digits[:length])
            if _check_digits(f"INV{digits[:length]}") == match[1] + match[2]
        )
        if checked:
            yield match.start(), match.end(), Reading(checked, Strength.EXACT)
        elif numbers := _valid(digits[:_SHORTEST]):
            yield match.start(), match.end(), Reading(numbers, Strength.HINT)


def _exact(text: str) -> Iterator[Found]:
    for match in _EXACT.finditer(text):
        digits = match[1] + match[2] + match[3]
        # a bank that breaks lines may have cut the last digits off
        numbers = (*_valid(digits), *(_valid(digits + match[4]) if match[4] else ()))
        if numbers:
            yield match.start(), match.end(3), Reading(numbers, Strength.EXACT)


def _mended(text: str) -> Iterator[Found]:
    for match in _START.finditer(text):
        numbers: list[str] = []
        digits, end = "", match.start()
        for position, digit in _digits_from(text, match.start()):
            digits += digit
            following = text[position + 1 : position + 2]
            if len(digits) >= _SHORTEST and not following.isalnum():
                found = _valid(digits)
                end = position + 1 if found and not numbers else end
                numbers += found
        if numbers:
            yield match.start(), end, Reading(tuple(numbers), Strength.MENDED)


def _digits_from(text: str, start: int) -> Iterator[tuple[int, str]]:
    """Position and value of up to 15 digits from `start` on, whatever separates them."""
    gap = count = 0
    for position in range(start, len(text)):
        character = text[position]
        if character in _DIGITS:
            yield position, _DIGITS[character]
            gap, count = 0, count + 1
        elif character in _SEPARATORS and gap < _LONGEST_GAP:
            gap += 1
        else:
            return
        if count == _LONGEST:
            return


def _continued(text: str, end: int, number: str) -> Iterator[Reading]:
    """What a list such as `INV-2026-02-0047/0048` names behind its first number."""
    month = number[4:11].replace("-", "")
    if match := _RANGE.match(text, end) or _BESIDE.match(text, end):
        yield from _short_form(month, match[1], Strength.HINT)
        return
    while match := _LIST.match(text, end):
        whole = len(match[1]) == len("0047")
        yield from _short_form(month, match[1], Strength.MENDED if whole else Strength.HINT)
        end = match.end()


def _short_form(month: str, sequence: str, strength: Strength) -> Iterator[Reading]:
    digits = "".join(_DIGITS[character] for character in sequence)
    if numbers := _valid(f"{month}{digits:0>4}"):
        yield Reading(numbers, strength)


def _valid(digits: str) -> tuple[str, ...]:
    """The invoice number of year, month and sequence, in a tuple; empty if there is none such."""
    number = f"INV-{digits[:4]}-{digits[4:6]}-{digits[6:]}"
    try:
        parse_invoice_number(number)
    except InvalidValue:
        return ()
    return (number,)


def _check_digits(body: str) -> str:
    values = "".join(str(int(character, 36)) for character in f"{body}RF00")
    return f"{98 - int(values) % 97:02d}"
