"""The click chain model: after a click, whether the reader goes on depends on how relevant the document was.

Guo et al., "Click chain model in web search" (WWW 2009).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ranking.clicks.models.chain import Chain, Totals
from ranking.clicks.sessions import Floats


class ClickChain(Chain):
    """Goes on with tau1 after a skip, and after a click with tau2 (1 - alpha) + tau3 alpha: `taus` are (tau2, tau3)."""

    name: ClassVar[str] = "ccm"

    def __init__(self) -> None:
        super().__init__()
        self.going_on = 0.8
        self.taus = np.array([0.7, 0.4])

    def _after_click(self) -> tuple[Floats, Floats]:
        yes, no = self.attraction.weights()
        return no * (1.0 - self.taus[0]) + yes * (1.0 - self.taus[1]), no * self.taus[0] + yes * self.taus[1]

    def _learn(self, totals: Totals) -> None:
        stop, go = self._after_click()
        yes, _ = self.attraction.weights()
        pleased_goes = totals.goes * yes * self.taus[1] / go
        pleased_stops = totals.stops * yes * (1.0 - self.taus[1]) / stop
        pleased, clicks = pleased_goes + pleased_stops, totals.goes + totals.stops
        self.attraction.update(totals.clicked + pleased, totals.skipped + clicks - pleased)
        goes = np.array([(totals.goes - pleased_goes).sum(), pleased_goes.sum()])
        both = np.array([(clicks - pleased).sum(), pleased.sum()])
        self.taus = (goes + 1.0) / (both + 2.0)
        self.going_on = (totals.on + 1.0) / (totals.on + totals.off + 2.0)

    def _divergence(self) -> float:
        chances = np.append(self.taus, self.going_on)
        return -float((np.log(chances) + np.log1p(-chances)).sum())

    def _go_probability(self, pairs: npt.NDArray[np.integer], rank: int | npt.NDArray[np.integer]) -> Floats:
        attraction = self.attraction.looked_up(pairs)
        going: Floats = self.taus[0] * (1.0 - attraction) + self.taus[1] * attraction
        return going

    def parameters(self) -> dict[str, npt.NDArray[Any]]:
        return {**super().parameters(), "taus": self.taus}

    def set_parameters(self, parameters: Mapping[str, npt.NDArray[Any]]) -> None:
        super().set_parameters(parameters)
        self.taus = np.array(parameters["taus"])
