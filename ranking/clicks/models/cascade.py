"""The cascade model: read from the top, click on the first document that attracts, and leave.

Craswell et al., "An experimental comparison of click position-bias models" (WSDM 2008).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ranking.clicks.models.base import TINY
from ranking.clicks.models.chain import Chain, Totals
from ranking.clicks.sessions import Flags, Floats, Sessions


class Cascade(Chain):
    """Is fitted to pages down to their first click; further clicks are next to impossible to it."""

    name: ClassVar[str] = "cascade"
    by_rank: ClassVar[bool] = True

    def _seen(self, sessions: Sessions) -> Sessions:
        before: Flags = np.cumsum(sessions.clicks, axis=1) == sessions.clicks  # nothing was clicked above
        return Sessions.of(
            np.where(before, sessions.pair, -1), sessions.clicks & before, sessions.query, sessions.weight
        )

    def _after_click(self) -> tuple[Floats, Floats]:
        return np.ones(1), np.full(1, TINY)

    def _learn(self, totals: Totals) -> None:
        self.attraction.update(totals.clicked, totals.skipped)

    def _go_probability(self, pairs: npt.NDArray[np.integer], rank: int | npt.NDArray[np.integer]) -> Floats:
        return np.zeros(pairs.shape)
