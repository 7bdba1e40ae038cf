"""The processes that render documents: the one thing here that is bound to the CPU."""

import ctypes
import signal
import sys
import threading
import time
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from activities.pdf import DocumentWillNotRender, PrintedDocument, render_pdf, warm_up

_PR_SET_PDEATHSIG = 1
_PATIENCE_SECONDS = 25
_DOCUMENTS_OF_A_POOL = 2_000
_PAUSE_SECONDS = 1  # a pause shorter than this is not the end of a cycle


class PdfPool:
    """`processes` processes that render documents; a pool whose process died is made anew, and so
    is one that has rendered enough, since its processes grow by some kilobytes a document.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._lock = threading.Lock()
        self._rendering = 0
        self._busy_until = 0.0
        self._renderers = _Renderers(processes)

    def render(self, document: PrintedDocument) -> bytes:
        """The document's PDF; waits for a free process.

        A process that dies, or is busy for too long, takes the documents beside it along; each of
        them is then rendered alone, so that only the one at fault fails. Raises
        DocumentWillNotRender.
        """
        self._began(1)
        try:
            renderers, rendered = self._submit(document)
            try:
                return rendered.result(_PATIENCE_SECONDS)
            except (BrokenProcessPool, CancelledError, TimeoutError):
                self._replace(renderers)
                return _render_alone(document)
        finally:
            self._began(-1)

    def is_busy(self) -> bool:
        """Whether a document is being rendered, or was within the last second."""
        with self._lock:
            return self._rendering > 0 or time.monotonic() < self._busy_until

    def close(self) -> None:
        self._renderers.close()

    def _submit(self, document: PrintedDocument) -> tuple["_Renderers", "Future[bytes]"]:
        """One after the other: nobody finds a pool that was just retired."""
        with self._lock:
            if self._renderers.submitted >= _DOCUMENTS_OF_A_POOL:
                self._renderers.retire()
                self._renderers = _Renderers(self._processes)
            return self._renderers, self._renderers.submit(document)

    def _began(self, change: int) -> None:
        with self._lock:
            self._rendering += change
            self._busy_until = time.monotonic() + _PAUSE_SECONDS

    def _replace(self, broken: "_Renderers") -> None:
        with self._lock:
            if self._renderers is broken:
                self._renderers = _Renderers(self._processes)
        broken.kill()


class _Renderers:
    """The processes of one pool, and how many documents they were given."""

    def __init__(self, processes: int) -> None:
        # forkserver: forking a process that runs threads and gRPC is not safe
        context = get_context("forkserver")
        context.set_forkserver_preload(["activities.pdf"])
        self._executor = ProcessPoolExecutor(processes, mp_context=context, initializer=_prepare)
        for _ in range(processes):
            self._executor.submit(warm_up)  # starts them all, before there is work for them
        self.processes = tuple(self._executor._processes.values())
        self.submitted = 0

    def submit(self, document: PrintedDocument) -> "Future[bytes]":
        self.submitted += 1
        try:
            return self._executor.submit(render_pdf, document)
        except BrokenProcessPool as died:
            failed: Future[bytes] = Future()
            failed.set_exception(died)
            return failed

    def retire(self) -> None:
        """Takes no more documents; the processes end behind those that they have."""
        self._executor.shutdown(wait=False)

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)

    def kill(self) -> None:
        """Ends the processes at once, also one that hangs."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in self.processes:
            process.kill()


def _render_alone(document: PrintedDocument) -> bytes:
    alone = _Renderers(1)
    try:
        return alone.submit(document).result(_PATIENCE_SECONDS)
    except BrokenProcessPool as died:
        raise DocumentWillNotRender.because(document, "its renderer died twice.") from died
    except TimeoutError as late:
        raise DocumentWillNotRender.because(
            document, f"it takes longer than {_PATIENCE_SECONDS} s."
        ) from late
    finally:
        alone.kill()


def _prepare() -> None:
    """A renderer ends with its owner, even when that one is killed, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
