"""BM25: the words of the query, found in the inverted index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from index.lucene_query import LexicalQuery
from index.types import Ranking
from ranking.context import Context
from ranking.contract import Request
from ranking.options import number


@dataclass(frozen=True)
class Bm25:
    """The `depth` best documents by BM25. `k1` and `b` are the index's own where they are not given."""

    needs_vectors: ClassVar[bool] = False

    depth: int = number(1000, low=1)
    k1: float | None = number(None, low=0.0)
    b: float | None = number(None, low=0.0, high=1.0)

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        return [search(self.expand(request, context), request, context, self.depth) for request in requests]

    def expand(self, request: Request, context: Context) -> LexicalQuery:
        """The query for one request: its words, and nothing more."""
        return LexicalQuery(text=request.query.text, k1=self.k1, b=self.b)


def search(query: LexicalQuery, request: Request, context: Context, depth: int) -> Ranking:
    """Answer a request by one lexical search: its candidates where it has some, else what its filter admits."""
    if request.candidates is None:
        found = context.lexical.search(replace(query, filter=request.query.filter), request.depth(depth))
    elif not len(request.candidates):
        return Ranking.empty()
    else:
        ids = request.candidates.ids
        found = keep_all(request.candidates, context.lexical.search(replace(query, within=ids), len(ids)))
    return request.answer(found)


def keep_all(candidates: Ranking, found: Ranking) -> Ranking:
    """What was found among the candidates, then the other candidates in their order, below all that was found.

    These get scores of -1, -2, ... where something was found (BM25 gives no score below zero); where nothing was, the
    candidates come back as they are.
    """
    if not len(found):
        return candidates
    matched = set(found.ids)
    rest = [doc for doc in candidates.ids if doc not in matched]
    return Ranking([*found.ids, *rest], np.concatenate([found.scores, -1.0 - np.arange(len(rest))]))
