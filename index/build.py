"""Building an index: documents in, a new generation out."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np

from index import generations
from index.analyzers import DEFAULT, check_analyzer
from index.encoder import Encoder
from index.errors import ConflictError, InputError
from index.fields import FIELD_TYPES, FieldType, check_fields, extend_schema
from index.index import LUCENE, chunks
from index.java import anserini_jar
from index.lucene_writer import BUFFER_MB, LuceneWriter
from index.manifest import EncoderInfo, Manifest, SpaceInfo
from index.sharded.workers import THREADS
from index.space import Moments, Space, SpaceKind
from index.types import Document, check_id
from index.vector_view import CONDITIONED, DENSE, RAW
from index.vectors import VectorFile

MOST_SHARDS = 1_000
_BLOCK = 16_384  # vectors conditioned at a time


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build. The defaults are Anserini's BM25 (k1 0.9, b 0.4, English analyzer) and part-whitened vectors.

    layout: "flat" searches title and text as one field, "multifield" as two with `boosts` for "title" and "contents".
    fields: the types of filterable fields; fields not named take the type of their first value.
    conditioning, whitening: the kind of embedding space and its `a` (`index.space`).
    dense: FAISS "flat" or "hnsw"; None chooses by size.
    overwrite: build a new generation where there is an index already.
    activated: have it serve at once; else it waits for `index.generations.activate`.
    shards: the number of shards to divide the documents among; None for an index that is one whole.
    """

    analyzer: str = DEFAULT
    layout: Literal["flat", "multifield"] = "flat"
    boosts: Mapping[str, float] = field(default_factory=dict)
    k1: float = 0.9
    b: float = 0.4
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    conditioning: SpaceKind = "whitened"
    whitening: float = 2.0
    dense: Literal["flat", "hnsw"] | None = None
    overwrite: bool = False
    activated: bool = True
    source: str = ""
    shards: int | None = None

    def __post_init__(self) -> None:
        check_analyzer(self.analyzer)
        if not (self.k1 >= 0 and np.isfinite(self.k1)):
            raise InputError(f"BM25's k1 cannot be {self.k1}.", "Use a number of 0 or more; 0.9 is usual.")
        if not 0 <= self.b <= 1:
            raise InputError(f"BM25's b cannot be {self.b}.", "Use a number from 0 to 1; 0.4 is usual.")
        if self.layout not in ("flat", "multifield"):
            raise InputError(f"There is no layout {self.layout!r}.", "Use flat or multifield.")
        known = self.searched()
        for name, boost in self.boosts.items():
            if name not in known:
                raise InputError(
                    f"{name!r} is not a searched field of the {self.layout} layout.", f"Those are: {', '.join(known)}."
                )
            if not (boost > 0 and np.isfinite(boost)):
                raise InputError(f"The boost of {name!r} cannot be {boost}.", "Use a number above 0.")
        for name, kind in self.fields.items():
            if kind not in FIELD_TYPES:
                raise InputError(f"Field {name!r} cannot be a {kind!r}.", f"The types are: {', '.join(FIELD_TYPES)}.")

        if self.shards is not None and not 1 <= self.shards <= MOST_SHARDS:
            raise InputError(f"An index cannot have {self.shards} shards.", f"Use a number from 1 to {MOST_SHARDS}.")

    def searched(self) -> tuple[str, ...]:
        return ("contents", "title") if self.layout == "multifield" else ("contents",)


def build_index(
    path: Path,
    documents: Iterable[Document],
    options: BuildOptions | None = None,
    *,
    encoder: Encoder | None = None,
    on_progress: Callable[[int], None] | None = None,
    engine: str = THREADS,
) -> Manifest:
    """Build a new generation of the index at `path` and make it the current one.

    `encoder` gives the documents vectors; None builds an index for BM25 only. `on_progress` is called with the number
    of documents done since its last call. Shards are built side by side where `engine` says (`index.sharded.workers`),
    in processes and on Ray with the encoder loaded anew by its name. Until the last moment nothing changes for those
    who use the index; an error, an interrupt or a kill leaves the previous generation as it was.

    Raises ConflictError where there is an index already and `options.overwrite` is not set or another process writes,
    InputError for a duplicate or unusable id or field value, UnavailableError where the disk is full or read-only.
    """
    options = options or BuildOptions()
    if not options.overwrite and (path / "current").exists():
        raise ConflictError(f"There is an index at {path} already.", "Build a new generation of it with --overwrite.")
    with (
        generations.writing(path),
        generations.new_generation(path, activated=options.activated) as (name, directory),
    ):
        if options.shards is not None:
            from index.sharded.building import build_shards

            return build_shards(name, directory, documents, options, encoder, on_progress, engine)
        fields: dict[str, FieldType] = dict(options.fields)
        with Part(name, directory, options, encoder) as part:
            for chunk in chunks(documents):
                for document in chunk:
                    check(document, fields)
                part.add(chunk, fields)
                if on_progress:
                    on_progress(len(chunk))
            moments = part.written(fields)
        return part.finish(fields, Space.of(moments, options.conditioning, options.whitening) if moments else None)


def check(document: Document, fields: dict[str, FieldType]) -> None:
    """Take the types of the document's fields in. Raises InputError for what cannot be stored."""
    check_id(document.id)
    extend_schema(fields, document)
    check_fields(fields, document)


class Part:
    """A generation under way in one directory: the documents first; then, when the space of all vectors is known, what
    is made with it. A context manager around the first half."""

    def __init__(
        self, name: str, directory: Path, options: BuildOptions, encoder: Encoder | None, buffer_mb: float = BUFFER_MB
    ) -> None:
        self._name, self._directory, self._options, self._encoder = name, directory, options, encoder
        self._seen: set[str] = set()
        self._raw = VectorFile(directory / RAW, encoder.dimension) if encoder else None
        empty = manifest_of(name, options, encoder)
        self._writer = LuceneWriter(directory / LUCENE, empty, create=True, buffer_mb=buffer_mb)

    def __enter__(self) -> Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def add(self, documents: Sequence[Document], fields: Mapping[str, FieldType]) -> None:
        """Write documents, with the types of all their fields. Raises InputError for an id that was there before."""
        for document in documents:
            if document.id in self._seen:
                raise InputError(f"Two documents have the id {document.id!r}.", "Give every document an id of its own.")
            self._seen.add(document.id)
        first = -1
        if self._encoder and self._raw:
            first = self._raw.append(self._encoder.encode([document.contents for document in documents]))
        for offset, document in enumerate(documents):
            self._writer.add(document, first + offset if self._raw else -1, fields)

    def written(self, fields: Mapping[str, FieldType]) -> Moments | None:
        """All documents are there. Gives the moments of their vectors, None without an encoder."""
        self._writer.merge()
        self._writer.commit(len(self._seen) if self._raw else 0, fields)
        return Moments.of(self._raw.open(len(self._seen)), self._options.conditioning) if self._raw else None

    def finish(self, fields: Mapping[str, FieldType], space: Space | None) -> Manifest:
        """Write the conditioned vectors, for many documents the FAISS graph, and the manifest."""
        kind = None if space is None else self._condition(space)
        manifest = manifest_of(self._name, self._options, self._encoder, fields, len(self._seen), space, kind)
        with generations.file_errors("the manifest", self._directory):
            manifest.save(self._directory)
        return manifest

    def _condition(self, space: Space) -> Literal["flat", "hnsw"]:
        from index.dense import DenseIndex, kind_for

        assert self._raw is not None
        space.save(self._directory)
        conditioned = self._raw
        if space.kind != "none":
            stored = self._raw.open(len(self._seen))
            conditioned = VectorFile(self._directory / CONDITIONED, self._raw.dimension)
            for start in range(0, len(self._seen), _BLOCK):
                conditioned.append(space.apply(stored[start : start + _BLOCK]))
        kind = self._options.dense or kind_for(len(self._seen))
        if kind == "hnsw" and len(self._seen):
            DenseIndex.build(conditioned.open(len(self._seen)), kind=kind).save(self._directory / DENSE)
        return kind


def manifest_of(
    name: str,
    options: BuildOptions,
    encoder: Encoder | None,
    fields: Mapping[str, FieldType] | None = None,
    documents: int = 0,
    space: Space | None = None,
    dense: Literal["flat", "hnsw"] | None = None,
) -> Manifest:
    """What a generation is made of, by the options that it is built with."""
    return Manifest(
        generation=name,
        analyzer=options.analyzer,
        layout=options.layout,
        boosts={field_name: options.boosts.get(field_name, 1.0) for field_name in options.searched()},
        k1=options.k1,
        b=options.b,
        fields=dict(fields or {}),
        documents=documents,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        versions={
            "clickwise": importlib.metadata.version("clickwise"),
            "anserini": anserini_jar().stem.removeprefix("anserini-").removesuffix("-fatjar"),
            "python": sys.version.split()[0],
        },
        encoder=EncoderInfo(encoder.name, encoder.checksum, encoder.dimension, encoder.max_tokens) if encoder else None,
        space=SpaceInfo(space.kind, space.a, space.digest) if space else None,
        dense=dense,
        source=options.source,
        shards=options.shards,
    )
