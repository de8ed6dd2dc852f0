"""Pipelines as they are written down: tables of TOML, ours in `ranking/pipelines.toml`, yours in `clickwise.toml`.

    [pipelines.my-pipeline]
    description = "what it does, for people"
    stages = [
      { name = "words", part = "bm25" },
      { name = "close", part = "knn", candidates = "words", aggregation = "max" },
      { name = "both", part = "rrf", inputs = ["close", "words"] },
    ]

A stage has a `part` (`ranking/parts.py` lists them), a `name` (the part's where it is left out) and the part's options.
A ranker orders the `candidates` of an earlier stage, or retrieves where none is named; a fuser joins the `inputs` of
earlier stages. The last stage gives the answer, and every other must be read by a later one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from index.errors import InputError, NotFoundError
from index.types import Ranking
from ranking.contract import Fuser
from ranking.options import build, unknown
from ranking.parts import FUSERS, RANKERS
from ranking.pipeline import Pipeline, PipelineSpec, Stage

if TYPE_CHECKING:
    from index.index import Index

PREFERRED = ("smoothed", "bm25-qe")  # the pipeline of a search that names none: the first that works on the index
RESERVED = ("encode", "total")  # these name timings that are no stage's


def load_specs(path: Path | None = None) -> dict[str, PipelineSpec]:
    """The default pipelines, and those in the `[pipelines.NAME]` tables of a file; yours win over ours.

    Raises NotFoundError where the file does not exist, InputError where it is not TOML or describes no pipeline.
    """
    if path is None:
        return specs_with({}, "")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("pipelines", {})
    except FileNotFoundError:
        raise NotFoundError(f"There is no configuration file {path}.", "Check the path, or leave it out.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.", "Mend the file.") from None
    return specs_with(tables, str(path))


def specs_with(tables: object, source: str) -> dict[str, PipelineSpec]:
    """As `load_specs`, for a `pipelines` table that is read already; `source` says in errors where it stood."""
    return {**_default_specs(), **_parse(tables, source)}


def build_pipeline(name: str, specs: Mapping[str, PipelineSpec], index: Index) -> Pipeline:
    """The pipeline of this name on an index.

    Raises InputError for an unknown name, and for one that compares embeddings where the index has none.
    """
    if name not in specs:
        raise unknown("pipeline", name, specs, f"Index {index.name!r}")
    if name not in working(specs, index):
        raise InputError(
            f"The pipeline {name!r} compares embeddings, and the index {index.name!r} has none.",
            f"These work on it: {', '.join(working(specs, index))}. Or build the index with an encoder.",
        )
    return Pipeline(specs[name], index)


def working(specs: Mapping[str, PipelineSpec], index: Index) -> list[str]:
    """The names of the pipelines that work on an index."""
    lexical_only = index.view().vectors is None
    return [name for name, spec in specs.items() if not (lexical_only and spec.needs_vectors)]


def preferred(specs: Mapping[str, PipelineSpec], index: Index) -> str:
    """The pipeline for a search that names none: `smoothed` where the index has embeddings, else `bm25-qe`."""
    names = working(specs, index)
    return next(name for name in (*PREFERRED, *names) if name in names)


@cache
def _default_specs() -> Mapping[str, PipelineSpec]:
    text = files("ranking").joinpath("pipelines.toml").read_text(encoding="utf-8")
    return _parse(tomllib.loads(text)["pipelines"], "ranking/pipelines.toml")


def _parse(tables: object, source: str) -> dict[str, PipelineSpec]:
    if not isinstance(tables, Mapping):
        raise InputError(f"{source}: 'pipelines' is no table.", "Write [pipelines.NAME] tables.")
    return {str(name): _pipeline(str(name), table, f"{source}, pipeline {name!r}") for name, table in tables.items()}


def _pipeline(name: str, table: object, where: str) -> PipelineSpec:
    if not isinstance(table, Mapping):
        raise InputError(f"{where}: this is no table.", f"Write [pipelines.{name}] and its stages.")
    for key in table:
        if key not in ("description", "stages"):
            raise unknown("key", key, ("description", "stages"), where)
    description, rows = table.get("description", ""), table.get("stages")
    if not isinstance(description, str):
        raise InputError(f"{where}: 'description' is {description!r}.", "It must be a text.")
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{where}: it has no stages.", 'Give it some: stages = [{ part = "bm25" }].')
    stages: dict[str, Stage] = {}
    for number, row in enumerate(rows, start=1):
        stage = _stage(row, stages, f"{where}, stage {number}")
        stages[stage.name] = stage
    _check_all_read(list(stages.values()), where)
    return PipelineSpec(name, description, tuple(stages.values()))


def _stage(row: object, earlier: Mapping[str, Stage], where: str) -> Stage:
    if not isinstance(row, Mapping):
        raise InputError(f"{where}: {row!r} is no table.", 'Write { name = "words", part = "bm25" }.')
    options = dict(row)
    part = options.pop("part", None)
    if part not in (*RANKERS, *FUSERS):
        raise unknown("part", part, (*RANKERS, *FUSERS), where)
    name = options.pop("name", part)
    if not isinstance(name, str) or not name.strip() or name in RESERVED:
        raise InputError(f"{where}: a stage cannot be named {name!r}.", f"Use a text other than {', '.join(RESERVED)}.")
    if name in earlier:
        raise InputError(f"{where}: there is a stage {name!r} already.", "Give each stage a name of its own.")
    where = f"{where} ({name})"
    if part in RANKERS:
        reads = _reads(options, "candidates", earlier, where)
        return Stage(name, part, build(RANKERS[part], options, where, besides=("name", "part", "candidates")), reads)
    reads = _reads(options, "inputs", earlier, where)
    fuser = build(FUSERS[part], options, where, besides=("name", "part", "inputs"))
    _check_fusion(fuser, len(reads), where)
    return Stage(name, part, fuser, reads)


def _reads(options: dict[str, object], key: str, earlier: Mapping[str, Stage], where: str) -> tuple[Stage, ...]:
    """Take the earlier stages that it names out of the options: one in `candidates`, a list in `inputs`."""
    if key not in options:
        return ()
    value = options.pop(key)
    names = [value] if key == "candidates" else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        expected = "the name of an earlier stage" if key == "candidates" else "a list of names of earlier stages"
        raise InputError(f"{where}: {key!r} is {value!r}.", f"It must be {expected}.")
    for name in names:
        if name not in earlier:
            raise unknown("earlier stage", name, earlier, where)
    return tuple(earlier[name] for name in names)


def _check_fusion(fuser: Fuser, inputs: int, where: str) -> None:
    """Fuse nothing, once, to see that the options suit the number of inputs."""
    if inputs == 0:
        raise InputError(f"{where}: it joins nothing.", 'Name the stages that it joins: inputs = ["a", "b"].')
    try:
        fuser.fuse([Ranking.empty()] * inputs)
    except InputError as error:
        raise InputError(f"{where}: {error.message}", error.advice) from None


def _check_all_read(stages: list[Stage], where: str) -> None:
    read = {earlier.name for stage in stages for earlier in stage.reads}
    for stage in stages[:-1]:
        if stage.name not in read:
            raise InputError(
                f"{where}: no later stage reads stage {stage.name!r}.",
                "Name it in a later stage's candidates or inputs, or leave it out.",
            )
