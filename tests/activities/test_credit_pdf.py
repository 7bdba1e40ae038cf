"""The credit note's pages, read back from real renderings."""

import io
import pickle
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pypdfium2
import pytest
from pypdf import PdfReader

from activities import pdf
from activities.credit_document import CreditNoteDocument
from activities.invoice_document import DocumentLine, InvoiceDocument
from activities.pdf import DocumentWillNotRender, render_invoice_pdf, render_pdf
from activities.rendering import PdfPool
from domain.crediting import (
    CreditableInvoice,
    CreditedSoFar,
    InvoicedLine,
    RefundTo,
    credit_amount,
    credit_in_full,
    credit_lines,
)
from domain.tax import TaxRule, TaxTreatment
from tests.activities.test_pdf import CUSTOMER, HOSTILE, SELLER, VAT_19, a_line, an_invoice

REASON = "Premium support was not delivered in February."


def creditable(invoice: InvoiceDocument) -> CreditableInvoice:
    lines = tuple(
        InvoicedLine(place, line.description, line.amount)
        for place, line in enumerate(invoice.lines, 1)
    )
    return CreditableInvoice(invoice.number, invoice.currency, lines, invoice.tax_lines)


def a_credit_note(
    *lines: DocumentLine, amount: str | None = None, treatment: TaxTreatment = VAT_19
) -> CreditNoteDocument:
    """Credits an invoice of `lines` in full, or `amount` of it."""
    invoice = an_invoice(*lines, treatment=treatment)
    whole, none = creditable(invoice), CreditedSoFar()
    credit = (
        credit_in_full(whole, none)
        if amount is None
        else credit_amount(whole, none, Decimal(amount))
    )
    return CreditNoteDocument("CN-2026-03-0007", date(2026, 3, 12), invoice, REASON, credit)


@pytest.fixture
def support() -> CreditNoteDocument:
    """Line 4 of the invoice, premium support, taken back whole."""
    note = a_credit_note()
    credit = credit_lines(creditable(note.invoice), CreditedSoFar(), {4: None})
    return replace(note, credit=credit)


def pages_of(document: CreditNoteDocument) -> list[str]:
    """Each page's text, its line breaks read as spaces."""
    rendered = pypdfium2.PdfDocument(render_pdf(document))
    return [re.sub(r"\s+", " ", page.get_textpage().get_text_range()) for page in rendered]


def text_of(document: CreditNoteDocument) -> str:
    return " ".join(pages_of(document))


@pytest.mark.parametrize(
    "printed",
    [
        "Credit note CREDIT NOTE NUMBER",
        "CN-2026-03-0007 12 March 2026 INV-2026-02-0047 1 March 2026 PO-2026-1187",
        "Brandt & Söhne Logistik GmbH Hafenstraße 47 20457 Hamburg Germany",
        "VAT ID DE811907980",
        "Meridian API GmbH Lindenstraße 12 10969 Berlin Germany",
        "USD 117.81 credited",
        f"REASON {REASON}",
        "4 Premium support 99.00",
        "Subtotal 99.00",
        "VAT 19% on 99.00 18.81",
        "Total credited USD 117.81",
        "Tax registration number DE298765435 · Corrects INV-2026-02-0047",
        "Page 1 of 1",
    ],
)
def test_prints_what_a_credit_note_must_say(support: CreditNoteDocument, printed: str) -> None:
    assert printed in text_of(support)


@pytest.mark.parametrize("asked", ["How to pay", "IBAN", "Net 30", "Due date", "Scan to pay"])
def test_a_credit_note_asks_for_nothing(support: CreditNoteDocument, asked: str) -> None:
    assert asked not in text_of(support)


def test_a_credit_note_has_no_links(support: CreditNoteDocument) -> None:
    pages = [
        PdfReader(io.BytesIO(render_pdf(made))).pages[0] for made in (support, support.invoice)
    ]
    assert [bool(page.annotations) for page in pages] == [False, True]


@pytest.mark.parametrize(
    ("returned", "refund_to", "voids", "says"),
    [
        (
            "0",
            RefundTo.NOWHERE,
            False,
            ["USD 312.91 is taken off what was still to be paid on INV-2026-02-0047."],
        ),
        (
            "312.91",
            RefundTo.CARD,
            False,
            ["USD 312.91 is refunded to the card that paid INV-2026-02-0047;"],
        ),
        (
            "312.91",
            RefundTo.CREDIT,
            False,
            ["USD 312.91 is kept as your credit and taken off your next invoice."],
        ),
        (
            "112.91",
            RefundTo.CARD,
            False,
            ["USD 200.00 is taken off what was still", "USD 112.91 is refunded to the card"],
        ),
        (
            "0",
            RefundTo.NOWHERE,
            True,
            ["USD 312.91 is taken off", "Invoice INV-2026-02-0047 is cancelled; nothing is left"],
        ),
    ],
)
def test_says_what_happens_with_the_money(
    returned: str, refund_to: RefundTo, voids: bool, says: list[str]
) -> None:
    note = replace(a_credit_note(), returned=Decimal(returned), refund_to=refund_to, voids=voids)
    _, _, outcome = text_of(note).partition("What happens with this amount")
    for sentence in says:
        assert sentence in outcome
    assert ("is taken off what was still" in outcome) == (Decimal(returned) < note.credit.total)
    assert ("cancelled" in outcome) == voids


def test_a_line_that_was_taken_off_is_printed_with_its_minus_sign() -> None:
    proration = a_line("Proration: Premium support", unit_price="-35.36")
    text = text_of(a_credit_note(a_line("Premium support"), proration))
    assert "2 Proration: Premium support −35.36" in text
    assert "Total credited USD 75.73" in text


def test_the_rule_of_the_tax_is_said_as_on_the_invoice() -> None:
    reverse = TaxTreatment(TaxRule.REVERSE_CHARGE, Decimal(0), "VAT reverse charge")
    text = text_of(a_credit_note(amount="10.00", treatment=reverse))
    assert "VAT reverse charge 0% on 10.00 0.00" in text
    assert "Reverse charge: VAT to be accounted for by the recipient" in text


def test_metadata_names_the_credit_note_its_seller_and_its_day() -> None:
    reader = PdfReader(io.BytesIO(render_pdf(a_credit_note())))
    assert reader.metadata is not None
    assert reader.metadata.title == "Credit note CN-2026-03-0007"
    assert reader.metadata.author == "Meridian API GmbH"
    assert str(reader.metadata["/CreationDate"]).startswith("D:20260312")
    assert str(reader.root_object["/Lang"]) == "en"


def test_it_is_set_in_the_invoices_fonts() -> None:
    note = a_credit_note()

    def fonts(content: bytes) -> set[str]:
        names = re.findall(rb"/BaseFont /(?:[A-Z]{6}\+)?([\w-]+)", content)
        return {name.decode() for name in names}

    used = fonts(render_pdf(note))
    assert used
    assert used == fonts(render_invoice_pdf(note.invoice))


def test_three_hundred_lines_are_printed_once_each_under_a_header_on_every_page() -> None:
    lines = [a_line(f"Line {n:03d} of many", unit_price=f"{n}.00") for n in range(1, 301)]
    pages = pages_of(a_credit_note(*lines))

    assert [re.findall(r"Page \d+ of \d+", page) for page in pages] == [
        [f"Page {n} of {len(pages)}"] for n in range(1, len(pages) + 1)
    ]
    for n in range(1, 301):
        whole = f"{n} Line {n:03d} of many {n}.00"
        assert [page.count(whole) for page in pages].count(1) == 1, whole
    for page in pages:
        assert "INVOICE LINE DESCRIPTION CREDITED (USD)" in page
        assert "CN-2026-03-0007" in page


@pytest.mark.parametrize("count", range(14, 26))
def test_totals_stay_together_below_a_line_and_above_the_outcome(count: int) -> None:
    *_, last = pages_of(a_credit_note(*(a_line(f"Line {n:02d} here") for n in range(count))))
    parts = [f"Line {count - 1:02d} here", "Subtotal", "VAT 19%", "Total credited", "What happens"]
    assert sorted(parts, key=last.index) == parts


def test_a_reason_of_several_pages_is_printed_whole() -> None:
    words = [f"word{n:04d}" for n in range(1_500)]
    pages = pages_of(replace(a_credit_note(), reason=" ".join(words)))
    assert len(pages) > 2
    assert re.findall(r"word\d{4}", " ".join(pages)) == words
    assert "Total credited USD 312.91" in pages[-1]


def test_the_lines_of_a_reason_stay_apart_and_no_reason_takes_no_room() -> None:
    first, second = "First of all.", "Secondly."

    def top(document: CreditNoteDocument, words: str) -> float:
        textpage = pypdfium2.PdfDocument(render_pdf(document))[0].get_textpage()
        found = textpage.search(words).get_next()
        assert found is not None
        return float(textpage.get_charbox(found[0])[3])

    note = replace(a_credit_note(), reason=f"{first}\n{second}")
    assert top(note, first) > top(note, second) > top(note, "Subtotal")
    assert "REASON" not in text_of(replace(note, reason=" "))


def test_hostile_text_is_printed_as_it_is() -> None:
    note = a_credit_note(a_line(HOSTILE))
    hostile = replace(note.invoice, customer=replace(CUSTOMER, name=HOSTILE))
    text = text_of(replace(note, invoice=hostile, reason=HOSTILE + "\x00", number='<i>"1"</i>'))
    assert text.count(HOSTILE) == 3
    assert '<i>"1"</i>' in text


def test_twelve_digits_neither_touch_nor_leave_the_page() -> None:
    line = a_line("x" * 200, "1", "999999999999.99")
    page = pypdfium2.PdfDocument(render_pdf(a_credit_note(line)))[0]
    textpage = page.get_textpage()
    boxes = [textpage.get_rect(n) for n in range(textpage.count_rects())]
    margin = 20 / 25.4 * 72
    assert min(left for left, _, _, _ in boxes) > margin - 2
    assert max(right for _, _, right, _ in boxes) < page.get_width() - margin + 2
    text = re.sub(r"\s+", " ", textpage.get_text_range())
    assert "Subtotal 999,999,999,999.99" in text
    assert "Total credited USD 1,189,999,999,999.99" in text


def test_the_same_document_gives_the_same_bytes() -> None:
    note = a_credit_note()
    first = render_pdf(note)
    render_invoice_pdf(an_invoice())
    render_pdf(a_credit_note(amount="10.00"))
    assert render_pdf(note) == first


def test_a_credit_note_changes_nothing_in_the_invoices_after_it() -> None:
    before = render_invoice_pdf(an_invoice())
    render_pdf(a_credit_note())
    assert render_invoice_pdf(an_invoice()) == before


def test_kept_styles_do_not_grow_with_the_credit_notes() -> None:
    render_pdf(a_credit_note())
    kept = len(pdf._kept_styles())
    for n in range(3):
        render_pdf(replace(a_credit_note(), reason=f"Reason {n}"))
    assert len(pdf._kept_styles()) == kept


@pytest.fixture(scope="module")
def pool() -> Iterator[PdfPool]:
    pool = PdfPool(1)
    yield pool
    pool.close()


def test_the_renderers_make_invoices_and_credit_notes(pool: PdfPool) -> None:
    note = a_credit_note()
    assert pool.render(note) == render_pdf(note)
    assert pool.render(note.invoice) == render_invoice_pdf(note.invoice)


def test_a_credit_note_that_will_not_render_is_named_as_one(pool: PdfPool) -> None:
    note = a_credit_note()
    broken = replace(note, invoice=replace(note.invoice, seller=replace(SELLER, logo_svg="<svg")))
    with pytest.raises(DocumentWillNotRender, match=r"^Credit note CN-2026-03-0007 .*logo") as it:
        pool.render(broken)
    assert pickle.loads(pickle.dumps(it.value)).message == it.value.message
