"""The inverted index as one commit left it: search, documents, term statistics, explanations, snippets."""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Hashable, Iterable, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from index import bulk
from index.analysis import Analysis
from index.filters import Filter
from index.java import cast, java_class, java_errors, text
from index.likeness import likeness
from index.lucene_query import LexicalQuery, QueryBuilder
from index.manifest import Manifest
from index.segments import Segments
from index.snippets import Snippet
from index.statistics import CollectionSearchers, FieldStatistics, Frequencies, Statistics
from index.types import Document, Ranking

__all__ = ["LexicalQuery", "LexicalView", "Snippet"]
_MOST_TERMS = 100_000  # of a collection, remembered with their statistics


def open_reader(directory: Path) -> Any:
    """A Lucene DirectoryReader on the newest commit in `directory`."""
    with java_errors("opening the index", directory):
        path = java_class("java.nio.file.Paths").get(text(str(directory.absolute())))
        return java_class("org.apache.lucene.index.DirectoryReader").open(
            java_class("org.apache.lucene.store.FSDirectory").open(path)
        )


def committed_data(directory: Path) -> dict[str, str]:
    """What the newest commit in `directory` says beside the documents: as `LexicalView.commit_data`."""
    with java_errors("reading the index", directory):
        path = java_class("java.nio.file.Paths").get(text(str(directory.absolute())))
        store = java_class("org.apache.lucene.store.FSDirectory").open(path)
        segments = java_class("org.apache.lucene.index.SegmentInfos").readLatestCommit(store)
        data = segments.getUserData()
    return {name: data.get(name) for name in ("rows", "fields")}


class LexicalView:
    """One commit of the inverted index. Immutable and thread-safe; its reader closes when nothing holds the view."""

    def __init__(self, reader: Any, manifest: Manifest, known: Segments | None = None) -> None:
        self._reader = cast("org.apache.lucene.index.IndexReader", reader)
        self._manifest = manifest
        self._directory_reader = reader
        self._analysis = Analysis(manifest.analyzer)
        fields = json.loads(self.commit_data()["fields"])
        self._builder = QueryBuilder(self._analysis.analyzer, manifest.boosts, fields)
        # Of functions, not of methods of this view: a view that holds itself stays, with all that it has read, until
        # Python looks for cycles, and in a service that has run for a while it seldom does.
        self._own_searcher = lru_cache(maxsize=8)(partial(_searcher, self._reader, manifest))
        self._collections: dict[Hashable, CollectionSearchers] = {}
        self._collections_lock = threading.Lock()
        self._term_frequencies = lru_cache(maxsize=65_536)(partial(_frequencies, self._reader, tuple(manifest.boosts)))
        self.segments = Segments.of(reader, known)
        self.documents_count: int = reader.numDocs()
        weakref.finalize(self, _close, reader).atexit = False

    def reopened(self) -> LexicalView:
        """The newest commit: this very view where nothing has changed."""
        newer = java_class("org.apache.lucene.index.DirectoryReader").openIfChanged(self._directory_reader)
        return self if newer is None else LexicalView(newer, self._manifest, self.segments)

    def commit_data(self) -> dict[str, str]:
        """What the writer committed beside the documents: "rows" (of vectors) and "fields" (their types, as JSON)."""
        data = self._directory_reader.getIndexCommit().getUserData()
        return {name: data.get(name) for name in ("rows", "fields")}

    def search(self, query: LexicalQuery, limit: int, statistics: Statistics | None = None) -> Ranking:
        """The best `limit` documents by BM25, fewer where fewer match; of documents that tie those of the least ids.

        With `statistics`, which have to cover every term of the query, they are scored as a part of that collection,
        and `query.like` is not looked at: its terms are the collection's to choose. Raises InputError for a filter on
        an unknown field or with a value that does not fit it.
        """
        built = self._build(query, statistics)
        if built is None or limit <= 0 or self.documents_count == 0:
            return Ranking.empty()
        searcher = self._searcher(query, statistics)
        numbers, scores = bulk.hits(searcher.search(built, limit + 1))
        if len(numbers) > limit:
            if scores[limit - 1] == scores[limit]:
                numbers, _ = bulk.hits(searcher.search(built, limit, _score_then_id()))
            numbers, scores = numbers[:limit], scores[:limit]
        ids = self.segments.ids
        return Ranking.of(list(map(ids.__getitem__, numbers.tolist())), scores)

    def matching(self, condition: Filter | None) -> npt.NDArray[np.int64]:
        """Lucene's numbers of the live documents that a filter admits (all of them for None), ascending: shape (n,)."""
        if condition is None:
            return np.flatnonzero(self.segments.live)
        admitted = java_class("org.apache.lucene.search.ConstantScoreQuery")(self._builder.filter(condition))
        everything = max(1, self._reader.maxDoc())
        numbers, _ = bulk.hits(self._own_searcher(None, None).search(admitted, everything))
        return np.sort(numbers)

    def live_ids(self, limit: int | None = None) -> list[str]:
        """The ids of the documents that live, or of `limit` of them: the same ones each time."""
        ids = self.segments.ids
        return [ids[number] for number in np.flatnonzero(self.segments.live)[:limit].tolist()]

    def check(self, condition: Filter) -> None:
        """Raise InputError where the filter names an unknown field or a value that does not fit its field."""
        self._builder.filter(condition)

    def analyze(self, words: str) -> list[str]:
        """The terms that the index's analyzer makes of a text, in order, with repetitions."""
        return self._analysis.terms(words)

    def __contains__(self, doc_id: str) -> bool:
        return self.segments.number_of(doc_id) >= 0

    def holds(self, ids: Sequence[str]) -> list[bool]:
        """Whether each document is in the index."""
        return [number >= 0 for number in self.segments.numbers_of(ids).tolist()]

    def document(self, doc_id: str) -> Document | None:
        """A stored document, None where there is none."""
        return self.documents([doc_id])[0]

    def documents(self, ids: Sequence[str]) -> list[Document | None]:
        """Stored documents in the order asked for, None where there is none."""
        stored = self._reader.storedFields()
        numbers = self.segments.numbers_of(ids).tolist()
        return [
            _stored_document(doc_id, stored.document(number).get("raw")) if number >= 0 else None
            for doc_id, number in zip(ids, numbers, strict=True)
        ]

    def term_vectors(self, ids: Sequence[str]) -> list[dict[str, int]]:
        """Analysed terms with their frequencies, over all searched fields; empty for an unknown document."""
        vectors = self._reader.termVectors()
        numbers = self.segments.numbers_of(ids).tolist()
        return [self._term_vector(vectors, number) if number >= 0 else {} for number in numbers]

    def _term_vector(self, vectors: Any, number: int) -> dict[str, int]:
        counts: dict[str, int] = {}
        for name in self._manifest.boosts:
            terms = vectors.get(number, name)
            for term, frequency in bulk.term_frequencies(terms) if terms is not None else ():
                counts[term] = counts.get(term, 0) + frequency
        return counts

    def doc_frequencies(self, terms: Iterable[str]) -> dict[str, int]:
        """How many documents hold each term (in the most frequent of the searched fields)."""
        return {term: max(held for held, _ in self._term_frequencies(term)) for term in terms}

    def collection_frequencies(self, terms: Iterable[str]) -> dict[str, int]:
        """How often each term occurs in all documents, over the searched fields."""
        return {term: sum(often for _, often in self._term_frequencies(term)) for term in terms}

    def frequencies(self, terms: Iterable[str]) -> dict[str, Frequencies]:
        """The statistics of each term, by searched field."""
        return {term: self._term_frequencies(term) for term in terms}

    def field_statistics(self) -> dict[str, FieldStatistics]:
        """The statistics of each searched field. Deleted documents count until Lucene has merged them away."""
        reader = self._reader
        return {
            name: FieldStatistics(
                int(reader.maxDoc()),
                max(0, int(reader.getDocCount(name))),
                max(0, int(reader.getSumTotalTermFreq(name))),
                max(0, int(reader.getSumDocFreq(name))),
            )
            for name in self._manifest.boosts
        }

    def total_terms(self) -> int:
        """How many terms all documents hold, over the searched fields."""
        return sum(field.terms for field in self.field_statistics().values())

    def snippets(self, words: str, ids: Sequence[str], width: int = 240) -> list[Snippet]:
        """For each document its best window for the query: about `width` characters, matching words marked."""
        return self.snippets_of(words, self.documents(ids), width)

    def snippets_of(self, words: str, documents: Iterable[Document | None], width: int = 240) -> list[Snippet]:
        """The same for documents that have been read already."""
        frequencies = self.doc_frequencies(set(self.analyze(words)))
        return self._analysis.snippets(documents, frequencies, self.documents_count, width)

    def explain(self, query: LexicalQuery, doc_id: str, statistics: Statistics | None = None) -> str:
        """Lucene's own account of a document's score, indented; says so where the document does not match."""
        built, number = self._build(query, statistics), self.segments.number_of(doc_id)
        if built is None or number < 0:
            return "no match"
        account: str = self._searcher(query, statistics).explain(built, number).toString()
        return account.rstrip()

    def _build(self, query: LexicalQuery, statistics: Statistics | None) -> Any | None:
        alike = likeness(query.like, query.like_terms, self) if statistics is None else statistics.likeness
        return self._builder.build(query, alike)

    def _searcher(self, query: LexicalQuery, statistics: Statistics | None) -> Any:
        if statistics is None:
            return self._own_searcher(query.k1, query.b)
        with self._collections_lock:
            known = self._collections.get(statistics.version)
            if known is None or len(known) > _MOST_TERMS:
                known = CollectionSearchers(self._reader, statistics.fields)
                self._collections = {**dict([*self._collections.items()][-1:]), statistics.version: known}
            known.learn(statistics.terms)
        return known.searcher((query.k1, query.b), similarity(self._manifest, query.k1, query.b))


def _searcher(reader: Any, manifest: Manifest, k1: float | None, b: float | None) -> Any:
    searcher = java_class("org.apache.lucene.search.IndexSearcher")(reader)
    bm25 = similarity(manifest, k1, b)
    searcher.setSimilarity(bm25)
    return searcher


def _frequencies(reader: Any, fields: Sequence[str], term: str) -> Frequencies:
    words = [java_class("org.apache.lucene.index.Term")(name, text(term)) for name in fields]
    return tuple((int(reader.docFreq(word)), int(reader.totalTermFreq(word))) for word in words)


@cache
def _score_then_id() -> Any:
    """Lucene's order for what ties at the end of a ranking: by score descending, then by id."""
    field = java_class("org.apache.lucene.search.SortField")
    by_id = field("id", java_class("org.apache.lucene.search.SortField$Type").STRING_VAL)
    return java_class("org.apache.lucene.search.Sort")(field.FIELD_SCORE, by_id)


def similarity(manifest: Manifest, k1: float | None = None, b: float | None = None) -> Any:
    """BM25 with the index's parameters, or others for one query."""
    return java_class("org.apache.lucene.search.similarities.BM25Similarity")(
        manifest.k1 if k1 is None else k1, manifest.b if b is None else b
    )


def _stored_document(doc_id: str, raw: str) -> Document:
    stored = json.loads(raw)
    fields = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.get("fields", {}).items()}
    return Document(doc_id, stored.get("title", ""), stored.get("text", ""), fields)


def _close(reader: Any) -> None:
    # Not the bound method `reader.close` itself: pyjnius binds lazily.
    reader.close()
