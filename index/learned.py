"""What was learned on an index: a metric, and a prior on top of it. Kept with its generation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from index import generations, metric, prior
from index.metric import Metric
from index.prior import Prior


@dataclass(frozen=True, slots=True)
class Learned:
    """The metric and the prior of a generation, None where none was learned."""

    metric: Metric | None = None
    prior: Prior | None = None

    @classmethod
    def load(cls, directory: Path, space: str) -> Learned:
        """What lies in a generation's folder. `space` is the digest of its vectors' space; raises as `index.kept.read`
        does."""
        found = Metric.load(directory, space)
        return cls(found, Prior.load(directory, found.digest if found else space))

    @property
    def digest(self) -> str:
        """What identifies it; empty where nothing was learned."""
        return " ".join(part.digest for part in (self.metric, self.prior) if part)


def keep(directory: Path, learned: Metric | None) -> None:
    """Keep a metric, or forget the one there is. A prior goes: it was learned on vectors as they were read before."""
    with generations.file_errors("the learned metric", directory):
        prior.remove(directory)
        if learned is None:
            metric.remove(directory)
        else:
            learned.save(directory)


def keep_prior(directory: Path, learned: Prior | None) -> None:
    """Keep a prior, or forget the one there is."""
    with generations.file_errors("the learned prior", directory):
        if learned is None:
            prior.remove(directory)
        else:
            learned.save(directory)


def stored_digest(directory: Path) -> str:
    """`Learned.digest` of a generation's folder, without reading the numbers."""
    return " ".join(filter(None, (metric.stored_digest(directory), prior.stored_digest(directory))))
