"""How often something was how large: what a histogram shows, filled without anybody's metrics library."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Bounds for things that are counted."""
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for times."""


class Distribution:
    """Values counted in buckets. `bounds` are the largest values of the buckets, ascending; beyond them is one more.
    Thread-safe."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def add(self, value: float) -> None:
        with self._lock:
            self._counts[bisect_left(self.bounds, value)] += 1
            self._sum += value

    def read(self) -> tuple[list[int], float]:
        """How many values were at most each bound, how many there were at all (the last count), and their sum."""
        with self._lock:
            return list(accumulate(self._counts)), self._sum

    @property
    def count(self) -> int:
        return self.read()[0][-1]


@dataclass(frozen=True, slots=True)
class Computed:
    """What a model has computed so far: the texts and tokens of each batch, and the seconds that one core took."""

    texts: Distribution = field(default_factory=lambda: Distribution(SIZES))
    tokens: Distribution = field(default_factory=lambda: Distribution([16 * size for size in SIZES]))
    seconds: Distribution = field(default_factory=lambda: Distribution(SECONDS))

    def add(self, texts: int, tokens: int | None, seconds: float) -> None:
        """One more batch; `tokens` is None where nobody has counted them."""
        self.texts.add(texts)
        if tokens is not None:
            self.tokens.add(tokens)
        self.seconds.add(seconds)
