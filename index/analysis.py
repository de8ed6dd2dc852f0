"""Text as one index reads it: terms, where they stand, and snippets. Needs the index's analyzer, not the index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np

from index import bulk
from index.analyzers import analyzer
from index.java import cast, text
from index.snippets import Snippet, snippet
from index.types import Document


class Analysis:
    """The analyzer of an index at work. Thread-safe."""

    def __init__(self, name: str) -> None:
        self.analyzer = analyzer(name)
        # Every stage of a request asks for the query's terms. (Not a cache of a method: that would hold this object.)
        self._terms = lru_cache(maxsize=256)(partial(_terms, self.analyzer))

    def terms(self, words: str) -> list[str]:
        """The terms of a text, in order, with repetitions."""
        return list(self._terms(words))

    def tokens(self, words: str, wanted: Iterable[str] | None = None) -> list[tuple[str, int, int]]:
        """(term, start, end) for each token, or for those of the `wanted` terms; offsets count UTF-16 units."""
        return _tokens(self.analyzer, words, wanted)

    def snippets(
        self, documents: Iterable[Document | None], frequencies: Mapping[str, int], total: int, width: int
    ) -> list[Snippet]:
        """For each document its best window of about `width` characters for the terms whose document frequencies, out
        of `total` documents, are given; an empty one for None."""
        weights = {term: float(np.log1p(max(1, total) / (1 + count))) for term, count in frequencies.items()}
        return [
            snippet(doc.text, self.tokens(doc.text, weights), weights, width) if doc else Snippet("", ())
            for doc in documents
        ]


def _terms(analyzer: Any, words: str) -> tuple[str, ...]:
    return tuple(term for term, _, _ in _tokens(analyzer, words))


def _tokens(analyzer: Any, words: str, wanted: Iterable[str] | None = None) -> list[tuple[str, int, int]]:
    java_words = text(words)
    stream = cast("org.apache.lucene.analysis.TokenStream", analyzer.tokenStream("contents", java_words))
    try:
        return bulk.tokens(stream, wanted)
    finally:
        stream.close()
