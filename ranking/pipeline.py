"""Pipelines: rankers composed, by name. The same object answers HTTP, the evaluation and the batch jobs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from index.types import Ranking
from ranking.context import Context
from ranking.contract import Adapting, Fuser, Learned, Lexical, Modelled, Ranker, Request

if TYPE_CHECKING:
    from index.index import Index

Part = TypeVar("Part", bound=Ranker | Fuser)


@dataclass(frozen=True)
class Stage:
    """One stage: a ranker that orders the answer of at most one earlier stage, or a fuser that joins several.

    `part` is the name of the ranker or fuser, `reads` are the earlier stages that it reads.
    """

    name: str
    part: str
    does: Ranker | Fuser
    reads: tuple[Stage, ...] = ()

    @cached_property
    def key(self) -> str:
        """A hash of the part with its options and of all that it reads: equal keys give equal rankings."""
        weights = [self.does.fingerprint] if isinstance(self.does, Learned) else []
        options = asdict(self.does)  # type: ignore[call-overload]
        return _digest([self.part, options, [stage.key for stage in self.reads], *weights])


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline without an index: its stages in their order of execution; the last one gives the answer."""

    name: str
    description: str
    stages: tuple[Stage, ...]

    @property
    def needs_vectors(self) -> bool:
        return any(isinstance(stage.does, Ranker) and stage.does.needs_vectors for stage in self.stages)

    @cached_property
    def digest(self) -> str:
        """A hash of everything that decides the answers, and of the stages' names."""
        return _digest([[stage.name, stage.key] for stage in self.stages])


def models(spec: PipelineSpec) -> set[str]:
    """The names of the models that a pipeline's stages use."""
    return {stage.does.model for stage in spec.stages if isinstance(stage.does, Modelled)}


def with_models(spec: PipelineSpec, targets: Mapping[str, str]) -> PipelineSpec:
    """The pipeline with other models in the place of those that `targets` names."""
    made: dict[str, Stage] = {}
    for stage in spec.stages:
        does = with_model(stage.does, targets)
        made[stage.name] = Stage(stage.name, stage.part, does, tuple(made[earlier.name] for earlier in stage.reads))
    return replace(spec, stages=tuple(made.values()))


def with_model(part: Part, targets: Mapping[str, str]) -> Part:
    """A part with another model in the place of its own, where `targets` names that."""
    if isinstance(part, Modelled) and part.model in targets:
        exchanged: Part = replace(part, model=targets[part.model])  # type: ignore[type-var]
        return exchanged
    return part


@dataclass(frozen=True, slots=True)
class Trace:
    """How one answer came about.

    `ranking` is the answer. `stages` holds what each stage ranked, feedback documents and all, by its name; where a
    stage adapts a model, also what it ranked before, as "NAME before". `degraded` says why the answer is less than it
    could be, None where it is not.
    `timings_ms` is the wall time of each stage in milliseconds, of encoding the queries (`encode`, where that took
    place) and of everything (`total`); for a batch these are the times of the whole batch.
    """

    ranking: Ranking
    stages: Mapping[str, Ranking]
    timings_ms: Mapping[str, float]
    degraded: str | None = None


class Pipeline:
    """A specification at work on one index. Thread-safe; every call reads one snapshot of the index.

    Where the context has a deadline, a stage that would begin after it is left out: its candidates stay as they came,
    and a stage that retrieves on its own brings nothing, unless it is the first.
    """

    def __init__(self, spec: PipelineSpec, index: Index) -> None:
        self.spec, self.index = spec, index

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def version(self) -> str:
        """A short hash of the specification and of the index generation."""
        return _digest([self.spec.digest, *self._generation])[:12]

    @property
    def generation(self) -> str:
        """A short hash of the index generation alone: its manifest and what was learned on it."""
        return _digest(self._generation)[:12]

    @property
    def _generation(self) -> list[str]:
        vectors = self.index.view().vectors  # another process may have built a new generation
        return [self.index.manifest.digest, vectors.learned.digest if vectors else ""]

    def rank(self, requests: Sequence[Request], context: Context | None = None) -> list[Ranking]:
        """n requests to n rankings, in their order."""
        return [trace.ranking for trace in self.trace(requests, context)]

    def trace(self, requests: Sequence[Request], context: Context | None = None) -> list[Trace]:
        """n requests to n rankings, each with what every stage contributed."""
        return _Run(requests, context or Context.of(self.index)).traces(self.spec)

    def explain(self, request: Request, doc: str, context: Context | None = None) -> str | None:
        """Lucene's account of a document's score in the first stage that searches words; None without such a stage."""
        for stage in self.spec.stages:
            if isinstance(stage.does, Lexical):
                context = context or Context.of(self.index)
                return context.lexical.explain(stage.does.expand(request, context), doc)
        return None


def rank_together(pipelines: Sequence[Pipeline], requests: Sequence[Request]) -> list[list[Trace]]:
    """The traces of several pipelines of one index for the same requests: stages in common are executed once.

    One snapshot of the index serves all. Gives one list of traces per pipeline; a stage that another pipeline has
    executed takes no time.
    """
    if not pipelines:
        return []
    if any(pipeline.index is not pipelines[0].index for pipeline in pipelines):
        raise ValueError("the pipelines work on different indexes")
    run = _Run(requests, Context.of(pipelines[0].index))
    return [run.traces(pipeline.spec) for pipeline in pipelines]


class _Run:
    """The execution of any number of pipelines for the same requests. Remembers every stage's rankings by its key."""

    def __init__(self, requests: Sequence[Request], context: Context) -> None:
        self.requests, self.context = list(requests), context
        self.done: dict[str, list[Ranking]] = {}
        self.before: dict[str, list[Ranking]] = {}  # what adapting stages ranked before

    def traces(self, spec: PipelineSpec) -> list[Trace]:
        start, encoding = time.perf_counter(), self.context.encode_seconds
        timings: dict[str, float] = {}
        for stage in spec.stages:
            timings[stage.name] = self._execute(stage)
        answers = [
            request.answer(ranking)
            for request, ranking in zip(self.requests, self.done[spec.stages[-1].key], strict=True)
        ]
        if self.context.encode_seconds > encoding:
            timings["encode"] = 1000 * (self.context.encode_seconds - encoding)
        timings["total"] = 1000 * (time.perf_counter() - start)
        return [
            Trace(answer, self._contributions(spec, i), timings, self.context.degraded)
            for i, answer in enumerate(answers)
        ]

    def _contributions(self, spec: PipelineSpec, i: int) -> dict[str, Ranking]:
        stages: dict[str, Ranking] = {}
        for stage in spec.stages:
            if stage.key in self.before:
                stages[f"{stage.name} before"] = self.before[stage.key][i]
            stages[stage.name] = self.done[stage.key][i]
        return stages

    def _execute(self, stage: Stage) -> float:
        """Run a stage unless an equal one has run. Gives the milliseconds that it took, encoding apart."""
        start, encoding = time.perf_counter(), self.context.encode_seconds
        if stage.key not in self.done:
            inputs = [self.done[earlier.key] for earlier in stage.reads]
            if isinstance(stage.does, Ranker):
                candidates = inputs[0] if inputs else [request.candidates for request in self.requests]
                asked = [_asked(stage.does, *pair) for pair in zip(self.requests, candidates, strict=True)]
                if self.done and self.context.late:  # something is ranked already: the cheaper ranking stands
                    self.context.degrade("deadline")
                    self.done[stage.key] = [request.candidates or Ranking.empty() for request in asked]
                elif isinstance(stage.does, Adapting):
                    both = stage.does.rank_both(asked, self.context)
                    self.before[stage.key] = [before for before, _ in both]
                    self.done[stage.key] = [after for _, after in both]
                else:
                    self.done[stage.key] = stage.does.rank(asked, self.context)
            else:
                self.done[stage.key] = [stage.does.fuse(rankings) for rankings in zip(*inputs, strict=True)]
        return 1000 * (time.perf_counter() - start - (self.context.encode_seconds - encoding))


def _asked(ranker: Ranker, request: Request, candidates: Ranking | None) -> Request:
    """What one stage is asked for: everything it has, so that the answer's limit and what it leaves out change neither
    the candidates of the next stage nor the scale of a fusion. Only a limit beyond the stage's own depth goes through.
    """
    wanted = request.depth(ranker.depth)
    return Request(request.query, request.feedback, candidates, limit=wanted if wanted > ranker.depth else None)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
