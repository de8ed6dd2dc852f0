"""Tasks: what a model is trained and meta-trained on. One task is one query with documents of known relevance.

Tasks come from judgements, from a corpus alone, or from debiased clicks (`ranking.learning.mining` makes them), and lie
in a Parquet file between making and training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from index.errors import InputError, NotFoundError

Floats: TypeAlias = npt.NDArray[np.float64]
Kind: TypeAlias = Literal["single", "feedback"]
"""`single` has one relevant document, and trains ranking only; `feedback` has enough to give some of it as feedback."""

_COLUMNS = ("query", "texts", "relevance", "prior", "weight", "kind", "source")


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One query and n documents: `relevance` in [0, 1], `prior`, the cosine of a sentence encoder, and `weight`, how
    sure the relevance is, all of shape (n,). Without weights all are 1."""

    query: str
    texts: tuple[str, ...]
    relevance: Floats
    prior: Floats
    kind: Kind = "feedback"
    source: str = ""
    weight: Floats = field(default_factory=lambda: np.ones(0))

    def __post_init__(self) -> None:
        if not len(self.weight):
            object.__setattr__(self, "weight", np.ones(len(self.texts)))

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> Task:
        """Some of the documents."""
        chosen = list(rows)
        texts = tuple(self.texts[i] for i in chosen)
        relevance, prior, weight = (values[chosen] for values in (self.relevance, self.prior, self.weight))
        return Task(self.query, texts, relevance, prior, self.kind, self.source, weight)


@dataclass(frozen=True, slots=True)
class Episode:
    """A task divided: feedback is given on `support`, and `target` is to be ranked."""

    support: Task
    target: Task


def ranked_part(task: Task, documents: int, random: np.random.Generator) -> Task:
    """At most `documents` of a task's documents: up to a third of them relevant, at least one, and the others not."""
    relevant, others = _divided(task, random)
    kept = relevant[: max(1, min(len(relevant), documents // 3))]
    return task.take([*kept, *others[: documents - len(kept)]])


def episode(task: Task, k: int, documents: int, random: np.random.Generator) -> Episode | None:
    """Up to k relevant documents and as many others as feedback, and at most `documents` of the rest to rank.

    None where the task is too small: at least one of each kind has to be left to rank.
    """
    relevant, others = _divided(task, random)
    given = min(k, len(relevant) - 1, len(others) - 2)
    if given < 1:
        return None
    support = task.take([*relevant[:given], *others[:given]])
    rest = task.take([*relevant[given:], *others[given:]])
    return Episode(support, ranked_part(rest, documents, random))


def _divided(task: Task, random: np.random.Generator) -> tuple[list[int], list[int]]:
    """The relevant documents and the others, each in random order."""
    order = random.permutation(len(task)).tolist()
    return [i for i in order if task.relevance[i] >= 0.5], [i for i in order if task.relevance[i] < 0.5]


def write_tasks(path: Path, tasks: Iterable[Task], *, group: int = 1_000) -> int:
    """Write a Parquet file, whole or not at all. Gives the number of tasks."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    strings, numbers = pa.list_(pa.string()), pa.list_(pa.float32())
    kinds = (pa.string(), strings, numbers, numbers, numbers, pa.string(), pa.string())
    schema = pa.schema(list(zip(_COLUMNS, kinds, strict=True)))
    fresh, written = path.with_name(f".{path.name}.new"), 0

    def table(rows: list[Task]) -> pa.Table:
        return pa.Table.from_pylist(
            [{name: getattr(row, name) for name in _COLUMNS} for row in rows],
            schema=schema,
        )

    waiting: list[Task] = []
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with pq.ParquetWriter(fresh, schema, compression="zstd") as writer:
            for task in tasks:
                waiting.append(task)
                if len(waiting) == group:
                    writer.write_table(table(waiting))
                    written, waiting = written + group, []
            if waiting:
                writer.write_table(table(waiting))
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return written + len(waiting)


def read_tasks(paths: Sequence[Path]) -> list[Task]:
    """All tasks of some files; the column of weights may be missing.

    Raises NotFoundError and InputError for files that are missing or are no task files.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tasks: list[Task] = []
    for path in paths:
        if not path.is_file():
            raise NotFoundError(f"There is no task file {path}.", "Make one with: clickwise train tasks.")
        try:
            file = pq.ParquetFile(path)
            known = set(file.schema_arrow.names) | set(_COLUMNS) - {"weight"}
            rows = file.read(columns=[name for name in _COLUMNS if name in known]).to_pylist()
            tasks += [_task(row) for row in rows]
        except (pa.ArrowInvalid, KeyError, TypeError) as error:
            raise InputError(f"{path} is not a task file: {error}.", "Make one with: clickwise train tasks.") from error
    return tasks


def _task(row: dict[str, Any]) -> Task:
    relevance, prior, weight = (
        np.array(row.get(name) or (), dtype=np.float64) for name in ("relevance", "prior", "weight")
    )
    return Task(row["query"], tuple(row["texts"]), relevance, prior, row["kind"], row["source"], weight)
