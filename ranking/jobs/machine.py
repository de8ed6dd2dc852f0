"""How much of this machine a job may use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WORKER_BYTES: Final = 1_500 * 2**20
"""What one worker may need: its JVM (at most 1 GB of heap), torch with a model, and a part of the input."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many worker processes with so many threads each."""

    workers: int
    threads: int


def share(workers: int | None = None, threads: int | None = None) -> Share:
    """As many workers of one thread as there are cores, where there is memory for them: they wait for nobody. With less
    memory, fewer workers of more threads. What is given stays as it is."""
    cores = cpu_cores()
    if workers is None:
        memory = available_bytes()
        room = cores if memory is None else max(1, memory // WORKER_BYTES)
        workers = max(1, min(room, cores // (threads or 1)))
    return Share(workers, threads or max(1, cores // max(1, workers)))


def cpu_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def available_bytes() -> int | None:
    """Memory that is free for new processes, None where the system does not tell."""
    found = []
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            found.append(int(line.split()[1]) * 1024)
    limit, used = _read("/sys/fs/cgroup/memory.max"), _read("/sys/fs/cgroup/memory.current")
    if limit.isdigit() and used.isdigit():
        found.append(int(limit) - int(used))
    return min(found) if found else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""
