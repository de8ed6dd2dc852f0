"""Text as one index reads it: terms, where they stand, and snippets. Needs the index's analyzer, not the index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

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
        self._terms = lru_cache(maxsize=256)(self._terms_of)  # every stage of a request asks for the query's terms

    def terms(self, words: str) -> list[str]:
        """The terms of a text, in order, with repetitions."""
        return list(self._terms(words))

    def _terms_of(self, words: str) -> tuple[str, ...]:
        return tuple(term for term, _, _ in self.tokens(words))

    def tokens(self, words: str, wanted: Iterable[str] | None = None) -> list[tuple[str, int, int]]:
        """(term, start, end) for each token, or for those of the `wanted` terms; offsets count UTF-16 units."""
        java_words = text(words)
        stream = cast("org.apache.lucene.analysis.TokenStream", self.analyzer.tokenStream("contents", java_words))
        try:
            return bulk.tokens(stream, wanted)
        finally:
            stream.close()

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
