"""The dependent click model: a cascade that goes on after a click at rank r with probability lambda(r).

Guo, Liu and Wang, "Efficient multiple-click models in web search" (WSDM 2009); here with exact EM, where the paper
takes the last click of a page for the end of the search.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ranking.clicks.models.base import TINY
from ranking.clicks.models.chain import Chain, Totals
from ranking.clicks.sessions import Floats


class DependentClick(Chain):
    """After a skip the reader always goes on."""

    name: ClassVar[str] = "dcm"
    by_rank: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.after_click: Floats = np.zeros(0)

    def _resize(self, pairs: int, ranks: int) -> None:
        fresh = np.full(max(ranks - len(self.after_click), 0), 0.5)
        self.after_click = np.concatenate([self.after_click, fresh])

    def _after_click(self) -> tuple[Floats, Floats]:
        return 1.0 - self.after_click, self.after_click

    def _learn(self, totals: Totals) -> None:
        self.attraction.update(totals.clicked, totals.skipped)
        self.after_click = (totals.goes + 1.0) / (totals.goes + totals.stops + 2.0)

    def _divergence(self) -> float:
        return -float((np.log(self.after_click) + np.log1p(-self.after_click)).sum())

    def _go_probability(self, pairs: npt.NDArray[np.integer], rank: int | npt.NDArray[np.integer]) -> Floats:
        if not len(self.after_click):
            return np.full(pairs.shape, 1.0 - TINY)
        return np.broadcast_to(self.after_click[np.minimum(rank, len(self.after_click) - 1)], pairs.shape)

    def parameters(self) -> dict[str, npt.NDArray[Any]]:
        return {**super().parameters(), "after_click": self.after_click}

    def set_parameters(self, parameters: Mapping[str, npt.NDArray[Any]]) -> None:
        super().set_parameters(parameters)
        self.after_click = np.array(parameters["after_click"])
