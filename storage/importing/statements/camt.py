"""CAMT.053, the ISO 20022 statement, in the versions from camt.053.001.02 on.

Read element by element and not by pycamt, which takes the amount that the payer instructed for the
amount that was booked, keeps one of several references, and does not say where a file is wrong.
"""

import re
from dataclasses import dataclass, field, replace
from decimal import Decimal

from storage.importing.statements.entries import Entries, require_balance
from storage.importing.statements.model import (
    LONGEST_NAME,
    Place,
    Statement,
    StatementBalance,
    StatementEntry,
)
from storage.importing.statements.xml_tree import Element, XmlReader

FORMAT = "camt.053"

_SPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.(0[2-9]|1[0-9])")
_AMOUNT = re.compile(r"\d{1,15}(\.\d{1,5})?", re.ASCII)
_OPENING, _CLOSING = ("OPBD", "PRCD"), "CLBD"
_YES, _NO = frozenset({"true", "1"}), frozenset({"", "false", "0"})


def read_camt(content: bytes, place: Place, entries: Entries) -> Statement:
    """The booked entries of the file; pending ones and notices are left out.

    A file may hold several statements of one account. The entries of each must come to the
    difference of its booked balances, where it tells both.
    """
    file = _File(place, entries)
    XmlReader(place, "Stmt", opened=file.open, taken=file.take, closed=file.close).read(content)
    if not file.statements:
        raise place.refuse(
            "holds no statement camt.053 (reports camt.052 and notices camt.054 are none); "
            "ask the bank for camt.053"
        )
    return entries.statement(FORMAT, file.numbers, file.currency, file.whole)


@dataclass
class _File:
    """The statements of a file, and what the open one has told so far."""

    place: Place
    entries: Entries
    numbers: list[str] = field(default_factory=list)
    statements: int = 0
    currency: str = ""
    moved: dict[str, Decimal] = field(default_factory=dict)
    balances: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    whole: list[StatementBalance] = field(default_factory=list)
    number: str = ""
    account: str = ""
    read: int = 0

    def open(self, space: str, line: int) -> None:
        here = self.place.at("Stmt", line)
        if not _SPACE.fullmatch(space):
            raise here.refuse(
                f"is of {space[:80] or 'no namespace'!r} and not camt.053; ask the bank for that"
            )
        self.place = here
        self.moved, self.balances, self.number, self.account = {}, {}, "", ""

    def take(self, element: Element) -> None:
        match element.name:
            case "Id":
                self.number = self.place.at("Stmt/Id", element.line).reference(element.text)
            case "Acct":
                self._take_account(element)
            case "Bal":
                self._take_balance(element)
            case "Ntry":
                self._take_entry(element)

    def close(self) -> None:
        if not self.account:
            raise self.place.at("Stmt/Acct").refuse(
                "names no account, so nobody can tell whose entries these are; add its IBAN"
            )
        for (code, currency), closing in self.balances.items():
            if code == _CLOSING:
                told = (self.balances.get((code, currency)) for code in _OPENING)
                opening = next((amount for amount in told if amount is not None), None)
                moved = self.moved.get(currency, Decimal(0))
                require_balance(self.place, opening, moved, closing)
                if opening is not None:
                    self.whole.append(StatementBalance(currency, opening, closing))
        self.statements += 1
        self.numbers.append(self.number)

    def _take_account(self, element: Element) -> None:
        here = self.place.at("Stmt/Acct", element.line)
        self.account = here.account(element.text_of("Id/IBAN", "Id/Othr/Id"))
        if self.entries.account not in ("", self.account):
            raise here.refuse(
                f"is {self.account}, and a statement before it is of {self.entries.account}; "
                "split the file by account"
            )
        self.entries.account = self.account
        if written := element.text_of("Ccy"):
            self.currency = here.at("Stmt/Acct/Ccy").currency(written)

    def _take_balance(self, element: Element) -> None:
        code = element.text_of("Tp/CdOrPrtry/Cd")
        if code in (*_OPENING, _CLOSING) and element.first("Tp/SubTp") is None:
            here = self.place.at("Stmt/Bal", element.line)
            amount, currency = _signed_amount(element, here)
            self.balances[code, currency] = amount

    def _take_entry(self, element: Element) -> None:
        self.read += 1
        here = Place(self.place.file, element.line, self.read)
        if not self.account:
            raise here.refuse("stands before the account of its statement; ask for a valid file")
        status = element.text_of("Sts/Cd", "Sts")
        if not status:
            raise here.at("Sts").refuse("is missing, so it may be pending; ask for a valid file")
        if status != "BOOK":
            return
        entry = _Entry(element, here, self.account)
        self.moved[entry.currency] = self.moved.get(entry.currency, Decimal(0)) + entry.amount
        for found in entry.split():
            self.entries.add(found, here)


class _Entry:
    """One Ntry: an entry, or as many as its details list."""

    def __init__(self, element: Element, place: Place, account: str) -> None:
        self._element = element
        self._place = place
        self._account = account
        self.amount, self.currency = _signed_amount(element, place)
        self._reversal = _flag(element, "RvslInd", place)
        booked = element.text_of("BookgDt/Dt", "BookgDt/DtTm", "ValDt/Dt", "ValDt/DtTm")
        self._booked_on = place.at("BookgDt").iso_day(booked)
        self._reference = place.at("AcctSvcrRef").reference(element.text_of("AcctSvcrRef"))

    def split(self) -> list[StatementEntry]:
        """An entry for each payment of a batch; one where the file does not tell their amounts."""
        details = list(self._element.all("NtryDtls/TxDtls"))
        if len(details) < 2:
            return [self._whole(details[0] if details else None)]
        amounts = [self._amount_of(detail) for detail in details]
        parts = [amount for amount in amounts if amount is not None]
        if len(parts) < len(details):
            texts = [self._remittance(detail) for detail in details]
            written = self._place.at("RmtInf").text(" ".join(text for text in texts if text))
            return [replace(self._whole(None), remittance=written)]
        if sum(parts, Decimal(0)) != self.amount:
            raise self._place.at("NtryDtls").refuse(
                f"lists payments that come to {sum(parts, Decimal(0)):f} and the entry is "
                f"{self.amount:f}; ask the bank for all of them"
            )
        return self._parts(details, parts)

    def _whole(self, detail: Element | None) -> StatementEntry:
        """The entry as one; a reversal may stand under the reference of what it takes back."""
        own = self._own_reference(detail)
        reference = self._reference or own
        reverses = (own or reference) if self._reverses(detail) else ""
        if reverses and reverses == reference:
            reference = f"{reference}/reversal"
        return self._entry(detail, self.amount, reference, reverses)

    def _parts(self, details: list[Element], amounts: list[Decimal]) -> list[StatementEntry]:
        """Each payment by the bank's reference of its own, else by its place under the entry's."""
        own = [self._own_reference(detail) for detail in details]
        distinct = all(own) and len(set(own)) == len(own)
        parts = []
        for n, (detail, amount) in enumerate(zip(details, amounts, strict=True)):
            reversal = self._reverses(detail)
            kind = "/reversal" if reversal else ""
            placed = f"{self._reference}{kind}/{n + 1}" if self._reference else ""
            reference = own[n] if distinct and not reversal else placed
            parts.append(self._entry(detail, amount, reference, own[n] if reversal else ""))
        return parts

    def _own_reference(self, detail: Element | None) -> str:
        if detail is None:
            return ""
        here = self._place.at("TxDtls/Refs/AcctSvcrRef", detail.line)
        return here.reference(detail.text_of("Refs/AcctSvcrRef"))

    def _reverses(self, detail: Element | None) -> bool:
        return self._reversal or (detail is not None and detail.first("RtrInf") is not None)

    def _entry(
        self, detail: Element | None, amount: Decimal, reference: str, reverses: str
    ) -> StatementEntry:
        reversal = self._reverses(detail)
        name, account = self._other_side(detail, incoming=(amount > 0) != reversal)
        return StatementEntry(
            bank_reference=reference,
            booked_on=self._booked_on,
            amount=amount,
            currency=self.currency,
            payer_name=name,
            payer_iban=account,
            remittance=self._remittance(detail),
            end_to_end_id=self._end_to_end_id(detail),
            reverses=reverses,
            is_reversal=reversal,
        )

    def _amount_of(self, detail: Element) -> Decimal | None:
        """The booked amount of one payment of a batch, in the entry's currency; None: not told."""
        written = detail.first("Amt", "AmtDtls/TxAmt/Amt")
        if written is None or written.attributes.get("Ccy") != self.currency:
            return None
        here = self._place.at("TxDtls/Amt", written.line)
        amount = here.amount(written.text, self.currency, form=_AMOUNT)
        direction = detail.text_of("CdtDbtInd")
        if not direction:
            return amount if self.amount >= 0 else -amount
        return _directed(amount, direction, self._place.at("TxDtls/CdtDbtInd", detail.line))

    def _other_side(self, detail: Element | None, *, incoming: bool) -> tuple[str, str]:
        """Name and account of who is not the account's holder; of the original in a reversal."""
        parties = ["Dbtr", "Cdtr"] if incoming else ["Cdtr", "Dbtr"]
        for party in parties:
            name, account = self._party(detail, party)
            if (name or account) and account != self._account:
                return name, account
        return "", ""

    def _party(self, detail: Element | None, party: str) -> tuple[str, str]:
        if detail is None or (parties := detail.first("RltdPties")) is None:
            return "", ""
        here = self._place.at(f"RltdPties/{party}", parties.line)
        name = parties.text_of(
            f"{party}/Nm", f"{party}/Pty/Nm", f"Ultmt{party}/Nm", f"Ultmt{party}/Pty/Nm"
        )
        account = parties.text_of(f"{party}Acct/Id/IBAN", f"{party}Acct/Id/Othr/Id")
        return here.text(name, LONGEST_NAME), here.account(account)

    def _remittance(self, detail: Element | None) -> str:
        """All that the payer wrote, the structured references behind the free text."""
        texts: list[str] = []
        if detail is not None:
            for path in (
                "RmtInf/Ustrd",
                "RmtInf/Strd/CdtrRefInf/Ref",
                "RmtInf/Strd/RfrdDocInf/Nb",
                "RmtInf/Strd/AddtlRmtInf",
            ):
                texts += [found.text.strip() for found in detail.all(path)]
            texts = texts or [detail.text_of("AddtlTxInf")]
        texts = [text for text in texts if text] or [self._element.text_of("AddtlNtryInf")]
        return self._place.at("RmtInf").text(" ".join(dict.fromkeys(texts)))

    def _end_to_end_id(self, detail: Element | None) -> str:
        if detail is None:
            return ""
        here = self._place.at("Refs/EndToEndId", detail.line)
        return here.reference(detail.text_of("Refs/EndToEndId"))


def _signed_amount(element: Element, place: Place) -> tuple[Decimal, str]:
    """Amt of `element` with the sign of its CdtDbtInd, and its currency."""
    written = element.first("Amt")
    if written is None:
        raise place.at("Amt").refuse("is missing; ask the bank for a valid file")
    here = place.at("Amt", written.line)
    currency = here.currency(written.attributes.get("Ccy", ""))
    amount = here.amount(written.text, currency, form=_AMOUNT)
    return _directed(amount, element.text_of("CdtDbtInd"), place.at("CdtDbtInd")), currency


def _directed(amount: Decimal, direction: str, place: Place) -> Decimal:
    if direction not in ("CRDT", "DBIT"):
        raise place.refuse("is neither CRDT nor DBIT; ask the bank for a valid file")
    return amount if direction == "CRDT" else -amount


def _flag(element: Element, name: str, place: Place) -> bool:
    written = element.text_of(name)
    if written not in _YES | _NO:
        raise place.at(name).refuse("is neither true nor false; ask the bank for a valid file")
    return written in _YES
