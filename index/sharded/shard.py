"""One shard: an index like any other, that answers for the documents it has."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from index import generations
from index.fields import FieldType
from index.statistics import FieldStatistics
from index.view import View

Commit: TypeAlias = tuple[str, int]
"""A generation of a shard, and the number of commits that it has seen."""
_KEPT: Final = 4  # views of older commits, for those who are still reading them


@dataclass(frozen=True, slots=True)
class ShardState:
    """What has to be known of a shard to search it together with others."""

    commit: Commit
    documents: int
    fields: dict[str, FieldType]
    statistics: Mapping[str, FieldStatistics]


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """A shard in words: its number, where it is, how many documents live in it, and the bytes of its files."""

    number: int
    path: str
    documents: int
    bytes: int


class Shard:
    """An opened shard, where its worker is. Thread-safe."""

    def __init__(self, path: str) -> None:
        from index.index import Index

        self._index = Index.open(Path(path))
        self._lock = threading.Lock()
        self._views: OrderedDict[Commit, View] = OrderedDict()

    def state(self) -> ShardState:
        """The newest commit."""
        view = self._newest()
        return ShardState(
            (view.generation, view.commit),
            view.documents,
            view.fields,
            view.lexical.field_statistics(),
        )

    def read(self, commit: Commit, part: Literal["lexical", "vectors"], method: str, args: tuple[Any, ...]) -> Any:
        """Ask a view: `view.lexical` or `view.vectors`. Raises LookupError for a commit that nobody needs any more."""
        view = self._views.get(commit)
        if view is None:
            self._newest()
            view = self._views[commit]
        return getattr(getattr(view, part), method)(*args)

    def _newest(self) -> View:
        view = self._index.view()
        with self._lock:
            self._views[view.generation, view.commit] = view
            while len(self._views) > _KEPT:
                self._views.popitem(last=False)
        return view


def shard_path(path: Path, generation: str, number: int) -> Path:
    """The index directory of one shard."""
    return shards_in(generations.generation_path(path, generation)) / f"{number:03d}"


def shards_in(directory: Path) -> Path:
    """The folder of the shards in the folder of a generation."""
    return directory / "shards"


def shard_of(doc_id: str, shards: int) -> int:
    """The shard that a document belongs to, by its id alone: the same on every machine."""
    return zlib.crc32(doc_id.encode("utf-8", "replace")) % shards
