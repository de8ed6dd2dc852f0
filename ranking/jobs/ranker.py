"""What workers of a re-ranking job do: rows of a part through the pipeline, rankings out.

Some rows at a time go through the pipeline together, so that models get full batches over the borders of queries; and
one thread more than there are cores to compute does so at a time, so that some retrieve while others score.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from index.errors import ConflictError, InputError, UnavailableError
from index.index import Index
from ranking.context import Context
from ranking.contract import Learned
from ranking.jobs.engine import Advance, Worker
from ranking.jobs.job import Done, Part
from ranking.jobs.output import Output
from ranking.jobs.reading import read_part
from ranking.jobs.rows import Limits, Reject, Row, rows_of
from ranking.pipeline import Pipeline, PipelineSpec, Trace

CHUNK: Final = 32
"""Rows that go through the pipeline together."""


@dataclass(frozen=True)
class Reranking:
    """What workers of a re-ranking job need."""

    output: Output
    index: Path
    spec: PipelineSpec
    version: str
    commit: int
    limits: Limits
    limit: int
    stages: bool
    exclude_feedback: bool

    def open(self) -> Worker:
        """Raises ConflictError where the index is not any more what it was when the job was begun."""
        if any(isinstance(stage.does, Learned) for stage in self.spec.stages):
            from ranking.learning.engine import keep_calls_apart

            keep_calls_apart()
        index = Index.open(self.index)
        pipeline = Pipeline(self.spec, index)
        if (pipeline.version, index.view().commit) != (self.version, self.commit):
            raise ConflictError(
                f"The index {index.name!r} has changed while the job was running.",
                "Start anew with --overwrite; the rankings of two states do not belong together.",
            )
        if self.spec.needs_vectors:
            index.encoder()
        return Reranker(self, pipeline)


@dataclass
class Reranker:
    """Ranks part after part, all of them by one state of the index."""

    task: Reranking
    pipeline: Pipeline
    lanes: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_lanes(), "rerank"))

    def __post_init__(self) -> None:
        self.view = self.pipeline.index.view()

    def work(self, part: Part, advance: Advance) -> Done:
        start = time.perf_counter()
        self.view = self.view.anew()
        rows, rejects = self._read(part)
        chunks = [rows[at : at + CHUNK] for at in range(0, len(rows), CHUNK)]
        ranked: list[Trace] = []
        for chunk, traces in zip(chunks, self.lanes.map(self._rank, chunks), strict=True):
            ranked += traces
            advance(len(chunk))
        if self.view.degraded:  # a shard that is away for a moment must not leave its mark in the output
            missing = " ".join(self.view.warnings) or "The files of the index are gone."
            raise UnavailableError(missing, "Run the job again when all of it answers: it goes on where it was.")
        table = rankings_table(rows, ranked, self.pipeline.spec if self.task.stages else None)
        counts = {"queries": len(rows), "documents": len(table)}
        degraded = sum(trace.degraded is not None for trace in ranked)
        if degraded:
            counts["degraded"] = degraded
        done = Done(part.number, part.rows, len(rejects), time.perf_counter() - start, counts)
        return self.task.output.keep(done, table, [reject.as_dict() for reject in rejects])

    def _read(self, part: Part) -> tuple[list[Row], list[Reject]]:
        rows: list[Row] = []
        rejects: list[Reject] = []
        task = self.task
        table = read_part(part)
        for row in rows_of(
            table, part.first + 1, task.limits, exclude_feedback=task.exclude_feedback, limit=task.limit
        ):
            checked = row if isinstance(row, Reject) else self._checked(row)
            (rejects if isinstance(checked, Reject) else rows).append(checked)  # type: ignore[arg-type]
        return rows, rejects

    def _checked(self, row: Row) -> Row | Reject:
        """The row, or why this index cannot rank it."""
        request, lexical = row.request, self.view.lexical
        named = [*(request.candidates.ids if request.candidates else ()), *request.feedback.ids]
        missing = [doc for doc, held in zip(named, lexical.holds(named), strict=True) if not held]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            return Reject(row.number, request.query.id, "unknown document", f"{missing[0]}{more} not in the index")
        if request.query.filter is not None:
            try:
                lexical.check(request.query.filter)
            except InputError as error:
                return Reject(row.number, request.query.id, "bad filter", error.message)
        return row

    def _rank(self, rows: Sequence[Row]) -> list[Trace]:
        encoder = self.pipeline.index.encoder
        # Not `Index.encode`, which remembers: what comes of rows must not depend on others.
        context = Context(self.view, lambda texts: encoder().encode(texts), encoder)
        return self.pipeline.trace([row.request for row in rows], context)


def rankings_table(rows: Sequence[Row], ranked: Sequence[Trace], spec: PipelineSpec | None) -> pa.Table:
    """One row per document: query_id, document, rank from 1, score; in the order of the rows, each by rank.

    With a spec also a column score_STAGE for each of its stages, null where the stage did not rank the document.
    """
    counts = [len(trace.ranking) for trace in ranked]
    queries = pa.array([row.request.query.id for row in rows], pa.string())
    columns = {
        "query_id": queries.take(pa.array(np.repeat(np.arange(len(rows)), np.array(counts, dtype=np.int64)))),
        "document": pa.array(
            [row.names.get(doc, doc) for row, trace in zip(rows, ranked, strict=True) for doc in trace.ranking.ids],
            pa.string(),
        ),
        "rank": pa.array(np.concatenate([np.zeros(0, np.int64), *(np.arange(1, n + 1) for n in counts)]), pa.int32()),
        "score": pa.array(np.concatenate([np.zeros(0), *(trace.ranking.scores for trace in ranked)]), pa.float64()),
    }
    for stage in spec.stages if spec else ():
        values: list[float | None] = []
        for trace in ranked:
            known = trace.stages[stage.name].scores_by_id()
            values += [known.get(doc) for doc in trace.ranking.ids]
        columns[f"score_{stage.name}"] = pa.array(values, pa.float64())
    return pa.table(columns)


def _lanes() -> int:
    torch = sys.modules.get("torch")
    return 1 + (torch.get_num_threads() if torch is not None else 1)
