"""The wires of the demonstration, and the bank statement that they arrive by."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

from demo.behaviour import Inbox, WirePayer, billing_emails, rows_of, text_of, wire_payers
from domain.references import rf_reference


@dataclass(frozen=True)
class Wire:
    """A wire as the bank books it."""

    booked_on: date
    amount: Decimal
    currency: str
    payer: str
    remittance: str


def wires_of(mail_dir: Path, issued_on: date) -> list[Wire]:
    """What the payers by wire send, who go by their invoice's e-mail alone."""
    wires = []
    emails = billing_emails()
    names = {row["account_number"]: row["name"] for row in rows_of("customers.csv")}
    for payer in wire_payers():
        for mail in Inbox(mail_dir, emails[payer.account_number]).mails():
            number = re.search(r"INV-\d{4}-\d{2}-\d{4,}", str(mail["Subject"]))
            due = re.search(r"Please pay ([A-Z]{3})\s([\d,.]+)\s+by", text_of(mail))
            if number and due:
                wires.append(
                    Wire(
                        issued_on + timedelta(days=payer.day),
                        Decimal(due[2].rstrip(".").replace(",", "")),
                        due[1],
                        names[payer.account_number],
                        _typed(payer, number[0]),
                    )
                )
    return sorted(wires, key=lambda wire: wire.booked_on)


def write_statement(wires: Sequence[Wire], *, iban: str) -> bytes:
    """A CAMT.053 statement of the seller's account at the end of the last day."""
    name = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
    root = ElementTree.Element("Document", xmlns=name)
    message = ElementTree.SubElement(root, "BkToCstmrStmt")
    last = max(wire.booked_on for wire in wires)
    _add(message, "GrpHdr", {"MsgId": f"DEMO-{last}", "CreDtTm": f"{last}T18:00:00"})
    statement = _add(message, "Stmt", {"Id": f"DEMO-{last}", "CreDtTm": f"{last}T18:00:00"})
    account = ElementTree.SubElement(statement, "Acct")
    _add(account, "Id", {"IBAN": iban.replace(" ", "")})
    for place, wire in enumerate(wires, start=1):
        entry = ElementTree.SubElement(statement, "Ntry")
        amount = ElementTree.SubElement(entry, "Amt", Ccy=wire.currency)
        amount.text = f"{wire.amount:f}"
        ElementTree.SubElement(entry, "CdtDbtInd").text = "CRDT"
        _add(entry, "Sts", {"Cd": "BOOK"})
        _add(entry, "BookgDt", {"Dt": wire.booked_on.isoformat()})
        _add(entry, "ValDt", {"Dt": wire.booked_on.isoformat()})
        ElementTree.SubElement(entry, "AcctSvcrRef").text = f"DEMO-{last}-{place:03d}"
        details = ElementTree.SubElement(ElementTree.SubElement(entry, "NtryDtls"), "TxDtls")
        _add(details, "Refs", {"AcctSvcrRef": f"DEMO-{last}-{place:03d}"})
        part = ElementTree.SubElement(details, "Amt", Ccy=wire.currency)
        part.text = f"{wire.amount:f}"
        ElementTree.SubElement(details, "CdtDbtInd").text = "CRDT"
        debtor = ElementTree.SubElement(ElementTree.SubElement(details, "RltdPties"), "Dbtr")
        _add(debtor, "Pty", {"Nm": wire.payer})
        _add(details, "RmtInf", {"Ustrd": wire.remittance})
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _typed(payer: WirePayer, number: str) -> str:
    """The invoice's number as people copy it."""
    return payer.remittance.format(
        number=number,
        lower=number.lower(),
        compact=number.replace("-", ""),
        spaced=number.replace("-", " "),
        slashed=number.replace("-", "/"),
        with_letters_o=number.replace("0", "O"),
        rf=rf_reference(number),
        account=payer.account_number,
    )


def _add(parent: ElementTree.Element, name: str, values: dict[str, str]) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name)
    for child, text in values.items():
        ElementTree.SubElement(element, child).text = text
    return element
