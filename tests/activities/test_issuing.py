"""A draft becomes an invoice, once, with its document."""

import hashlib
from decimal import Decimal

import pytest

from activities.issuing import IssuingActivities
from activities.pdf import render_invoice_pdf
from domain.errors import Conflict, NotFound
from tests.activities.conftest import FIRST, LINKS, Plan
from tests.builders import ACTOR, ISSUED_ON, KNOWN_ANSWER, Subscriber
from workflows.contracts.customer import FailureReport, PostOrder, RenderOrder

FAILURE = FailureReport(FIRST, "document_will_not_render", "the logo is no SVG")
ITEM = "SELECT outcome, reason_code, reason FROM billing_cycle_items"


def test_the_document_is_stored_under_the_hash_of_its_bytes(plan: Plan) -> None:
    books = plan(KNOWN_ANSWER)
    rendered = books.issuing.render_invoice(RenderOrder(FIRST))
    ((sha256, content),) = books.ask("SELECT sha256, content FROM documents")
    assert rendered.pdf_sha256 == sha256 == hashlib.sha256(bytes(content)).hexdigest()
    assert b"312.91" in bytes(content)
    assert LINKS.pay(FIRST, 1).encode() in bytes(content)


def test_the_same_draft_gives_the_same_document(plan: Plan) -> None:
    books = plan(KNOWN_ANSWER)
    issuing = IssuingActivities(books.engine, render=render_invoice_pdf, links=LINKS)
    first, again = (issuing.render_invoice(RenderOrder(FIRST)) for _ in range(2))
    assert first == again
    assert books.ask("SELECT count(*) FROM documents") == [(1,)]


def test_rendering_issues_nothing(plan: Plan) -> None:
    books = plan()
    books.issuing.render_invoice(RenderOrder(FIRST))
    assert books.ask("SELECT status, pdf_sha256 FROM invoices") == [("draft", None)]
    assert books.told() == []


def test_posting_twice_issues_once(plan: Plan) -> None:
    books = plan()
    sha256 = books.issuing.render_invoice(RenderOrder(FIRST)).pdf_sha256
    first, again = (books.issuing.post_invoice(PostOrder(FIRST, sha256, ACTOR)) for _ in range(2))
    assert first == again
    assert (first.issued_on, first.due_on) == (ISSUED_ON, ISSUED_ON.replace(day=31))
    assert (first.case.state, first.case.open_amount) == ("issued", Decimal("195.10"))
    assert books.ask("SELECT status, collection_state, pdf_sha256 FROM invoices") == [
        ("issued", "issued", sha256)
    ]
    assert books.ask(ITEM) == [("issued", "", "")]
    assert books.told() == ["issued"]


def test_a_draft_that_was_dated_anew_is_not_posted_with_the_document_of_before(plan: Plan) -> None:
    """A month taken up again dates its drafts anew, also one of which an earlier run of it has just
    made the document.
    """
    books = plan()
    before = books.issuing.render_invoice(RenderOrder(FIRST))
    books.ask("UPDATE invoices SET issued_on = issued_on + 1, due_on = due_on + 1 RETURNING 1")
    with pytest.raises(Conflict, match="is dated 2026-03-02 by now, and its document 2026-03-01"):
        books.issuing.post_invoice(
            PostOrder(FIRST, before.pdf_sha256, ACTOR, issued_on=before.issued_on)
        )
    now = books.issuing.render_invoice(RenderOrder(FIRST))
    books.issuing.post_invoice(PostOrder(FIRST, now.pdf_sha256, ACTOR, issued_on=now.issued_on))
    assert books.told() == ["issued"]


def test_an_invoice_of_nothing_is_issued_and_paid(plan: Plan) -> None:
    books = plan(Subscriber("1001", 500))
    sha256 = books.issuing.render_invoice(RenderOrder(FIRST)).pdf_sha256
    posted = books.issuing.post_invoice(PostOrder(FIRST, sha256, ACTOR))
    assert (posted.case.state, posted.case.open_amount) == ("paid", 0)
    assert books.ask("SELECT status, settled_on FROM invoices") == [("paid", ISSUED_ON)]
    assert books.told() == ["issued", "settled"]


def test_an_invoice_posted_on_hold_is_held(plan: Plan) -> None:
    books = plan()
    sha256 = books.issuing.render_invoice(RenderOrder(FIRST)).pdf_sha256
    assert books.issuing.post_invoice(PostOrder(FIRST, sha256, ACTOR, on_hold=True)).case.on_hold


def test_a_customers_credit_pays_the_invoice_as_it_is_posted(plan: Plan) -> None:
    books = plan(Subscriber("1001"), Subscriber("1002"))
    books.ask(
        "INSERT INTO credit_balances SELECT id, 'USD', 50 FROM customers"
        " WHERE account_number = '1001' RETURNING 1"
    )
    sha256 = books.issuing.render_invoice(RenderOrder(FIRST)).pdf_sha256
    first, again = (
        books.issuing.post_invoice(PostOrder(FIRST, sha256, ACTOR)).case for _ in range(2)
    )
    assert first == again
    assert (first.amount_paid, first.open_amount) == (Decimal("50.00"), Decimal("145.10"))
    assert books.ask("SELECT balance FROM credit_balances") == [(0,)]
    assert books.told() == ["issued", "part_paid"]


def test_a_failure_is_recorded_with_its_reason(plan: Plan) -> None:
    books = plan()
    for _ in range(2):
        books.issuing.record_failure(FAILURE)
    assert books.ask(ITEM) == [("failed", FAILURE.code, FAILURE.reason)]
    assert books.ask("SELECT status FROM invoices") == [("draft",)]


def test_a_failure_leaves_an_issued_invoice_alone(plan: Plan) -> None:
    books = plan()
    books.issue()
    recorded = books.issuing.record_failure(FAILURE)
    assert recorded.posted is not None
    assert recorded.posted.case.number == FIRST
    assert books.ask(ITEM) == [("issued", "", "")]
    assert books.ask("SELECT status FROM invoices") == [("issued",)]


def test_an_unknown_number_is_refused(plan: Plan) -> None:
    issuing = plan().issuing
    with pytest.raises(NotFound):
        issuing.render_invoice(RenderOrder("INV-2026-02-0099"))
    with pytest.raises(NotFound):
        issuing.post_invoice(PostOrder("INV-2026-02-0099", "0" * 64, ACTOR))
