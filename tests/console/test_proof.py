"""The proof of a month as a finance manager reads it: sentences, figures, and whose it is."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from domain import charges
from domain.proof import Equation, not_checked
from storage.engine import transaction
from storage.proof.records import record_proof
from tests.api.conftest import CYCLES, BilledMonth, Product
from tests.builders import FEBRUARY, ISSUED_ON
from tests.console.conftest import SitDown
from tests.storage.proved import bill_rich_month, prove
from tests.storage.test_proof_of_usage import without_the_last_tier


async def test_a_month_is_read_and_proved_anew(billed: BilledMonth, sit_down: SitDown) -> None:
    product = billed.product
    desk = await sit_down(product)
    page = await desk.open("/billing/2026-02")
    await page.get_by_role("link", name="Proof that all was billed").click()
    usage = page.get_by_role("region", name="Usage")
    await expect(usage.get_by_text("Every unit received was billed")).to_be_visible()
    before = (await product.get(f"{CYCLES}/2026-02/reconciliation"))["id"]
    await page.get_by_role("button", name="Prove anew").click()
    await desk.told("The month is proved anew.")
    await expect(page.get_by_role("button", name="Prove anew")).to_be_visible()
    assert (await product.get(f"{CYCLES}/2026-02/reconciliation"))["id"] > before
    await expect(page.get_by_role("region", name="Earlier proofs")).to_be_visible()
    assert desk.complaints == []


async def test_an_alarm_names_who_was_billed_too_little_and_leads_to_them(
    books: Product, sit_down: SitDown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.rating.rate_charge", without_the_last_tier(charges.rate_charge))
    bill_rich_month(books.engine, tmp_path / "files")
    with transaction(books.engine) as connection:
        proof = prove(connection) + not_checked(Equation.CARD_PAYMENTS, "Stripe is away")
        record_proof(connection, FEBRUARY, proof, as_of=ISSUED_ON, made_by="billing-cycle")
    desk = await sit_down(books)
    page = await desk.open("/")
    await page.get_by_role("link", name="does not balance: 2 differences").click()
    wrong = page.get_by_role("region", name="What does not agree")
    row = wrong.get_by_role("row", name=re.compile("1047"))
    await expect(row).to_contain_text("$73.95 too little")
    await expect(page.get_by_text("Stripe is away")).to_be_visible()
    await row.get_by_role("link", name="INV-2026-02-0005").click()
    await expect(page.get_by_role("heading", name="INV-2026-02-0005")).to_be_visible()
