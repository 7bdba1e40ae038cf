"""Credit notes over HTTP: read whole, with the document as it was sent."""

import hashlib

import pytest

from tests.activities.mail_server import attached_pdf
from tests.api.collected import TOTAL, Month
from tests.api.conftest import INVOICES, Product, assert_problem, until

NOTES = "/api/billing/credit-notes"


async def test_a_credit_note_is_read_whole(month: Month) -> None:
    number = month.take("paid")
    done = await month.done(
        number,
        "credit-notes",
        reason="outage of 3 March",
        lines=[{"position": 2, "amount": "5.00"}],
        refund_to="credit",
    )
    await until(lambda: credit_note_mails(month, done["credit_note"]) != [])
    note = await month.product.get(f"{NOTES}/{done['credit_note']}")
    assert note == {
        "number": done["credit_note"],
        "invoice_number": number,
        "business_date": "2026-03-01",
        "reason": "outage of 3 March",
        "currency": "USD",
        "subtotal": "5.00",
        "tax": "0.95",
        "total": "5.95",
        "refund_to": "credit",
        "returned_amount": "5.95",
        "voids": False,
        "created_by": "the finance key",
        "lines": [{"position": 2, "description": "API calls: Tier 1", "amount": "5.00"}],
        "tax_lines": [
            {
                "rule": "domestic",
                "name": "VAT",
                "rate_percent": "19",
                "taxable": "5.00",
                "amount": "0.95",
            }
        ],
        "pdf_url": f"{NOTES}/{done['credit_note']}/pdf",
    }
    assert await month.get(number, "/credit-notes") == [note]


async def test_the_document_is_what_was_mailed(month: Month) -> None:
    number = month.take("wired")
    done = await month.done(number, "credit-notes", reason="never used")
    assert done["invoice"]["amount_credited"] == TOTAL
    await until(lambda: credit_note_mails(month, done["credit_note"]) != [])
    answer = await month.product.http.get(f"{NOTES}/{done['credit_note']}/pdf")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    assert done["credit_note"] in answer.headers["content-disposition"]
    (mail,) = credit_note_mails(month, done["credit_note"])
    assert attached_pdf(mail) == answer.content
    assert answer.content.startswith(b"%PDF")


@pytest.mark.parametrize("part", ["", "/pdf"])
async def test_an_unknown_credit_note_is_not_found(sellerless: Product, part: str) -> None:
    answer = await sellerless.http.get(f"{NOTES}/CN-2026-03-9999{part}")
    assert_problem(answer, 404, "CN-2026-03-9999")


@pytest.mark.parametrize("part", ["credit-notes", "payments", "emails", "instructions"])
async def test_what_belongs_to_an_unknown_invoice_is_not_found(
    sellerless: Product, part: str
) -> None:
    answer = await sellerless.http.get(f"{INVOICES}/INV-2026-02-9999/{part}")
    assert_problem(answer, 404, "INV-2026-02-9999")


def credit_note_mails(month: Month, credit_note: str) -> list:
    return [mail for mail in month.mailbox.mails if credit_note in str(mail["Subject"])]
