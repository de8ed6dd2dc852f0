"""Propensities from pages that were randomised on purpose.

A design says which ranks exchanged their documents by chance alone: the first n (RandTop-n), two neighbours, or rank 1
and another (RandPair; Joachims et al., "Unbiased learning-to-rank with biased feedback", WSDM 2017, section 5; Wang et
al., "Position bias estimation for unbiased learning to rank in personal search", WSDM 2018). Over such pages each of
those ranks shows, on average, the same: a block of `blocks.Blocks`. Here no document needs to be shown twice.

Pages drawn from a Plackett-Luce model bring the probability with which each document came to its place. Every document
can come to every rank there, so clicks weighted by the inverse of that probability are, at each rank, those of the same
documents: one block again (Horvitz and Thompson 1952; self-normalised, as rates are ratios of weighted sums).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from index.errors import InputError
from ranking.clicks.propensity.blocks import Blocks
from ranking.clicks.propensity.counts import GROUPS, Ints, group_of
from ranking.clicks.sessions import Flags, Floats, Sessions


def exchanged(arm: str) -> tuple[int, ...]:
    """The ranks (from 1) that a page of this arm exchanged, by the names that `ranking.clicks.exploration` gives:
    `shuffle:5`, `adjacent:2:3`, `pair:1:4`. () for any other arm."""
    kind, *numbers = arm.split(":")
    if not all(number.isascii() and number.isdigit() for number in numbers):
        return ()
    match kind, [int(number) for number in numbers]:
        case "shuffle", [n]:
            return tuple(range(1, n + 1))
        case "adjacent" | "pair", [low, high] if 0 < low < high:
            return (low, high)
    return ()


class Designs:
    """Blocks in the making, from the pages of randomised arms.

    `designs` names the exchanged ranks of arms that do not say them by their names. A page that is too short for its
    design exchanged what it has: a block of its own.
    """

    def __init__(self, designs: Mapping[str, tuple[int, ...]] | None = None, surface: int | None = None) -> None:
        self._designs, self._surface = dict(designs or {}), surface
        self._blocks: dict[tuple[int, ...], Floats] = {}  # ranks from 0 -> (2, groups, ranks): clicks, skips
        self.pages = 0.0

    def add(self, batch: Sessions) -> None:
        """One more batch; pages of other arms and surfaces are passed over."""
        on = np.ones(len(batch), dtype=np.bool_) if self._surface is None else batch.surface == self._surface
        for code, arm in enumerate(batch.arms):
            ranks = np.array(self._designs.get(arm, exchanged(arm)), dtype=np.int64) - 1
            ranks = ranks[ranks < batch.ranks]
            if len(ranks) > 1:
                self._count(batch.take(on & (batch.arm == code)), ranks)

    def _count(self, pages: Sessions, ranks: Ints) -> None:
        there = pages.shown[:, ranks]
        lengths = there.sum(axis=1)
        for length in np.unique(lengths[lengths > 1]).tolist():
            chosen: Flags = (lengths == length) & there[:, :length].all(axis=1)
            some, block = pages.take(chosen), ranks[:length]
            if not len(some):
                continue
            sums = self._blocks.setdefault(tuple(block.tolist()), np.zeros((2, GROUPS, length)))
            clicked = some.clicks[:, block] * some.weight[:, None]
            np.add.at(sums[0], group_of(some.query), clicked)
            np.add.at(sums[1], group_of(some.query), some.weight[:, None] - clicked)
            self.pages += float(some.weight.sum())

    def clicks(self) -> Floats:
        """Clicks at each randomised rank, shape (ranks,)."""
        return _by_rank({ranks: sums[0] for ranks, sums in self._blocks.items()})

    def blocks(self) -> Blocks:
        """Raises InputError where no page was randomised."""
        if not self._blocks:
            raise InputError(
                "The log has no randomised pages.",
                "Randomise a share of the traffic (the setting exploration), or name the ranks that an arm shuffled.",
            )
        return _joined(self._blocks)


class Weighted:
    """Blocks in the making, from pages that log the probability of each document at its rank.

    What has the probability 1 was not randomised and says nothing. Pages that randomised the first n ranks are a block
    for every n. A weight 1 / probability is cut at `clip`, which trades variance for a bias towards what was often
    shown. Only for policies that can bring every document to every rank: swaps cannot, and are `Designs`.
    """

    def __init__(self, clip: float = 100.0, surface: int | None = None) -> None:
        if not clip >= 1:
            raise InputError(f"The weights cannot be cut at {clip:g}.", "Cut them at 1 or more.")
        self.clip, self._surface = clip, surface
        self._blocks: dict[
            int, Floats
        ] = {}  # n -> (5, groups, n): clicks, skips, weights squared, how many cut, plain clicks
        self.pages = 0.0

    def add(self, batch: Sessions, propensities: Floats) -> None:
        """Pages with their logged probabilities, shape (n, ranks); NaN for pages that were not randomised.

        Raises InputError for a probability outside (0, 1].
        """
        given = batch.shown & np.isfinite(propensities)
        if bool(((propensities[given] <= 0) | (propensities[given] > 1)).any()):
            raise InputError(
                "A logged propensity is not a probability above 0.", "Log the probability of what was shown."
            )
        drawn = given & (np.where(given, propensities, 1.0) < 1)
        if self._surface is not None:
            drawn &= (batch.surface == self._surface)[:, None]
        lengths = drawn.sum(axis=1)
        for length in np.unique(lengths[lengths > 1]).tolist():
            chosen = (lengths == length) & drawn[:, :length].all(axis=1)
            if chosen.any():
                self._count(batch.take(chosen), propensities[chosen, :length])

    def _count(self, pages: Sessions, propensities: Floats) -> None:
        length = propensities.shape[1]
        raw, often = 1 / propensities, pages.weight[:, None]
        weight, clicked = np.minimum(raw, self.clip), pages.clicks[:, :length]
        sums = self._blocks.setdefault(length, np.zeros((5, GROUPS, length)))
        group = group_of(pages.query)
        for kind, values in enumerate((weight * clicked, weight * ~clicked, weight**2, raw > self.clip, clicked)):
            np.add.at(sums[kind], group, often * values)
        self.pages += float(pages.weight.sum())

    @property
    def effective(self) -> float:
        """The sample size that the weights leave, over all documents (Kish, "Survey sampling", 1965)."""
        weight = sum(float(sums[:2].sum()) for sums in self._blocks.values())
        square = sum(float(sums[2].sum()) for sums in self._blocks.values())
        return weight**2 / square if square > 0 else 0.0

    @property
    def clipped(self) -> float:
        """How many documents had their weight cut."""
        return sum(float(sums[3].sum()) for sums in self._blocks.values())

    def clicks(self) -> Floats:
        """Clicks at each randomised rank, each counted once, shape (ranks,)."""
        return _by_rank({tuple(range(length)): sums[4] for length, sums in self._blocks.items()})

    def blocks(self) -> Blocks:
        """Raises InputError where no page has probabilities."""
        if not self._blocks:
            raise InputError(
                "The log has no pages with propensities.", "Log them: the setting exploration of the server does."
            )
        return _joined({tuple(range(length)): sums[:2] for length, sums in self._blocks.items()})


def _by_rank(parts: Mapping[tuple[int, ...], Floats]) -> Floats:
    """Sums over groups and blocks of (groups, ranks) each, by rank."""
    total = np.zeros(1 + max((rank for ranks in parts for rank in ranks), default=-1))
    for ranks, sums in parts.items():
        total[list(ranks)] += sums.sum(axis=0)
    return total


def _joined(parts: Mapping[tuple[int, ...], Floats]) -> Blocks:
    """Blocks by their ranks (from 0), each with its clicks and skips (2, groups, ranks)."""
    block = np.concatenate([np.full(len(ranks), number) for number, ranks in enumerate(parts)])
    rank = np.concatenate([np.array(ranks) for ranks in parts])
    clicks, skips = np.concatenate(list(parts.values()), axis=2)
    used = (clicks + skips).any(axis=1)
    return Blocks(block.astype(np.int64), rank.astype(np.int64), clicks[used], skips[used])
