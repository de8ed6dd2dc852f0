"""Nearest neighbours: a document is as good as it is close to the query and to what the searcher found relevant.

With sum aggregation on raw vectors this is the kNN re-ranker of Baumgärtner et al., "Incorporating Relevance Feedback
for Information-Seeking Retrieval using Few-Shot Document Re-Ranking" (EMNLP 2022). On part-whitened vectors it is
better everywhere that we measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from index.types import Ranking
from ranking.context import Context, Space, Vectors
from ranking.contract import Request
from ranking.options import number
from ranking.vectors import Examples, FloatArray, Linear, Scorer, rank_by


@dataclass(frozen=True)
class Knn:
    """score(d) = aggregate of q cos(query, d) and of p_i cos(f_i, d), less n times the aggregate of m_i cos(f_i, d).

    q is `query_weight`, n is `negative_weight`; feedback document f_i is relevant with weight p_i and not relevant with
    weight m_i. `sum` adds the weighted cosines, `mean` divides each of the two sums by its weights, `max` takes the
    largest weighted cosine. `compare` leaves out the query or the feedback.
    """

    needs_vectors: ClassVar[bool] = True

    aggregation: Literal["sum", "mean", "max"] = "sum"
    compare: Literal["both", "query", "feedback"] = "both"
    query_weight: float = number(1.0, low=0.0)
    negative_weight: float = number(0.0, low=0.0)
    space: Space = "conditioned"
    depth: int = number(1000, low=1)

    def rank(self, requests: Sequence[Request], context: Context) -> list[Ranking]:
        queries = context.query_vectors([request.query for request in requests], self.space)
        scorers = [
            self._scorer(query, Examples.of(request.feedback, context, self.space))
            for query, request in zip(queries, requests, strict=True)
        ]
        return rank_by(scorers, requests, context, space=self.space, depth=self.depth)

    def _scorer(self, query: Vectors, examples: Examples) -> Scorer:
        """The scorer for one request: `query` has shape (dimension,), zero where the query says nothing."""
        query_weight = self.query_weight if self.compare != "feedback" and query.any() else 0.0
        told = 0.0 if self.compare == "query" else 1.0
        points = np.vstack([query[None], examples.vectors]).astype(np.float64)
        attract = np.concatenate([[query_weight], told * examples.relevant_weight])
        repel = np.concatenate([[0.0], told * self.negative_weight * examples.not_relevant_weight])
        if self.aggregation == "max":
            return Extremes(points, attract, repel)
        if self.aggregation == "mean":
            attract = attract / max(attract.sum(), 1.0)
            repel = repel / max(float((told * examples.not_relevant_weight).sum()), 1.0)
        return Linear((attract - repel) @ points)


@dataclass(frozen=True, slots=True)
class Extremes:
    """score(d) = max_i attract_i points_i . d - max_j repel_j points_j . d, over the points that have weight.

    `points` has shape (m, dimension), the weights have shape (m,).
    """

    points: FloatArray
    attract: FloatArray
    repel: FloatArray

    @property
    def direction(self) -> FloatArray:
        direction: FloatArray = (self.attract - self.repel) @ self.points
        return direction

    def score(self, documents: Vectors) -> npt.NDArray[np.floating]:
        return _largest(documents, self.points, self.attract) - _largest(documents, self.points, self.repel)


def _largest(documents: Vectors, points: FloatArray, weights: FloatArray) -> npt.NDArray[np.float32]:
    """Per document the largest weighted cosine to a point that has weight; zero where none has."""
    scaled = (points * weights[:, None])[weights > 0].astype(np.float32)
    if not len(scaled):
        return np.zeros(len(documents), dtype=np.float32)
    largest: npt.NDArray[np.float32] = (documents @ scaled.T).max(axis=1)
    return largest
