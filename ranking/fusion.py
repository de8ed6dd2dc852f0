"""Fusion: one ranking of several for the same query.

A document that one of the rankings lacks gets the least that this ranking can give: nothing from its rank in reciprocal
rank fusion, and in the score sums the score of its last document (where scores are normalised) or zero (where they are
not). So a document never gains by being absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeAlias

import numpy as np

from index.errors import InputError
from index.types import Ranking
from ranking.options import number, numbers
from ranking.vectors import FloatArray

Normalisation: TypeAlias = Literal["none", "min-max", "z-score"]

CONSTANT = 1e-12  # scores that differ by less than this share of their size differ by rounding only


@dataclass(frozen=True)
class ReciprocalRank:
    """score(d) = sum over the rankings of weight / (c + rank of d), ranks counted from 1.

    Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods"
    (SIGIR 2009).
    """

    c: float = number(60.0, low=0.0)
    weights: tuple[float, ...] = numbers(low=0.0)

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        gains = [1.0 / (self.c + np.arange(1.0, len(ranking) + 1.0)) for ranking in rankings]
        ids, total, _ = _sums(rankings, gains, self.weights)
        return Ranking.of(ids, total)


@dataclass(frozen=True)
class CombSum:
    """score(d) = sum over the rankings of weight * normalised score of d.

    Fox and Shaw, "Combination of multiple searches" (TREC-2, 1994).
    """

    normalisation: Normalisation = "min-max"
    weights: tuple[float, ...] = numbers(low=0.0)

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        scores = [normalised(ranking.scores, self.normalisation) for ranking in rankings]
        ids, total, _ = _sums(rankings, scores, self.weights)
        return Ranking.of(ids, total)


@dataclass(frozen=True)
class CombMnz:
    """The score of `CombSum`, times the number of rankings (of those that have weight) in which d occurs."""

    normalisation: Normalisation = "min-max"
    weights: tuple[float, ...] = numbers(low=0.0)

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        scores = [normalised(ranking.scores, self.normalisation) for ranking in rankings]
        ids, total, count = _sums(rankings, scores, self.weights)
        return Ranking.of(ids, total * count)


def normalised(scores: FloatArray, how: Normalisation) -> FloatArray:
    """Scores of shape (n,) on a common scale that does not depend on their unit or zero; the lowest becomes 0.

    `min-max` divides by the range. `z-score` divides by the standard deviation; its scores are counted from the lowest
    instead of the mean, which changes no sum's order (each ranking's shift is the same for all documents) and keeps
    them positive, as CombMNZ needs. Where all scores are equal they become 1: to be retrieved is worth something.
    """
    if how == "none" or not len(scores):
        return scores
    spread = float(np.ptp(scores))
    if spread <= CONSTANT * float(np.abs(scores).max()):
        return np.ones(len(scores))
    deviation = float(np.std(scores)) or spread  # the squares of the least numbers that there are vanish
    scaled: FloatArray = (scores - scores.min()) / (spread if how == "min-max" else deviation)
    return scaled


def _sums(
    rankings: Sequence[Ranking], values: Sequence[FloatArray], weights: Sequence[float]
) -> tuple[list[str], FloatArray, FloatArray]:
    """The union of the documents, n of them, with the weighted sum of their values and the number of rankings (of those
    that have weight) in which they occur, both of shape (n,). No weights given means 1 each.
    """
    if weights and len(weights) != len(rankings):
        raise InputError(
            f"A fusion of {len(rankings)} rankings has {len(weights)} weights.", "Give one weight per input, or none."
        )
    ids = list(dict.fromkeys(chain.from_iterable(ranking.ids for ranking in rankings)))
    column = dict(zip(ids, range(len(ids)), strict=True))
    table = np.zeros((len(rankings), len(ids)))
    count = np.zeros(len(ids))
    for row, (ranking, value) in enumerate(zip(rankings, values, strict=True)):
        weight = weights[row] if weights else 1.0
        columns = np.fromiter(map(column.__getitem__, ranking.ids), dtype=np.intp, count=len(ranking))
        table[row, columns] = weight * value
        count[columns] += weight > 0
    # Added up from the smallest, so that the order of the inputs leaves no trace in the rounding: documents with the
    # same ranks in another order tie exactly, which in reciprocal rank fusion is common.
    return ids, np.sort(table, axis=0).sum(axis=0), count
