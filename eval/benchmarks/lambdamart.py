"""LambdaMART, plainly: a production ranker whose mistakes are not those of the networks that learn from its clicks."""

from __future__ import annotations

import numpy as np
from sklearn.tree import DecisionTreeRegressor  # type: ignore[import-untyped]

from ranking.clicks.ltr.features import Judged, Rows, Single
from ranking.clicks.sessions import Floats


def lambdamart(
    judged: Judged,
    share: float,
    random: np.random.Generator,
    *,
    trees: int = 100,
    leaves: int = 31,
    least: int = 5,
    rate: float = 0.1,
) -> tuple[DecisionTreeRegressor, ...]:
    """Boosted regression trees that make the nDCG of a share of the queries large; `scores` applies them.

    Burges, "From RankNet to LambdaRank to LambdaMART: an overview" (MSR-TR-2010-82), with the customary number of
    trees, leaves and rate. `least` is the number of documents in a leaf.
    """
    candidates = judged.features.candidates()
    chosen = random.permutation(len(candidates))[: max(1, round(share * len(candidates)))]
    groups = [candidates[code] for code in np.sort(chosen)]
    rows = np.concatenate(groups)
    ends = np.cumsum([len(group) for group in groups])[:-1]
    places: list[Rows] = np.split(np.arange(len(rows)), ends)
    matrix, gains = judged.features.matrix[rows], np.exp2(judged.grades[rows].astype(np.float64)) - 1.0
    found, given = [], np.zeros(len(rows))
    for _ in range(trees):
        slope, curvature = np.zeros(len(rows)), np.zeros(len(rows))
        for place in places:
            slope[place], curvature[place] = _gradients(given[place], gains[place])
        # One step of Newton in each leaf: the mean of slope / curvature, weighted by the curvature.
        weight = np.maximum(curvature, 1e-9)
        tree = DecisionTreeRegressor(max_leaf_nodes=leaves, min_samples_leaf=least, random_state=0)
        tree.fit(matrix, rate * slope / weight, sample_weight=weight)
        given += tree.predict(matrix)
        found.append(tree)
    return tuple(found)


def scores(trees: tuple[DecisionTreeRegressor, ...], matrix: Single) -> Floats:
    """The scores (n,) of features (n, w)."""
    total: Floats = np.sum([tree.predict(matrix) for tree in trees], axis=0)
    return total


def _gradients(given: Floats, gains: Floats) -> tuple[Floats, Floats]:
    """The slope and the curvature of one query's lambda loss at each document, (n,) each, in the direction to climb."""
    better = gains[:, None] > gains[None, :]
    if not better.any():
        return np.zeros(len(gains)), np.zeros(len(gains))
    place = np.argsort(np.argsort(-given, kind="stable"))
    discount = 1.0 / np.log2(place + 2.0)
    ideal = float((np.sort(gains)[::-1] / np.log2(np.arange(len(gains)) + 2.0)).sum())
    swap = np.abs(gains[:, None] - gains) * np.abs(discount[:, None] - discount) / ideal
    margin = given[:, None] - given
    wrong = 1.0 / (1.0 + np.exp(np.clip(margin, -50.0, 50.0)))
    slope = np.where(better, swap * wrong, 0.0)
    curvature = np.where(better, swap * wrong * (1.0 - wrong), 0.0)
    return slope.sum(axis=1) - slope.sum(axis=0), curvature.sum(axis=1) + curvature.sum(axis=0)
