"""Cascades: an expensive ranker says its word on the head of a cheap ranking, and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from index.errors import InputError
from index.types import Ranking
from ranking.fusion import Normalisation, normalised
from ranking.options import number, numbers


@dataclass(frozen=True)
class Cascade:
    """The first `depth` documents of the first ranking, ordered by the weighted sum of all rankings' normalised scores;
    then the rest of the first ranking as it was.

    Scores are normalised over those documents alone, so what a ranker thinks of others does not matter. A document that
    one of the rankings lacks gets the least that this ranking gives among them. Wang, Lin and Metzler, "A cascade
    ranking model for efficient ranked retrieval" (SIGIR 2011), with two stages and a fusion in the second.
    """

    depth: int = number(100, low=1)
    normalisation: Normalisation = "z-score"
    weights: tuple[float, ...] = numbers(low=0.0)

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        weights = self.weights or (1.0,) * len(rankings)
        if len(weights) != len(rankings):
            raise InputError(
                f"A fusion of {len(rankings)} rankings has {len(weights)} weights.",
                "Give one weight per input, or none.",
            )
        first = rankings[0]
        head = first.ids[: self.depth]
        if not head:
            return first
        total = np.zeros(len(head))
        for ranking, weight in zip(rankings, weights, strict=True):
            known = ranking.scores_by_id()
            least = min((known[doc] for doc in head if doc in known), default=0.0)
            scores = np.array([known.get(doc, least) for doc in head])
            total += weight * normalised(scores, self.normalisation)
        # Below the head the order is the first ranking's; the scores only have to go on falling.
        rest = first.ids[self.depth :]
        below = total.min() - np.arange(1.0, len(rest) + 1.0)
        return Ranking.of([*head, *rest], np.concatenate([total, below]))
