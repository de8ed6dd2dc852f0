"""What was learned on an index, kept with its generation: a metric, what is relevant together, and a prior.

The learned space of an index is the conditioned one under its metric, and beside it what documents were found relevant
with; without either it is the conditioned space. The prior belongs to the metric's part of it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final, Literal, TypeAlias

import numpy as np

from index import co_relevance, generations, kept, metric, prior
from index.co_relevance import CoRelevance
from index.metric import Metric
from index.prior import Prior
from index.vectors import Single

PartName: TypeAlias = Literal["metric", "co-relevance", "prior"]
Part: TypeAlias = Metric | CoRelevance | Prior

_FILES: Final[Mapping[PartName, ModuleType]] = {"metric": metric, "co-relevance": co_relevance, "prior": prior}


@dataclass(frozen=True, slots=True)
class Learned:
    """The parts that a generation has, None where one was not learned."""

    metric: Metric | None = None
    co_relevance: CoRelevance | None = None
    prior: Prior | None = None

    @classmethod
    def load(cls, directory: Path, space: str) -> Learned:
        """What lies in a generation's folder. `space` is the digest of its vectors' space; raises as `index.kept.read`
        does."""
        found = Metric.load(directory, space)
        together = CoRelevance.load(directory, space)
        return cls(found, together, Prior.load(directory, found.digest if found else space))

    @property
    def parts(self) -> list[Part]:
        """Those that there are."""
        return [part for part in (self.metric, self.co_relevance, self.prior) if part]

    @property
    def digest(self) -> str:
        """What identifies it; empty where nothing was learned."""
        return " ".join(part.digest for part in self.parts)

    @property
    def about(self) -> dict[str, kept.About]:
        """What is said about each part that there is, by its name."""
        return {part.name: part.about for part in self.parts}

    @property
    def rank(self) -> int:
        """How many numbers the learned space has beside those of the conditioned one."""
        return self.co_relevance.rank if self.co_relevance else 0

    def moved(self, conditioned: Single) -> Single:
        """Conditioned vectors (n, dimension) under the metric."""
        return self.metric.apply(conditioned) if self.metric else conditioned

    def documents(self, ids: Sequence[str], conditioned: Single) -> Single:
        """The conditioned vectors of documents (n, dimension) in the learned space: (n, dimension + rank)."""
        moved = self.moved(conditioned)
        return self.co_relevance.extend(ids, moved) if self.co_relevance else moved

    def queries(self, conditioned: Single) -> Single:
        """The conditioned vectors of queries (n, dimension) in the learned space: (n, dimension + rank)."""
        moved = self.moved(conditioned)
        return np.hstack([moved, self.co_relevance.expect(conditioned)]) if self.co_relevance else moved

    def searchable(self, directions: Single, dimension: int) -> Single:
        """Directions of the learned space as conditioned ones, (n, dimension), to search conditioned vectors with."""
        directions = directions[:, :dimension]
        return self.metric.directions(directions) if self.metric else directions


class LearnedFiles:
    """What was learned as it lies in a generation's folder: read again where it has changed. Thread-safe."""

    def __init__(self, directory: Path, space: str) -> None:
        self._directory, self._space = directory, space
        self._newest = Learned()
        self._lock = threading.Lock()

    def newest(self) -> Learned:
        """Raises as `index.kept.read` does."""
        with self._lock:
            if stored_digest(self._directory) != self._newest.digest:
                self._newest = Learned.load(self._directory, self._space)
            return self._newest


def names(directory: Path) -> list[PartName]:
    """The parts that lie in a generation's folder, whole or damaged."""
    return [name for name, part in _FILES.items() if (directory / part.FILE).exists()]


def keep(directory: Path, part: Part) -> list[PartName]:
    """Keep a part in a generation's folder. With a metric a prior goes: it was learned on vectors as they were read
    before. Gives what went."""
    with generations.file_errors(f"the learned {part.name}", directory):
        gone: list[PartName] = ["prior"] if isinstance(part, Metric) and prior.remove(directory) else []
        part.save(directory)
    return gone


def forget(directory: Path, name: PartName) -> list[PartName]:
    """Forget a part, if there is one; with a metric also the prior. Gives what went."""
    going: list[PartName] = ["prior", "metric"] if name == "metric" else [name]
    with generations.file_errors(f"the learned {name}", directory):
        return [one for one in going if _FILES[one].remove(directory)]


def stored_digest(directory: Path) -> str:
    """`Learned.digest` of a generation's folder, without reading the numbers."""
    return " ".join(filter(None, (part.stored_digest(directory) for part in _FILES.values())))
