"""An opened index directory: views to read, upserts and deletes to write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from index import generations
from index.encoder import Encoder
from index.encoders import Encoders
from index.errors import ConflictError, InputError, NotFoundError, UnavailableError
from index.fields import check_fields, extend_schema
from index.generation import LUCENE, Change, Generation, changing
from index.generations import Current
from index.learned import Part, PartName
from index.lexical import LexicalQuery
from index.manifest import Manifest
from index.prior import Prior
from index.query_vectors import QueryVectors
from index.sharded.generation import ShardedChange, ShardedGeneration, changing_shards
from index.sharded.shard import ShardInfo
from index.sharded.workers import PATIENCE, THREADS
from index.types import Document, check_id
from index.view import View

if TYPE_CHECKING:
    from index.view import Vectors

__all__ = ["LUCENE", "Index", "View", "chunks"]
CHUNK = 1_024  # documents embedded at a time: enough to sort by length


class Index:
    """An opened index directory. Thread-safe.

    Reads go through `view`; another process's updates and new generations show up in the next view. Writes take the
    directory's lock for as long as they last, and are durable when they return.
    """

    def __init__(
        self, path: Path, encoder: Encoder | None = None, *, engine: str = THREADS, patience: float = PATIENCE
    ) -> None:
        self.path = path
        self.name = path.name
        self._encoders = Encoders(encoder)
        self._engine, self._patience = engine, patience
        self._lock = threading.RLock()
        self.asked = QueryVectors()  # what the encoder made of the queries asked last
        self._fixed = False
        self._stamp = generations.stamp(path)
        self._current = generations.read_current(path)
        self._generation = self._opened(self._current)

    @classmethod
    def open(
        cls, path: Path, *, encoder: Encoder | None = None, engine: str = THREADS, patience: float = PATIENCE
    ) -> Index:
        """Open an index; `encoder` replaces loading the one named in the manifest.

        For an index in shards `engine` says where they are searched (`index.sharded.workers`): in "threads" of this
        process, in "processes" of this machine, or on "ray", and `patience` how many seconds one is waited for.
        Raises NotFoundError where there is no index, ConflictError where its format, its damage or its encoder
        forbids using it, UnavailableError where a shard does not come up.
        """
        generations.read_current(path)
        return cls(path, encoder, engine=engine, patience=patience)

    @property
    def manifest(self) -> Manifest:
        return self._generation.manifest

    def at(self, generation: str) -> Index:
        """The same index at one generation, whichever serves: it follows nothing and takes no writes.

        Raises NotFoundError where that generation is not on disk.
        """
        if generation not in generations.names(self.path):
            raise NotFoundError(
                f"The index {self.name!r} has no generation {generation!r}.",
                f"On disk are: {', '.join(generations.names(self.path))}.",
            )
        fixed = copy(self)
        fixed._lock, fixed._fixed = threading.RLock(), True
        fixed._current = Current(generation, 0)
        fixed._generation = fixed._opened(fixed._current)
        return fixed

    def activate(self, generation: str | None = None) -> str:
        """Have a generation serve: the newest on disk, or an older one by its name. Gives its name.

        It is opened and warm before anybody searches it, and searches and writes go on meanwhile. Raises NotFoundError
        where it is not on disk, ConflictError where another process writes.
        """
        with self._lock:
            self._refresh()
            wanted = generation or generations.names(self.path)[-1]
            if wanted == self._current.generation:
                return wanted
        made = self.at(wanted)
        made.warm_up()
        with self._lock:
            self._current = generations.activate(self.path, made._current.generation)
            self._generation, self._stamp = made._generation, generations.stamp(self.path)
            self._generation.refresh(self._current)
        return self._current.generation

    def view(self) -> View:
        """The newest commit. Costs a microsecond where nothing has changed.

        What another process has built or written is looked at by one thread; the others read on what there was until
        it is done. Where the directory is gone, what is open goes on answering, and says so (`View.degraded`).
        """
        if self._fixed:
            return self._generation.view()
        try:
            stamp = generations.stamp(self.path)
        except OSError:
            return replace(self._generation.view(), gone=True)
        if stamp != self._stamp and self._lock.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._lock.release()
        return self._generation.view()

    def upsert(self, documents: Iterable[Document], on_progress: Callable[[int], None] | None = None) -> int:
        """Add documents, replacing those of the same id; all of them or none. Durable on return; gives their number.

        Of several documents with one id the last stays. In an index in shards a disk that fills up, or a kill, between
        the commits of two shards leaves the change in some: the same call again completes it. Raises InputError for an
        id or field value that cannot be stored, ConflictError where another process writes, UnavailableError where
        the disk is full or read-only.
        """
        count = 0
        with self._changing() as change:
            fields, embeds = dict(change.fields), self.manifest.encoder is not None
            for chunk in chunks(documents):
                for document in chunk:
                    check_id(document.id)
                    extend_schema(fields, document)
                    check_fields(fields, document)
                vectors = self.encoder().encode([document.contents for document in chunk]) if embeds else None
                change.put(chunk, vectors, fields)
                count += len(chunk)
                if on_progress:
                    on_progress(len(chunk))
            change.commit(fields)
        return count

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents by id. Durable on return; gives how many there were."""
        with self._changing() as change:
            lexical = self._generation.view().lexical
            wanted = list(dict.fromkeys(ids))
            existing = [doc for doc, held in zip(wanted, lexical.holds(wanted), strict=True) if held]
            if existing:
                change.delete(existing)
                change.commit(change.fields)
        return len(existing)

    def learn(self, part: Part) -> list[PartName]:
        """Keep with this generation a metric, co-relevance or a prior that was learned on it. Durable on return.

        With another metric a prior goes: it was learned on the vectors as they were read before. Gives what went.
        Raises ConflictError where another process writes, or where it was learned on other vectors than this index's.
        """
        with self._changing() as change:
            vectors = self._own_vectors()
            if part.space != (vectors.prior_space if isinstance(part, Prior) else vectors.space_digest):
                raise ConflictError(
                    f"The {part.name} was learned on other vectors.", "Train it on the index as it is now."
                )
            return change.learn(part)

    def forget(self, name: PartName) -> list[PartName]:
        """Forget what was learned, if anything was; with a metric also the prior. Durable on return; gives what went,
        and raises as `learn` does."""
        with self._changing() as change:
            self._own_vectors()
            return change.forget(name)

    def _own_vectors(self) -> Vectors:
        """The vectors of the newest state, or InputError where it has none."""
        vectors = self._generation.view().vectors
        if vectors is None:
            raise InputError(f"The index {self.name!r} has no vectors.", "Build it with an encoder.")
        return vectors

    def shards(self) -> list[ShardInfo]:
        """What each shard holds; empty for an index that is one whole."""
        return self._generation.shards()

    def encode(self, texts: Sequence[str], manifest: Manifest | None = None) -> npt.NDArray[np.float32]:
        """Raw vectors of queries, (n, dimension), L2-normalised. Raises UnavailableError where the index has none.

        The last few thousand are remembered: whoever gives feedback has the same query ranked again.
        """
        encoder = self.encoder(manifest)
        return self.asked.encoded(encoder, texts)

    def encoder(self, manifest: Manifest | None = None) -> Encoder:
        """The model that made the vectors of the index, or of the generation of `manifest`; loaded on first use.

        Raises UnavailableError where the index has no vectors or the model cannot be loaded, ConflictError where the
        model of that name has other weights than the one that made the vectors.
        """
        wanted = (manifest or self.manifest).encoder
        if wanted is None:
            raise UnavailableError(
                f"The index {self.name!r} has no vectors.", "Use a pipeline without them, or rebuild it with --encoder."
            )
        return self._encoders.of(wanted)

    def encoders(self) -> list[Encoder]:
        """The models that have been loaded for this index: that of its generation, and maybe of the one before."""
        return self._encoders.loaded()

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
        """End the workers of an index in shards. Another index has nothing to be closed."""
        self._generation.close()

    def _opened(self, current: Current) -> Generation | ShardedGeneration:
        manifest = Manifest.load(generations.generation_path(self.path, current.generation))
        self._encoders.check(manifest)
        if manifest.shards is None:
            return Generation(self.path, current, manifest)
        return ShardedGeneration(self.path, current, manifest, engine=self._engine, patience=self._patience)

    def _refresh(self) -> None:
        try:
            stamp = generations.stamp(self.path)
        except OSError:
            raise UnavailableError(
                f"The index at {self.path} is gone.", "Put its directory back, or build it again."
            ) from None
        if stamp == self._stamp:
            return
        current = generations.read_current(self.path)
        manifest = Manifest.load(generations.generation_path(self.path, current.generation))
        # Who removed the directory and built it again has another generation of the same name.
        if current.generation == self._current.generation and manifest == self.manifest:
            self._generation.refresh(current)
        else:
            opened = self._opened(current)
            if self._encoders.loaded() and opened.manifest.encoder:
                self.encoder(opened.manifest)
            opened.warm_up()
            self._generation = opened  # views of the one before live on as long as somebody reads them
        self._current, self._stamp = current, stamp

    @contextmanager
    def _changing(self) -> Iterator[Change | ShardedChange]:
        """A change of the newest state, with the lock; afterwards the next view shows it."""
        if self._fixed:
            raise ConflictError(f"{self.name!r} is read at one generation.", "Write to the index that serves.")
        with self._lock:
            self._refresh()
            change = changing if self.manifest.shards is None else changing_shards
            with change(self.path) as made:
                # A writer killed between its commit and the pointer has left a newer commit: start from that.
                self._refresh()
                self._generation.refresh(self._current)
                yield made
            self._refresh()


def chunks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents in lists of CHUNK."""
    source = iter(documents)
    while chunk := list(islice(source, CHUNK)):
        yield chunk
