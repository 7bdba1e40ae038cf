"""The pages of invoices and credit notes: from a document to the bytes of a PDF.

Bound to the CPU, so it is meant for a process pool. The same document always gives the same
bytes: dates come from the document, and nothing reads a clock, a network or a file outside
`templates/`.

Two choices keep a page well under its 35 ms: the markup is XML, read by the standard library's
parser, and `invoice.css` is the whole cascade, without the browser's default sheet beneath it.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import get_ident
from typing import Any
from xml.etree import ElementTree
from zlib import compress

import segno
from cssselect2 import ElementWrapper
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from pydyf import PDF, Stream, _to_bytes
from weasyprint import CSS, DEFAULT_OPTIONS, HTML
from weasyprint.document import Document
from weasyprint.text import ffi
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import URLFetcherResponse

from activities.credit_document import CreditNoteDocument, printed_credit_note
from activities.invoice_document import InvoiceDocument
from activities.invoice_text import printed_invoice
from domain.errors import BillwrightError
from domain.invoice import nothing_to_pay

_TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
_LOGO, _QR_CODE = "billwright:logo", "billwright:payment-code"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_QR_MASK = 3  # any mask decodes alike; trying all eight costs 6 ms

_log = logging.getLogger(__name__)

PrintedDocument = InvoiceDocument | CreditNoteDocument


class DocumentWillNotRender(BillwrightError):
    """A document has no PDF, for a reason in its data: rendering it again will not help.

    `title` says what the document is.
    """

    code = "document_will_not_render"

    def __init__(self, number: str, reason: str, title: str = InvoiceDocument.title) -> None:
        super().__init__(f"{title} {number} cannot be rendered: {reason}")
        self.number = number
        self.reason = reason
        self.title = title

    @classmethod
    def because(cls, document: PrintedDocument, reason: str) -> "DocumentWillNotRender":
        return cls(document.number, reason, document.title)

    def __reduce__(self) -> tuple[type["DocumentWillNotRender"], tuple[str, str, str]]:
        # it travels out of a pool's process
        return type(self), (self.number, self.reason, self.title)


def render_pdf(document: PrintedDocument) -> bytes:
    """The invoice or the credit note as a PDF of A4 pages. Raises DocumentWillNotRender."""
    if isinstance(document, InvoiceDocument):
        return render_invoice_pdf(document)
    return render_credit_note_pdf(document)


def render_invoice_pdf(document: InvoiceDocument) -> bytes:
    """The invoice as a PDF of A4 pages.

    Raises DocumentWillNotRender for a logo that is no SVG, and for anything on the page that
    points outside the document: nothing is ever fetched, and no gap is left silently.
    """
    texts = {**printed_invoice(document), "qr_code": _QR_CODE}
    images = {} if nothing_to_pay(document.total) else {_QR_CODE: _QrCode(document.payment_url)}
    return _render(document, "invoice.html.j2", texts, images)


def render_credit_note_pdf(document: CreditNoteDocument) -> bytes:
    """The credit note as a PDF of A4 pages. Raises DocumentWillNotRender as for an invoice."""
    return _render(document, "credit_note.html.j2", printed_credit_note(document), {})


def _render(
    document: PrintedDocument, template: str, texts: dict[str, Any], images: dict[str, Any]
) -> bytes:
    _warn_of_missing_subsetter()
    fetcher = _LogoOnly(_checked_logo(document))
    logo = _LOGO if document.seller.logo_svg else ""
    markup = _NOT_XML.sub("\ufffd", _template(template).render(texts, logo=logo))
    with _errors_logged() as errors:
        try:
            pages = _Pages(markup, fetcher).lay_out(images)
            pages.metadata.lang = "en"
            content: bytes = pages.write_pdf(finisher=_compress, uncompressed_pdf=True)
        except Exception as failure:
            reason = f"{type(failure).__name__}: {failure}"
            raise DocumentWillNotRender.because(document, reason) from failure
    if fetcher.refused:
        raise DocumentWillNotRender.because(document, _refers_to(fetcher.refused[0]))
    if errors:
        raise DocumentWillNotRender.because(document, errors[0])
    _warn_of_missing_glyphs(document, pages.fonts.values())
    return content


def warm_up() -> None:
    """Reads template, stylesheet and fonts, so that the first invoice need not wait for them."""
    _template("invoice.html.j2")
    _stylesheet()


class _Pages(HTML):  # type: ignore[misc]
    """WeasyPrint's document, made from XML and styled by our sheet alone."""

    def __init__(self, markup: str, fetcher: "_LogoOnly") -> None:
        root = ElementTree.fromstring(markup)
        self.base_url = None
        self.url_fetcher = fetcher
        self.media_type = "print"
        self.wrapper_element = ElementWrapper.from_html_root(root, content_language=None)
        self.etree_element = root

    def lay_out(self, images: dict[str, Any]) -> Document:
        options = {**DEFAULT_OPTIONS, "stylesheets": [_stylesheet()], "cache": images}
        return _LaidOut._render(self, _fonts(), None, None, options)

    def _ua_stylesheets(self, forms: bool = False) -> list[CSS]:
        return []


class _LaidOut(Document):  # type: ignore[misc]
    """Takes each element's computed style from the invoices before, where it is the same.

    Every invoice has the same elements under the same sheet. WeasyPrint shares equal styles
    within one document; computing them anew for each document is a seventh of its CPU.
    """

    @classmethod
    def _build_layout_context(cls, html: HTML, *arguments: Any) -> Any:
        context = super()._build_layout_context(html, *arguments)
        styles = context.style_for.get_computed_styles()
        kept = _kept_styles()
        for parent, element in _elements(html.etree_element):
            style = styles[element, None]
            above = None if parent is None else styles[parent, None]
            declared = frozenset((name, id(value)) for name, (value, _) in style.cascaded.items())
            styles[element, None] = kept.setdefault((id(above), declared), style)
        return context


def _elements(
    element: ElementTree.Element, parent: ElementTree.Element | None = None
) -> Iterator[tuple[ElementTree.Element | None, ElementTree.Element]]:
    yield parent, element
    for child in element:
        yield from _elements(child, element)


@cache
def _kept_styles() -> dict[Any, Any]:
    return {}


def _compress(_document: Document, pdf: PDF) -> None:
    """Deflate at level 4: WeasyPrint's 9 takes four times as long for 3 % less."""
    for part in pdf.objects:
        if isinstance(part, Stream) and "Filter" not in part.extra:
            plain = b"\n".join(_to_bytes(item) for item in part.stream)
            part.stream = [compress(plain, 4)]
            part.extra["Filter"] = "/FlateDecode"


class _LogoOnly:
    """Stands where WeasyPrint wants a URL fetcher: hands out the logo, refuses the rest.

    What was refused is remembered, because WeasyPrint leaves a gap and only logs it.
    """

    _fail_on_errors = False  # WeasyPrint looks at it when a fetcher raises

    def __init__(self, logo_svg: str) -> None:
        self._logo_svg = logo_svg
        self.refused: list[str] = []

    def __call__(self, url: str) -> URLFetcherResponse:
        if url == _LOGO and self._logo_svg:
            return URLFetcherResponse(url, self._logo_svg, {"Content-Type": "image/svg+xml"})
        self.refused.append(url)
        raise PermissionError("an invoice fetches nothing")


class _QrCode:
    """A QR code as WeasyPrint's kind of image: one path of bars, sharp at any size."""

    _QUIET = 4  # modules of white around it, ISO/IEC 18004

    def __init__(self, content: str) -> None:
        self._rows = segno.make_qr(content, error="m", mask=_QR_MASK).matrix

    def get_intrinsic_size(self, _resolution: float, _font_size: float) -> tuple[int, int, int]:
        return len(self._rows), len(self._rows), 1

    def draw(self, stream: Any, width: float, height: float, _style: Any) -> None:
        stream.transform(a=width / len(self._rows), d=height / len(self._rows))
        stream.stream.append(b"0 g")
        for y, row in enumerate(self._rows):
            for bar in re.finditer(b"\x01+", row):
                stream.stream.append(b"%d %d %d 1 re" % (bar.start(), y, len(bar[0])))
        stream.fill()


def _checked_logo(document: PrintedDocument) -> str:
    """The seller's logo, or empty. Raises DocumentWillNotRender where it is no SVG."""
    logo_svg = document.seller.logo_svg
    if not logo_svg:
        return ""
    try:
        root = ElementTree.fromstring(logo_svg)
    except (ElementTree.ParseError, ValueError) as error:
        raise DocumentWillNotRender.because(document, f"the logo is no SVG: {error}.") from error
    if root.tag != "{http://www.w3.org/2000/svg}svg":
        raise DocumentWillNotRender.because(document, f"the logo is no SVG but {root.tag!r}.")
    for element in root.iter():
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] == "href" and not value.startswith("#"):
                raise DocumentWillNotRender.because(document, _refers_to(value))
    return logo_svg


def _refers_to(url: str) -> str:
    return f"the logo refers to {url[:80]!r}; replace the reference by shapes of the logo's own."


# --- what is kept from one invoice to the next


@cache
def _fonts() -> FontConfiguration:
    return FontConfiguration()


@cache
def _stylesheet() -> CSS:
    return CSS(filename=_TEMPLATES / "invoice.css", font_config=_fonts())


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(name)


# --- complaints


@contextmanager
def _errors_logged() -> Iterator[list[str]]:
    """The errors that WeasyPrint logs in this thread instead of raising them."""
    handler = _ErrorList()
    logger = logging.getLogger("weasyprint")
    logger.addHandler(handler)
    try:
        yield handler.messages
    finally:
        logger.removeHandler(handler)


class _ErrorList(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []
        self._thread = get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())


@cache
def _warn_of_missing_subsetter() -> None:
    if ffi.harfbuzz_subset is None:
        _log.warning(
            "libharfbuzz-subset is missing: each PDF takes four times the CPU. "
            "Install libharfbuzz-subset0 (Debian, Ubuntu) or harfbuzz (Homebrew, Fedora)."
        )


def _warn_of_missing_glyphs(document: PrintedDocument, fonts: Iterable[Any]) -> None:
    missing = sorted({chr(point) for font in fonts for point in font.missing})
    if missing:
        _log.warning(
            "%s %s prints boxes for %s: no installed font has them. "
            "Install one that does, such as fonts-noto-cjk.",
            document.title,
            document.number,
            " ".join(missing),
        )
