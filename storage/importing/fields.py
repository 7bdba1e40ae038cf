"""One cell at a time: the text of a column to its value, or a ValueError that says why not."""

import re
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from stdnum.eu import vat
from stdnum.exceptions import ValidationError

from domain.errors import InvalidValue
from domain.money import minor_digits
from domain.tax import EU_MEMBER_STATES, UNITED_STATES, US_STATES

Parser = Callable[[str], Any]

# what stands before the @ is ASCII: mail servers that take more are rare
_EMAIL = re.compile(r"[^@\s,;<>\"\x80-\U0010ffff]+@[^@\s,;<>\"]+\.[^@\s,;<>\".]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_AMOUNT = re.compile(r"-?\d{1,15}(\.\d{1,12})?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

COUNTRIES = frozenset(
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR "
    "BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ "
    "EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW "
    "GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY "
    "KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV "
    "MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY "
    "QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG "
    "TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM "
    "ZW XK".split()
)
"""ISO 3166-1 alpha-2, and XK, which Kosovo uses until it has a code."""


def text(value: str) -> str:
    """Any text without control characters, without the blanks around it."""
    if _CONTROL.search(value):
        raise ValueError("has a control character; remove it")
    if not is_whole_text(value):
        raise ValueError("has half a character (a lone surrogate); remove it")
    return value.strip()


def is_whole_text(value: str) -> bool:
    """Whether `value` can be stored: JSON may hold one half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def required(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; give a value")
    return text(value)


def day(value: str) -> date:
    try:
        # a week date such as 2026-W09-6 is ISO 8601 too, and a typing error more often
        return date.fromisoformat(value.strip() if _DAY.fullmatch(value.strip()) else "")
    except ValueError:
        raise ValueError(f"{value!r} is not a date; write it as 2026-02-28") from None


def optional_day(value: str) -> date | None:
    return day(value) if value.strip() else None


def amount(value: str) -> Decimal:
    """A plain decimal number; no thousands separators, no exponent."""
    if not _AMOUNT.fullmatch(value.strip()):
        raise ValueError(f"{value!r} is not a number such as 1234.50")
    try:
        return Decimal(value.strip())
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number such as 1234.50") from None


def positive(value: str) -> Decimal:
    number = amount(value)
    if number <= 0:
        raise ValueError(f"{value} must be above 0")
    return number


def percent(value: str) -> Decimal:
    number = amount(value)
    if not 0 <= number <= 100:
        raise ValueError(f"{value} is not between 0 and 100 percent")
    return number


def currency(value: str) -> str:
    try:
        minor_digits(value.strip())
    except InvalidValue as refusal:
        raise ValueError(refusal.message) from None
    return value.strip()


def country(value: str) -> str:
    if value.strip() not in COUNTRIES:
        raise ValueError(
            f"{value!r} is not an ISO 3166 country code such as DE (Greece is GR, Britain GB)"
        )
    return value.strip()


def require_state(region: str, country_code: str) -> None:
    """Raises ValueError for a US place without its state: it would be outside scope, untaxed."""
    if country_code == UNITED_STATES and region not in US_STATES:
        raise ValueError(
            f"{region!r} is no US state; write its two capitals, such as NY, DC or PR"
            if region
            else "is empty; a place in the US needs its state, such as NY, DC or PR"
        )


def yes_or_no(value: str) -> bool:
    answers = {
        "true": True,
        "yes": True,
        "1": True,
        "false": False,
        "no": False,
        "0": False,
        "": False,
    }
    try:
        return answers[value.strip().lower()]
    except KeyError:
        raise ValueError(f"{value!r} is neither true nor false") from None


def emails(value: str) -> list[str]:
    """One or several addresses, separated by `;`."""
    addresses = [address.strip() for address in value.split(";") if address.strip()]
    if not addresses:
        raise ValueError("is empty; give at least one address")
    for address in addresses:
        if not _EMAIL.fullmatch(address) or _CONTROL.search(address):
            raise ValueError(f"{address!r} is not an e-mail address")
    return addresses


def one_of(choices: Iterable[str]) -> Parser:
    known = tuple(choices)

    def choose(value: str) -> str:
        if value.strip() not in known:
            raise ValueError(f"{value!r} is none of {', '.join(known)}")
        return value.strip()

    return choose


def vat_id_valid(tax_id: str, country_code: str) -> bool:
    """Whether `tax_id` is a VAT id of `country_code`, an EU member state, by its check digits.

    Checked when a customer is taken in; whether the id is registered is the seller's to verify.
    """
    if country_code not in EU_MEMBER_STATES or not tax_id:
        return False
    prefix = "EL" if country_code == "GR" else country_code
    try:
        return bool(vat.validate(tax_id).startswith(prefix))
    except ValidationError:
        return False
