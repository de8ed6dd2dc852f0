"""A metric that was learned on an index: a linear map on top of its conditioned vectors.

Encoders are trained on the text of the world; which differences matter in one collection its own judgements tell best.
The map y = x M / |x M| is learned from them (`ranking.learning.metric`) and lies beside the vectors that it was learned
on: `metric.safetensors` in the folder of the generation. It is applied when vectors are read, so documents that are
added later have it too, and a rebuild, which makes another space, leaves it behind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from index import kept
from index.vectors import Single, unit_rows

FILE = "metric.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A learned map of conditioned vectors.

    `matrix` is float32 (dimension, dimension); `space` is the digest of the `Space` that it was learned on; `about`
    says in words how it came about.
    """

    name: ClassVar = "metric"

    matrix: Single
    space: str
    about: kept.About = field(default_factory=dict)
    digest: str = field(init=False)
    """SHA-256 of the map, hexadecimal: equal digests give equal vectors."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", kept.digest_of(self.space, {"matrix": self.matrix}))

    def apply(self, vectors: npt.NDArray[np.floating]) -> Single:
        """Conditioned rows (n, dimension) in the learned space: float32, L2-normalised; zero rows stay zero."""
        return unit_rows(np.asarray(vectors, np.float32) @ self.matrix)

    def directions(self, vectors: npt.NDArray[np.floating]) -> Single:
        """The conditioned directions (n, dimension) that propose what these directions of the learned space score
        best: exact but for the length that the map gives to a document."""
        return unit_rows(np.asarray(vectors, np.float32) @ self.matrix.T)

    def save(self, directory: Path) -> None:
        """Put `metric.safetensors` into a directory, in the place of an older one: durably and at once."""
        kept.write(Path(directory) / FILE, self.space, {"matrix": self.matrix}, self.about)

    @classmethod
    def load(cls, directory: Path, space: str) -> Metric | None:
        """Read what `save` wrote, None where nothing was learned. Raises as `index.kept.read` does."""
        found = kept.read(Path(directory) / FILE, space, "metric")
        return None if found is None else cls(found[0]["matrix"], space, found[1])


def remove(directory: Path) -> bool:
    """Forget the metric of a generation. Gives whether there was one."""
    return kept.remove(Path(directory) / FILE)


def stored_digest(directory: Path) -> str:
    """The digest of the metric in a generation's folder without reading the map; empty where there is none."""
    return kept.stored_digest(Path(directory) / FILE, "metric")
