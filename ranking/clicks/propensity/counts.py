"""What estimators read of a log: how often each pair was shown at each rank, and how often it was clicked there.

These sums are all that the position-based model needs of a log (its sufficient statistics), so a log of any length is
read once, page by page, and only as many cells are kept as there are different (pair, rank)s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from index.errors import InputError
from ranking.clicks.sessions import Flags, Floats, Sessions

Ints: TypeAlias = npt.NDArray[np.int64]

GROUPS: Final = 1024
"""Queries are resampled in at most so many random groups: memory stays flat, and groups are as independent as they."""

_RANKS, _ARMS, _SURFACES = 1 << 10, 1 << 12, 1 << 8  # a cell's key has 31 + 10 + 12 + 8 bits
_MERGE_AT: Final = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """c cells, one per (pair, rank, arm, surface) that was ever shown.

    `pair`, `rank` (from 0), `arm`, `surface`, `group` (c,): what the cell is about, and the group of its query.
    `shown`, `clicks` (c,): sums of page weights. `pages` (surfaces,): the same of pages.
    """

    pair: Ints
    rank: Ints
    arm: Ints
    surface: Ints
    group: Ints
    shown: Floats
    clicks: Floats
    pages: Floats
    surfaces: tuple[str, ...] = ("",)
    arms: tuple[str, ...] = ("",)

    @property
    def ranks(self) -> int:
        """How many ranks there are down to the last one shown."""
        return int(self.rank.max(initial=-1)) + 1

    def take(self, cells: Flags | npt.NDArray[np.integer]) -> Counts:
        """Some of the cells. `pages` stays."""
        return replace(
            self,
            pair=self.pair[cells],
            rank=self.rank[cells],
            arm=self.arm[cells],
            surface=self.surface[cells],
            group=self.group[cells],
            shown=self.shown[cells],
            clicks=self.clicks[cells],
        )

    def first(self, ranks: int) -> Counts:
        """Only the first ranks."""
        return self.take(self.rank < ranks)

    def on(self, surface: int) -> Counts:
        """Only one surface, by its code."""
        return self.take(self.surface == surface)

    def by_rank(self) -> tuple[Floats, Floats]:
        """How often each rank was shown, and clicked: shapes (ranks,)."""
        return _sums(self.rank, self.shown, self.ranks), _sums(self.rank, self.clicks, self.ranks)


def group_of(queries: npt.ArrayLike) -> Ints:
    """A random but fixed group below GROUPS for the code of each query (the finaliser of MurmurHash3)."""
    mixed = np.asarray(queries, dtype=np.uint64)
    for shift, factor in ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53), (33, 1)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return (mixed % np.uint64(GROUPS)).astype(np.int64)


def count(batches: Sessions | Iterable[Sessions]) -> Counts:
    """The counts of a log, given at once or in batches of one vocabulary.

    Raises InputError for an empty log, for one without any click, and for more ranks, arms or surfaces than fit.
    """
    tally = Tally()
    for batch in [batches] if isinstance(batches, Sessions) else batches:
        tally.add(batch)
    return tally.counts()


class Tally:
    """Counts in the making."""

    def __init__(self) -> None:
        self._cells: list[tuple[Ints, Ints, Floats, Floats]] = []  # key, group, shown, clicks
        self._merged = 0
        self._pages = np.zeros(_SURFACES)
        self._surfaces: tuple[str, ...] = ()
        self._arms: tuple[str, ...] = ()

    def add(self, batch: Sessions) -> None:
        """One more batch of pages. Raises InputError for more ranks, arms or surfaces than fit."""
        for name, most, found in (
            ("ranks on a page", _RANKS, batch.ranks),
            ("arms", _ARMS, len(batch.arms)),
            ("surfaces", _SURFACES, len(batch.surfaces)),
        ):
            if found > most:
                raise InputError(f"The log has {found:,} {name}; at most {most:,} fit.", "Leave some of them out.")
        self._surfaces = max(self._surfaces, batch.surfaces, key=len)
        self._arms = max(self._arms, batch.arms, key=len)
        self._pages += np.bincount(batch.surface, batch.weight, _SURFACES)
        page, rank = np.nonzero(batch.shown)
        key = batch.pair[page, rank].astype(np.int64)
        for part, size in ((rank, _RANKS), (batch.arm[page], _ARMS), (batch.surface[page], _SURFACES)):
            key = key * size + part
        weight = batch.weight[page]
        self._cells.append(_merged(key, group_of(batch.query)[page], weight, weight * batch.clicks[page, rank]))
        if sum(len(cells[0]) for cells in self._cells) > self._merged + max(self._merged, _MERGE_AT):
            self._merge()

    def counts(self) -> Counts:
        """Raises InputError where nothing was shown or nothing was clicked."""
        if not self._cells:
            raise InputError("The log has no pages.", "Give a log of result pages with their clicks.")
        self._merge()
        key, group, shown, clicks = self._cells[0]
        if not len(key) or not shown.sum() > 0:
            raise InputError("No page of the log shows a document.", "Give a log of result pages with their clicks.")
        if not clicks.sum() > 0:
            raise InputError("The log has no click.", "Check that its clicks carry the query_id of their pages.")
        key, surface = np.divmod(key, _SURFACES)
        key, arm = np.divmod(key, _ARMS)
        pair, rank = np.divmod(key, _RANKS)
        pages = self._pages[: len(self._surfaces)]
        return Counts(pair, rank, arm, surface, group, shown, clicks, pages, self._surfaces, self._arms)

    def _merge(self) -> None:
        self._cells = [_merged(*(np.concatenate(parts) for parts in zip(*self._cells, strict=True)))]
        self._merged = len(self._cells[0][0])


def _merged(key: Ints, group: Ints, shown: Floats, clicks: Floats) -> tuple[Ints, Ints, Floats, Floats]:
    keys, first, place = np.unique(key, return_index=True, return_inverse=True)
    n = len(keys)
    return keys, group[first], _sums(place, shown, n), _sums(place, clicks, n)


def _sums(place: npt.NDArray[np.integer], values: Floats, size: int) -> Floats:
    return np.bincount(place, values, size).astype(np.float64, copy=False)


def pooled(counts: Counts) -> Counts:
    """The counts with arms and surfaces added up: one cell per (pair, rank), sorted by them."""
    key, group, shown, clicks = _merged(counts.pair * _RANKS + counts.rank, counts.group, counts.shown, counts.clicks)
    pair, rank = np.divmod(key, _RANKS)
    none = np.zeros(len(key), dtype=np.int64)
    return Counts(pair, rank, none, none, group, shown, clicks, counts.pages.sum(keepdims=True))
