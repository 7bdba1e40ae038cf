"""The processes that render documents: the one thing here that is bound to the CPU."""

import ctypes
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from activities.invoice_document import InvoiceDocument
from activities.pdf import render_invoice_pdf, warm_up

_PR_SET_PDEATHSIG = 1
_PAUSE_SECONDS = 1  # a pause shorter than this is not the end of a cycle


class PdfPool:
    """`processes` processes that render invoices; a pool whose process died is made anew."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._lock = threading.Lock()
        self._rendering = 0
        self._busy_until = 0.0
        self._executor = self._make()

    def render(self, document: InvoiceDocument) -> bytes:
        """The invoice's PDF; waits for a free process.

        Raises DocumentWillNotRender, or BrokenProcessPool when the process died under it, which
        a retry with the pool made anew cures.
        """
        executor = self._executor
        self._began(1)
        try:
            return executor.submit(render_invoice_pdf, document).result()
        except BrokenProcessPool:
            self._replace(executor)
            raise
        finally:
            self._began(-1)

    def is_busy(self) -> bool:
        """Whether a document is being rendered, or was within the last second."""
        with self._lock:
            return self._rendering > 0 or time.monotonic() < self._busy_until

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)

    def _began(self, change: int) -> None:
        with self._lock:
            self._rendering += change
            self._busy_until = time.monotonic() + _PAUSE_SECONDS

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._executor is broken:
                self._executor = self._make()
        broken.shutdown(wait=False)

    def _make(self) -> ProcessPoolExecutor:
        # forkserver: forking a process that runs threads and gRPC is not safe
        context = get_context("forkserver")
        context.set_forkserver_preload(["activities.pdf"])
        executor = ProcessPoolExecutor(self._processes, mp_context=context, initializer=_prepare)
        for _ in range(self._processes):
            executor.submit(warm_up)  # starts a process each, before there is work for it
        return executor


def _prepare() -> None:
    """A renderer ends with its owner, even when that one is killed, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
