"""Building an index in shards: documents are read here once, and go to workers that index them side by side.

What shards have to agree on is made here: the types of fields, in the order in which the documents come, and the space
of the vectors, from the sums over all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from index import generations
from index.build import BuildOptions, Part, check, manifest_of
from index.encoder import Encoder
from index.fields import FieldType
from index.index import CHUNK
from index.manifest import Manifest
from index.sharded.shard import shard_of, shards_in
from index.sharded.workers import THREADS, Workers, start
from index.space import Moments, Space
from index.types import Document

_AHEAD: Final = 2  # chunks that a worker may have before it: one to work on, one waiting
_BUFFERS_MB: Final = 256.0  # that Lucene's writers in one JVM have together


class ShardBuild:
    """One shard under way, where its worker is: `begin`, `add` as often as needed, `written`, `finish`, `end`."""

    def __init__(self, path: str, options: BuildOptions, encoder: Encoder | None, buffer_mb: float) -> None:
        self._stack, self._writing = ExitStack(), ExitStack()
        self._path, self._options, self._encoder, self._buffer_mb = Path(path), options, encoder, buffer_mb
        self._part: Part | None = None

    def begin(self) -> None:
        """Make the directory of the shard, and hold its lock until the end."""
        self._stack.enter_context(generations.writing(self._path))
        name, directory = self._stack.enter_context(generations.new_generation(self._path))
        part = Part(name, directory, self._options, self._encoder, self._buffer_mb)
        self._part = self._writing.enter_context(part)

    def add(self, documents: Sequence[Document], fields: Mapping[str, FieldType]) -> int:
        """Write documents; gives their number."""
        assert self._part is not None
        self._part.add(documents, fields)
        return len(documents)

    def written(self, fields: Mapping[str, FieldType]) -> Moments | None:
        """All documents have come. Gives the moments of their vectors."""
        assert self._part is not None
        moments = self._part.written(fields)
        self._writing.close()
        return moments

    def finish(self, fields: Mapping[str, FieldType], space: Space | None) -> Manifest:
        """Condition the vectors and make the shard an index."""
        assert self._part is not None
        manifest = self._part.finish(fields, space)
        self._stack.close()
        return manifest

    def end(self) -> None:
        """Give up: what was written is removed."""
        for stack in (self._writing, self._stack):
            with suppress(_GivenUpError), stack:
                raise _GivenUpError


class _GivenUpError(Exception):
    """What open files are closed by where a build ends early."""


def build_shards(
    name: str,
    directory: Path,
    documents: Iterable[Document],
    options: BuildOptions,
    encoder: Encoder | None,
    on_progress: Callable[[int], None] | None,
    engine: str,
) -> Manifest:
    """Fill the folder of a new generation with shards. Errors: those of `build_index`."""
    count = options.shards or 1
    buffer_mb = min(64.0, _BUFFERS_MB / count) if engine == THREADS else 64.0
    own = replace(options, shards=None, overwrite=True)
    root = shards_in(directory)
    with generations.file_errors("the index", directory):
        root.mkdir()
    places = [(str((root / f"{number:03d}").absolute()), own, encoder, buffer_mb) for number in range(count)]
    workers = start(engine, ShardBuild, places, at_once=1)
    try:
        fields, manifests = _built(workers, documents, options, encoder is not None, directory, on_progress)
    except BaseException:
        _give_up(workers)
        raise
    finally:
        workers.close()
    space = Space.load(directory) if encoder else None
    kind = next((manifest.dense for manifest in manifests if manifest.dense == "hnsw"), manifests[0].dense)
    total = sum(manifest.documents for manifest in manifests)
    manifest = manifest_of(name, options, encoder, fields, total, space, kind)
    with generations.file_errors("the manifest", directory):
        manifest.save(directory)
    return manifest


def _built(
    workers: Workers,
    documents: Iterable[Document],
    options: BuildOptions,
    embedded: bool,
    directory: Path,
    on_progress: Callable[[int], None] | None,
) -> tuple[dict[str, FieldType], list[Manifest]]:
    everyone = range(len(workers))
    _results([workers.ask(number, "begin") for number in everyone])
    fields = _distributed(workers, documents, options, on_progress)
    parts = _results([workers.ask(number, "written", fields) for number in everyone])
    space = None
    if embedded:
        moments = parts[0]
        for part in parts[1:]:
            moments = moments + part
        space = Space.of(moments, options.conditioning, options.whitening)
        space.save(directory)
    return fields, _results([workers.ask(number, "finish", fields, space) for number in everyone])


def _distributed(
    workers: Workers,
    documents: Iterable[Document],
    options: BuildOptions,
    on_progress: Callable[[int], None] | None,
) -> dict[str, FieldType]:
    """Send every document to its shard, in chunks, and wait where a shard does not keep up. Gives the fields' types."""
    fields: dict[str, FieldType] = dict(options.fields)
    waiting: list[list[Document]] = [[] for _ in range(len(workers))]
    under_way: list[deque[Future[int]]] = [deque() for _ in waiting]

    def done(number: int, left: int) -> None:
        while len(under_way[number]) > left:
            written = under_way[number].popleft().result()
            if on_progress:
                on_progress(written)

    def send(number: int) -> None:
        done(number, _AHEAD - 1)
        under_way[number].append(workers.ask(number, "add", waiting[number], dict(fields)))
        waiting[number] = []

    for document in documents:
        check(document, fields)
        number = shard_of(document.id, len(workers))
        waiting[number].append(document)
        if len(waiting[number]) == CHUNK:
            send(number)
    for number in range(len(workers)):
        if waiting[number]:
            send(number)
    for number in range(len(workers)):
        done(number, 0)
    return fields


def _results(answers: Sequence[Future[Any]]) -> list[Any]:
    return [answer.result() for answer in answers]


def _give_up(workers: Workers) -> None:
    """Let every worker close its files, so that the folder can be removed; those that cannot any more are gone."""
    for answer in [workers.ask(number, "end") for number in range(len(workers))]:
        answer.exception(timeout=30)
