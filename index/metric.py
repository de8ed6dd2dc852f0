"""A metric that was learned on an index: a linear map on top of its conditioned vectors.

Encoders are trained on the text of the world; which differences matter in one collection its own judgements tell best.
The map y = x M / |x M| is learned from them (`ranking.learning.metric`) and lies beside the vectors that it was learned
on: `metric.safetensors` in the folder of the generation. It is applied when vectors are read, so documents that are
added later have it too, and a rebuild, which makes another space, leaves it behind.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from index.errors import ConflictError
from index.vectors import Single, sync

_FILE = "metric.safetensors"
_ADVICE = "Train the metric again, or delete the file."


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A learned map of conditioned vectors.

    `matrix` is float32 (dimension, dimension); `space` is the digest of the `Space` that it was learned on; `about`
    says in words how it came about.
    """

    matrix: Single
    space: str
    about: Mapping[str, str] = field(default_factory=dict)
    digest: str = field(init=False)
    """SHA-256 of the map, hexadecimal: equal digests give equal vectors."""

    def __post_init__(self) -> None:
        content = hashlib.sha256(f"{self.space} {self.matrix.shape!r}".encode())
        content.update(np.ascontiguousarray(self.matrix, "<f4").tobytes())
        object.__setattr__(self, "digest", content.hexdigest())

    def apply(self, vectors: npt.NDArray[np.floating]) -> Single:
        """Conditioned rows (n, dimension) in the learned space: float32, L2-normalised; zero rows stay zero."""
        return _unit(np.asarray(vectors, np.float32) @ self.matrix)

    def directions(self, vectors: npt.NDArray[np.floating]) -> Single:
        """The conditioned directions (n, dimension) that propose what these directions of the learned space score
        best: exact but for the length that the map gives to a document."""
        return _unit(np.asarray(vectors, np.float32) @ self.matrix.T)

    def save(self, directory: Path) -> None:
        """Put `metric.safetensors` into a directory, in the place of an older one: durably and at once."""
        fresh = Path(directory) / f".{_FILE}.new"
        metadata = {**self.about, "space": self.space, "digest": self.digest}
        with open(fresh, "wb") as file:
            file.write(save({"matrix": np.ascontiguousarray(self.matrix, np.float32)}, metadata=metadata))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, Path(directory) / _FILE)
        sync(Path(directory))

    @classmethod
    def load(cls, directory: Path, space: str) -> Metric | None:
        """Read what `save` wrote, None where nothing was learned.

        Raises ConflictError where the file is damaged, or was learned on another space than that of digest `space`.
        """
        path = Path(directory) / _FILE
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                about = dict(file.metadata())
                matrix = file.get_tensor("matrix")
            learned_on, digest = about.pop("space"), about.pop("digest")
            metric = cls(matrix, learned_on, about)
        except (SafetensorError, KeyError, TypeError, ValueError):
            raise ConflictError(f"The learned metric {path} is damaged.", _ADVICE) from None
        if metric.digest != digest or not np.isfinite(matrix).all():
            raise ConflictError(f"The learned metric {path} is damaged.", _ADVICE)
        if learned_on != space:
            raise ConflictError(f"The learned metric {path} belongs to other vectors.", _ADVICE)
        return metric


def remove(directory: Path) -> bool:
    """Forget the metric of a generation. Gives whether there was one."""
    path = Path(directory) / _FILE
    if not path.exists():
        return False
    path.unlink()
    sync(Path(directory))
    return True


def stored_digest(directory: Path) -> str:
    """The digest of the metric in a generation's folder without reading the map; empty where there is none."""
    path = Path(directory) / _FILE
    if not path.exists():
        return ""
    try:
        with safe_open(path, framework="numpy") as file:
            return str(file.metadata()["digest"])
    except (SafetensorError, KeyError, TypeError):
        raise ConflictError(f"The learned metric {path} is damaged.", _ADVICE) from None


def _unit(rows: Single) -> Single:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Single = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit
