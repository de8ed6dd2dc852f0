"""The position-based model: P(click) = theta(rank) alpha(query, document).

Richardson, Dominowska and Ragno, "Predicting clicks" (WWW 2007); Craswell et al., "An experimental comparison of click
position-bias models" (WSDM 2008).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ranking.clicks.models.factored import Factored
from ranking.clicks.models.priors import Ints
from ranking.clicks.sessions import Flags, Floats, Sessions


class PositionBased(Factored):
    """Whether a rank is examined depends on the rank alone."""

    name: ClassVar[str] = "pbm"

    @classmethod
    def of_curve(cls, examination: npt.ArrayLike, a: float, b: float) -> PositionBased:
        """A model that knows how ranks are examined, shape (r,), the first one 1, and of the documents only that their
        attraction is Beta(a, b)."""
        made = cls()
        made.theta = np.asarray(examination, dtype=np.float64)
        made.epsilon = np.zeros(len(made.theta))
        made.attraction.whole = np.array([a, b])
        return made

    @property
    def examination(self) -> Floats:
        """How likely each rank is examined, shape (r,), the first one 1."""
        return self.theta

    def _cells(self, sessions: Sessions) -> Ints:
        return np.broadcast_to(np.arange(sessions.ranks), sessions.pair.shape)

    def _cell_count(self, ranks: int) -> int:
        return ranks

    def _rank_of(self, cell: Ints) -> Ints:
        return cell

    def click_probabilities(self, sessions: Sessions) -> Floats:
        chance = self._clicked_chance(self._cells(sessions), self.relevance(sessions.pair))
        return np.where(sessions.shown, chance, np.nan)

    def _begin(self, sessions: Sessions) -> npt.NDArray[Any]:
        return np.zeros(0)

    def _chance(self, state: npt.NDArray[Any], sessions: Sessions, rank: int) -> Floats:
        return self._clicked_chance(np.array(rank), self.relevance(sessions.pair[:, rank]))

    def _onward(self, state: npt.NDArray[Any], sessions: Sessions, rank: int, clicked: Flags) -> npt.NDArray[Any]:
        return state
