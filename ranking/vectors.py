"""Ranking by stored vectors: what the nearest-neighbour rankers, the probe and dense retrieval have in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from index.types import Ranking
from ranking.context import Context, Space, Vectors
from ranking.contract import Request
from ranking.feedback import Feedback

if TYPE_CHECKING:
    from index.filters import Filter

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Examples:
    """The m feedback documents that have a vector.

    `vectors` has shape (m, dimension); `relevance` and `weight` have shape (m,) and mean what they mean in `Feedback`.
    """

    vectors: Vectors
    relevance: FloatArray
    weight: FloatArray

    @classmethod
    def of(cls, feedback: Feedback, context: Context, space: Space) -> Examples:
        """Look the feedback documents up; those that the index does not hold are left out."""
        vectors = context.vectors.take(feedback.ids, space)
        known = vectors.any(axis=1) & (feedback.weight > 0)
        return cls(vectors[known], feedback.relevance[known], feedback.weight[known])

    def none(self) -> Examples:
        """As if there were no feedback."""
        return Examples(self.vectors[:0], self.relevance[:0], self.weight[:0])

    @property
    def relevant_weight(self) -> FloatArray:
        return self.relevance * self.weight

    @property
    def not_relevant_weight(self) -> FloatArray:
        return (1.0 - self.relevance) * self.weight

    def relevant_mean(self) -> FloatArray:
        """The mean of the relevant documents, shape (dimension,)."""
        return damped_mean(self.vectors, self.relevant_weight)

    def not_relevant_mean(self) -> FloatArray:
        return damped_mean(self.vectors, self.not_relevant_weight)

    def __len__(self) -> int:
        return len(self.weight)


def damped_mean(rows: npt.NDArray[np.floating], weights: FloatArray) -> FloatArray:
    """The weighted mean of m rows, shape (dimension,), shrunk to zero where the weights do not add up to one document.

    The shrinking makes an uncertain click count little, and the result continuous as its weight goes to zero; with at
    least one explicit judgement this is the plain mean.
    """
    mean: FloatArray = (weights @ rows.astype(np.float64)) / max(float(weights.sum()), 1.0)
    return mean


class Scorer(Protocol):
    """What a ranker has learned of one request.

    `direction`, of shape (dimension,), points to where good documents lie: it proposes documents where none are given.
    """

    @property
    def direction(self) -> FloatArray: ...

    def score(self, documents: Vectors) -> npt.NDArray[np.floating]:
        """Documents of shape (n, dimension) to scores of shape (n,)."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """score(d) = direction . d + offset"""

    direction: FloatArray
    offset: float = 0.0

    def score(self, documents: Vectors) -> npt.NDArray[np.floating]:
        return documents @ self.direction.astype(np.float32) + self.offset


def rank_by(
    scorers: Sequence[Scorer], requests: Sequence[Request], context: Context, *, space: Space, depth: int
) -> list[Ranking]:
    """Order the candidates of each request by its scorer, or the `depth` documents nearest to its direction.

    A direction of zero says that nothing is known: the candidates come back as they are, and without candidates there
    is no answer.
    """
    known = [bool(scorer.direction.any()) for scorer in scorers]
    retrieving = [i for i, request in enumerate(requests) if request.candidates is None and known[i]]
    proposed = _propose([scorers[i] for i in retrieving], [requests[i] for i in retrieving], context, space, depth)
    pools = dict(zip(retrieving, proposed, strict=True))

    rankings = []
    for i, (request, scorer) in enumerate(zip(requests, scorers, strict=True)):
        pool = pools.get(i, request.candidates) or Ranking.empty()
        if known[i] and len(pool):
            pool = Ranking.of(pool.ids, scorer.score(context.vectors.take(pool.ids, space)))
        rankings.append(request.answer(pool))
    return rankings


def _propose(
    scorers: Sequence[Scorer], requests: Sequence[Request], context: Context, space: Space, depth: int
) -> list[Ranking]:
    """For each request the documents nearest to the direction of its scorer: one search per distinct filter.

    Of another space than the conditioned one that is a good pool, which the caller then scores exactly.
    """
    groups: dict[Filter | None, list[int]] = defaultdict(list)
    for i, request in enumerate(requests):
        groups[request.query.filter].append(i)
    pools = [Ranking.empty()] * len(requests)
    for condition, members in groups.items():
        directions = np.stack([unit(scorers[i].direction) for i in members]).astype(np.float32)
        limit = max(requests[i].depth(depth) for i in members)
        found = context.vectors.nearest(directions, limit, condition, space)
        for i, pool in zip(members, found, strict=True):
            pools[i] = pool.head(requests[i].depth(depth))
    return pools


def unit(vector: FloatArray) -> FloatArray:
    """The vector at length one; zero stays zero."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
