"""What books by itself is right, over lines as people and banks in several countries write them."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from domain.matching import match_payment
from domain.open_invoices import IncomingPayment
from tests.domain.wires import book, owed, paid_invoice

OPEN = owed(
    [
        ("INV-2026-01-0047", "1047", "Brandt & Söhne GmbH", "EUR", "180.00"),
        ("INV-2026-02-0047", "1047", "Brandt & Söhne GmbH", "EUR", "312.91"),
        ("INV-2026-02-0048", "1048", "Nordlicht Energie AG", "EUR", "99.00"),
        ("INV-2026-02-0049", "1049", "Fjordtech AS", "EUR", "99.00"),
        ("INV-2026-02-0050", "1050", "Société Dubois SARL", "EUR", "1240.50"),
        ("INV-2026-02-0051", "1051", "Van der Berg Transport B.V.", "EUR", "450.00"),
        ("INV-2026-02-0011", "1011", "Kowalski Logistyka Sp. z o.o.", "EUR", "77.35"),
        ("INV-2026-02-0074", "1074", "Lindqvist & Co AB", "EUR", "312.91"),
        ("INV-2026-02-0101", "1101", "O'Neill & Partners Ltd", "EUR", "540.00"),
        ("INV-2026-02-0110", "1110", "Bianchi Meccanica S.r.l.", "EUR", "99.00"),
        ("INV-2026-02-0155", "1155", "García Hermanos S.L.", "EUR", "2310.00"),
        ("INV-2026-02-0060", "1060", "Acme Cloud Services Inc.", "USD", "99.00"),
        ("INV-2026-02-0061", "1061", "Pacific Rim Traders LLC", "USD", "1500.00"),
        ("INV-2026-03-0047", "1090", "Helvetia Data AG", "EUR", "312.91"),
    ]
)
SETTLED = [paid_invoice(), paid_invoice("INV-2026-01-0012", status="void")]


@dataclass(frozen=True)
class Line:
    """`expected`: the invoices that it pays, as a person would find out."""

    payment: IncomingPayment
    expected: frozenset[str]


def lines() -> list[Line]:
    found = []
    written = (Path(__file__).parent / "remittances.txt").read_text(encoding="utf-8")
    for line in written.splitlines():
        if line.startswith("#"):
            continue
        money, payer, remittance, expected = (cell.strip() for cell in line.split("|"))
        amount, currency = money.split()
        payment = IncomingPayment(Decimal(amount), currency, payer, "", remittance)
        found.append(Line(payment, frozenset(expected.split()) - {"-"}))
    return found


LINES = lines()


def test_the_set_is_large_and_has_lines_for_nothing_of_ours() -> None:
    assert len(LINES) >= 120
    assert sum(not line.expected for line in LINES) >= 15


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.payment.remittance or "nothing")
def test_what_books_by_itself_books_to_what_was_meant(line: Line) -> None:
    result = match_payment(line.payment, book(*OPEN, settled=SETTLED))
    booked = {allocation.number for allocation in result.certain}
    assert booked in (set(), line.expected)
    assert bool(booked) != bool(result.why_not)


def test_precision_is_whole_and_recall_is_high(capsys: pytest.CaptureFixture[str]) -> None:
    known = book(*OPEN, settled=SETTLED)
    booked = right = meant = proposed = 0
    for line in LINES:
        result = match_payment(line.payment, known)
        numbers = {allocation.number for allocation in result.certain}
        booked += bool(numbers)
        right += bool(numbers) and numbers == line.expected
        meant += bool(line.expected)
        first = {candidate.number for candidate in result.candidates}
        proposed += bool(line.expected) and not numbers and line.expected <= first
    with capsys.disabled():
        print(
            f"\n{len(LINES)} remittance lines: precision {right / booked:.3f}, "
            f"recall {right / meant:.3f}; of the other {meant - right}, "
            f"{proposed} have all their invoices among the candidates"
        )
    assert right == booked
    assert right / meant > 0.8
    assert proposed / (meant - right) > 0.8
