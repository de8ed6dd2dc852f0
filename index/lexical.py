"""The inverted index as one commit left it: search, documents, term statistics, explanations, snippets."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from index import bulk
from index.analyzers import analyzer
from index.filters import Filter
from index.java import cast, java_class, java_errors, text
from index.lucene_query import LexicalQuery, QueryBuilder
from index.manifest import Manifest
from index.segments import Segments
from index.snippets import Snippet, snippet
from index.types import Document, Ranking

__all__ = ["LexicalQuery", "LexicalView", "Snippet"]


def open_reader(directory: Path) -> Any:
    """A Lucene DirectoryReader on the newest commit in `directory`."""
    with java_errors("opening the index", directory):
        path = java_class("java.nio.file.Paths").get(text(str(directory.absolute())))
        return java_class("org.apache.lucene.index.DirectoryReader").open(
            java_class("org.apache.lucene.store.FSDirectory").open(path)
        )


class LexicalView:
    """One commit of the inverted index. Immutable and thread-safe; its reader closes when nothing holds the view."""

    def __init__(self, reader: Any, manifest: Manifest, known: Segments | None = None) -> None:
        self._reader = cast("org.apache.lucene.index.IndexReader", reader)
        self._manifest = manifest
        self._directory_reader = reader
        self._analyzer = analyzer(manifest.analyzer)
        self._builder = QueryBuilder(self._analyzer, manifest.boosts, json.loads(self.commit_data()["fields"]))
        self._searcher = lru_cache(maxsize=8)(self._new_searcher)
        self._analyzed = lru_cache(maxsize=256)(self._terms_of)  # every stage of a request asks for the query's terms
        self._doc_frequency = lru_cache(maxsize=65_536)(self._count_documents)  # query expansion asks for hundreds
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

    def search(self, query: LexicalQuery, limit: int) -> Ranking:
        """The best `limit` documents by BM25, fewer where fewer match.

        Raises InputError for a filter on an unknown field or with a value that does not fit it.
        """
        built = self._build(query)
        if built is None or limit <= 0 or self.documents_count == 0:
            return Ranking.empty()
        found = self._searcher(query.k1, query.b).search(built, limit)
        numbers, scores = bulk.hits(found)
        ids = self.segments.ids
        return Ranking.of(list(map(ids.__getitem__, numbers.tolist())), scores)

    def matching(self, condition: Filter | None) -> npt.NDArray[np.int64]:
        """Lucene's numbers of the live documents that a filter admits (all of them for None), ascending: shape (n,)."""
        if condition is None:
            return np.flatnonzero(self.segments.live)
        admitted = java_class("org.apache.lucene.search.ConstantScoreQuery")(self._builder.filter(condition))
        everything = max(1, self._reader.maxDoc())
        numbers, _ = bulk.hits(self._searcher(None, None).search(admitted, everything))
        return np.sort(numbers)

    def check(self, condition: Filter) -> None:
        """Raise InputError where the filter names an unknown field or a value that does not fit its field."""
        self._builder.filter(condition)

    def analyze(self, words: str) -> list[str]:
        """The terms that the index's analyzer makes of a text, in order, with repetitions."""
        return list(self._analyzed(words))

    def __contains__(self, doc_id: str) -> bool:
        return self.segments.number_of(doc_id) >= 0

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
        return {term: self._doc_frequency(term) for term in terms}

    def _count_documents(self, term: str) -> int:
        return max(int(self._reader.docFreq(t)) for t in self._field_terms(term))

    def collection_frequencies(self, terms: Iterable[str]) -> dict[str, int]:
        """How often each term occurs in all documents, over the searched fields."""
        return {term: sum(self._reader.totalTermFreq(t) for t in self._field_terms(term)) for term in terms}

    def total_terms(self) -> int:
        """How many terms all documents hold, over the searched fields."""
        return sum(max(0, int(self._reader.getSumTotalTermFreq(name))) for name in self._manifest.boosts)

    def _field_terms(self, term: str) -> list[Any]:
        terms = java_class("org.apache.lucene.index.Term")
        return [terms(name, text(term)) for name in self._manifest.boosts]

    def snippets(self, words: str, ids: Sequence[str], width: int = 240) -> list[Snippet]:
        """For each document its best window for the query: about `width` characters, matching words marked."""
        return self.snippets_of(words, self.documents(ids), width)

    def snippets_of(self, words: str, documents: Iterable[Document | None], width: int = 240) -> list[Snippet]:
        """The same for documents that have been read already."""
        frequencies = self.doc_frequencies(set(self.analyze(words)))
        total = max(1, self.documents_count)
        weights = {term: float(np.log1p(total / (1 + count))) for term, count in frequencies.items()}
        return [
            snippet(doc.text, self._tokens(doc.text, weights), weights, width) if doc else Snippet("", ())
            for doc in documents
        ]

    def explain(self, query: LexicalQuery, doc_id: str) -> str:
        """Lucene's own account of a document's score, indented; says so where the document does not match."""
        built, number = self._build(query), self.segments.number_of(doc_id)
        if built is None or number < 0:
            return "no match"
        account: str = self._searcher(query.k1, query.b).explain(built, number).toString()
        return account.rstrip()

    def _build(self, query: LexicalQuery) -> Any | None:
        liked = [doc for doc in query.like if doc in self]
        numbers = dict(zip(liked, self.segments.numbers_of(liked).tolist(), strict=True))
        return self._builder.build(query, self._reader, numbers)

    def _terms_of(self, words: str) -> tuple[str, ...]:
        return tuple(term for term, _, _ in self._tokens(words))

    def _tokens(self, words: str, wanted: Iterable[str] | None = None) -> list[tuple[str, int, int]]:
        java_words = text(words)
        stream = cast("org.apache.lucene.analysis.TokenStream", self._analyzer.tokenStream("contents", java_words))
        try:
            return bulk.tokens(stream, wanted)
        finally:
            stream.close()

    def _new_searcher(self, k1: float | None, b: float | None) -> Any:
        searcher = java_class("org.apache.lucene.search.IndexSearcher")(self._reader)
        bm25 = similarity(self._manifest, k1, b)
        searcher.setSimilarity(bm25)
        return searcher


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
