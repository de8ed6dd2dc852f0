"""The position-based model with trust bias: near the top even a document that does not attract gets clicks.

P(click | rank r) = theta_r (alpha + epsilon_r (1 - alpha)): affine in the attraction. Agarwal et al., "Addressing trust
bias for unbiased learning-to-rank" (WWW 2019); Vardasbi, Oosterhuis and de Rijke, "When inverse propensity scoring does
not work" (CIKM 2020).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ranking.clicks.models.pbm import PositionBased
from ranking.clicks.sessions import Floats


class TrustBias(PositionBased):
    """theta of the first rank is 1 and epsilon of the last one 0: what attraction means is a matter of convention up to
    a scale and an offset, and these two fix it."""

    name: ClassVar[str] = "trust"

    @property
    def trust(self) -> Floats:
        """How likely an examined document that does not attract is clicked, by rank: shape (r,)."""
        return self.epsilon

    def trust_at(self, ranks: int) -> Floats:
        """The same for the first ranks; what lies deeper than any page of the log is as the last one."""
        return self._of_cell(self.epsilon, np.arange(ranks))

    def _prepare(self, cells: int) -> None:
        known = len(self.epsilon)
        super()._prepare(cells)
        self.epsilon[known:] = 0.2 / (1.0 + np.arange(known, len(self.epsilon)))
        self.epsilon[-1] = 0.0

    def _learn_cells(self, examined: Floats, shown: Floats, noise: Floats, refused: Floats) -> None:
        super()._learn_cells(examined, shown, noise, refused)
        self.epsilon = noise / np.maximum(noise + refused, 1.0)
        self.epsilon[-1] = 0.0
