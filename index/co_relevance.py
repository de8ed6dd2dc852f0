"""What was found relevant together: vectors of documents that judgements made, beside those that texts made.

Documents that were relevant to one query tend to be relevant together again, whether or not their texts are alike. This
is item-based collaborative filtering (Sarwar et al., "Item-based collaborative filtering recommendation algorithms",
WWW 2001) with queries in the place of users, its matrix of documents and queries reduced to its leading factors as in
latent semantic analysis (Deerwester et al., 1990). Where a collection's own judgements confirm it
(`ranking.learning.co_relevance`), a document with vector x has in the learned space (x, s y) / |(x, s y)|: y are its
factors, zero for a document that nobody found relevant yet, and s is the `strength`. A query has (x, x B): B takes its
vector to the factors of what it is expected to find, by ridge regression over the earlier queries. So a first page too
profits from what others found, and no earlier query is kept. It lies with the generation as `co-relevance.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from index import kept
from index.errors import ConflictError
from index.vectors import Single, unit_rows, widen

FILE = "co-relevance.safetensors"


@dataclass(frozen=True, eq=False)
class CoRelevance:
    """Factors of the documents that were found relevant.

    `ids` are theirs, `factors` float32 (n, rank), of length one at most, and `regression` float32 (dimension, rank)
    from a query's vector to factors, both rounded to float16; `space` is the digest of the `Space` whose vectors they
    were learned with; `about` says in words how it came about.
    """

    name: ClassVar = "co-relevance"

    ids: Sequence[str]
    factors: Single
    regression: Single
    strength: float
    space: str
    about: kept.About = field(default_factory=dict)
    digest: str = field(init=False)
    """SHA-256 of all that it holds, hexadecimal."""
    _place: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", widen(np.asarray(self.factors, np.float16)))
        object.__setattr__(self, "regression", widen(np.asarray(self.regression, np.float16)))
        object.__setattr__(self, "digest", kept.digest_of(self.space, self._tensors()))
        object.__setattr__(self, "_place", {doc: row for row, doc in enumerate(self.ids)})

    def _tensors(self) -> kept.Tensors:
        ids = np.frombuffer(json.dumps(list(self.ids)).encode(), np.uint8)
        return {
            "ids": ids,
            "factors": self.factors.astype(np.float16),
            "regression": self.regression.astype(np.float16),
            "strength": np.array([self.strength], np.float32),
        }

    @property
    def rank(self) -> int:
        """How many numbers it adds to a vector."""
        return int(self.factors.shape[1])

    def extend(self, ids: Sequence[str], vectors: Single) -> Single:
        """Document vectors (n, dimension), of length one or zero, as (n, dimension + rank), of length one or zero."""
        rows = np.zeros((len(ids), vectors.shape[1] + self.rank), np.float32)
        rows[:, : vectors.shape[1]] = vectors
        place = np.array([self._place.get(doc, -1) for doc in ids], dtype=np.int64)
        known = np.flatnonzero((place >= 0) & (vectors != 0).any(axis=1))
        rows[known, vectors.shape[1] :] = self.strength * self.factors[place[known]]
        rows[known] = unit_rows(rows[known])
        return rows

    def expect(self, queries: Single) -> Single:
        """The factors that queries are expected to have by their vectors in `space`: (n, dimension) to (n, rank)."""
        return queries @ self.regression

    def best(self, direction: Single, limit: int, allowed: npt.NDArray[np.bool_]) -> list[str]:
        """The documents that lie farthest along a direction of the factors, (rank,): `limit` at most, and none that lie
        across or against it. `allowed` (n,) says which may answer."""
        scores = np.where(allowed, self.factors @ direction, 0.0)
        top = np.argpartition(-scores, limit - 1)[:limit] if limit < len(scores) else np.arange(len(scores))
        return [self.ids[place] for place in top[scores[top] > 0]]

    def save(self, directory: Path) -> None:
        """Put `co-relevance.safetensors` into a directory, in the place of an older one: durably and at once."""
        kept.write(Path(directory) / FILE, self.space, self._tensors(), self.about)

    @classmethod
    def load(cls, directory: Path, space: str) -> CoRelevance | None:
        """Read what `save` wrote, None where nothing was learned. Raises as `index.kept.read` does."""
        path = Path(directory) / FILE
        found = kept.read(path, space, cls.name)
        if found is None:
            return None
        tensors, about = found
        try:
            ids, strength = json.loads(tensors["ids"].tobytes()), float(tensors["strength"][0])
            return cls(ids, tensors["factors"], tensors["regression"], strength, space, about)
        except (KeyError, ValueError):
            raise ConflictError(f"The learned {cls.name} {path} is damaged.", "Train it again, or delete it.") from None


def remove(directory: Path) -> bool:
    """Forget the co-relevance of a generation. Gives whether there was any."""
    return kept.remove(Path(directory) / FILE)


def stored_digest(directory: Path) -> str:
    """The digest of the co-relevance in a generation's folder; empty where there is none."""
    return kept.stored_digest(Path(directory) / FILE, CoRelevance.name)
