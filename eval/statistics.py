"""Is a difference more than chance? Paired tests, corrections for many tests, intervals, effect sizes.

All work on `differences` of shape (n,), one per topic, whose mean is the difference that the table reports. A topic
that counts more (as it is in the test set of several seeds, or its collection has few topics) has its difference
multiplied by its weight, of mean 1, beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ranking.options import number

Floats = npt.NDArray[np.float64]
Strata = npt.NDArray[np.int64]
Test = Literal["randomisation", "t", "wilcoxon"]

EXACT = 14  # up to so many topics, all patterns of signs are tried: 2^14 of them
_CELLS = 1_000_000  # topics times resamples at a time


@dataclass(frozen=True)
class Statistics:
    """test: whose p-value decides (all three are reported). correction: over the whole table of comparisons.

    resamples: of the randomisation test and of the bootstrap, drawn with `seed`. level: of significance, and one minus
    the level of the confidence intervals. tie: topics that differ by no more count as ties.
    """

    test: Test = "randomisation"
    correction: Literal["holm", "bonferroni", "none"] = "holm"
    resamples: int = number(10_000, low=100)
    level: float = number(0.05, low=0.0, high=0.5)
    tie: float = number(1e-9, low=0.0)
    seed: int = number(0, low=0)


@dataclass(frozen=True)
class Comparison:
    """What is known about one difference of means.

    `low` and `high` bound it by the bootstrap. `p` are the p-values by test; `corrected` is the one that decides, after
    the correction over the table. `effect` is Cohen's d of the paired differences: mean over standard deviation.
    """

    difference: float
    low: float
    high: float
    p: dict[str, float]
    corrected: float
    wins: int
    ties: int
    losses: int
    effect: float

    @property
    def topics(self) -> int:
        return self.wins + self.ties + self.losses


def compare(raw: Floats, weights: Floats, strata: Strata, options: Statistics) -> list[Comparison]:
    """Compare m rankers to another one by the differences of n topics: `raw` has shape (n, m), the others (n,).

    The difference of means is that of the weighted values; `strata` are the collections, within which the bootstrap
    resamples. Not corrected yet: `corrected` is the p-value of the deciding test.
    """
    differences = raw * (weights / weights.mean())[:, None]
    random = np.random.default_rng(options.seed)
    means = bootstrap(differences, np.ones(len(raw)), strata, options.resamples, random)
    by_chance = randomisation(differences, options.resamples, random)
    found = []
    for column in range(raw.shape[1]):
        mine = differences[:, column]
        p = {"randomisation": float(by_chance[column]), "t": paired_t(mine), "wilcoxon": wilcoxon(mine)}
        low, high = interval(means[:, column], options.level)
        won, lost = int((raw[:, column] > options.tie).sum()), int((raw[:, column] < -options.tie).sum())
        spread = float(mine.std(ddof=1)) if len(mine) > 1 else 0.0
        mean = float(mine.mean())
        effect = mean / spread if spread > 0 else 0.0
        found.append(Comparison(mean, low, high, p, p[options.test], won, len(raw) - won - lost, lost, effect))
    return found


def paired_t(differences: Floats) -> float:
    """Student's paired t-test, two-sided. 1 where nothing differs, or with fewer than two topics."""
    from scipy.stats import ttest_1samp

    if len(differences) < 2 or not differences.any():
        return 1.0
    if float(np.ptp(differences)) == 0.0:
        return 0.0  # the same difference everywhere
    return float(ttest_1samp(differences, 0.0).pvalue)


def wilcoxon(differences: Floats) -> float:
    """Wilcoxon's signed-rank test, two-sided, zeros left out."""
    from scipy.stats import wilcoxon as signed_rank

    moved = differences[differences != 0]
    return float(signed_rank(moved).pvalue) if len(moved) else 1.0


def randomisation(differences: Floats, resamples: int, random: np.random.Generator) -> Floats:
    """Fisher's randomisation test, two-sided: how often random signs give a mean as far from zero as the observed one.

    For differences of shape (n, m), m p-values. Exact for few topics; otherwise from `resamples` patterns with the
    observed one added, so that p is never 0. Smucker et al., "A comparison of statistical significance tests for
    information retrieval evaluation" (CIKM 2007).
    """
    count = len(differences)
    observed = np.abs(differences.sum(axis=0)) * (1.0 - 1e-12)  # sums in another order may round differently
    if count <= EXACT:
        patterns = 2.0 * (np.arange(2**count)[:, None] >> np.arange(count) & 1) - 1.0
        exact: Floats = (np.abs(patterns @ differences) >= observed).mean(axis=0)
        return exact
    hits = np.zeros(differences.shape[1])
    for size in _chunks(resamples, count):
        signs = random.integers(0, 2, (size, count), dtype=np.int8) * 2.0 - 1.0
        hits += (np.abs(signs @ differences) >= observed).sum(axis=0)
    return (hits + 1.0) / (resamples + 1.0)


def bootstrap(values: Floats, weights: Floats, strata: Strata, resamples: int, random: np.random.Generator) -> Floats:
    """Means of resampled topics, shape (resamples, m), of values of shape (n, m).

    Topics are drawn with replacement within their stratum (collection); the mean is that over strata, each counting by
    its weight, of the weighted means within them. Efron and Tibshirani, An Introduction to the Bootstrap (1993).
    """
    total = np.zeros((resamples, values.shape[1]))
    for stratum in np.unique(strata):
        members = strata == stratum
        count, share = int(members.sum()), float(weights[members].sum() / weights.sum())
        start = 0
        for size in _chunks(resamples, count):
            rows = np.repeat(np.arange(size) * count, count)
            drawn = np.bincount(rows + random.integers(0, count, size * count), minlength=size * count)
            times = drawn.reshape(size, count) * weights[members]
            means = (times @ values[members]) / times.sum(axis=1, keepdims=True)
            total[start : start + size] += share * means
            start += size
    return total


def _chunks(resamples: int, topics: int) -> list[int]:
    """The sizes of portions of resamples that keep the memory within some ten megabytes."""
    size = max(1, min(resamples, _CELLS // max(topics, 1)))
    return [size] * (resamples // size) + [resamples % size] * bool(resamples % size)


def interval(means: Floats, level: float) -> tuple[float, float]:
    """The percentile interval of confidence 1 - level; (0, 0) of nothing."""
    if not len(means):
        return 0.0, 0.0
    low, high = np.quantile(means, [level / 2, 1 - level / 2])
    return float(low), float(high)


def corrected(p: Sequence[float], method: Literal["holm", "bonferroni", "none"]) -> list[float]:
    """p-values of a whole family of tests, adjusted so that the family-wise error stays below the level.

    Holm, "A simple sequentially rejective multiple test procedure" (1979); Bonferroni multiplies by the number of
    tests.
    """
    values, count = np.asarray(p, dtype=np.float64), len(p)
    if method == "none" or not count:
        return list(p)
    if method == "bonferroni":
        return [float(value) for value in np.minimum(values * count, 1.0)]
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(count, 0, -1))
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]
