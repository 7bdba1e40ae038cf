"""The invoice's pages, read back from real renderings."""

import io
import pickle
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import date
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path

import pypdfium2
import pytest
import segno
from pypdf import PdfReader

from activities import pdf
from activities.invoice_document import DocumentLine, InvoiceDocument
from activities.pdf import DocumentWillNotRender, render_invoice_pdf
from domain.invoice import TaxLine
from domain.money import round_money
from domain.parties import BilledCustomer, PaymentMethod, PostalAddress, Seller
from domain.rating import LineKind
from domain.tax import TaxRule, TaxTreatment

LOGO = Path(pdf.__file__).parents[1] / "templates" / "assets" / "meridian-logo.svg"
PAYMENT_URL = "https://billing.meridian-api.example/pay/INV-2026-02-0047.1.AbCdEfGhIjKlMnOpQrStUvWx"
SELLER = Seller(
    name="Meridian API GmbH",
    address=PostalAddress("Lindenstraße 12", "10969", "Berlin", "", "DE"),
    email="billing@meridian-api.example",
    phone="+49 30 5550 0142",
    website="meridian-api.example",
    tax_number="DE298765435",
    registration="Amtsgericht Charlottenburg, HRB 210347 B",
    bank_name="Commerzbank Berlin",
    iban="DE89370400440532013000",
    bic="COBADEFFXXX",
    logo_svg=LOGO.read_text(encoding="utf-8"),
)
CUSTOMER = BilledCustomer(
    account_number="1047",
    name="Brandt & Söhne Logistik GmbH",
    address=PostalAddress("Hafenstraße 47", "20457", "Hamburg", "", "DE"),
    billing_emails=("accounts@brandt-soehne.example",),
    tax_id="DE811907980",
    tax_id_valid=True,
    tax_exempt=False,
    currency="USD",
    segment="mid_market",
    payment_method=PaymentMethod.BANK_TRANSFER,
    po_number="PO-2026-1187",
)
VAT_19 = TaxTreatment(TaxRule.DOMESTIC, Decimal(19), "VAT")
OUTSIDE_SCOPE = TaxTreatment(TaxRule.OUTSIDE_SCOPE, Decimal(0), "Outside the scope of tax")


def a_line(
    description: str, quantity: str = "1", unit_price: str = "99.00", currency: str = "USD"
) -> DocumentLine:
    units, price = Decimal(quantity), Decimal(unit_price)
    return DocumentLine(
        LineKind.USAGE, description, units, price, round_money(units * price, currency)
    )


LINES_OF_1047 = (
    a_line("API calls: Free tier", "10000", "0"),
    a_line("API calls: Tier 1", "90000", "0.001"),
    a_line("API calls: Tier 2", "147891", "0.0005"),
    a_line("Premium support"),
)


def an_invoice(
    *lines: DocumentLine,
    treatment: TaxTreatment = VAT_19,
    currency: str = "USD",
    customer: BilledCustomer = CUSTOMER,
    seller: Seller = SELLER,
) -> InvoiceDocument:
    lines = lines or LINES_OF_1047
    subtotal = round_money(sum((line.amount for line in lines), Decimal(0)), currency)
    tax = treatment.amount_on(subtotal, currency)
    return InvoiceDocument(
        number="INV-2026-02-0047",
        currency=currency,
        period_start=date(2026, 2, 1),
        period_last_day=date(2026, 2, 28),
        issued_on=date(2026, 3, 1),
        due_on=date(2026, 3, 31),
        terms_days=30,
        seller=seller,
        customer=customer,
        lines=lines,
        tax_lines=(TaxLine(treatment, subtotal, tax),),
        subtotal=subtotal,
        total=subtotal + tax,
        payment_url=PAYMENT_URL,
    )


def pages_of(document: InvoiceDocument) -> list[str]:
    """Each page's text, its line breaks read as spaces."""
    rendered = pypdfium2.PdfDocument(render_invoice_pdf(document))
    return [re.sub(r"\s+", " ", page.get_textpage().get_text_range()) for page in rendered]


def text_of(document: InvoiceDocument) -> str:
    return " ".join(pages_of(document))


def logo_drawing(inside: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{inside}</svg>'


@pytest.mark.parametrize(
    "printed",
    [
        "INV-2026-02-0047",
        "1 March 2026",
        "31 March 2026",
        "1–28 February 2026",
        "PO-2026-1187",
        "Brandt & Söhne Logistik GmbH Hafenstraße 47 20457 Hamburg Germany",
        "VAT ID DE811907980",
        "Meridian API GmbH Lindenstraße 12 10969 Berlin Germany",
        "billing@meridian-api.example",
        "Amtsgericht Charlottenburg, HRB 210347 B",
        "API calls: Free tier 10,000 0.00 0.00",
        "API calls: Tier 1 90,000 0.001 90.00",
        "API calls: Tier 2 147,891 0.0005 73.95",
        "Premium support 1 99.00 99.00",
        "Subtotal 262.95",
        "VAT 19% on 262.95 49.96",
        "Total USD 312.91",
        "How to pay",
        "DE89 3704 0044 0532 0130 00",
        "COBADEFFXXX",
        "Commerzbank Berlin",
        "Tax registration number DE298765435",
        "Net 30",
        "Page 1 of 1",
    ],
)
def test_prints_what_an_invoice_must_say(printed: str) -> None:
    assert printed in text_of(an_invoice())


def test_a_usual_invoice_takes_one_page() -> None:
    assert len(pages_of(an_invoice())) == 1


def test_a_proration_has_no_unit_price_and_a_real_minus_sign() -> None:
    proration = DocumentLine(
        LineKind.PRORATION,
        "Proration: Premium support",
        Decimal(1),
        None,
        Decimal("-35.36"),
    )

    assert "Proration: Premium support 1 – −35.36" in text_of(an_invoice(proration))


def test_metadata_names_the_invoice_its_seller_and_its_day() -> None:
    reader = PdfReader(io.BytesIO(render_invoice_pdf(an_invoice())))

    assert reader.metadata is not None
    assert reader.metadata.title == "Invoice INV-2026-02-0047"
    assert reader.metadata.author == "Meridian API GmbH"
    assert str(reader.metadata["/CreationDate"]).startswith("D:20260301")
    assert str(reader.root_object["/Lang"]) == "en"


def test_sixty_lines_are_printed_once_each_under_a_header_on_every_page() -> None:
    lines = [a_line(f"Line {n:03d} of sixty", f"{n}000", "0.0005") for n in range(1, 61)]
    pages = pages_of(an_invoice(*lines))

    assert [re.findall(r"Page \d of \d", page) for page in pages] == [
        [f"Page {n} of 3"] for n in (1, 2, 3)
    ]
    for line in lines:
        amount = f"{line.amount:,.2f}"
        whole = f"{line.description} {line.quantity:,} 0.0005 {amount}"
        assert [page.count(whole) for page in pages].count(1) == 1, whole
        assert sum(page.count(line.description) for page in pages) == 1
    for page in pages:
        assert "QUANTITY UNIT PRICE AMOUNT (USD)" in page
        assert "Tax registration number DE298765435 · Net 30" in page
        assert "INV-2026-02-0047" in page


@pytest.mark.parametrize("count", range(1, 22))
def test_totals_stay_together_below_a_line_and_above_the_payment(count: int) -> None:
    *_, last = pages_of(an_invoice(*(a_line(f"Line {n:02d} here") for n in range(1, count + 1))))

    parts = [f"Line {count:02d} here", "Subtotal", "VAT 19%", "Total USD", "How to pay", "IBAN"]
    assert sorted(parts, key=last.index) == parts


def test_a_description_of_several_lines_is_not_cut_by_a_page() -> None:
    lines = [a_line(f"start{n:02d} " + "several words " * 9 + f"end{n:02d}") for n in range(30)]
    pages = pages_of(an_invoice(*lines))

    assert len(pages) > 1
    for n in range(30):
        assert all((f"start{n:02d}" in page) == (f"end{n:02d}" in page) for page in pages)


def test_the_payment_link_can_be_clicked() -> None:
    page = PdfReader(io.BytesIO(render_invoice_pdf(an_invoice()))).pages[0]

    links = {annotation.get_object()["/A"]["/URI"] for annotation in page.annotations or []}

    assert links == {PAYMENT_URL}


def test_the_qr_code_on_the_page_holds_the_payment_link() -> None:
    """The modules seen on the page, compared with segno's own for the same link and mask."""
    code = segno.make_qr(PAYMENT_URL, error="m", mask=3).matrix
    size = len(code)
    page = pypdfium2.PdfDocument(render_invoice_pdf(an_invoice()))[0]
    image = page.render(scale=6).to_pil().convert("1")
    right = image.width - 20 / 210 * image.width
    left = right - 34 / 210 * image.width
    module = (right - left) / size
    top = next(
        y
        for y in range(image.height // 3, image.height)
        if all(
            image.getpixel((round(left + (n + 0.5) * module), y)) == 0
            and image.getpixel((round(left + 0.5 * module), round(y + n * module))) == 0
            for n in range(7)
        )
    )

    seen = [
        [
            image.getpixel((round(left + (x + 0.5) * module), round(top + (y + 0.5) * module))) == 0
            for x in range(size)
        ]
        for y in range(size)
    ]

    assert seen == [[bool(dark) for dark in row] for row in code]


HOSTILE = "<script>alert(1)</script> {{ 7*7 }} {% raw %} <img src=file:///etc/passwd> &amp; ]]>"


def test_hostile_text_is_printed_as_it_is() -> None:
    hostile = replace(CUSTOMER, name=HOSTILE, po_number="<b>PO</b>", account_number='"><a>')
    document = replace(an_invoice(a_line(HOSTILE), customer=hostile), number='<i>"1"</i>')

    text = text_of(document)

    assert text.count(HOSTILE) == 2
    assert "<b>PO</b>" in text
    assert '"><a>' in text
    assert '<i>"1"</i>' in text


def test_control_characters_do_not_stop_an_invoice() -> None:
    assert "before" in text_of(an_invoice(a_line("before\x00\x0b\ud800after")))


@pytest.mark.parametrize(
    "logo",
    ["not a drawing", "<svg", "<html/>", logo_drawing("<path d='M0 0'>"), "\x00"],
)
def test_a_broken_logo_is_an_error_and_no_gap(logo: str) -> None:
    with pytest.raises(DocumentWillNotRender, match=r"INV-2026-02-0047.*logo"):
        render_invoice_pdf(an_invoice(seller=replace(SELLER, logo_svg=logo)))


@pytest.mark.parametrize(
    "reference",
    [
        '<image href="file:///etc/passwd" width="9" height="9"/>',
        '<image href="https://tracker.example/pixel.png" width="9" height="9"/>',
        '<image href="billwright:other" width="9" height="9"/>',
        '<use href="https://tracker.example/shapes.svg#a"/>',
        "<style>@import url(https://tracker.example/style.css);</style><rect/>",
    ],
)
def test_a_logo_that_refers_to_elsewhere_is_refused(reference: str) -> None:
    seller = replace(SELLER, logo_svg=logo_drawing(reference))

    with pytest.raises(DocumentWillNotRender) as refusal:
        render_invoice_pdf(an_invoice(seller=seller))

    assert refusal.value.number == "INV-2026-02-0047"


def test_without_a_logo_the_seller_is_named_in_its_place() -> None:
    with_logo, without = an_invoice(), an_invoice(seller=replace(SELLER, logo_svg=""))

    assert text_of(without).count(SELLER.name) == text_of(with_logo).count(SELLER.name) + 1


def test_the_same_document_gives_the_same_bytes() -> None:
    first = render_invoice_pdf(an_invoice())
    render_invoice_pdf(an_invoice(a_line("Another"), treatment=OUTSIDE_SCOPE))

    assert render_invoice_pdf(an_invoice()) == first


def test_a_pool_gives_the_same_bytes_and_the_typed_error() -> None:
    broken = an_invoice(seller=replace(SELLER, logo_svg="<svg"))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(render_invoice_pdf, an_invoice()).result() == render_invoice_pdf(
            an_invoice()
        )
        with pytest.raises(DocumentWillNotRender, match="logo"):
            pool.submit(render_invoice_pdf, broken).result()


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(DocumentWillNotRender("INV-1", "no ink")))

    assert (error.number, error.reason, error.message) == (
        "INV-1",
        "no ink",
        "Invoice INV-1 cannot be rendered: no ink",
    )


def test_kept_styles_do_not_grow_with_the_invoices() -> None:
    render_invoice_pdf(an_invoice())
    kept = len(pdf._kept_styles())
    for n in range(3):
        render_invoice_pdf(an_invoice(a_line(f"Line of invoice {n}")))

    assert len(pdf._kept_styles()) == kept


def test_nothing_to_pay_replaces_the_payment() -> None:
    free = an_invoice(a_line("API calls: Free tier", "8123", "0"), treatment=OUTSIDE_SCOPE)

    text = text_of(free)

    assert "USD 0.00, nothing to pay" in text
    assert "No payment is needed." in text
    assert "How to pay" not in text
    assert "IBAN" not in text
    assert PAYMENT_URL[:20] not in text


def test_an_invoice_below_zero_says_what_becomes_of_it() -> None:
    given_back = DocumentLine(
        LineKind.PRORATION, "Proration: Platform", Decimal(1), None, Decimal("-401.10")
    )

    text = text_of(an_invoice(given_back))

    assert "USD −477.31, nothing to pay" in text
    assert "What is below zero is your credit, for your next invoices." in text


def test_a_card_customer_is_not_asked_to_transfer() -> None:
    card = replace(CUSTOMER, payment_method=PaymentMethod.CARD)

    assert "We charge USD 312.91 to your card on file." in text_of(an_invoice(customer=card))


@pytest.mark.parametrize(
    ("rule", "rate", "name", "printed"),
    [
        (TaxRule.DOMESTIC, "19", "VAT", ["VAT 19% on 262.95 49.96"]),
        (TaxRule.LISTED, "8.875", "Sales tax NY", ["Sales tax NY 8.875% on 262.95 23.34"]),
        (
            TaxRule.EU_DESTINATION,
            "25.5",
            "VAT FI",
            ["VAT FI 25.5% on 262.95 67.05", "rate of the recipient's country, Germany."],
        ),
        (
            TaxRule.REVERSE_CHARGE,
            "0",
            "VAT reverse charge",
            [
                "VAT reverse charge 0% on 262.95 0.00",
                "Reverse charge: VAT to be accounted for by the recipient "
                "(Art. 196 Directive 2006/112/EC).",
            ],
        ),
        (
            TaxRule.OUTSIDE_SCOPE,
            "0",
            "Outside the scope of tax",
            [
                "Outside the scope of tax on 262.95 0.00",
                "the service is supplied where the recipient is established "
                "(Art. 44 Directive 2006/112/EC).",
            ],
        ),
        (
            TaxRule.EXEMPT,
            "0",
            "Tax exempt",
            ["Tax exempt on 262.95 0.00", "no tax is charged because the recipient is exempt"],
        ),
    ],
)
def test_each_tax_rule_says_what_it_must(
    rule: TaxRule, rate: str, name: str, printed: list[str]
) -> None:
    text = text_of(an_invoice(treatment=TaxTreatment(rule, Decimal(rate), name)))

    for sentence in printed:
        assert sentence in text


@pytest.mark.parametrize(
    ("currency", "quantity", "unit_price", "printed"),
    [
        ("JPY", "3", "1200", ["3 1,200 3,600", "Total JPY 4,284"]),
        ("KWD", "3", "1.5", ["3 1.500 4.500", "Total KWD 5.355"]),
        ("USD", "1", "999999999999.99", ["1 999,999,999,999.99 999,999,999,999.99"]),
    ],
)
def test_amounts_have_their_currencys_digits(
    currency: str, quantity: str, unit_price: str, printed: list[str]
) -> None:
    text = text_of(an_invoice(a_line("Seats", quantity, unit_price, currency), currency=currency))

    for figures in printed:
        assert figures in text


def test_twelve_digits_neither_touch_nor_leave_the_page() -> None:
    wide = a_line("Wide", "999999999999", "999999999999.99")
    wide = replace(wide, amount=Decimal("-999999999999.99"))
    page = pypdfium2.PdfDocument(render_invoice_pdf(an_invoice(wide, a_line("x" * 200))))[0]
    textpage = page.get_textpage()
    boxes = [textpage.get_rect(n) for n in range(textpage.count_rects())]
    margin = 20 / 25.4 * 72

    assert min(left for left, _, _, _ in boxes) > margin - 2
    assert max(right for _, _, right, _ in boxes) < page.get_width() - margin + 2
    figures = ["999,999,999,999", "999,999,999,999.99", "−999,999,999,999.99"]
    assert " ".join(["Wide", *figures]) in re.sub(r"\s+", " ", textpage.get_text_range())


def test_long_names_and_other_scripts_are_printed_whole() -> None:
    name = "Παναγιώτης Братья Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamten"
    text = text_of(an_invoice(customer=replace(CUSTOMER, name=name)))

    assert name.replace(" ", "") in text.replace(" ", "")


def test_an_american_address_puts_the_state_before_the_code() -> None:
    address = PostalAddress("500 Howard St", "94105", "San Francisco", "CA", "US")

    text = text_of(an_invoice(customer=replace(CUSTOMER, address=address)))

    assert "San Francisco CA 94105 United States" in text
    assert "Tax ID DE811907980" in text


def test_later_pages_carry_their_own_invoices_number() -> None:
    lines = [a_line(f"Line {n}") for n in range(40)]
    pages_of(an_invoice(*lines))

    later = pages_of(replace(an_invoice(*lines), number="INV-2026-02-0048"))

    assert "Invoice INV-2026-02-0048" in later[1]
    assert "0047" not in later[1].replace(PAYMENT_URL, "")
