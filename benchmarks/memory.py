"""How much memory the parts of a stack hold."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Memory:
    """MiB by part, its children included; what processes share counts once (PSS).

    `postgres` holds its shared buffers, which fill up to their size and stay there.
    """

    worker: float
    pdf: float
    temporal: float
    postgres: float
    api: float


def memory_by_part(pids: Mapping[str, int]) -> Memory:
    """Of the processes `pids`; those of all workers together."""
    workers = [pid for part, pid in pids.items() if part.startswith("worker")]
    return Memory(
        worker=sum(_mib(psutil.Process(pid)) for pid in workers),
        pdf=sum(_of_children(pid) for pid in workers),
        temporal=_mib(psutil.Process(pids["temporal"])),
        postgres=_mib(psutil.Process(pids["postgres"])) + _of_children(pids["postgres"]),
        api=_mib(psutil.Process(pids["api"])),
    )


def _of_children(pid: int) -> float:
    total = 0.0
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += _mib(child)
    return total


def _mib(process: psutil.Process) -> float:
    return float(process.memory_full_info().pss) / _MIB
