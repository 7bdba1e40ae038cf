"""What the command prints of a proof: each sentence with both sides, and every difference."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import Engine

from cli_proof import show_proof
from domain import charges
from domain.errors import NotFound
from domain.proof import Equation, ProofStatus, not_checked
from storage.engine import transaction
from storage.proof.records import record_no_proof, record_proof
from tests.builders import FEBRUARY, ISSUED_ON
from tests.storage.proved import bill_rich_month, prove
from tests.storage.test_proof_of_usage import without_the_last_tier


@pytest.fixture
def undercharged(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr("domain.rating.rate_charge", without_the_last_tier(charges.rate_charge))
    bill_rich_month(engine, tmp_path / "files")
    return engine


def test_every_equation_and_every_difference_is_printed(undercharged: Engine) -> None:
    with pytest.raises(NotFound, match="not reconciled yet"):
        show_proof(undercharged, FEBRUARY, Console(file=io.StringIO()))
    with transaction(undercharged) as connection:
        proof = prove(connection) + not_checked(Equation.CARD_PAYMENTS, "Stripe is away")
        record_proof(connection, FEBRUARY, proof, as_of=ISSUED_ON, made_by="test")
    out = io.StringIO()
    made = show_proof(undercharged, FEBRUARY, Console(file=out, width=100))
    assert made.status is ProofStatus.ALARM
    printed = [line.strip() for line in out.getvalue().splitlines()]
    assert printed[0].endswith("2 differences")
    assert "✓ Each total is the subtotal and the tax." in printed
    assert "customers to bill 6 = customers with an outcome 6" in printed
    assert "✗ Rated a second time, by another formula, the month comes to the same." in printed
    assert "second rating 506.95 ≠ invoice lines 408.00 USD: 98.95 too little" in printed
    assert "not checked: Stripe is away" in printed
    assert any(
        line.startswith("1047 (INV-2026-02-0005: api-calls): expected 163.95, found 90.00 USD")
        for line in printed
    )
    with transaction(undercharged) as connection:
        record_no_proof(connection, FEBRUARY, "a defect", as_of=ISSUED_ON, made_by="test")
    made = show_proof(undercharged, FEBRUARY, Console(file=out, width=100))
    assert (made.status, made.reason) == (ProofStatus.INCOMPLETE, "a defect")
    assert "a defect" in out.getvalue()
