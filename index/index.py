"""An opened index directory: views to read, upserts and deletes to write."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from index import generations
from index.encoder import Encoder
from index.errors import ConflictError, InputError, UnavailableError
from index.fields import FieldType, check_fields, extend_schema
from index.generations import Current
from index.lexical import LexicalQuery, LexicalView, open_reader
from index.lucene_writer import LuceneWriter
from index.manifest import Manifest
from index.metric import Metric
from index.metric import remove as forget_metric
from index.query_vectors import QueryVectors
from index.types import Document, check_id
from index.vector_view import GenerationVectors, VectorView

LUCENE = "lucene"
CHUNK = 1_024  # documents embedded at a time: enough to sort by length


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One commit of the index. Immutable and thread-safe: all stages of a request read the same one."""

    generation: str
    commit: int
    lexical: LexicalView
    vectors: VectorView | None
    fields: dict[str, FieldType]

    @property
    def documents(self) -> int:
        """How many documents live."""
        return self.lexical.documents_count


@dataclass(frozen=True, slots=True, eq=False)
class _Open:
    """What stays the same while one generation serves."""

    manifest: Manifest
    directory: Path
    vectors: GenerationVectors | None


class Index:
    """An opened index directory. Thread-safe.

    Reads go through `view`; another process's updates and new generations show up in the next view. Writes take the
    directory's lock for as long as they last, and are durable when they return.
    """

    def __init__(self, path: Path, encoder: Encoder | None = None) -> None:
        self.path = path
        self.name = path.name
        self._encoder = encoder
        self._lock = threading.RLock()
        self._encoder_lock = threading.Lock()
        self._asked = QueryVectors()
        self._stamp = generations.stamp(path)
        self._open, self._view = self._opened(generations.read_current(path))

    @classmethod
    def open(cls, path: Path, *, encoder: Encoder | None = None) -> Index:
        """Open an index; `encoder` replaces loading the one named in the manifest.

        Raises NotFoundError where there is no index, ConflictError where its format, its damage or its encoder
        forbids using it.
        """
        generations.read_current(path)
        return cls(path, encoder)

    @property
    def manifest(self) -> Manifest:
        return self._open.manifest

    def view(self) -> View:
        """The newest commit. Costs a microsecond where nothing has changed."""
        stamp = generations.stamp(self.path)
        if stamp != self._stamp:
            with self._lock:
                self._refresh(generations.stamp(self.path))
        return self._view

    def upsert(self, documents: Iterable[Document], on_progress: Callable[[int], None] | None = None) -> int:
        """Add documents, replacing those of the same id; all of them or none. Durable on return; gives their number.

        Of several documents with one id the last stays. Raises InputError for an id or field value that cannot be
        stored, ConflictError where another process writes, UnavailableError where the disk is full or read-only.
        """
        count = 0
        with self._writing() as (opened, view, rows):
            schema, committed = dict(view.fields), rows
            with LuceneWriter(opened.directory / LUCENE, opened.manifest) as writer:
                for chunk in chunks(documents):
                    for document in chunk:
                        check_id(document.id)
                        extend_schema(schema, document)
                        check_fields(schema, document)
                    numbers = self._append(opened, chunk, rows if rows == committed else None)
                    for document, row in zip(chunk, numbers, strict=True):
                        writer.put(document, row, schema)
                    rows += len(chunk) if opened.vectors else 0
                    count += len(chunk)
                    if on_progress:
                        on_progress(len(chunk))
                writer.commit(rows, schema)
        return count

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents by id. Durable on return; gives how many there were."""
        with self._writing() as (opened, view, rows):
            existing = [doc for doc in dict.fromkeys(ids) if doc in view.lexical]
            if existing:
                with LuceneWriter(opened.directory / LUCENE, opened.manifest) as writer:
                    writer.delete(existing)
                    writer.commit(rows, view.fields)
        return len(existing)

    def learn(self, metric: Metric | None) -> None:
        """Keep a learned metric with this generation, or forget the one there is. Durable on return.

        Raises ConflictError where another process writes, or where it was learned on other vectors than this index's.
        """
        with self._writing() as (opened, _, _):
            if opened.vectors is None:
                raise InputError(f"The index {self.name!r} has no vectors.", "Build it with an encoder.")
            if metric is not None and metric.space != opened.vectors.space.digest:
                raise ConflictError("The metric was learned on other vectors.", "Train it on the index as it is now.")
            with generations.file_errors("the learned metric", opened.directory):
                if metric is None:
                    forget_metric(opened.directory)
                else:
                    metric.save(opened.directory)

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Raw vectors of queries, (n, dimension), L2-normalised. Raises UnavailableError where the index has none.

        The last few thousand are remembered: whoever gives feedback has the same query ranked again.
        """
        encoder = self.encoder()
        return self._asked.encoded(encoder, texts)

    def encoder(self) -> Encoder:
        """The model that made the index's vectors, loaded on first use.

        Raises UnavailableError where the index has no vectors or the model cannot be loaded, ConflictError where the
        model of that name has other weights than the one that made the vectors.
        """
        wanted = self.manifest.encoder
        if wanted is None:
            raise UnavailableError(
                f"The index {self.name!r} has no vectors.", "Use a pipeline without them, or rebuild it with --encoder."
            )
        with self._encoder_lock:
            if self._encoder is None:
                from index.encoder import load_encoder

                self._encoder = load_encoder(wanted.name, max_tokens=wanted.max_tokens)
        _check_encoder(self.manifest, self._encoder)
        return self._encoder

    def warm_up(self, queries: Sequence[str] = ("warm up", "a longer query about nothing in particular")) -> None:
        """Load the model and run a few searches, so that the first request does not pay for it."""
        view = self.view()
        vectors = None if view.vectors is None else view.vectors.condition(self.encode(queries))
        for _ in range(20):  # Java compiles its hot loops only after some rounds
            for words in queries:
                view.lexical.search(LexicalQuery(text=words), 1000)
        if view.vectors is not None and vectors is not None:
            view.vectors.nearest(vectors, 10)

    def close(self) -> None:
        """Nothing has to be closed: the operating system and the garbage collector free what is held."""

    def _refresh(self, stamp: tuple[int, int]) -> None:
        if stamp == self._stamp:
            return
        current = generations.read_current(self.path)
        self._open, self._view = self._opened(current, self._open, self._view)
        self._stamp = stamp

    def _opened(self, current: Current, opened: _Open | None = None, view: View | None = None) -> tuple[_Open, View]:
        if opened is None or view is None or current.generation != view.generation:
            directory = generations.generation_path(self.path, current.generation)
            manifest = Manifest.load(directory)
            if self._encoder is not None:
                _check_encoder(manifest, self._encoder)
            vectors = GenerationVectors(directory, manifest) if manifest.encoder else None
            opened = _Open(manifest, directory, vectors)
            lexical = LexicalView(open_reader(directory / LUCENE), manifest)
        else:
            lexical = view.lexical.reopened()
        data = lexical.commit_data()
        vector_view = VectorView(opened.vectors, lexical, int(data["rows"])) if opened.vectors else None
        return opened, View(current.generation, current.commit, lexical, vector_view, json.loads(data["fields"]))

    @contextmanager
    def _writing(self) -> Iterator[tuple[_Open, View, int]]:
        """The lock, the newest state and its vector rows; afterwards the pointer says that there is a new commit."""
        with self._lock, generations.writing(self.path):
            self._refresh(generations.stamp(self.path))
            # A writer killed between its commit and the pointer has left a newer commit: start from that.
            current = Current(self._view.generation, self._view.commit)
            self._open, self._view = self._opened(current, self._open, self._view)
            yield self._open, self._view, int(self._view.lexical.commit_data()["rows"])
            generations.write_current(self.path, Current(current.generation, current.commit + 1))
            self._refresh(generations.stamp(self.path))

    def _append(self, opened: _Open, chunk: Sequence[Document], committed: int | None) -> Sequence[int]:
        if opened.vectors is None:
            return [-1] * len(chunk)
        vectors = self.encoder().encode([document.contents for document in chunk])
        first = opened.vectors.append(vectors, committed)
        return range(first, first + len(chunk))


def chunks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents in lists of CHUNK."""
    source = iter(documents)
    while chunk := list(islice(source, CHUNK)):
        yield chunk


def _check_encoder(manifest: Manifest, encoder: Encoder) -> None:
    wanted = manifest.encoder
    if wanted is not None and (encoder.checksum, encoder.dimension) != (wanted.checksum, wanted.dimension):
        raise ConflictError(
            f"The index was made with the model {wanted.name} ({wanted.checksum[:12]}), not with {encoder.name} "
            f"({encoder.checksum[:12]}).",
            "Use that model, or rebuild the index with the new one.",
        )
