"""Intervention harvesting: what rankers that disagree say about positions (Agarwal et al., "Estimating position bias
without intrusive interventions", WSDM 2019; their AllPairs).

Two ranks k and k' that both showed a pair are a small experiment on that pair: clicks at k over clicks at k' estimate
theta_k / theta_k'. Every unordered {k, k'} is one block of `blocks.Blocks` with one mean relevance of its own. A pair
that was shown n times at k and n' times at k' enters with its click rates there, times the same weight at both ranks
(whatever it is, it cancels in the mean): n n' / (n + n') is that of Mantel and Haenszel (1959), with the least variance
for rare clicks, and 1 is that of the paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np

from ranking.clicks.propensity.blocks import Blocks
from ranking.clicks.propensity.counts import GROUPS, Counts, Ints, pooled
from ranking.clicks.sessions import Flags, Floats

Weighting: TypeAlias = Literal["overlap", "pair"]

_CHUNK = 1 << 21  # combinations of cells at a time


def harvest(counts: Counts, *, weighting: Weighting = "overlap", between: bool = False) -> Blocks:
    """The blocks of all pairs of ranks.

    With `between` only ranks that different arms gave a pair are compared: where one ranker moves a document, it may
    have moved it for its clicks. Surfaces are added up.
    """
    cells = _by_arm(counts) if between else pooled(counts)
    ranks = counts.ranks
    size = ranks * ranks
    groups = min(GROUPS, max(_CHUNK // size, 32))  # so that long pages do not cost memory
    clicks, skips = np.zeros((2, groups * size))
    for left, right in _comparisons(cells, between):
        n, other = cells.shown[left], cells.shown[right]
        weight = n * other / (n + other) if weighting == "overlap" else np.ones(len(n))
        rate = cells.clicks[left] / n
        low, high = np.minimum(cells.rank[left], cells.rank[right]), np.maximum(cells.rank[left], cells.rank[right])
        # Symmetric and unique: the entry of `left` is (low, high) if it is the lower rank, else (high, low).
        place = np.where(cells.rank[left] == low, low * ranks + high, high * ranks + low)
        key = cells.group[left] % groups * size + place
        clicks += np.bincount(key, weight * rate, groups * size)
        skips += np.bincount(key, weight * (1 - rate), groups * size)
    return _blocks(clicks.reshape(groups, size), skips.reshape(groups, size), ranks)


def _blocks(clicks: Floats, skips: Floats, ranks: int) -> Blocks:
    entries = np.flatnonzero((clicks + skips).any(axis=0))
    rank, other = np.divmod(entries, ranks)
    block = np.minimum(rank, other) * ranks + np.maximum(rank, other)
    groups = (clicks + skips).any(axis=1)
    return Blocks(block, rank, clicks[np.ix_(groups, entries)], skips[np.ix_(groups, entries)])


def _by_arm(counts: Counts) -> Counts:
    """Surfaces added up, arms kept: cells of one pair side by side."""
    order = np.lexsort((counts.arm, counts.rank, counts.pair))
    ordered = counts.take(order)
    key = np.stack([ordered.pair, ordered.rank, ordered.arm])
    first = np.flatnonzero(np.r_[True, (key[:, 1:] != key[:, :-1]).any(axis=0)])
    none = np.zeros(len(first), dtype=np.int64)
    return Counts(
        ordered.pair[first],
        ordered.rank[first],
        ordered.arm[first],
        none,
        ordered.group[first],
        np.add.reduceat(ordered.shown, first),
        np.add.reduceat(ordered.clicks, first),
        counts.pages,
        counts.surfaces,
        counts.arms,
    )


def _comparisons(cells: Counts, between: bool) -> Iterator[tuple[Ints, Ints]]:
    """Every ordered two cells of one pair at different ranks (by different arms, with `between`), in chunks."""
    _, first, size = np.unique(cells.pair, return_index=True, return_counts=True)
    several = size > 1
    first, size = first[several], size[several]
    ends = np.cumsum(size**2)
    chunk = (ends - 1) // _CHUNK
    for part in np.split(np.arange(len(size)), np.flatnonzero(np.diff(chunk)) + 1):
        start, n = first[part], size[part]
        squares = n**2
        within = np.arange(squares.sum()) - np.repeat(np.cumsum(squares) - squares, squares)
        row, column = np.divmod(within, np.repeat(n, squares))
        left, right = np.repeat(start, squares) + row, np.repeat(start, squares) + column
        kept: Flags = cells.rank[left] != cells.rank[right]
        if between:
            kept &= cells.arm[left] != cells.arm[right]
        yield left[kept], right[kept]
