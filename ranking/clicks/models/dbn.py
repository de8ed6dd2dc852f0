"""Dynamic Bayesian networks: a click satisfies or not, and whoever is not satisfied goes on with some patience.

Chapelle and Zhang, "A dynamic Bayesian network click model for web search ranking" (WWW 2009).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ranking.clicks.models.base import TINY
from ranking.clicks.models.chain import Chain, Totals
from ranking.clicks.models.priors import Betas
from ranking.clicks.sessions import Floats


class DynamicBayesian(Chain):
    """After a click: satisfied with sigma(pair), and else going on with gamma; after a skip: going on with gamma."""

    name: ClassVar[str] = "dbn"

    def __init__(self) -> None:
        super().__init__()
        self.going_on = 0.8
        self.satisfied = Betas(0, 1.0, 1.0)

    @property
    def continuation(self) -> float:
        """gamma."""
        return self.going_on

    def satisfaction(self, pairs: npt.ArrayLike) -> Floats:
        """sigma by the code of the pair; times the attraction it is what Chapelle and Zhang call relevance."""
        return self.satisfied.looked_up(np.asarray(pairs, dtype=np.int64))

    def _resize(self, pairs: int, ranks: int) -> None:
        self.satisfied.regroup(self.attraction.group * 0, self._clicked_pairs(pairs))

    def _clicked_pairs(self, pairs: int) -> npt.NDArray[np.bool_]:
        """Only pairs that were clicked have anything to say about what satisfies."""
        return self._known.grown(pairs, pairs).plus(self.earlier).clicked > 0

    def _after_click(self) -> tuple[Floats, Floats]:
        yes, no = self.satisfied.weights()
        return yes + no * (1.0 - self.going_on), np.maximum(no * self.going_on, TINY)

    def _learn(self, totals: Totals) -> None:
        yes, no = self.satisfied.weights()
        satisfied = totals.stops * yes / (yes + no * (1.0 - self.going_on))
        abandoned = totals.stops - satisfied
        self.attraction.update(totals.clicked, totals.skipped)
        self.satisfied.fit_prior()
        self.satisfied.update(satisfied, totals.goes + abandoned)
        self._learn_patience(totals.on + float(totals.goes.sum()), totals.off + float(abandoned.sum()))

    def _learn_patience(self, on: float, off: float) -> None:
        self.going_on = (on + 1.0) / (on + off + 2.0)

    def _divergence(self) -> float:
        return self.satisfied.divergence() - float(np.log(self.going_on) + np.log1p(-self.going_on))

    def _go_probability(self, pairs: npt.NDArray[np.integer], rank: int | npt.NDArray[np.integer]) -> Floats:
        return self.going_on * (1.0 - self.satisfied.looked_up(pairs))

    def parameters(self) -> dict[str, npt.NDArray[Any]]:
        return {**super().parameters(), **self.satisfied.arrays("satisfied")}

    def set_parameters(self, parameters: Mapping[str, npt.NDArray[Any]]) -> None:
        super().set_parameters(parameters)
        self.satisfied.take(parameters, "satisfied")


class SimplifiedDynamicBayesian(DynamicBayesian):
    """Nobody loses patience: gamma is 1, and only satisfaction ends a search."""

    name: ClassVar[str] = "sdbn"

    def __init__(self) -> None:
        super().__init__()
        self.going_on = 1.0

    def _learn_patience(self, on: float, off: float) -> None:
        pass

    def _divergence(self) -> float:
        return self.satisfied.divergence()
