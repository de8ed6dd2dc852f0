"""Sentence encoders: texts in, unit vectors out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt


@runtime_checkable
class Encoder(Protocol):
    """What the index asks of a model.

    `name` is what a user would write to load it again, `checksum` identifies its weights (hexadecimal), `dimension`
    is the length of a vector and `max_tokens` the longest text that is read whole: the rest of a text is ignored.
    """

    name: str
    checksum: str
    dimension: int
    max_tokens: int

    def encode(
        self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        """Encode n texts to (n, dimension) float32, rows L2-normalised. Thread-safe.

        `on_progress` is called now and then with the number of texts done since its last call.
        """
        ...
