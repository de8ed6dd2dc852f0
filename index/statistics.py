"""What BM25 has to know of a whole collection to score in one part of it.

A part that counts for itself gives other scores than the whole: its words are rarer or more frequent, its documents
shorter or longer. Given the sums over all parts, every part scores as the one index would, to the last bit, and the
rankings of the parts merge into its ranking. (The idea: "distributed idf", as in dfs_query_then_fetch of OpenSearch.)
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from index.java import java_class, text

Frequencies: TypeAlias = tuple[tuple[int, int], ...]
"""Of one term, for each searched field in order: the documents that hold it, and its occurrences."""


@dataclass(frozen=True, slots=True)
class FieldStatistics:
    """Of one searched field: documents in all, those that have the field, their terms, and their different terms."""

    documents: int = 0
    holding: int = 0
    terms: int = 0
    postings: int = 0

    def __add__(self, other: FieldStatistics) -> FieldStatistics:
        return FieldStatistics(
            self.documents + other.documents,
            self.holding + other.holding,
            self.terms + other.terms,
            self.postings + other.postings,
        )


@dataclass(frozen=True, slots=True)
class Statistics:
    """The statistics of a collection for one query: of its searched fields, and of every term that is searched for.

    `version` names the state of the collection that they were counted in: equal versions, equal counts. `likeness`
    holds the terms of the documents that the query is to be like: the collection chooses them.
    """

    version: Hashable
    fields: Mapping[str, FieldStatistics]
    terms: Mapping[str, Frequencies]
    likeness: tuple[Mapping[str, float], ...] = ()


class CollectionSearchers:
    """Searchers of one reader that score with the statistics of one version of a collection. Thread-safe."""

    def __init__(self, reader: Any, fields: Mapping[str, FieldStatistics]) -> None:
        self._reader, self._fields = reader, tuple(fields)
        self._counts = java_class("java.util.concurrent.ConcurrentHashMap")()
        self._known: set[str] = set()
        self._lock = threading.Lock()
        self._searchers: dict[Hashable, Any] = {}
        for name, counted in fields.items():
            if counted.holding:
                self._counts.put(
                    text(name),
                    java_class("org.apache.lucene.search.CollectionStatistics")(
                        name, counted.documents, counted.holding, counted.terms, counted.postings
                    ),
                )

    def __len__(self) -> int:
        """How many terms are known."""
        return len(self._known)

    def learn(self, terms: Mapping[str, Frequencies]) -> None:
        """Take the terms' statistics in; those of terms that are known already cannot have changed."""
        for term in terms.keys() - self._known:
            for name, (documents, occurrences) in zip(self._fields, terms[term], strict=True):
                if documents:
                    key = java_class("org.apache.lucene.index.Term")(name, text(term))
                    counted = java_class("org.apache.lucene.search.TermStatistics")(key.bytes(), documents, occurrences)
                    self._counts.put(key, counted)
            self._known.add(term)

    def searcher(self, key: Hashable, similarity: Any) -> Any:
        """The searcher for a similarity; `key` says which one it is."""
        with self._lock:
            if key not in self._searchers:
                searcher = java_class("clickwise.CollectionSearcher")(self._reader, self._counts)
                searcher.setSimilarity(similarity)
                self._searchers[key] = searcher
            return self._searchers[key]


def added(counts: Iterable[Mapping[str, Frequencies]]) -> dict[str, Frequencies]:
    """The sums over parts that counted the same terms."""
    total: dict[str, Frequencies] = {}
    for part in counts:
        for term, frequencies in part.items():
            before = total.get(term) or ((0, 0),) * len(frequencies)
            total[term] = tuple(
                (documents + more, occurrences + others)
                for (documents, occurrences), (more, others) in zip(before, frequencies, strict=True)
            )
    return total
