"""The user browsing model: whether a rank is examined depends on it and on how far above the last click was.

Dupret and Piwowarski, "A user browsing model to predict search engine click data from past observations" (SIGIR 2008).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ranking.clicks.models.factored import Factored
from ranking.clicks.models.priors import Ints
from ranking.clicks.sessions import Flags, Floats, Sessions


class UserBrowsing(Factored):
    """The cells are (rank, last click), numbered 0: (1, none), 1: (2, none), 2: (2, 1), 3: (3, none), ..."""

    name: ClassVar[str] = "ubm"

    def _cells(self, sessions: Sessions) -> Ints:
        ranks = np.arange(sessions.ranks)
        last = np.maximum.accumulate(np.where(sessions.clicks, ranks + 1, 0), axis=1)
        before = np.concatenate([np.zeros((len(last), 1), dtype=last.dtype), last[:, :-1]], axis=1)
        cells: Ints = before + ranks * (ranks + 1) // 2
        return cells

    def _cell_count(self, ranks: int) -> int:
        return ranks * (ranks + 1) // 2

    def _rank_of(self, cell: Ints) -> Ints:
        ranks: Ints = ((np.sqrt(8.0 * cell + 1.0) - 1.0) / 2.0 + 1e-9).astype(np.int64)
        return ranks

    @property
    def examination(self) -> Floats:
        """P(examined | the last click), shape (r, r): row the rank from 0, column the last click, 0 for none; NaN where
        there is no such cell."""
        ranks = int(self._rank_of(np.array([len(self.theta) - 1]))[0]) + 1
        table = np.full((ranks, ranks), np.nan)
        table[np.tril_indices(ranks)] = self.theta
        return table

    def click_probabilities(self, sessions: Sessions) -> Floats:
        n = len(sessions)
        chances = np.full(sessions.pair.shape, np.nan)
        last = np.zeros((n, sessions.ranks + 1))  # P(the last click so far was at rank l), l = 0 for none
        last[:, 0] = 1.0
        for rank in range(sessions.ranks):
            cells = rank * (rank + 1) // 2 + np.arange(rank + 1)
            attraction = self.relevance(sessions.pair[:, rank]) * sessions.shown[:, rank]  # a slot may be empty
            each = last[:, : rank + 1] * self._clicked_chance(cells[None, :], attraction[:, None])
            total = each.sum(axis=1)
            last[:, : rank + 1] -= each
            last[:, rank + 1] = total
            chances[:, rank] = total
        return np.where(sessions.shown, chances, np.nan)

    def _begin(self, sessions: Sessions) -> npt.NDArray[Any]:
        return np.zeros(len(sessions), dtype=np.int64)

    def _chance(self, state: npt.NDArray[Any], sessions: Sessions, rank: int) -> Floats:
        return self._clicked_chance(rank * (rank + 1) // 2 + state, self.relevance(sessions.pair[:, rank]))

    def _onward(self, state: npt.NDArray[Any], sessions: Sessions, rank: int, clicked: Flags) -> npt.NDArray[Any]:
        return np.where(clicked, rank + 1, state)
