"""How sure a curve is: the percentile bootstrap over queries (Efron and Tibshirani, "An introduction to the bootstrap",
1993, chapter 13). Whole queries are drawn, in up to `counts.GROUPS` random groups: pages of one query are alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from index.progress import track
from ranking.clicks.sessions import Floats


def intervals(
    solve: Callable[[Floats], Floats], groups: int, ranks: int, resamples: int, confidence: float, seed: int
) -> tuple[Floats, Floats]:
    """Low and high ends of shape (ranks,) of the curve that `solve` makes of weights for the groups, shape (groups,).

    NaN where there are fewer than two groups or no resamples, and where fewer than half of the samples have a value.
    """
    samples = np.full((max(resamples, 1), ranks), np.nan)
    if groups > 1 and resamples > 0:
        random = np.random.default_rng(seed)
        for row in track(range(resamples), "Resampling"):
            drawn = np.bincount(random.integers(groups, size=groups), minlength=groups).astype(np.float64)
            samples[row] = solve(drawn)
    known = np.isfinite(samples)
    low, high = np.full((2, ranks), np.nan)
    for rank in np.flatnonzero(2 * known.sum(axis=0) > len(samples)):
        tail = (1 - confidence) / 2
        low[rank], high[rank] = np.quantile(samples[known[:, rank], rank], [tail, 1 - tail])
    return low, high
