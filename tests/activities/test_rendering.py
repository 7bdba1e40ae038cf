"""The renderers' processes: what they return, and what happens when one dies."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from activities.invoice_document import InvoiceDocument
from activities.pdf import DocumentWillNotRender, render_invoice_pdf
from activities.rendering import PdfPool
from storage.engine import transaction
from storage.invoices import load_invoice
from tests.activities.conftest import FIRST, Plan


@pytest.fixture
def document(plan: Plan) -> InvoiceDocument:
    books = plan()
    with transaction(books.engine) as connection:
        return books.issuing.document(connection, load_invoice(connection, FIRST))


@pytest.fixture(scope="module")
def pool() -> Iterator[PdfPool]:
    pool = PdfPool(1)
    yield pool
    pool.close()


def test_a_renderer_makes_the_same_bytes_as_this_process(
    pool: PdfPool, document: InvoiceDocument
) -> None:
    assert pool.render(document) == render_invoice_pdf(document)


def test_a_refusal_comes_back_whole(pool: PdfPool, document: InvoiceDocument) -> None:
    broken = replace(document, seller=replace(document.seller, logo_svg="<svg"))
    with pytest.raises(DocumentWillNotRender) as refused:
        pool.render(broken)
    assert (refused.value.number, refused.value.code) == (FIRST, "document_will_not_render")
    assert pool.render(document).startswith(b"%PDF")


def test_a_document_whose_renderer_is_killed_is_rendered_by_another(
    pool: PdfPool, document: InvoiceDocument
) -> None:
    pool.render(document)
    (renderer,) = pool._executor._processes
    os.kill(renderer, signal.SIGSTOP)  # so that it dies under the document, not before
    with ThreadPoolExecutor(1) as thread:
        rendering = thread.submit(pool.render, document)
        os.kill(renderer, signal.SIGKILL)
        assert rendering.result().startswith(b"%PDF")
    assert pool.render(document).startswith(b"%PDF")


def test_a_document_that_hangs_fails_alone(
    pool: PdfPool, document: InvoiceDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.rendering._PATIENCE_SECONDS", 0.001)
    with pytest.raises(DocumentWillNotRender, match="takes longer"):
        pool.render(document)
    monkeypatch.undo()
    assert pool.render(document).startswith(b"%PDF")
