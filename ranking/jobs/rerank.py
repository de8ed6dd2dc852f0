"""The job `rerank`: rows of queries, with candidates or without, to rankings.

What ranks is the pipeline that answers /v1/search, so equal input gives equal scores. Documents that no index holds
come as texts in the rows: an index of them is made first.
"""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from index.errors import InputError
from index.index import Index
from index.types import Document
from ranking.config import build_pipeline, load_specs, preferred
from ranking.jobs import reading
from ranking.jobs.engine import Task
from ranking.jobs.inputs import fingerprint, input_files
from ranking.jobs.job import Job, Part
from ranking.jobs.output import Output
from ranking.jobs.ranker import Reranking
from ranking.jobs.rows import Limits, text_id
from ranking.jobs.storage import Place
from ranking.jobs.told import Told, feedback_fact, read_feedback
from ranking.jobs.topics import read_topics
from ranking.jobs.trec import check_ids, write_run
from ranking.options import build, number
from ranking.pipeline import Pipeline, PipelineSpec, Stage

TEXTS: Final = "texts"
"""The name of the index that is made of texts in the rows."""


@dataclass(frozen=True)
class Options:
    """What a job of this kind may say beside input and output.

    index: the directory of the index. texts: there is none; the documents are the texts in the rows, and `encoder`
        gives them vectors ("none": no vectors).
    pipeline: by name, of ours or of the tables in the file `config`; the index's preferred one where it is empty.
    topics: the file of queries that a TREC run answers. feedback: judgements or a click log (`ranking.jobs.told`), with
        the least grade that is `relevant` and the folder of a fitted `click_model`.
    limit: documents kept per query. stages: whether the scores of every stage are kept. exclude_feedback: leave the
        feedback documents out.
    part_rows: rows of a part. max_rejects: rows that may be rejected, any number below 0.
    run: a path or URI for the rankings as a TREC run, for which query ids have to differ.
    """

    index: str = ""
    texts: bool = False
    encoder: str = "default"
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


_DECIDE: Final = (
    "relevant", "limit", "stages", "exclude_feedback", "part_rows", "max_query_chars", "max_documents",
)  # fmt: skip


def plan(job: Job) -> RerankPlan:
    """Raises InputError for options that do not fit, NotFoundError for an input or an index that is not there."""
    options = build(Options, job.options, "Job rerank")
    if options.texts == bool(options.index):
        raise InputError(
            "Both an index and texts are to be ranked." if options.texts else "No index is named.",
            "Name the index whose documents are ranked, or say that the rows bring their texts, not both.",
        )
    return RerankPlan(job, options)


@dataclass(frozen=True)
class RerankPlan:
    """How a re-ranking job is done: see `ranking.jobs.running.Plan`."""

    job: Job
    options: Options

    @property
    def max_rejects(self) -> int | None:
        return self.options.max_rejects if self.options.max_rejects >= 0 else None

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        options, files = self.options, input_files(self.job.input)
        facts = {
            "input": fingerprint(files),
            "format": reading.kind_of(files, options.topics or None),
            **(self._texts_facts() if options.texts else self._index_facts()),
            "clickwise": importlib.metadata.version("clickwise"),
        }
        if options.topics:
            facts["topics"] = fingerprint(input_files(options.topics))
        if options.feedback:
            facts["feedback"] = feedback_fact(options.feedback)
        if options.click_model:
            facts["click model"] = fingerprint(input_files(options.click_model))
        return {**facts, **{name.replace("_", " "): getattr(options, name) for name in _DECIDE}}

    def follows(self, before: Mapping[str, Any]) -> bool:
        return False

    def parts(self, output: Output, advance: Callable[[int], None], stop: threading.Event) -> Sequence[Part]:
        options, files = self.options, input_files(self.job.input)
        kind, told = reading.kind_of(files, options.topics or None), self.told()
        whole = reading.whole_groups(files, options.part_rows) if kind == "parquet" and told is None else None
        parts = whole or reading.prepare(self.tables(kind, files, told), output.prepared(), advance, stop)
        if options.run and not stop.is_set():
            check_ids(parts)  # now, not when all is ranked
        if options.texts and not stop.is_set():
            self._index_texts(parts, output)
        return parts

    def told(self) -> Told | None:
        """The feedback that lies in a file of its own, None without one."""
        options = self.options
        if not options.feedback:
            return None
        return read_feedback(options.feedback, options.relevant, options.click_model or None)

    def tables(self, kind: str, files: Sequence[Place], told: Told | None) -> Iterator[pa.Table]:
        """All rows of the input, a part's worth at a time."""
        queries = read_topics(self.options.topics) if kind == "run" else {}
        return reading.tables_of(kind, files, self.options.part_rows, queries, told)

    def task(self, output: Output) -> Task:
        options = self.options
        pipeline = self._on(Index.open(_texts_folder(output))) if options.texts else self._pipeline
        index = pipeline.index
        return Reranking(
            output=output,
            index=index.path.absolute(),
            spec=pipeline.spec,
            version=pipeline.version,
            commit=index.view().commit,
            limits=Limits(options.max_query_chars, options.max_documents),
            limit=options.limit,
            stages=options.stages,
            exclude_feedback=options.exclude_feedback,
        )

    def finish(self, output: Output, parts: Sequence[Part]) -> None:
        if self.options.run:
            write_run(output, parts, self.options.run, self.options.pipeline or "clickwise")

    @cached_property
    def _specs(self) -> Mapping[str, PipelineSpec]:
        return load_specs(Path(self.options.config) if self.options.config else None)

    @cached_property
    def _pipeline(self) -> Pipeline:
        return self._on(Index.open(Path(self.options.index)))

    def _on(self, index: Index) -> Pipeline:
        built = build_pipeline(self.options.pipeline or preferred(self._specs, index), self._specs, index)
        return Pipeline(_unhurried(built.spec), index)

    def _index_facts(self) -> dict[str, Any]:
        pipeline = self._pipeline
        index = pipeline.index
        return {
            "pipeline": f"{pipeline.name} ({pipeline.spec.digest[:12]})",
            "index": f"{index.name} ({pipeline.generation}, commit {index.view().commit})",
        }

    def _texts_facts(self) -> dict[str, Any]:
        from index.encoder import checksum_of, locate

        options = self.options
        spec = self._specs.get(options.pipeline)
        checksum = "none" if options.encoder == "none" else checksum_of(*locate(options.encoder))[:12]
        return {
            "pipeline": f"{options.pipeline or 'preferred'} ({_unhurried(spec).digest[:12] if spec else 'unknown'})",
            "encoder": f"{options.encoder} ({checksum})",
        }

    def _index_texts(self, parts: Sequence[Part], output: Output) -> None:
        """Make an index of the distinct texts of all rows. Their ids are held in memory."""
        from index.build import BuildOptions, build_index
        from index.encoder import load_encoder

        encoder = None if self.options.encoder == "none" else load_encoder(self.options.encoder)
        options = BuildOptions(overwrite=True, source="texts of rows")
        build_index(_texts_folder(output), _distinct(parts), options, encoder=encoder)


def _texts_folder(output: Output) -> Path:
    folder = output.prepared().local
    if folder is None:
        raise InputError("An index of texts needs a folder on this machine.", "Name an output here, and copy it then.")
    return folder / TEXTS


def _distinct(parts: Sequence[Part]) -> Iterator[Document]:
    seen: set[str] = set()
    for part in parts:
        table = reading.read_part(part)
        if TEXTS not in table.column_names:
            raise InputError("The rows have no texts.", "Give each a list of them, or name an index instead.")
        for text in reading.lenient(pa.chunked_array([table.column(TEXTS).combine_chunks().flatten()])):
            name = text_id(text or "")
            if name not in seen:
                seen.add(name)
                yield Document(name, "", text or "")


def _unhurried(spec: PipelineSpec) -> PipelineSpec:
    """The pipeline without deadlines: nobody waits, and what comes out must not depend on the machine's speed."""
    made: dict[str, Stage] = {}
    for stage in spec.stages:
        hurried = getattr(stage.does, "deadline_ms", None) is not None
        does = replace(stage.does, deadline_ms=None) if hurried else stage.does  # type: ignore[type-var]
        made[stage.name] = Stage(stage.name, stage.part, does, tuple(made[earlier.name] for earlier in stage.reads))
    return PipelineSpec(spec.name, spec.description, tuple(made.values()))
