"""Result pages and their clicks as arrays: what click models, propensities and unbiased learning to rank read.

A page shows documents in order; the same document for the same query is one *pair*, whatever page it is on. Pairs and
queries are numbered once per log by a `Vocabulary`, so that counts are sums over integer codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Codes: TypeAlias = npt.NDArray[np.int32]
Flags: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]


class Vocabulary:
    """Numbers queries, and (query, document) pairs, from 0 in the order in which they are first seen."""

    def __init__(self) -> None:
        self._queries: dict[str, int] = {}
        self._pairs: dict[tuple[int, str], int] = {}
        self._query_of_pair: list[int] = []

    def query(self, query: str) -> int:
        """The code of a query, new if it has none."""
        return self._queries.setdefault(query, len(self._queries))

    def pair(self, query: str, document: str) -> int:
        """The code of a document for a query, new if it has none."""
        key = (self.query(query), document)
        code = self._pairs.setdefault(key, len(self._pairs))
        if code == len(self._query_of_pair):
            self._query_of_pair.append(key[0])
        return code

    def find(self, query: str, document: str) -> int:
        """The code of a document for a query, -1 if the log never showed it."""
        return self._pairs.get((self._queries.get(query, -1), document), -1)

    @property
    def queries(self) -> list[str]:
        """Every query, by its code."""
        return list(self._queries)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every (query, document), by its code."""
        names = self.queries
        return [(names[query], document) for query, document in self._pairs]

    @property
    def query_of_pair(self) -> Codes:
        """The query's code of every pair, shape (pairs,)."""
        return np.array(self._query_of_pair, dtype=np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """n result pages of at most r documents.

    `pair` (n, r): the code of the pair at each rank, -1 beyond the end of a shorter page and at a rank that shows no
    document (a hole). `clicks` (n, r): whether it was clicked; False where nothing is shown. `query` (n,): the query's
    code. `weight` (n,): how often the page counts. `surface` (n,): a code for the device or layout, all 0 where there
    is one. `arm` (n,): a code for the ranker (or the randomisation) that made the page, all 0 where there is one.
    """

    pair: Codes
    clicks: Flags
    query: Codes
    weight: Floats
    surface: Codes
    arm: Codes
    surfaces: tuple[str, ...] = field(default=("",))
    arms: tuple[str, ...] = field(default=("",))

    @classmethod
    def of(
        cls,
        pair: npt.ArrayLike,
        clicks: npt.ArrayLike,
        query: npt.ArrayLike | None = None,
        weight: npt.ArrayLike | None = None,
        surface: npt.ArrayLike | None = None,
        arm: npt.ArrayLike | None = None,
        surfaces: Sequence[str] = ("",),
        arms: Sequence[str] = ("",),
    ) -> Sessions:
        """Arrays brought to their types, with the usual values for what is left out.

        Raises ValueError where shapes differ, or a click lies beyond the end of its page.
        """
        pairs, clicked = np.asarray(pair, dtype=np.int32), np.asarray(clicks, dtype=np.bool_)
        n = len(pairs)
        none = np.zeros(n, dtype=np.int32)
        made = cls(
            pairs,
            clicked,
            none if query is None else np.asarray(query, dtype=np.int32),
            np.ones(n) if weight is None else np.asarray(weight, dtype=np.float64),
            none if surface is None else np.asarray(surface, dtype=np.int32),
            none if arm is None else np.asarray(arm, dtype=np.int32),
            tuple(surfaces),
            tuple(arms),
        )
        if pairs.ndim != 2 or clicked.shape != pairs.shape:
            raise ValueError(f"pairs have shape {pairs.shape}, clicks {clicked.shape}")
        if any(part.shape != (n,) for part in (made.query, made.weight, made.surface, made.arm)):
            raise ValueError("query, weight, surface and arm take one value per page")
        if bool((clicked & (pairs < 0)).any()):
            raise ValueError("a click lies beyond the end of its page")
        return made

    def __len__(self) -> int:
        return len(self.pair)

    @property
    def ranks(self) -> int:
        """The length of the longest page that fits, r."""
        return int(self.pair.shape[1])

    @property
    def shown(self) -> Flags:
        """Where a page has a document, shape (n, r)."""
        return self.pair >= 0

    def take(self, rows: npt.NDArray[np.integer] | Flags | slice) -> Sessions:
        """Some of the pages."""
        return Sessions(
            self.pair[rows],
            self.clicks[rows],
            self.query[rows],
            self.weight[rows],
            self.surface[rows],
            self.arm[rows],
            self.surfaces,
            self.arms,
        )

    def batches(self, size: int) -> Iterator[Sessions]:
        """The pages in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))


def joined(parts: Iterable[Sessions]) -> Sessions:
    """Pages of one vocabulary one after the other; shorter ones are padded. Raises ValueError where there are none."""
    kept = list(parts)
    if not kept:
        raise ValueError("no pages to join")
    width = max(part.ranks for part in kept)

    def padded(array: npt.NDArray[np.generic], fill: int) -> npt.NDArray[np.generic]:
        return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=fill)

    return Sessions.of(
        np.concatenate([padded(part.pair, -1) for part in kept]),
        np.concatenate([padded(part.clicks, 0) for part in kept]),
        np.concatenate([part.query for part in kept]),
        np.concatenate([part.weight for part in kept]),
        np.concatenate([part.surface for part in kept]),
        np.concatenate([part.arm for part in kept]),
        max((part.surfaces for part in kept), key=len),
        max((part.arms for part in kept), key=len),
    )
