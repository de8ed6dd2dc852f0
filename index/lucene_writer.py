"""Writing to Lucene: documents in, one atomic commit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from index.analyzers import analyzer
from index.errors import InputError
from index.fields import FieldType, encode, values_of
from index.java import cast, java_class, java_errors, text
from index.lexical import similarity
from index.lucene_query import stored_name
from index.manifest import Manifest
from index.types import Document

_DOC = "org.apache.lucene.document."
BUFFER_MB = 64.0  # of Java's heap, before what is in it goes to the disk
LONGEST_KEYWORD = 8_000  # Lucene refuses terms of more than 32,766 bytes; a character has at most four


class LuceneWriter:
    """The one writer of a Lucene directory; a context manager that rolls everything since the last commit back on an
    error."""

    def __init__(
        self, directory: Path, manifest: Manifest, *, create: bool = False, buffer_mb: float = BUFFER_MB
    ) -> None:
        self._directory, self._multifield = directory, manifest.layout == "multifield"
        config = java_class("org.apache.lucene.index.IndexWriterConfig")(analyzer(manifest.analyzer))
        bm25 = similarity(manifest)
        config.setSimilarity(bm25)
        config.setRAMBufferSizeMB(buffer_mb)
        modes = java_class("org.apache.lucene.index.IndexWriterConfig$OpenMode")
        mode = modes.CREATE if create else modes.APPEND
        config.setOpenMode(mode)
        with java_errors("opening the index for writing", directory):
            path = java_class("java.nio.file.Paths").get(text(str(directory.absolute())))
            store = java_class("org.apache.lucene.store.FSDirectory").open(path)
            self._writer = java_class("org.apache.lucene.index.IndexWriter")(store, config)

    def __enter__(self) -> LuceneWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with java_errors("closing the index", self._directory):
            if kind is None:
                self._writer.close()  # waits for merges, so that many small updates do not leave many segments
            else:
                self._writer.rollback()

    def put(self, document: Document, row: int, schema: Mapping[str, FieldType]) -> None:
        """Add a document, or replace the one with its id. `row` is its vector's row, -1 for none.

        Raises InputError for a field value that does not fit its type in `schema`.
        """
        built = self._lucene_document(document, row, schema)
        term = _id_term(document.id)
        with java_errors("adding documents", self._directory):
            self._writer.updateDocument(term, built)

    def add(self, document: Document, row: int, schema: Mapping[str, FieldType]) -> None:
        """Add a document whose id is known to be new: quicker than `put`."""
        built = self._lucene_document(document, row, schema)
        with java_errors("adding documents", self._directory):
            self._writer.addDocument(built)

    def delete(self, ids: Sequence[str]) -> None:
        with java_errors("deleting documents", self._directory):
            for doc_id in ids:
                query = java_class("org.apache.lucene.search.TermQuery")(_id_term(doc_id))
                self._writer.deleteDocuments(query)

    def commit(self, rows: int, schema: Mapping[str, FieldType]) -> None:
        """Make everything since the last commit visible and durable, together with the vector rows that now count."""
        data = java_class("java.util.HashMap")()
        for name, value in (("rows", str(rows)), ("fields", json.dumps(dict(schema)))):
            data.put(name, value)  # JSON escapes what is not ASCII
        entries = cast("java.lang.Iterable", data.entrySet())
        with java_errors("committing", self._directory):
            self._writer.setLiveCommitData(entries)
            self._writer.commit()

    def merge(self) -> None:
        """Merge into one segment: worth its time after a build, never after an update."""
        with java_errors("merging segments", self._directory):
            self._writer.forceMerge(1)

    def _lucene_document(self, document: Document, row: int, schema: Mapping[str, FieldType]) -> Any:
        parts = [
            java_class(_DOC + "StringField")("id", text(document.id), self._stored_too),  # Anserini's tools read it
            java_class(_DOC + "BinaryDocValuesField")("id", _bytes(document.id)),
            java_class(_DOC + "NumericDocValuesField")("row", row),
            java_class(_DOC + "StoredField")("raw", _stored(document)),
        ]
        if self._multifield:
            parts += [self._analysed("title", document.title), self._analysed("contents", document.text)]
        else:
            parts.append(self._analysed("contents", document.contents))
        for name, value in document.fields.items():
            parts += [self._filterable(name, schema[name], single) for single in values_of(value)]
        built = java_class(_DOC + "Document")()
        for part in parts:
            built.add(part)
        return built

    def _analysed(self, name: str, value: str) -> Any:
        return java_class(_DOC + "Field")(name, cast("java.lang.CharSequence", _string(value)), self._analysed_type)

    def _filterable(self, name: str, kind: FieldType, value: object) -> Any:
        stored = encode(name, kind, value)
        if isinstance(stored, str):
            if len(stored) > LONGEST_KEYWORD:
                raise InputError(
                    f"Field {name!r} holds a keyword of {len(stored):,} characters.",
                    f"At most {LONGEST_KEYWORD:,} can be filtered on: put long text into the document's text.",
                )
            return java_class(_DOC + "StringField")(text(stored_name(name)), text(stored), self._not_stored)
        point = "DoublePoint" if kind == "number" else "LongPoint"
        return java_class(_DOC + point)(text(stored_name(name)), stored)

    @cached_property
    def _not_stored(self) -> Any:
        return java_class(_DOC + "Field$Store").NO

    @cached_property
    def _stored_too(self) -> Any:
        return java_class(_DOC + "Field$Store").YES

    @cached_property
    def _analysed_type(self) -> Any:
        kind = java_class(_DOC + "FieldType")()
        options = java_class("org.apache.lucene.index.IndexOptions").DOCS_AND_FREQS_AND_POSITIONS
        kind.setIndexOptions(options)
        kind.setStoreTermVectors(True)
        kind.freeze()
        return kind


def _id_term(doc_id: str) -> Any:
    return java_class("org.apache.lucene.index.Term")("id", text(doc_id))


def _string(value: str) -> Any:
    """A java.lang.String object, for parameters that are not declared as String."""
    return java_class("java.lang.String")(value.encode("utf-8", "replace"), "UTF-8")


def _bytes(value: str) -> Any:
    return java_class("org.apache.lucene.util.BytesRef")(value.encode("utf-8", "replace"))


def _stored(document: Document) -> Any:
    fields = {name: v if isinstance(v, str | int | float) else list(v) for name, v in document.fields.items()}
    return _string(json.dumps({"title": document.title, "text": document.text, "fields": fields}, ensure_ascii=False))
