"""A test that may be looked at after every page: is the mean of preferences in [-1, 1] different from 0?

A gambler who stakes the share l of his money on every page has wealth prod (1 + l x_t). Where no ranker is preferred,
no choice of l makes money on average, nor does a mixture of many; so the wealth of the mixture reaches 1/alpha with a
probability of at most alpha, ever (Ville 1939), and 1 / (the largest wealth so far) is a p-value at any time. With
l = cos(u), u uniform, and outcomes of -1, 0 and 1 this is the sign test of Robbins ("Statistical methods related to the
law of the iterated logarithm", 1970), with the Beta(1/2, 1/2) mixture; betting extends it to what lies between (Waudby-
Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 2024).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

_STAKES: Final = np.cos((2 * np.arange(256) + 1) * np.pi / 512)  # the nodes of Gauss and Chebyshev: the mixture itself
_TUNED: Final = 1000.0  # pages at which the interval is as narrow as it can be


@dataclass(slots=True)
class SequentialTest:
    """Wealth and counts after some pages. `wins` and `losses` are pages that preferred the first and the second."""

    pages: int = 0
    wins: int = 0
    losses: int = 0
    total: float = 0.0
    largest: float = 0.0  # logarithm of the largest wealth so far; everybody begins with 1
    _wealth: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(_STAKES)))

    def add(self, outcome: float) -> None:
        """One more page. Ties change nothing but their count."""
        self.pages += 1
        if outcome == 0:
            return
        if not -1 <= outcome <= 1:
            raise ValueError(f"an outcome of {outcome} is not in [-1, 1]")
        self.wins += outcome > 0
        self.losses += outcome < 0
        self.total += outcome
        self._wealth += np.log1p(_STAKES * outcome)
        self.largest = max(self.largest, self.log_wealth)

    def extend(self, outcomes: Iterable[float]) -> None:
        """More pages, in the order in which they were shown."""
        for outcome in outcomes:
            self.add(outcome)

    def copy(self) -> SequentialTest:
        """The same test, to go on from here."""
        return replace(self, _wealth=self._wealth.copy())

    @property
    def log_wealth(self) -> float:
        """The logarithm of the mixture's wealth: evidence against a tie."""
        top = float(self._wealth.max())
        return top + math.log(float(np.exp(self._wealth - top).mean()))

    @property
    def p_value(self) -> float:
        """Valid at any time, however often it was looked at before."""
        return math.exp(-self.largest)

    @property
    def preference(self) -> float:
        """The mean outcome, from -1 to 1; 0 before the first page."""
        return self.total / self.pages if self.pages else 0.0

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Holds the mean preference at all times together with this probability.

        A normal mixture for what is bounded: Howard et al., "Time-uniform, nonparametric, nonasymptotic confidence
        sequences", Annals of Statistics 2021.
        """
        if not self.pages:
            return -1.0, 1.0
        alpha = 1 - confidence
        tuned = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / _TUNED
        spread = self.pages * tuned + 1
        half = math.sqrt(2 * spread / (self.pages**2 * tuned) * math.log(math.sqrt(spread) / alpha))
        return max(self.preference - half, -1.0), min(self.preference + half, 1.0)
