"""A prior that was learned on an index: what a good classifier of one query's documents looks like before any feedback.

`ranking.probe` fits such a classifier per query; how far it should trust the query, the documents found relevant and
those refused, and along which directions relevance tends to vary, is a matter of the collection, and its own judgements
tell (`ranking.learning.prior`). It lies beside the vectors as `prior.safetensors`, belongs to the space in which they
are read (the learned metric is a part of that), and stays behind when either is made anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from index import kept
from index.vectors import Single

FILE = "prior.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """w ~ N(`scale` m, (I + F F^T) / `precision`) where m points to the query, with `query_weight`, and to the
    documents found relevant.

    `factor` F is float32 (dimension, rank). A refused document counts `refused_weight` times what a relevant one
    does, and of the documents called relevant or refused a share is not: `noise`, two numbers from 0 to 0.5.
    """

    name: ClassVar = "prior"

    factor: Single
    scale: float
    query_weight: float
    precision: float
    refused_weight: float
    noise: tuple[float, float]
    space: str
    about: kept.About = field(default_factory=dict)
    digest: str = field(init=False)
    """SHA-256 of the numbers, hexadecimal."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", kept.digest_of(self.space, self._tensors()))

    def _tensors(self) -> dict[str, Single]:
        numbers = [self.scale, self.query_weight, self.precision, self.refused_weight, *self.noise]
        return {"factor": self.factor, "numbers": np.array(numbers, np.float32)}

    def noted(self, about: kept.About) -> Prior:
        """The same with something said about it."""
        return replace(self, about=about)

    def save(self, directory: Path) -> None:
        """Put `prior.safetensors` into a directory, in the place of an older one: durably and at once."""
        kept.write(Path(directory) / FILE, self.space, self._tensors(), self.about)

    @classmethod
    def load(cls, directory: Path, space: str) -> Prior | None:
        """Read what `save` wrote, None where nothing was learned. Raises as `index.kept.read` does."""
        found = kept.read(Path(directory) / FILE, space, "prior")
        if found is None:
            return None
        tensors, about = found
        scale, query, precision, refused, relevant_noise, refused_noise = tensors["numbers"].tolist()
        return cls(tensors["factor"], scale, query, precision, refused, (relevant_noise, refused_noise), space, about)


def remove(directory: Path) -> bool:
    """Forget the prior of a generation. Gives whether there was one."""
    return kept.remove(Path(directory) / FILE)


def stored_digest(directory: Path) -> str:
    """The digest of the prior in a generation's folder; empty where there is none."""
    return kept.stored_digest(Path(directory) / FILE, "prior")
