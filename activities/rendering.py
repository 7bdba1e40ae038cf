"""The processes that render documents: the one thing here that is bound to the CPU."""

import ctypes
import signal
import sys
import threading
import time
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from activities.pdf import DocumentWillNotRender, PrintedDocument, render_pdf, warm_up

_PR_SET_PDEATHSIG = 1
_PATIENCE_SECONDS = 25
_PAUSE_SECONDS = 1  # a pause shorter than this is not the end of a cycle


class PdfPool:
    """`processes` processes that render documents; a pool whose process died is made anew."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._lock = threading.Lock()
        self._rendering = 0
        self._busy_until = 0.0
        self._executor = self._make(processes)

    def render(self, document: PrintedDocument) -> bytes:
        """The document's PDF; waits for a free process.

        A process that dies, or is busy for too long, takes the documents beside it along; each of
        them is then rendered alone, so that only the one at fault fails. Raises
        DocumentWillNotRender.
        """
        executor = self._executor
        self._began(1)
        try:
            return executor.submit(render_pdf, document).result(_PATIENCE_SECONDS)
        except (BrokenProcessPool, CancelledError, TimeoutError):
            self._replace(executor)
            return self._render_alone(document)
        finally:
            self._began(-1)

    def _render_alone(self, document: PrintedDocument) -> bytes:
        alone = self._make(1)
        try:
            return alone.submit(render_pdf, document).result(_PATIENCE_SECONDS)
        except BrokenProcessPool as died:
            raise DocumentWillNotRender.because(document, "its renderer died twice.") from died
        except TimeoutError as late:
            raise DocumentWillNotRender.because(
                document, f"it takes longer than {_PATIENCE_SECONDS} s."
            ) from late
        finally:
            _end(alone)

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
            if self._executor is not broken:
                return
            self._executor = self._make(self._processes)
        _end(broken)

    def _make(self, processes: int) -> ProcessPoolExecutor:
        # forkserver: forking a process that runs threads and gRPC is not safe
        context = get_context("forkserver")
        context.set_forkserver_preload(["activities.pdf"])
        executor = ProcessPoolExecutor(processes, mp_context=context, initializer=_prepare)
        for _ in range(processes):
            executor.submit(warm_up)  # starts a process each, before there is work for it
        return executor


def _end(executor: ProcessPoolExecutor) -> None:
    """Ends a pool at once, also one whose process hangs."""
    processes = list((executor._processes or {}).values())
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()


def _prepare() -> None:
    """A renderer ends with its owner, even when that one is killed, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
