"""A generation of an index in shards: its views, and a change of it.

    generations/000002/               manifest.json, and with vectors: space.safetensors, the one of all shards
    generations/000002/shards/003/    an index directory like any other, with one generation of its own

A document lives in the shard that its id says (`shard_of`). The pointer of the whole index is rewritten after its
shards have committed: that is how those notice who have it open.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from index import generations
from index.errors import UnavailableError
from index.fields import FieldType
from index.generation import Change, changing
from index.generations import Current
from index.learned import Learned, LearnedFiles, Part, PartName, forget, keep
from index.manifest import Manifest
from index.sharded.asking import Asking
from index.sharded.reading import Collection, ShardedLexical, ShardedVectors, by_shard
from index.sharded.shard import Shard, ShardInfo, ShardState, shard_path
from index.sharded.workers import AT_ONCE, start
from index.space import Space
from index.types import Document
from index.view import View

# Seconds between two looks at a shard that has not told its newest state, and how long a search waits for such a look.
_RETRY, _GLANCE = 1.0, 0.1


class ShardedGeneration:
    """The workers of one generation's shards, and its newest state. The index locks for `refresh`."""

    def __init__(self, path: Path, current: Current, manifest: Manifest, *, engine: str, patience: float) -> None:
        self.manifest, self._patience = manifest, patience
        self._directory = generations.generation_path(path, current.generation)
        self._space = Space.load(self._directory) if manifest.encoder else None
        self._learned = LearnedFiles(self._directory, self._space.digest) if self._space else None
        self._paths = [shard_path(path, current.generation, n).absolute() for n in range(manifest.shards or 0)]
        self._workers = start(engine, Shard, [(str(place),) for place in self._paths], at_once=AT_ONCE)
        self._lock = threading.Lock()
        self._states: list[ShardState | None] = [None] * len(self._paths)
        try:
            self.refresh(current)
        except BaseException:
            self._workers.close()
            raise

    def view(self) -> View:
        """A view of the newest state that is known, with an `Asking` of its own."""
        if self._late and time.monotonic() >= self._again and self._lock.acquire(blocking=False):
            try:
                self._look(self._current, _GLANCE)
            finally:
                self._lock.release()
        collection, learned, current = self._newest
        asking = Asking(self._workers, collection.commits, self._patience)
        vectors = ShardedVectors(self._space, learned, asking) if self._space else None
        lexical = ShardedLexical(collection, asking)
        return View(current.generation, current.commit, lexical, vectors, collection.fields, asking)

    def refresh(self, current: Current) -> None:
        """Ask every shard for its newest commit; one that does not answer in time is read as it was.

        Raises UnavailableError for a shard that has never answered.
        """
        with self._lock:
            self._look(current, self._patience)

    def warm_up(self) -> None:
        """Have the shards make ready what is made on first use."""
        vectors, encoder = self.view().vectors, self.manifest.encoder
        if vectors is not None and encoder is not None:
            vectors.nearest(np.zeros((1, encoder.dimension), np.float32), 1)

    def shards(self) -> list[ShardInfo]:
        """What each shard holds."""
        return [
            ShardInfo(
                number,
                str(path),
                state.documents if state else 0,
                sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
            )
            for number, (path, state) in enumerate(zip(self._paths, self._states, strict=True))
        ]

    def close(self) -> None:
        """End the workers."""
        self._workers.close()

    def _look(self, current: Current, patience: float) -> None:
        asked = [self._workers.ask(number, "state") for number in range(len(self._workers))]
        until = time.monotonic() + patience
        late: dict[int, Exception] = {}
        for number, answer in enumerate(asked):
            try:
                self._states[number] = answer.result(max(0.0, until - time.monotonic()))
            except Exception as problem:
                answer.cancel()
                late[number] = problem
        states = [state for state in self._states if state is not None]
        if len(states) < len(self._states):
            number = self._states.index(None)
            reason = str(late[number]) or "it took too long."
            raise UnavailableError(
                f"Shard {number} of {len(self._states)} does not come up: {reason}",
                "Look at its machine and its directory, then open the index again.",
            ) from late[number]
        learned = self._learned.newest() if self._learned else Learned()
        self._current = current
        self._newest = (Collection(self.manifest, states), learned, current)
        self._late, self._again = bool(late), time.monotonic() + _RETRY


@contextmanager
def changing_shards(path: Path) -> Iterator[ShardedChange]:
    """A change of the index directory's current generation, with its lock; if it is committed, the pointer says so."""
    with generations.writing(path):
        current = generations.read_current(path)
        directory = generations.generation_path(path, current.generation)
        shards = Manifest.load(directory).shards or 0
        with ExitStack() as stack:
            opened = [stack.enter_context(changing(shard_path(path, current.generation, n))) for n in range(shards)]
            change = ShardedChange(directory, opened)
            yield change
        if change.committed:
            generations.write_current(path, Current(current.generation, current.commit + 1))


class ShardedChange:
    """What `Change` is to a whole index. Shards that it does not touch are left alone."""

    def __init__(self, directory: Path, shards: Sequence[Change]) -> None:
        self._directory, self._shards = directory, shards
        self._touched: set[int] = set()
        self.fields: dict[str, FieldType] = {name: kind for shard in shards for name, kind in shard.fields.items()}

    @property
    def committed(self) -> bool:
        return any(shard.committed for shard in self._shards)

    def put(
        self, documents: Sequence[Document], vectors: npt.NDArray[np.float32] | None, fields: Mapping[str, FieldType]
    ) -> None:
        places = by_shard(range(len(documents)), len(self._shards), lambda i: documents[i].id)
        for number, members in places.items():
            own = None if vectors is None else vectors[members]
            self._shards[number].put([documents[i] for i in members], own, fields)
        self._touched.update(places)

    def delete(self, ids: Sequence[str]) -> None:
        for number, members in by_shard(ids, len(self._shards)).items():
            self._shards[number].delete(members)
            self._touched.add(number)

    def commit(self, fields: Mapping[str, FieldType]) -> None:
        """Make the change visible and durable, one shard after the other. New fields become known to all of them, also
        those of a change that was killed between two shards."""
        for number, shard in enumerate(self._shards):
            if number in self._touched or shard.fields != fields:
                shard.commit(fields)

    def learn(self, part: Part) -> list[PartName]:
        """Keep what was learned with every shard, so that the pointers tell of it, and with the whole. Gives what went
        for it."""
        for shard in self._shards:
            shard.learn(part)
        return keep(self._directory, part)

    def forget(self, name: PartName) -> list[PartName]:
        """Forget what was learned. Gives what went."""
        for shard in self._shards:
            shard.forget(name)
        return forget(self._directory, name)
