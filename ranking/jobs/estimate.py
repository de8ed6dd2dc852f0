"""What a re-ranking job will take: a sample of its rows is ranked, by the very engine that would rank them all."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from index.errors import InputError
from ranking.jobs import reading
from ranking.jobs.engine import Engine
from ranking.jobs.front import duration
from ranking.jobs.inputs import input_files
from ranking.jobs.job import Job, Report
from ranking.jobs.kinds import plan_of
from ranking.jobs.rerank import RerankPlan
from ranking.jobs.rows import ROWS
from ranking.jobs.running import run

_LOOKS = 8  # parts of a large Parquet input from which the sample is taken
_SEED = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Rows of the input; seconds to read it, to start the workers, and to rank it, and bytes of the output; from so
    many rows `sampled`, of which some were `rejected`."""

    rows: int
    sampled: int
    rejected: int
    reading: float
    starting: float
    ranking: float
    bytes: int
    workers: int

    @property
    def seconds(self) -> float:
        return self.reading + self.starting + self.ranking

    def as_dict(self, price: float | None) -> dict[str, Any]:
        cost = None if price is None else round(price * self.seconds / 3600, 4)
        return {**asdict(self), "seconds": self.seconds, "cost": cost}

    def told(self, price: float | None) -> str:
        lines = [
            f"{self.rows:,} rows would take about {duration(self.seconds)} with {self.workers} workers: "
            f"{duration(self.reading)} to read, {duration(self.starting)} to start, {duration(self.ranking)} to rank.",
            f"The output would have about {self.bytes / 2**20:,.1f} MB.",
        ]
        if price is not None:
            lines.append(f"At {price:g} an hour that costs about {price * self.seconds / 3600:.2f}.")
        if self.rejected:
            lines.append(f"Of {self.sampled:,} rows sampled, {self.rejected:,} were rejected.")
        return "\n".join(lines)


def estimate(job: Job, engine: Engine, sample: int, on_report: Callable[[Report], None]) -> Estimate:
    """Rank `sample` rows, drawn at random, into a temporary folder. Touches no output of the job.

    An input that is not Parquet in small row groups is read whole, once, as the job would. Raises as `run` does, and
    InputError for an input without rows.
    """
    plan = plan_of(job)
    assert isinstance(plan, RerankPlan)
    began = time.monotonic()
    rows, drawn = _draw(plan, sample)
    read = time.monotonic() - began
    if not len(drawn):
        raise InputError("The input holds no rows.", "Check that it is the right one.")
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(drawn, Path(folder) / "sample.parquet")
        small = max(1, len(drawn) // (4 * engine.workers))  # every worker has some parts to do
        options = {**job.options, "part_rows": small, "max_rejects": -1, "run": ""}
        watch = _Stopwatch(on_report)
        out = Path(folder) / "out"
        options.pop("topics", None)  # the sample has its queries
        options.pop("feedback", None)
        part = replace(job, input=f"{folder}/sample.parquet", output=str(out), options=options)
        summary = run(part, engine, watch)
        size = sum(file.stat().st_size for file in out.glob("part-*"))
    scale = rows / len(drawn)
    working = watch.end() * scale
    return Estimate(
        rows, len(drawn), summary.rejected, read, watch.starting, working, round(size * scale), engine.workers
    )


class _Stopwatch:
    """Tells starting from working by a job's reports."""

    def __init__(self, tell: Callable[[Report], None]) -> None:
        self._tell, self._began, self._working = tell, time.monotonic(), 0.0
        self.starting = 0.0

    def __call__(self, report: Report) -> None:
        if report.stage == "working" and not self._working:
            self._working = time.monotonic()
            self.starting = self._working - self._began
        self._tell(report)

    def end(self) -> float:
        return time.monotonic() - self._working if self._working else 0.0


def _draw(plan: RerankPlan, sample: int) -> tuple[int, pa.Table]:
    """How many rows the input has, and some of them."""
    options, files = plan.options, input_files(plan.job.input)
    kind = reading.kind_of(files, options.topics or None)
    told = plan.told()
    if kind == "parquet" and told is None:
        parts = reading.whole_groups(files, options.part_rows)
        if parts:
            looks = [parts[i] for i in np.unique(np.linspace(0, len(parts) - 1, _LOOKS).astype(int)).tolist()]
            _, drawn = _reservoir((reading.read_part(part) for part in looks), sample)
            return sum(part.rows for part in parts), drawn
    return _reservoir(plan.tables(kind, files, told), sample)


def _reservoir(tables: Iterable[pa.Table], sample: int) -> tuple[int, pa.Table]:
    """The number of rows, and `sample` of them at random, each as likely as any other: those that drew least."""
    random, rows = np.random.default_rng(_SEED), 0
    kept: pa.Table | None = None
    drawn = np.zeros(0)
    for table in tables:
        rows += len(table)
        both = table if kept is None else pa.concat_tables([kept, table])
        drawn = np.concatenate([drawn, random.random(len(table))])
        best = np.sort(np.argsort(drawn, kind="stable")[:sample])
        kept, drawn = both.take(pa.array(best)).combine_chunks(), drawn[best]
    return rows, kept if kept is not None else ROWS.empty_table()
