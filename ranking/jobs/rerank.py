"""The job `rerank`: rows of queries, with candidates or without, to rankings.

What ranks is the pipeline that answers /v1/search, so equal input gives equal scores. Every row is a request; some rows
at a time go through the pipeline together, so that models get full batches over the borders of queries, and one thread
more than there are cores to compute does so at a time, so that some retrieve while others score.
"""

from __future__ import annotations

import importlib.metadata
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from index.errors import ConflictError, InputError, UnavailableError
from index.index import Index
from ranking.config import build_pipeline, load_specs, preferred
from ranking.context import Context
from ranking.jobs import reading
from ranking.jobs.engine import Advance, Task, Worker
from ranking.jobs.inputs import fingerprint, input_files
from ranking.jobs.job import Done, Job, Part
from ranking.jobs.output import Output
from ranking.jobs.rows import Limits, Reject, Row, rows_of
from ranking.jobs.told import feedback_fact, read_feedback
from ranking.jobs.topics import read_topics
from ranking.options import build, number
from ranking.pipeline import Pipeline, PipelineSpec, Trace

CHUNK: Final = 32
"""Rows that go through the pipeline together."""


@dataclass(frozen=True)
class Options:
    """What a job of this kind may say beside input and output.

    index: the directory of the index. pipeline: by name, of ours or of the tables in the file `config`; the index's
        preferred one where it is empty.
    topics: the file of queries that a TREC run answers. feedback: judgements or a click log (`ranking.jobs.told`), with
        the least grade that is `relevant` and the folder of a fitted `click_model`.
    limit: documents kept per query. stages: whether the scores of every stage are kept. exclude_feedback: leave the
        feedback documents out.
    part_rows: rows of a part. max_rejects: rows that may be rejected, any number below 0.
    run: a path or URI for the rankings as a TREC run.
    """

    index: str = ""
    pipeline: str = ""
    config: str = ""
    topics: str = ""
    feedback: str = ""
    relevant: int = number(1, low=-100, high=100)
    click_model: str = ""
    limit: int = number(1000, low=1, high=100_000)
    stages: bool = False
    exclude_feedback: bool = False
    part_rows: int = number(1024, low=1, high=65_536)
    max_rejects: int = number(-1, low=-1)
    max_query_chars: int = number(10_000, low=1)
    max_documents: int = number(10_000, low=1, high=1_000_000)
    run: str = ""


def plan(job: Job) -> RerankPlan:
    """Raises InputError for options that do not fit, NotFoundError for an input or an index that is not there."""
    return RerankPlan(job, build(Options, job.options, "Job rerank"))


@dataclass(frozen=True)
class RerankPlan:
    """How a re-ranking job is done: see `ranking.jobs.running.Plan`."""

    job: Job
    options: Options

    @property
    def max_rejects(self) -> int | None:
        return self.options.max_rejects if self.options.max_rejects >= 0 else None

    @cached_property
    def pipeline(self) -> Pipeline:
        if not self.options.index:
            raise InputError("No index is named.", "Name the one whose documents are ranked: --index.")
        index = Index.open(Path(self.options.index))
        specs = load_specs(Path(self.options.config) if self.options.config else None)
        return build_pipeline(self.options.pipeline or preferred(specs, index), specs, index)

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        options, view = self.options, self.pipeline.index.view()
        files = input_files(self.job.input)
        facts = {
            "input": fingerprint(files),
            "format": reading.kind_of(files, options.topics or None),
            "pipeline": f"{self.pipeline.name} ({self.pipeline.spec.digest[:12]})",
            "index": f"{self.pipeline.index.name} ({self.pipeline.version}, commit {view.commit})",
            "clickwise": importlib.metadata.version("clickwise"),
        }
        if options.topics:
            facts["topics"] = fingerprint(input_files(options.topics))
        if options.feedback:
            facts["feedback"] = feedback_fact(options.feedback)
        if options.click_model:
            facts["click model"] = fingerprint(input_files(options.click_model))
        plain = ("limit", "stages", "exclude_feedback", "part_rows", "max_query_chars", "max_documents", "relevant")
        return {**facts, **{name.replace("_", " "): getattr(options, name) for name in plain}}

    def parts(self, output: Output, advance: Callable[[int], None], stop: threading.Event) -> Sequence[Part]:
        options, files = self.options, input_files(self.job.input)
        kind = reading.kind_of(files, options.topics or None)
        told = None
        if options.feedback:
            told = read_feedback(options.feedback, options.relevant, options.click_model or None)
        if kind == "parquet" and told is None:
            whole = reading.whole_groups(files, options.part_rows)
            if whole is not None:
                return whole
        queries = read_topics(options.topics) if kind == "run" else {}
        tables = reading.tables_of(kind, files, options.part_rows, queries, told)
        return reading.prepare(tables, output.prepared(), advance, stop)

    def task(self, output: Output) -> Task:
        index, options = self.pipeline.index, self.options
        return Reranking(
            output=output,
            index=index.path.absolute(),
            spec=self.pipeline.spec,
            version=self.pipeline.version,
            commit=index.view().commit,
            limits=Limits(options.max_query_chars, options.max_documents),
            limit=options.limit,
            stages=options.stages,
            exclude_feedback=options.exclude_feedback,
        )

    def finish(self, output: Output, parts: Sequence[Part]) -> None:
        if self.options.run:
            from ranking.jobs.trec import write_run

            write_run(output, parts, self.options.run, self.pipeline.name)


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
            raise UnavailableError(self.view.degraded, "Run the job again when all shards answer: it goes on.")
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
        table = reading.read_part(part)
        for row in rows_of(table, part.first, task.limits, exclude_feedback=task.exclude_feedback, limit=task.limit):
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
        index = self.pipeline.index
        context = Context(self.view, index.encode, index.encoder)
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
    import sys

    torch = sys.modules.get("torch")
    return 1 + (torch.get_num_threads() if torch is not None else 1)
