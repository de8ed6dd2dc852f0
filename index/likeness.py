"""More like this: a document as the query of its most telling terms.

The selection and the weights are those of Lucene's MoreLikeThis with its boosts switched on: of the terms in at least
two documents those of the greatest tf * idf, idf = 1 + ln((N + 1) / (n + 1)), each weighing as much as its tf * idf
against that of the least of them. Ties go by the alphabet, where Lucene leaves them to a hash table. Written here, and
not left to Lucene, because a document's terms have to be weighed by the whole collection, wherever the document is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

LEAST_DOCUMENTS = 2


class Counts(Protocol):
    """What has to be known of a collection."""

    @property
    def documents_count(self) -> int: ...

    def term_vectors(self, ids: Sequence[str]) -> list[dict[str, int]]: ...

    def doc_frequencies(self, terms: Iterable[str]) -> dict[str, int]: ...


def likeness(ids: Sequence[str], most: int, counts: Counts) -> tuple[dict[str, float], ...]:
    """For each document its `most` best terms with their weights; documents that nothing is known of are left out."""
    if not ids:
        return ()
    vectors = [vector for vector in counts.term_vectors(ids) if vector]
    held = counts.doc_frequencies(dict.fromkeys(term for vector in vectors for term in vector))
    chosen = [_best(vector, held, counts.documents_count, most) for vector in vectors]
    return tuple(weights for weights in chosen if weights)


def _best(vector: Mapping[str, int], held: Mapping[str, int], total: int, most: int) -> dict[str, float]:
    scores = {
        term: count * (1.0 + math.log((total + 1) / (held[term] + 1)))
        for term, count in vector.items()
        if held[term] >= LEAST_DOCUMENTS
    }
    best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:most]
    return {term: score / best[-1][1] for term, score in best}
