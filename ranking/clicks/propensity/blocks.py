"""One likelihood for every experiment on positions.

A *block* is a set of ranks that showed, in the end, equally relevant documents: the ranks that were shuffled, the two
that were swapped, or two ranks at which different rankers put the same documents. Where examination depends on the rank
alone, a click at rank k in block b has the probability theta_k r_b, with r_b the mean relevance in the block; so the
click counts of all blocks together say what theta is, up to a factor that theta_1 = 1 fixes. For blocks of two ranks
this is the AllPairs likelihood of Agarwal et al., "Estimating position bias without intrusive interventions" (WSDM
2019, eq. 12); for one block, theta_k is the ratio of click rates of Joachims et al., "Unbiased learning-to-rank with
biased feedback" (WSDM 2017, section 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ranking.clicks.propensity.counts import Ints
from ranking.clicks.propensity.identify import components
from ranking.clicks.sessions import Flags, Floats

_LOWEST, _HIGHEST = -14.0, 7.0  # of log theta: beyond it the likelihood has no maximum
_NEWTON: Final = 60


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """e entries, one per (block, rank): `block`, `rank` (from 0) of shape (e,); `clicks`, `skips` of shape (g, e), for
    g groups of queries. Counts need not be whole: they are weighted where the design asks for it."""

    block: Ints
    rank: Ints
    clicks: Floats
    skips: Floats

    @property
    def ranks(self) -> int:
        return int(self.rank.max(initial=-1)) + 1

    def solve(self, weights: Floats | None = None) -> Floats:
        """The maximum of the likelihood with each group counted `weights` (g,) times, shape (ranks,).

        theta_1 is 1. NaN for a rank that no chain of blocks with clicks connects to the first; 0 for one without a
        click in any block.
        """
        counted = np.ones(len(self.clicks)) if weights is None else weights
        return solve(self.block, self.rank, counted @ self.clicks, counted @ self.skips, self.ranks)


def solve(block: Ints, rank: Ints, clicks: Floats, skips: Floats, ranks: int) -> Floats:
    """As `Blocks.solve`, from counts of shape (e,)."""
    from scipy.optimize import minimize

    theta = np.full(ranks, np.nan)
    silent = np.bincount(rank, clicks, ranks) <= 0
    if ranks == 0 or silent[0]:
        return theta
    kept = _usable(block, ~silent[rank], clicks)
    same = connected(block[kept], rank[kept], ranks)
    theta[silent & (np.bincount(rank, clicks + skips, ranks) > 0)] = 0.0
    kept &= same[rank]
    theta[0] = 1.0
    known = np.unique(rank[kept & (rank > 0)])
    if not len(known):
        return theta
    names, b = np.unique(block[kept], return_inverse=True)
    place = np.searchsorted(np.concatenate(([0], known)), rank[kept])
    k, c, s = place, clicks[kept], skips[kept]
    scale = (c + s).sum()

    def loss(u: Floats) -> tuple[float, Floats]:
        p = np.exp(np.concatenate(([0.0], u)))[k]
        chance = p * _relevance(b, p, c, s, len(names))[b]
        with np.errstate(divide="ignore", invalid="ignore"):
            unlikely = np.where(s > 0, s * np.log1p(-np.minimum(chance, 1 - 1e-15)), 0.0)
            likely = np.where(c > 0, c * np.log(chance), 0.0)
            slope = c - np.where(s > 0, s * chance / (1 - np.minimum(chance, 1 - 1e-15)), c)
        gradient = np.bincount(k, slope, len(u) + 1)[1:]
        return -float((likely + unlikely).sum()) / scale, -gradient / scale

    start = _start(b, k, c, s, len(known))
    bounds = [(_LOWEST, _HIGHEST)] * len(known)
    options = {"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-10}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    theta[known] = np.where((found.x <= _LOWEST) | (found.x >= _HIGHEST), np.nan, np.exp(found.x))
    return theta


def _usable(block: Ints, heard: Flags, clicks: Floats) -> Flags:
    """Entries of ranks that are `heard`, in blocks that still compare two ranks and have a click."""
    n = int(block.max(initial=-1)) + 1
    entries = np.bincount(block, heard, n)
    found = np.bincount(block, np.where(heard, clicks, 0.0), n)
    usable: Flags = heard & (entries[block] > 1) & (found[block] > 0)
    return usable


def connected(block: Ints, rank: Ints, ranks: int) -> Flags:
    """Which ranks a chain of blocks connects to the first, shape (ranks,)."""
    member = np.zeros((int(block.max(initial=-1)) + 1, ranks), dtype=np.int64)
    member[block, rank] = 1
    label = components(member.T @ member > 0)
    same: Flags = label == label[0]
    return same


def _start(b: Ints, k: Ints, c: Floats, s: Floats, known: int) -> Floats:
    """The pooled ratio of clicks to what the blocks' rates would give: near enough for the search to begin."""
    rate = np.bincount(b, c) / np.maximum(np.bincount(b, c + s), 1e-300)
    ratio = np.bincount(k, c, known + 1) / np.maximum(np.bincount(k, rate[b] * (c + s), known + 1), 1e-300)
    start: Floats = np.clip(np.log(np.maximum(ratio[1:], 1e-6) / max(float(ratio[0]), 1e-6)), -6.0, 3.0)
    return start


def _relevance(b: Ints, p: Floats, c: Floats, s: Floats, blocks: int) -> Floats:
    """The r of every block that maximises the likelihood for given theta, shape (blocks,).

    It solves sum_k s_k p_k r / (1 - p_k r) = sum_k c_k. The left side is convex and rises from 0 to infinity, so
    Newton's method from a point right of the root comes down to it without ever passing it.
    """
    clicks = np.bincount(b, c, blocks)
    with np.errstate(divide="ignore"):
        alone = np.where(s > 0, clicks[b] / (p * (clicks[b] + s)), np.inf)  # the root, had only this rank skips
    r: Floats = np.full(blocks, np.inf)
    np.minimum.at(r, b, alone)
    ceiling = np.full(blocks, np.inf)
    np.minimum.at(ceiling, b, 1 / p)
    r = np.minimum(r, ceiling * (1 - 1e-12))
    for _ in range(_NEWTON):
        rest = 1 - p * r[b]
        value = np.bincount(b, s * p * r[b] / rest, blocks) - clicks
        slope = np.bincount(b, s * p / rest**2, blocks)
        step = np.divide(value, slope, out=np.zeros(blocks), where=(slope > 0) & (value > 0))
        r = r - step
        if bool((step <= 1e-13 * r).all()):
            break
    return r
