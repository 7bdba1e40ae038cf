"""The renderers' processes: what they return, and what happens when one dies."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from activities.invoice_document import InvoiceDocument
from activities.pdf import DocumentWillNotRender, PrintedDocument, render_invoice_pdf
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


def only_process(pool: PdfPool) -> int:
    (process,) = pool._renderers.processes
    assert process.pid is not None
    return process.pid


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
    renderer = only_process(pool)
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


def test_a_pool_that_rendered_enough_is_made_anew_behind_the_documents_that_it_has(
    pool: PdfPool, document: InvoiceDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.rendering._DOCUMENTS_OF_A_POOL", 3)
    before = pool._renderers.processes
    pdf = pool.render(document)
    with ThreadPoolExecutor(10) as threads:
        rendered = list(threads.map(pool.render, [document] * 10))
    assert rendered == [pdf] * 10
    for process in before:
        process.join(20)
        assert process.exitcode == 0
    assert pool.render(document) == pdf


def test_a_renderer_that_hangs_in_a_pool_of_before_is_ended_and_fails_nobody(
    pool: PdfPool, document: InvoiceDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pool._renderers
    os.kill(only_process(pool), signal.SIGSTOP)
    waiting = Future[None]()
    monkeypatch.setattr(before, "submit", telling(before.submit, waiting))
    with ThreadPoolExecutor(1) as thread:
        rendering = thread.submit(pool.render, document)
        waiting.result(20)
        monkeypatch.setattr("activities.rendering._DOCUMENTS_OF_A_POOL", 0)
        assert pool.render(document).startswith(b"%PDF")
        monkeypatch.setattr("activities.rendering._DOCUMENTS_OF_A_POOL", 2_000)
        before.kill()
        assert rendering.result().startswith(b"%PDF")
    (hanging,) = before.processes
    hanging.join(20)
    assert hanging.exitcode == -signal.SIGKILL


def telling(
    submit: Callable[[PrintedDocument], "Future[bytes]"], told: "Future[None]"
) -> Callable[[PrintedDocument], "Future[bytes]"]:
    """`submit`, which says when it did."""

    def submitted(document: PrintedDocument) -> "Future[bytes]":
        rendered = submit(document)
        told.set_result(None)
        return rendered

    return submitted
