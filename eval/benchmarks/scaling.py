"""How a batch job would go on machines that are not here: a model of measured times.

    T(w) = serial + start + max(parts / w * part, parts * driver)

are the seconds of a job with w workers of one core each: to read footers and write the manifest, to start a worker, to
work on a part, and to give one out. It says

    scaling              T(1) / T(w) for 1 to 64 workers
    serial_share         the share of serial + start, which no worker shortens, in T(1)
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ranking.jobs import Done, Part
from ranking.jobs.engine import Advance
from ranking.jobs.local import LocalEngine
from ranking.jobs.machine import cpu_cores

WORKERS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Nothing:
    """A task that does nothing, for what the engine itself costs."""

    def open(self) -> Nothing:
        return self

    def work(self, part: Part, advance: Advance) -> Done:
        return Done(part.number, part.rows, 0, 0.0)


def driver_seconds(parts: int = 2_000) -> float:
    """What a part costs the process that gives it out, beside all work."""
    stretch = [Part(number, number, 1, {"root": "/somewhere", "groups": [number]}) for number in range(parts)]
    times: list[float] = []
    for _ in LocalEngine(1, 1).run(Nothing(), stretch, lambda rows: None, threading.Event()):
        times.append(time.process_time())
    return (times[-1] - times[0]) / (len(times) - 1)


def scaled(figures: Mapping[str, Any], rows: int = 1_000_000, part_rows: int = 1_000) -> dict[str, Any]:
    """The model of a kNN job, from `knn_rows_per_second` and `start_seconds` of the measured one."""
    driver, cores = driver_seconds(), cpu_cores()  # the measured job had all cores of this machine
    parts = math.ceil(rows / part_rows)
    part = cores * part_rows / figures["knn_rows_per_second"]
    serial = parts * serial_seconds()
    start = figures["start_seconds"]

    def total(workers: int) -> float:
        return float(serial + start + max(math.ceil(parts / workers) * part, parts * driver))

    return {
        "scaling": {str(workers): round(total(1) / total(workers), 2) for workers in WORKERS},
        "serial_share": round((serial + start) / total(1), 5),
        "model": {
            "parts": parts,
            "part_seconds": round(part, 4),
            "start_seconds": start,
            "serial_seconds": round(serial, 3),
            "driver_seconds_per_part": round(driver, 6),
        },
    }


def serial_seconds(parts: int = 500) -> float:
    """What a part costs before and after all work: in the manifest, which is written twice."""
    stretch: Sequence[Part] = [
        Part(n, n, 1_000, {"root": "/somewhere/rows.parquet", "groups": [n]}) for n in range(parts)
    ]
    start = time.perf_counter()
    for _ in range(2):
        json.loads(json.dumps([asdict(part) for part in stretch], indent=1))
    return (time.perf_counter() - start) / parts
