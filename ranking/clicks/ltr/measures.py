"""How good a ranker is: by grades, and by clicks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.features import Judged
from ranking.clicks.sessions import Floats, Sessions


def ndcg(judged: Judged, scores: Floats, depth: int = 10) -> Floats:
    """nDCG of each query that has a document of a grade above 0, with gains 2^grade - 1; by the query's code.

    Ties in scores are ordered by the row, the later one first, so that a constant ranker cannot profit from the file's
    order.
    """
    query, gains = judged.features.query, np.exp2(judged.grades.astype(np.float64)) - 1.0
    count = len(judged.features.queries)
    later = -np.arange(len(query))

    def dcg(values: Floats) -> Floats:
        order = np.lexsort((later, -values, query))
        first = np.searchsorted(query[order], np.arange(count))
        place = np.arange(len(order)) - first[query[order]]
        gain = np.where(place < depth, gains[order] / np.log2(place + 2.0), 0.0)
        total: Floats = np.bincount(query[order], gain, minlength=count).astype(np.float64)
        return total

    ideal = dcg(gains)
    return dcg(scores)[ideal > 0] / ideal[ideal > 0]


def discounts(sessions: Sessions, scores: Floats) -> Floats:
    """What each impression's place is worth when its page is ordered by the scores of the rows: 1 / log2(1 + place).

    Shape (n, r); 0 where nothing is shown. Ties keep the order shown.
    """
    given = np.where(sessions.shown, scores[np.maximum(sessions.pair, 0)], -np.inf)
    places = np.argsort(np.argsort(-given, axis=1, kind="stable"), axis=1)
    worth: Floats = np.where(sessions.shown, 1.0 / np.log2(places + 2.0), 0.0)
    return worth


@dataclass(frozen=True, eq=False)
class Evidence:
    """What clicks say about one ranker, by surface and by the rank at which they were given, (s, r) each.

    `clicks` and `shown` count; `found` and `worth` are the same sums of discounts at the ranker's places. Enough to
    value the ranker under any bias, so also under one that is still being learned.
    """

    clicks: Floats
    shown: Floats
    found: Floats
    worth: Floats

    @classmethod
    def of(cls, sessions: Sessions, scores: Floats) -> Evidence:
        """The evidence of pages about the scores of rows."""
        worth = discounts(sessions, scores)
        surfaces = int(sessions.surface.max(initial=0)) + 1

        def summed(values: Floats) -> Floats:
            total = np.zeros((surfaces, sessions.ranks))
            np.add.at(total, sessions.surface, values * sessions.weight[:, None])
            return total

        return cls(
            summed(sessions.clicks.astype(np.float64)),
            summed(sessions.shown.astype(np.float64)),
            summed(sessions.clicks * worth),
            summed(worth),
        )

    def value(self, bias: Bias | None = None, clip: float | None = 10.0) -> float:
        """The share of the clicks, corrected by the bias, that the ranker puts where they count.

        The sum of (click - beta) / alpha x discount over that without discount: self-normalised, so it is 1 for a
        ranker that puts the one clicked document of each page first. 0 where nothing was clicked.
        """
        surfaces, ranks = self.clicks.shape
        inverse, beta = np.ones((1, ranks)), np.zeros((1, ranks))
        if bias is not None:
            alpha, beta = bias.at(np.arange(surfaces), ranks)
            inverse = np.minimum(1.0 / alpha, np.inf if clip is None else clip)
        total = float((inverse * (self.clicks - beta * self.shown)).sum())
        return float((inverse * (self.found - beta * self.worth)).sum()) / total if total > 0 else 0.0
