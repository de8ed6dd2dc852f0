"""Rankers under evaluation: the pipelines of the server by name, with options changed and grids of options to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from typing import Any, Literal

from index.errors import InputError
from ranking.contract import Fuser, Ranker
from ranking.options import build, unknown
from ranking.pipeline import PipelineSpec, Stage

Role = Literal["ours", "paper", "baseline"]
Reads = Literal["protocol", "clicks", "debiased", "judgements"]
Learns = Literal["metric", "co-relevance"]
Teacher = Literal["judgements", "clicks"]


@dataclass(frozen=True)
class RankerSpec:
    """One row of the tables.

    pipeline: its name; the ranker's own where it is left out.
    role: `paper` for the methods that ours have to beat, `baseline` for what is neither. The protocol's expansion terms
        are for the paper's methods; the others are as they are served.
    feedback: whether it is given any.
    reads: what it learns from in sessions of several rounds, where rankers are to be compared in that: `clicks` as they
        are, clicks `debiased`, or explicit `judgements`; `protocol` is what the protocol gives everybody.
    learns: what its index learns before it ranks, anew for each seed, of `metric` and `co-relevance`: from the training
        topics, and only where cross-validation confirms it (`eval.teaching`).
    learns_from: their `judgements`, or debiased `clicks` of the protocol's `searchers` on its first rankings.
    published: the name of the method whose published figures stand beside it.
    options: "stage.option" -> value. grid: "stage.option" -> values of which validation topics choose.
    """

    pipeline: str = ""
    role: Role = "ours"
    feedback: bool = True
    published: str = ""
    reads: Reads = "protocol"
    learns: tuple[Learns, ...] = ()
    learns_from: Teacher = "judgements"
    options: Mapping[str, object] = field(default_factory=dict)
    grid: Mapping[str, Sequence[object]] = field(default_factory=dict)


@dataclass(frozen=True)
class Taught:
    """What an index has learned, from what, and the seed whose training topics these were."""

    seed: int
    learns: tuple[Learns, ...]
    teacher: Teacher = "judgements"


@dataclass(frozen=True)
class Variant:
    """A ranker with one choice of its hyper-parameters. `label` says which; it is empty where there is no choice.

    `taught` is what its index has learned, None where that is nothing.
    """

    ranker: str
    label: str
    spec: PipelineSpec
    feedback: bool
    reads: Reads = "protocol"
    taught: Taught | None = None

    @property
    def digest(self) -> str:
        reads = "" if self.reads == "protocol" else f" reads {self.reads}"
        return f"{self.spec.digest}{reads}" if self.feedback else f"{self.spec.digest} without feedback"


def variants_of(
    name: str, ranker: RankerSpec, specs: Mapping[str, PipelineSpec], expansion_terms: int, seeds: Sequence[int]
) -> list[Variant]:
    """Every choice in the grid, or the one that there is; of a ranker that learns all of them for every seed.

    Raises InputError for unknown pipelines and options.
    """
    pipeline, where = ranker.pipeline or name, f"Ranker {name!r}"
    if pipeline not in specs:
        raise unknown("pipeline", pipeline, specs, where)
    terms = expansion_terms if ranker.role == "paper" else 0
    spec = with_options(with_expansion_terms(specs[pipeline], terms, where), ranker.options, where)
    variants = []
    for choice in product(*ranker.grid.values()):
        chosen = dict(zip(ranker.grid, choice, strict=True))
        label = ", ".join(f"{option}={_shown(value)}" for option, value in chosen.items())
        changed = with_options(spec, chosen, where)
        for taught in [Taught(seed, ranker.learns, ranker.learns_from) for seed in seeds] if ranker.learns else [None]:
            variants.append(Variant(name, label, changed, ranker.feedback, ranker.reads, taught))
    return variants


def with_options(spec: PipelineSpec, options: Mapping[str, object], where: str) -> PipelineSpec:
    """The pipeline with options of its stages changed: {"knn.space": "raw"}.

    Raises InputError for a stage or an option that it does not have, and for a value that does not fit.
    """
    changed: dict[str, dict[str, object]] = {}
    names = [stage.name for stage in spec.stages]
    for key, value in options.items():
        stage, dot, option = key.rpartition(".")
        if not dot:
            raise InputError(f"{where}: {key!r} names no stage.", f"Write STAGE.OPTION, of {', '.join(names)}.")
        if stage not in names:
            raise unknown("stage", stage, names, where)
        changed.setdefault(stage, {})[option] = value
    return _rebuilt(spec, changed, where) if changed else spec


def with_expansion_terms(spec: PipelineSpec, terms: int, where: str) -> PipelineSpec:
    """The pipeline with as many terms in each stage that expands queries; as it is where `terms` is 0."""
    expanding = [stage.name for stage in spec.stages if any(f.name == "terms" for f in fields(stage.does))]  # type: ignore[arg-type]
    return _rebuilt(spec, {name: {"terms": terms} for name in expanding}, where) if terms and expanding else spec


def _rebuilt(spec: PipelineSpec, changed: Mapping[str, Mapping[str, object]], where: str) -> PipelineSpec:
    stages: dict[str, Stage] = {}
    for stage in spec.stages:
        does: Ranker | Fuser = stage.does
        if stage.name in changed:
            options = {name: _plain(value) for name, value in asdict(does).items() if value is not None}  # type: ignore[call-overload]
            does = build(type(does), {**options, **changed[stage.name]}, f"{where}, stage {stage.name!r}")
        reads = tuple(stages[earlier.name] for earlier in stage.reads)
        stages[stage.name] = Stage(stage.name, stage.part, does, reads)
    return replace(spec, stages=tuple(stages.values()))


def _plain(value: Any) -> object:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")
