"""One generation of an index that is not in shards: its views, and a change of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from index import generations, learned
from index.fields import FieldType
from index.generations import Current
from index.lexical import LexicalView, committed_data, open_reader
from index.lucene_writer import LuceneWriter
from index.manifest import Manifest
from index.sharded.shard import ShardInfo
from index.types import Document
from index.vector_view import GenerationVectors, VectorView
from index.view import View

LUCENE = "lucene"


class Generation:
    """What stays the same while one generation serves, and its newest view. The index locks for `refresh`."""

    def __init__(self, path: Path, current: Current, manifest: Manifest) -> None:
        self.manifest = manifest
        directory = generations.generation_path(path, current.generation)
        self._vectors = GenerationVectors(directory, manifest) if manifest.encoder else None
        self._view = self._viewed(LexicalView(open_reader(directory / LUCENE), manifest), current)

    def view(self) -> View:
        """The newest view that is known."""
        return self._view

    def refresh(self, current: Current) -> None:
        """Look at what is committed now."""
        lexical = self._view.lexical
        assert isinstance(lexical, LexicalView)
        self._view = self._viewed(lexical.reopened(), current)

    def warm_up(self) -> None:
        """Have ready what is made on first use: the index of the vectors."""
        if self._view.vectors is not None:
            self._view.vectors.nearest(np.zeros((1, self._view.vectors.dimension), np.float32), 1)

    def shards(self) -> list[ShardInfo]:
        """None: this is one whole."""
        return []

    def close(self) -> None:
        """Nothing has to be closed: the operating system and the garbage collector free what is held."""

    def _viewed(self, lexical: LexicalView, current: Current) -> View:
        data = lexical.commit_data()
        vectors = VectorView(self._vectors, lexical, int(data["rows"])) if self._vectors else None
        return View(current.generation, current.commit, lexical, vectors, json.loads(data["fields"]))


@contextmanager
def changing(path: Path) -> Iterator[Change]:
    """A change of the index directory's current generation, with its lock; if it is committed, the pointer says so."""
    with generations.writing(path):
        current = generations.read_current(path)
        directory = generations.generation_path(path, current.generation)
        with Change(directory, Manifest.load(directory)) as change:
            yield change
        if change.committed:
            generations.write_current(path, Current(current.generation, current.commit + 1))


class Change:
    """Documents put and deleted, that become visible and durable together with `commit`, or not at all."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self._directory, self._manifest = directory, manifest
        data = committed_data(directory / LUCENE)
        self.fields: dict[str, FieldType] = json.loads(data["fields"])
        self.committed = False
        self._rows, self._appended = int(data["rows"]), False
        self._vectors = GenerationVectors(directory, manifest) if manifest.encoder else None
        self._writer: LuceneWriter | None = None

    def __enter__(self) -> Change:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, error, trace)

    def put(
        self,
        documents: Sequence[Document],
        vectors: npt.NDArray[np.float32] | None,
        fields: Mapping[str, FieldType],
    ) -> None:
        """Add documents, with the raw vectors (n, dimension) that an index with vectors needs, or replace those of
        the same id. `fields` holds the type of each of their fields."""
        rows: Sequence[int] = [-1] * len(documents)
        if self._vectors is not None:
            assert vectors is not None
            first = self._vectors.append(vectors, None if self._appended else self._rows)
            self._appended = True
            rows = range(first, first + len(documents))
            self._rows = first + len(documents)
        writer = self._writing()
        for document, row in zip(documents, rows, strict=True):
            writer.put(document, row, fields)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete the documents of these ids, where they are."""
        self._writing().delete(ids)

    def commit(self, fields: Mapping[str, FieldType]) -> None:
        """Make the change visible and durable."""
        self._writing().commit(self._rows, fields)
        self.committed = True

    def learn(self, part: learned.Part) -> list[learned.PartName]:
        """Keep with the generation what was learned on it. Durable at once. Gives what went for it."""
        self.committed = True
        return learned.keep(self._directory, part)

    def forget(self, name: learned.PartName) -> list[learned.PartName]:
        """Forget what was learned. Durable at once. Gives what went."""
        self.committed = True
        return learned.forget(self._directory, name)

    def _writing(self) -> LuceneWriter:
        if self._writer is None:
            self._writer = LuceneWriter(self._directory / LUCENE, self._manifest)
        return self._writer
