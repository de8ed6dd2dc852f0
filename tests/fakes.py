"""Stand-ins that are quick and deterministic, for tests that need *some* encoder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt


@lru_cache(maxsize=100_000)
def _signs(token: str, dimension: int) -> npt.NDArray[np.float32]:
    """A fixed direction for one token: `dimension` signs, drawn by a hash that every process and platform shares."""
    digest = hashlib.shake_256(token.encode("utf-8", "surrogatepass")).digest((dimension + 7) // 8)
    bits = np.unpackbits(np.frombuffer(digest, np.uint8))[:dimension]
    return bits.astype(np.float32) * 2 - 1


class HashingEncoder:
    """A bag of words, randomly projected: texts that share words are similar. Satisfies `index.encoder.Encoder`.

    `calls` counts the calls of `encode`, so that a test can say whether the encoder was used at all.
    """

    def __init__(self, dimension: int = 64, name: str = "hashing", max_tokens: int = 256) -> None:
        self.name = name
        self.dimension = dimension
        self.max_tokens = max_tokens
        self.checksum = hashlib.sha256(f"{name}/{dimension}/{max_tokens}".encode()).hexdigest()
        self.calls = 0

    def encode(
        self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        """Encode n texts to (n, dimension) float32, rows L2-normalised."""
        self.calls += 1
        rows = np.zeros((len(texts), self.dimension), np.float32)
        for i, text in enumerate(texts):
            for token in re.findall(r"\w+", text.lower())[: self.max_tokens] or [""]:
                rows[i] += _signs(token, self.dimension)
        # Words can cancel out (they rarely do): such a row becomes the empty text's, for rows must have length one.
        rows[~rows.any(axis=1)] = _signs("", self.dimension)
        if on_progress is not None:
            on_progress(len(texts))
        unit: npt.NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit
