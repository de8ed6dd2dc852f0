"""Building an index: documents in, a new generation out."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from index import generations
from index.analyzers import DEFAULT, check_analyzer
from index.encoder import Encoder
from index.errors import ConflictError, InputError
from index.fields import FIELD_TYPES, FieldType, check_fields, extend_schema
from index.index import LUCENE, chunks
from index.java import anserini_jar
from index.lucene_writer import LuceneWriter
from index.manifest import EncoderInfo, Manifest, SpaceInfo
from index.space import Space, SpaceKind
from index.types import Document, check_id
from index.vector_view import CONDITIONED, DENSE, RAW
from index.vectors import VectorFile

_BLOCK = 16_384  # vectors conditioned at a time


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build. The defaults are Anserini's BM25 (k1 0.9, b 0.4, English analyzer) and part-whitened vectors.

    layout: "flat" searches title and text as one field, "multifield" as two with `boosts` for "title" and "contents".
    fields: the types of filterable fields; fields not named take the type of their first value.
    conditioning, whitening: the kind of embedding space and its `a` (`index.space`).
    dense: FAISS "flat" or "hnsw"; None chooses by size.
    overwrite: build a new generation where there is an index already.
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
    source: str = ""

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

    def searched(self) -> tuple[str, ...]:
        return ("contents", "title") if self.layout == "multifield" else ("contents",)


def build_index(
    path: Path,
    documents: Iterable[Document],
    options: BuildOptions | None = None,
    *,
    encoder: Encoder | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Manifest:
    """Build a new generation of the index at `path` and make it the current one.

    `encoder` gives the documents vectors; None builds an index for BM25 only. `on_progress` is called with the number
    of documents done since its last call. Until the last moment nothing changes for those who use the index; an error,
    an interrupt or a kill leaves the previous generation as it was.

    Raises ConflictError where there is an index already and `options.overwrite` is not set or another process writes,
    InputError for a duplicate or unusable id or field value, UnavailableError where the disk is full or read-only.
    """
    options = options or BuildOptions()
    if not options.overwrite and (path / "current").exists():
        raise ConflictError(f"There is an index at {path} already.", "Build a new generation of it with --overwrite.")
    with generations.writing(path), generations.new_generation(path) as (name, directory):
        schema: dict[str, FieldType] = dict(options.fields)
        manifest = _manifest(name, options, encoder)
        raw = VectorFile(directory / RAW, encoder.dimension) if encoder else None
        seen: set[str] = set()
        with LuceneWriter(directory / LUCENE, manifest, create=True) as writer:
            for chunk in chunks(documents):
                first = -1
                if encoder and raw:
                    first = raw.append(encoder.encode([document.contents for document in chunk]))
                for offset, document in enumerate(chunk):
                    _check(document, seen, schema)
                    writer.add(document, first + offset if raw else -1, schema)
                if on_progress:
                    on_progress(len(chunk))
            writer.merge()
            writer.commit(len(seen) if raw else 0, schema)
        space, dense = _vectors(directory, raw, len(seen), options) if raw else (None, None)
        manifest = _manifest(name, options, encoder, schema, len(seen), space, dense)
        with generations.file_errors("the manifest", directory):
            manifest.save(directory)
    return manifest


def _check(document: Document, seen: set[str], schema: dict[str, FieldType]) -> None:
    check_id(document.id)
    if document.id in seen:
        raise InputError(f"Two documents have the id {document.id!r}.", "Give every document an id of its own.")
    seen.add(document.id)
    extend_schema(schema, document)
    check_fields(schema, document)


def _vectors(
    directory: Path, raw: VectorFile, rows: int, options: BuildOptions
) -> tuple[SpaceInfo, Literal["flat", "hnsw"]]:
    """Fit the space, write the conditioned vectors, and for many documents the FAISS graph."""
    from index.dense import DenseIndex, kind_for

    stored = raw.open(rows)
    space = Space.fit(stored, options.conditioning, options.whitening)
    space.save(directory)
    conditioned = raw
    if space.kind != "none":
        conditioned = VectorFile(directory / CONDITIONED, raw.dimension)
        for start in range(0, rows, _BLOCK):
            conditioned.append(space.apply(stored[start : start + _BLOCK]))
    kind = options.dense or kind_for(rows)
    if kind == "hnsw" and rows:
        DenseIndex.build(conditioned.open(rows), kind=kind).save(directory / DENSE)
    return SpaceInfo(space.kind, space.a, space.digest), kind


def _manifest(
    name: str,
    options: BuildOptions,
    encoder: Encoder | None,
    schema: Mapping[str, FieldType] | None = None,
    documents: int = 0,
    space: SpaceInfo | None = None,
    dense: Literal["flat", "hnsw"] | None = None,
) -> Manifest:
    return Manifest(
        generation=name,
        analyzer=options.analyzer,
        layout=options.layout,
        boosts={field_name: options.boosts.get(field_name, 1.0) for field_name in options.searched()},
        k1=options.k1,
        b=options.b,
        fields=dict(schema or {}),
        documents=documents,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={
            "clickwise": importlib.metadata.version("clickwise"),
            "anserini": anserini_jar().stem.removeprefix("anserini-").removesuffix("-fatjar"),
            "python": sys.version.split()[0],
        },
        encoder=EncoderInfo(encoder.name, encoder.checksum, encoder.dimension, encoder.max_tokens) if encoder else None,
        space=space,
        dense=dense,
        source=options.source,
    )
