"""Query expansion: the words of the documents that the searcher judged, added to the query.

Each ranker makes one weighted query of the feedback and lets Lucene score it in one search. Without feedback on any
document of the index they are plain BM25.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from index.lucene_query import LexicalQuery
from index.types import Ranking
from ranking.bm25 import search
from ranking.context import Context
from ranking.contract import Request
from ranking.feedback import Feedback
from ranking.options import number
from ranking.vectors import FloatArray

FEWEST_TERMS, MOST_TERMS = 4, 64
MOST_QUERY_TERMS = 1024  # of a whole document pasted as a query, its first different terms

Weights = dict[str, float]


@dataclass(frozen=True)
class Rocchio:
    """query' = alpha * query + beta * mean of the relevant documents - gamma * mean of those that are not.

    These are L2-normalised vectors of term frequencies; for the documents, unless `weighting` says otherwise, times the
    inverse document frequency, which tells what a document is about from what it just says. (The query's terms get
    theirs from BM25.) Next to the query's own terms only the best `terms` of the documents stay, and no term whose
    weight is not above zero. What a person judged says more than what a machine took for granted, so beta is larger
    than in pseudo-relevance feedback.

    Rocchio, "Relevance feedback in information retrieval", in The SMART Retrieval System (1971).
    """

    needs_vectors: ClassVar[bool] = False

    terms: int = number(16, low=FEWEST_TERMS, high=MOST_TERMS)
    alpha: float = number(1.0, low=0.0)
    beta: float = number(3.0, low=0.0)
    gamma: float = number(0.5, low=0.0)
    weighting: Literal["tf", "tf-idf"] = "tf-idf"
    depth: int = number(1000, low=1)

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        return [search(self.expand(request, context), request, context, self.depth) for request in requests]

    def expand(self, request: Request, context: Context) -> LexicalQuery:
        """The weighted query for one request."""
        judged = Judged.of(request.feedback, context)
        if not judged.counts:
            return LexicalQuery(text=request.query.text)
        query = query_counts(request, context)
        idf = _idf(judged.counts, context) if self.weighting == "tf-idf" else None
        rows = [_unit(counts, idf) for counts in judged.counts]
        mean = _sum(self.beta * judged.relevant - self.gamma * judged.not_relevant, rows)
        chosen = {**best(mean, self.terms), **{term: mean[term] for term in query if term in mean}}
        moved = _sum([self.alpha, 1.0], [_unit(query), chosen])
        kept = {term: weight for term, weight in moved.items() if weight > 0}
        return LexicalQuery(terms=kept) if kept else LexicalQuery(text=request.query.text)


@dataclass(frozen=True)
class Rm3:
    """P(term) = w P(term | query) + (1 - w) P(term | relevant documents).

    w is `original_weight`, or larger where the relevant documents do not add up to one judgement.

    The relevance model is the mean of the relevant documents' term distributions, cut to its best `terms` (less those
    in more than `common` of all documents) and renormalised. As the searcher says which documents are relevant, their
    weights take the place of the query likelihoods that pseudo-relevance feedback has to go by.

    Lavrenko and Croft, "Relevance-based language models" (SIGIR 2001); the interpolation is RM3 of Abdul-Jaleel et
    al., "UMass at TREC 2004".
    """

    needs_vectors: ClassVar[bool] = False

    terms: int = number(16, low=FEWEST_TERMS, high=MOST_TERMS)
    original_weight: float = number(0.5, low=0.0, high=1.0)
    common: float = number(0.1, low=0.0, high=1.0)
    depth: int = number(1000, low=1)

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        return [search(self.expand(request, context), request, context, self.depth) for request in requests]

    def expand(self, request: Request, context: Context) -> LexicalQuery:
        """The weighted query for one request."""
        judged = Judged.of(request.feedback, context)
        if not judged.relevant.any():
            return LexicalQuery(text=request.query.text)
        query = query_counts(request, context)
        model = _sum(judged.relevant, [_distribution(counts) for counts in judged.counts])
        most = self.common * context.view.documents
        held = context.lexical.doc_frequencies(model)
        added = _distribution(best({term: p for term, p in model.items() if held[term] <= most}, self.terms))
        told = (1.0 - self.original_weight) * float(judged.relevant.sum())
        mixed = _sum([1.0 - told, told], [_distribution(query), added])
        return LexicalQuery(terms={term: weight for term, weight in mixed.items() if weight > 0})


@dataclass(frozen=True)
class MoreLikeThis:
    """The query, and each relevant document as Lucene's MoreLikeThis query of its best `terms` terms.

    Documents must match the query; each relevant document's clause adds to the score. This is the BM25-QE of
    Baumgärtner et al. (EMNLP 2022). Lucene has no place for a document's weight here, so documents more likely
    relevant than not count in full, and the others not at all.
    """

    needs_vectors: ClassVar[bool] = False

    terms: int = number(16, low=FEWEST_TERMS, high=MOST_TERMS)
    depth: int = number(1000, low=1)

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        return [search(self.expand(request, context), request, context, self.depth) for request in requests]

    def expand(self, request: Request, context: Context) -> LexicalQuery:
        """The query with its clauses for one request."""
        says_something = bool(context.terms(request.query))
        return LexicalQuery(
            text=request.query.text if says_something else "",
            like=request.feedback.positive.ids,
            like_terms=self.terms,
            require_text=says_something,
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """The n feedback documents that the index holds: their term counts, and weights of shape (n,).

    `relevant` and `not_relevant` are the weights of two means, each divided by its sum where that is above one.
    """

    counts: list[dict[str, int]]
    relevant: FloatArray
    not_relevant: FloatArray

    @classmethod
    def of(cls, feedback: Feedback, context: Context) -> Judged:
        weighed = feedback.select(feedback.weight > 0)
        counts = context.lexical.term_vectors(weighed.ids) if len(weighed) else []
        known = weighed.select(np.array([bool(terms) for terms in counts], dtype=np.bool_))
        return cls(
            [terms for terms in counts if terms], _shares(known.relevant_weight), _shares(known.not_relevant_weight)
        )


def query_counts(request: Request, context: Context) -> dict[str, int]:
    """How often each term occurs in the query; of a query of more than 1,024 different terms the first ones."""
    counts: dict[str, int] = {}
    for term in context.terms(request.query):
        if term in counts or len(counts) < MOST_QUERY_TERMS:
            counts[term] = counts.get(term, 0) + 1
    return counts


def best(weights: Mapping[str, float], count: int) -> Weights:
    """The `count` terms of greatest weight, ties in the order of the alphabet."""
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:count])


def _idf(counts: Iterable[Mapping[str, int]], context: Context) -> Weights:
    """The inverse document frequency of every term, log(1 + N / (1 + n))."""
    held = context.lexical.doc_frequencies(dict.fromkeys(term for row in counts for term in row))
    documents = context.view.documents
    return {term: math.log1p(documents / (1 + count)) for term, count in held.items()}


def _shares(weights: FloatArray) -> FloatArray:
    """Weights of a mean, which an uncertain click alone does not fill: divided by their sum where it is above one."""
    return weights / max(float(weights.sum()), 1.0)


def _unit(counts: Mapping[str, int], idf: Weights | None = None) -> Weights:
    """The vector of term frequencies (times idf where given) at length one."""
    vector = {term: count * (idf[term] if idf else 1.0) for term, count in counts.items()}
    return _scaled(vector, math.hypot(*vector.values()))


def _distribution(weights: Mapping[str, float]) -> Weights:
    """Weights that add up to one."""
    return _scaled(weights, sum(weights.values()))


def _scaled(weights: Mapping[str, float], divisor: float) -> Weights:
    return {term: weight / divisor for term, weight in weights.items()} if divisor > 0 else {}


def _sum(factors: Iterable[float], rows: Iterable[Mapping[str, float]]) -> Weights:
    """The weighted sum of term vectors."""
    total: Weights = {}
    for factor, row in zip(factors, rows, strict=True):
        for term, weight in row.items() if factor else ():
            total[term] = total.get(term, 0.0) + float(factor) * weight
    return total
