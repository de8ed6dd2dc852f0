"""Where pages end without a click: the only place where a reader who goes down the page can hide what he did.

Down to the last click every document was examined; below it nobody knows where the reader stopped. A *tail* is that
part of a page: the last click and the documents below. Equal tails are one row with a weight. Rows are sorted by the
rank of the last click, so that the rows which have a document at some rank are the first ones of a block.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ranking.clicks.models.priors import Ints
from ranking.clicks.models.sums import sums
from ranking.clicks.sessions import Codes, Floats, Sessions

_SALT = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True)
class Tails:
    """m tails of pages of at most r documents. `last` (m,): the rank of the last click from 0, -1 for none, ascending;
    `clicked` (m,): the pair clicked there, -1 for none; `end` (m,): the rank of the last document. `columns[k]`: the
    pairs at rank k of the rows that have k in their tail, these being the first ones; -1 where a slot is empty or the
    page is over. `weight` (m,)."""

    last: Ints
    end: Ints
    clicked: Codes
    columns: tuple[Codes, ...]
    weight: Floats

    @classmethod
    def of(cls, sessions: Sessions) -> Tails:
        """The tails of some pages; those that end with a click have none."""
        ranks = np.arange(sessions.ranks)
        last = np.where(sessions.clicks, ranks, -1).max(axis=1)
        end = np.where(sessions.shown, ranks, -1).max(axis=1)
        rows = np.flatnonzero(last < end)
        last, end = last[rows], end[rows]
        clicked = np.where(last >= 0, sessions.pair[rows, np.maximum(last, 0)], -1).astype(np.int32)
        pair = np.where(ranks[None, :] > last[:, None], sessions.pair[rows], -1)
        first, weight = _distinct(last, clicked, pair, sessions.weight[rows])
        last, end, clicked, pair = last[first], end[first], clicked[first], pair[first]
        counts = np.searchsorted(last, ranks)  # rows whose last click is above the rank
        columns = tuple(np.ascontiguousarray(pair[:count, rank]) for rank, count in enumerate(counts.tolist()))
        return cls(last, end, clicked, columns, weight)

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(column.nbytes for column in self.columns) + 28 * len(self)


def _distinct(last: Ints, clicked: Codes, pair: Codes, weight: Floats) -> tuple[Ints, Floats]:
    """One row each of equal ones, in ascending order of `last`, and their weights added up.

    Rows are told apart by a hash of 48 bits: a million rows of one batch make two of them equal once in 500 times.
    """
    if not len(last):
        return np.zeros(0, dtype=np.int64), weight
    odd = np.random.default_rng(_SALT).integers(1, 2**63, size=pair.shape[1] + 2, dtype=np.uint64) | np.uint64(1)
    key = last.astype(np.uint64) * odd[-1] + clicked.astype(np.uint64) * odd[-2]
    for rank in range(pair.shape[1]):
        key = key + pair[:, rank].astype(np.uint64) * odd[rank]
    # The rank of the last click leads, so that sorting by key sorts by it.
    key = ((last + 1).astype(np.uint64) << np.uint64(48)) | (key >> np.uint64(16))
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    return first, sums(place, weight)


class Spool:
    """Tails that are read again in every pass: in memory up to a size, then in a temporary file."""

    def __init__(self, memory: float) -> None:
        self._memory, self._held = memory, 0
        self._blocks: list[Tails] = []
        self._file: IO[bytes] | None = None
        self._written = 0

    def add(self, tails: Tails) -> None:
        if not len(tails):
            return
        if self._held + tails.size <= self._memory:
            self._blocks.append(tails)
            self._held += tails.size
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the spool
        for array in _flat(tails):
            np.save(self._file, array, allow_pickle=False)
        self._written += 1

    def __iter__(self) -> Iterator[Tails]:
        yield from self._blocks
        if self._file is not None:
            self._file.seek(0)
            for _ in range(self._written):
                last, end, clicked, weight, cuts, codes = (np.load(self._file, allow_pickle=False) for _ in range(6))
                yield Tails(last, end, clicked, tuple(np.split(codes, cuts)), weight)

    def close(self) -> None:
        self._blocks = []
        if self._file is not None:
            self._file.close()
            self._file, self._written = None, 0


def _flat(tails: Tails) -> tuple[npt.NDArray[Any], ...]:
    cuts = np.cumsum([len(column) for column in tails.columns])[:-1]
    return tails.last, tails.end, tails.clicked, tails.weight, cuts, np.concatenate(tails.columns)
