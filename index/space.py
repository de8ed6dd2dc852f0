"""Conditioning the embedding space at index time: none, centred, or part-whitened.

Sentence embeddings crowd into a narrow cone, and a cosine sees mostly what all documents have in common. Taking the
corpus mean away, and damping the directions in which the corpus varies most, leaves what tells documents apart:

    none      x / |x|
    centred   (x - mu) / |x - mu|
    whitened  (x - mu) W / |(x - mu) W|   with   W = V diag((w / mean(w) + a)^-1/2) V^T

where mu is the corpus mean and V diag(w) V^T its covariance. `a` says how much of the variation stays: 0 whitens
fully, infinity only centres. (Centring: Mu and Viswanath 2018, "All-but-the-Top"; whitening: Su et al. 2021,
"Whitening Sentence Representations"; the ridge `a` between the two is ours.) Queries go through the same map.

A corpus of fewer vectors than dimensions, n < d, varies along n of them only, and its covariance says that the others
have no variation. They would be damped least, so that a query and a document added later, which alone have a part
there, would seem alike. Of such a covariance only s = (n / d)^2 is believed: w becomes s w + (1 - s) mean(w).
(Shrinking to the identity: Ledoit and Wolf 2004, "A Well-Conditioned Estimator for Large-Dimensional Covariance
Matrices"; the share is ours. With 48 texts of pydocs and MiniLM a document added later was among the first ten of
queries for other things 2.0 times as often as one of the 48; with it 1.3 times, no more than at n = d.)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from index.errors import ConflictError, InputError, NotFoundError
from index.vectors import Single, widen

SpaceKind: TypeAlias = Literal["none", "centred", "whitened"]

_FILE = "space.safetensors"
_BLOCK = 8_192  # rows at a time: 25 MB in float64 at 384 dimensions
_NOTHING = 1e-6  # a unit vector's float32 rounding: what is shorter than this is zero, not a direction


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What a space is fitted to: the number of rows that are not zero, their sum (dimension,) and, where the kind of
    space needs it, the sum of their outer products (dimension, dimension). Parts of a corpus add up."""

    count: int
    total: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64] | None = None

    @classmethod
    def of(cls, vectors: npt.NDArray[np.floating], kind: SpaceKind) -> Moments:
        """Read rows (n, dimension) once, in blocks."""
        dimension = vectors.shape[1]
        count, total, squares = 0, np.zeros(dimension), np.zeros((dimension, dimension))
        for block in _blocks(vectors) if kind != "none" else ():
            count += len(block)
            total += block.sum(axis=0)
            if kind == "whitened":
                squares += block.T @ block
        return cls(count, total, squares if kind == "whitened" else None)

    def __add__(self, other: Moments) -> Moments:
        squares = None if self.squares is None or other.squares is None else self.squares + other.squares
        return Moments(self.count + other.count, self.total + other.total, squares)


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """A fitted map, applied to document and query vectors alike.

    `mean` is float32 (dimension,), `matrix` float32 (dimension, dimension), symmetric; None stands for the identity.
    """

    kind: SpaceKind
    mean: Single
    matrix: Single | None = None
    a: float = 2.0
    digest: str = field(init=False)
    """SHA-256 of the map's content, hexadecimal: equal digests give equal vectors."""

    def __post_init__(self) -> None:
        content = hashlib.sha256(f"{self.kind} {self.dimension} {self.a!r}".encode())
        content.update(np.ascontiguousarray(self.mean, "<f4").tobytes())
        if self.matrix is not None:
            content.update(np.ascontiguousarray(self.matrix, "<f4").tobytes())
        object.__setattr__(self, "digest", content.hexdigest())

    @property
    def dimension(self) -> int:
        return len(self.mean)

    @classmethod
    def fit(cls, vectors: npt.NDArray[np.floating], kind: SpaceKind = "whitened", a: float = 2.0) -> Space:
        """Fit the map to a corpus of unit rows (n, dimension), float16 or float32, a memory map or not.

        Reads the rows once, in blocks; sums are float64. Zero rows (documents without a vector) do not count. A
        corpus without variation (no document, one, or copies of one) has no directions to damp: its map only centres,
        and its own vectors become zero. Raises InputError for an unknown kind or a negative `a`.
        """
        return cls.of(Moments.of(vectors, kind), kind, a)

    @classmethod
    def of(cls, moments: Moments, kind: SpaceKind = "whitened", a: float = 2.0) -> Space:
        """The map for a corpus whose moments are known, as `fit` makes it. Raises what `fit` raises."""
        if kind not in get_args(SpaceKind):
            raise InputError(f"There is no vector space {kind!r}.", f"Choose one of {', '.join(get_args(SpaceKind))}.")
        if not 0 <= a < np.inf:
            raise InputError(f"The whitening strength a = {a} is not usable.", "Give a finite number of 0 or more.")
        if kind == "none":
            return cls(kind, np.zeros(len(moments.total), np.float32), None, a)
        mean = moments.total / max(moments.count, 1)
        if moments.squares is None:
            return cls(kind, mean.astype(np.float32), None, a)
        covariance = moments.squares / max(moments.count, 1) - np.outer(mean, mean)
        believed = min(1.0, moments.count / len(mean)) ** 2
        return cls(kind, mean.astype(np.float32), _damping(covariance, a, believed), a)

    def apply(self, vectors: npt.NDArray[np.floating]) -> Single:
        """Map unit rows (n, dimension) to float32 rows of the same shape, each of length one.

        Zero rows stay zero, and a row that centring leaves without length (a query or document equal to the mean)
        becomes zero: it has no direction, and its cosine to anything is 0.
        """
        rows = widen(vectors)
        if self.kind == "none":
            return _normalised(rows)
        centred: Single = rows - self.mean
        centred[~rows.any(axis=1)] = 0
        centred[_lengths(centred) < _NOTHING] = 0
        return _normalised(centred if self.matrix is None else np.asarray(centred @ self.matrix, np.float32))

    def save(self, directory: Path) -> None:
        """Write `space.safetensors` into a directory, durably."""
        tensors = {"mean": self.mean} if self.matrix is None else {"mean": self.mean, "matrix": self.matrix}
        with open(Path(directory) / _FILE, "wb") as file:
            file.write(save(tensors, metadata={"kind": self.kind, "a": repr(self.a), "digest": self.digest}))
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, directory: Path) -> Space:
        """Read what `save` wrote. Raises NotFoundError without the file, ConflictError where it is damaged."""
        path = Path(directory) / _FILE
        if not path.exists():
            raise NotFoundError(f"There is no vector space in {directory}.", "Build the index again.")
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            space = cls(metadata["kind"], tensors["mean"], tensors.get("matrix"), float(metadata["a"]))
            intact = space.digest == metadata["digest"]
        except (SafetensorError, KeyError, TypeError, ValueError):
            intact = False
        if not intact:
            raise ConflictError(f"The vector space {path} is damaged.", "Build the index again.")
        return space


def _blocks(vectors: npt.NDArray[np.floating]) -> Iterator[npt.NDArray[np.float64]]:
    for start in range(0, len(vectors), _BLOCK):
        block = widen(vectors[start : start + _BLOCK])
        yield block[block.any(axis=1)].astype(np.float64)


def _damping(covariance: npt.NDArray[np.float64], a: float, believed: float) -> Single | None:
    """The matrix W of the module's docstring, or None (the identity) where there is no variation to speak of."""
    variances, directions = np.linalg.eigh(covariance)
    variances = np.maximum(variances, 0)  # rounding may leave -1e-17 where the corpus does not vary
    mean = float(variances.mean()) if len(variances) else 0.0
    if mean <= _NOTHING**2:
        return None
    variances = believed * variances + (1 - believed) * mean  # all believed: not a bit is changed
    # The floor only matters at a = 0, where directions without any variation would be blown up without bound.
    scales = np.maximum(variances / mean + a, _NOTHING) ** -0.5
    damping: Single = ((directions * scales) @ directions.T).astype(np.float32)
    return damping


def _normalised(rows: Single) -> Single:
    """Rows of length one; rows of length zero as they are."""
    lengths = _lengths(rows)
    lengths[lengths == 0] = 1
    unit: Single = rows / lengths[:, None]
    return unit


def _lengths(rows: Single) -> Single:
    """Euclidean lengths of rows (n, d), shape (n,)."""
    lengths: Single = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return lengths
