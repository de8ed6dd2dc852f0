"""Click-through rates: of the whole log, by rank, and by document. What every other model has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ranking.clicks.models.base import Batches, ClickModel, FitOptions, Posterior
from ranking.clicks.models.pbm import PositionBased
from ranking.clicks.models.priors import Ints
from ranking.clicks.models.sums import added, spread, sums
from ranking.clicks.sessions import Flags, Floats, Sessions


class RankRate(ClickModel):
    """P(click) depends on the rank alone. `shown`, `clicked` (r,) count impressions and clicks."""

    name: ClassVar[str] = "rank-ctr"

    def __init__(self) -> None:
        self.shown, self.clicked = np.zeros(0), np.zeros(0)

    def _cell(self, ranks: Ints) -> Ints:
        return ranks

    @property
    def rates(self) -> Floats:
        """With one click in two imagined impressions."""
        return (self.clicked + 1.0) / (self.shown + 2.0) if len(self.shown) else np.full(1, 0.5)

    def _collect(self, batches: Batches, options: FitOptions) -> str:
        self.shown, self.clicked = self.shown * options.decay, self.clicked * options.decay
        for sessions in batches():
            cell = np.broadcast_to(self._cell(np.arange(sessions.ranks)), sessions.pair.shape)[sessions.shown]
            weight = spread(sessions.weight, sessions.shown)
            self.shown = added(self.shown, sums(cell, weight))
            self.clicked = added(self.clicked, sums(cell, weight * sessions.clicks[sessions.shown]))
        return "none"

    def _step(self, bounded: bool) -> float:
        rates, missed = self.rates[: len(self.shown)], self.shown - self.clicked
        return float(self.clicked @ np.log(rates) + missed @ np.log1p(-rates)) if bounded else np.nan

    def _impressions(self) -> float:
        return float(self.shown.sum())

    def _chances(self, rank: Ints, shape: tuple[int, ...]) -> Floats:
        rates = self.rates
        return np.broadcast_to(rates[np.minimum(self._cell(rank), len(rates) - 1)], shape)

    def click_probabilities(self, sessions: Sessions) -> Floats:
        return np.where(sessions.shown, self._chances(np.arange(sessions.ranks), sessions.pair.shape), np.nan)

    def relevance(self, pairs: npt.ArrayLike) -> Floats:
        """The same for all documents: the mean rate."""
        return np.full(np.shape(pairs), float(self.clicked.sum() + 1.0) / float(self.shown.sum() + 2.0))

    def posterior(self, sessions: Sessions) -> Posterior:
        """Takes every document for examined, and a click for relevance."""
        examined = np.where(sessions.shown, 1.0, np.nan)
        return Posterior(np.where(sessions.shown, sessions.clicks.astype(np.float64), np.nan), examined)

    def parameters(self) -> dict[str, npt.NDArray[Any]]:
        return {"shown": self.shown, "clicked": self.clicked}

    def set_parameters(self, parameters: Mapping[str, npt.NDArray[Any]]) -> None:
        self.shown, self.clicked = np.array(parameters["shown"]), np.array(parameters["clicked"])

    def statistics(self) -> dict[str, npt.NDArray[Any]]:
        return {}

    def set_statistics(self, statistics: Mapping[str, npt.NDArray[Any]]) -> None:
        pass

    def _begin(self, sessions: Sessions) -> npt.NDArray[Any]:
        return np.zeros(0)

    def _chance(self, state: npt.NDArray[Any], sessions: Sessions, rank: int) -> Floats:
        return self._chances(np.array(rank), (len(sessions),))

    def _onward(self, state: npt.NDArray[Any], sessions: Sessions, rank: int, clicked: Flags) -> npt.NDArray[Any]:
        return state


class GlobalRate(RankRate):
    """One probability for every click."""

    name: ClassVar[str] = "global-ctr"

    def _cell(self, ranks: Ints) -> Ints:
        return np.zeros_like(ranks)


class DocumentRate(PositionBased):
    """P(click) = alpha(query, document), wherever it is shown: everybody reads everything."""

    name: ClassVar[str] = "document-ctr"

    def _cells(self, sessions: Sessions) -> Ints:
        return np.zeros(sessions.pair.shape, dtype=np.int64)

    def _cell_count(self, ranks: int) -> int:
        return 1

    def _chance(self, state: npt.NDArray[Any], sessions: Sessions, rank: int) -> Floats:
        return self.relevance(sessions.pair[:, rank])
