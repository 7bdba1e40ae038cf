"""Field 86 of an MT940 entry: who paid, from which account, and what for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from storage.importing.statements.model import LONGEST_NAME, Place

_GERMAN = re.compile(r"\d{3}(?P<mark>[?<>+~^|])\d\d")
_FULL_LINE = 27  # characters of a German purpose line; a text that fills it goes on in the next
_SEPA = re.compile(
    r"(EREF|KREF|MREF|CRED|DEBT|COAM|OAMT|SVWZ|ABWA|ABWE|PURP|SQTP|IBAN|BIC|ANAM|BREF|RREF)\+"
)
_SWIFT = re.compile(
    r"/(ABNAMRO|ADDR|BENM|BIC|BUSP|CDTRREFTP|CDTRREF|CNTP|CSID|CUR|EREF|IBAN|ID|ISDT|ISSR|KREF|"
    r"MARF|NAME|NRTX|ORDP|PREF|PURP|REMI|RTRN|STRD|SVCL|TRCD|TRTP|ULTB|ULTC|ULTD|USTD)/"
)
_REMITTANCE_KIND = re.compile(r"^(USTD|STRD)(?:/+|$)")
_PURPOSE = (*(f"{n}" for n in range(20, 30)), *(f"{n}" for n in range(60, 64)))


@dataclass(frozen=True)
class Details:
    """What field 86 tells; "" where it does not."""

    name: str = ""
    account: str = ""
    remittance: str = ""
    end_to_end_id: str = ""


def read_details(value: str, place: Place) -> Details:
    """The German form (`166?00…?20…?32…`), SWIFT's code words (`/REMI/…`), or plain text."""
    german = _GERMAN.match(value)
    if german is not None:
        told = _german(value, german["mark"])
    elif len(_SWIFT.findall(f"/{value}")) > 1:
        told = _swift(value)
    else:
        told = Details(remittance=value)
    return Details(
        place.text(told.name, LONGEST_NAME),
        place.account(told.account),
        place.text(told.remittance),
        place.reference(told.end_to_end_id),
    )


def _german(value: str, mark: str) -> Details:
    parts: dict[str, str] = {}
    for part in value.replace("\n", "")[3:].split(mark)[1:]:
        if part[:2].isdigit():
            key, text = part[:2], part[2:]
            parts[key] = parts.get(key, "") + text
        elif parts:  # the mark itself, written by the payer
            parts[next(reversed(parts))] += mark + part
    coded = _split(_SEPA, _joined(parts, _PURPOSE))
    return Details(
        name=_joined(parts, ("32", "33")).strip() or coded.get("ABWA", ""),
        account=parts.get("31", "") or coded.get("IBAN", ""),
        remittance=" ".join(filter(None, (coded.get("", "").strip(), coded.get("SVWZ", "")))),
        end_to_end_id=coded.get("EREF", "").strip(),
    )


def _joined(parts: dict[str, str], keys: Iterable[str]) -> str:
    lines = (parts.get(key, "") for key in keys)
    return "".join(line if len(line) >= _FULL_LINE else f"{line} " for line in lines)


def _swift(value: str) -> Details:
    # lines break anywhere, in the middle of a word too
    coded = _split(_SWIFT, value.replace("\n", ""))
    account, name = coded.get("IBAN", ""), coded.get("NAME", "")
    if other := coded.get("CNTP"):  # account/BIC/name/city
        cells = [*other.split("/"), "", "", ""]
        account, name = cells[0], cells[2]
    texts = [
        _REMITTANCE_KIND.sub("", coded.get(key, "")).strip("/ ")
        for key in ("REMI", "USTD", "CUR", "CDTRREF")
    ]
    return Details(
        name=name.strip("/ "),
        account=account.strip("/ "),
        remittance=" ".join(filter(None, texts)),
        end_to_end_id=coded.get("EREF", "").strip("/ "),
    )


def _split(codes: re.Pattern[str], text: str) -> dict[str, str]:
    """The text behind each code word, the first of each; "" leads to what stands before them."""
    found = codes.split(text)
    pairs = zip(found[1::2], found[2::2], strict=True)
    coded = {"": found[0]}
    for code, rest in pairs:
        coded.setdefault(code, rest)
    return coded
