"""What one batch job takes: in this process, or in one of its own.

python -m eval.benchmarks.one_job JOB    runs a job, given as JSON, and prints its seconds and its peak memory
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ranking.jobs import Engine, InProcess, Job, Report, Summary, run


@dataclass(frozen=True)
class Timed:
    """Seconds of a job until its first worker was ready, of the work itself, and of everything; and rows per second
    in the middle half of the rows."""

    starting: float
    working: float
    total: float
    pace: float
    summary: Summary


def timed(job: Job, engine: Engine | None = None) -> Timed:
    began = time.perf_counter()
    marks: dict[str, float] = {}
    seen: list[tuple[float, int]] = []

    def watch(report: Report) -> None:
        marks.setdefault(report.stage, time.perf_counter())
        if report.stage == "working":
            seen.append((time.perf_counter(), report.done))

    summary = run(job, engine or InProcess(), watch)
    end = time.perf_counter()
    ready = marks.get("working", end)
    return Timed(ready - began, marks.get("finishing", end) - ready, end - began, _pace(seen, summary.rows), summary)


def _pace(seen: Sequence[tuple[float, int]], rows: int) -> float:
    first = next(mark for mark in seen if mark[1] >= rows / 4)
    last = next(mark for mark in seen if mark[1] >= 3 * rows / 4)
    return (last[1] - first[1]) / max(last[0] - first[0], 1e-9)


def taken(job: Job) -> dict[str, float]:
    """What a job took in this process: its seconds, and the process's peak memory in bytes."""
    found = timed(job)
    return {"starting": found.starting, "working": found.working, "total": found.total, "peak": peak_bytes()}


def peak_bytes() -> int:
    """The most memory that this process has had. (What getrusage tells includes the parent's, from before the exec.)"""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def apart(job: Job) -> subprocess.Popen[str]:
    """A process of its own with a job."""
    command = [sys.executable, "-m", "eval.benchmarks.one_job", job.to_json()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def outcome(process: subprocess.Popen[str]) -> dict[str, float]:
    out, _ = process.communicate()
    if process.returncode:
        sys.exit(f"a job ended with {process.returncode}")
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


if __name__ == "__main__":
    print(json.dumps(taken(Job.from_json(sys.argv[1]))))
