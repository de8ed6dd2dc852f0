"""The vectors of the queries asked last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np

from index.encoder import Encoder
from index.vectors import Single

KEPT: Final = 4_096  # queries: some megabytes
_LONGEST: Final = 1_000  # characters of a query that is remembered


class QueryVectors:
    """Remembers what an encoder made of texts. Thread-safe. `hits` and `misses` count the texts asked for so far."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self.hits = self.misses = 0
        self._rows: OrderedDict[tuple[str, str], Single] = OrderedDict()
        self._lock = threading.Lock()

    def encoded(self, encoder: Encoder, texts: Sequence[str]) -> Single:
        """As `encoder.encode`: float32 (n, dimension). Only what is not remembered is encoded, in one go."""
        with self._lock:
            known = {text: row for text in texts if (row := self._rows.get((encoder.checksum, text))) is not None}
            for text in known:
                self._rows.move_to_end((encoder.checksum, text))
            missing = list(dict.fromkeys(text for text in texts if text not in known))
            self.hits += len(known)
            self.misses += len(missing)
        if missing:
            fresh = encoder.encode(missing)
            known |= zip(missing, fresh, strict=True)
            self._remember(encoder.checksum, missing, fresh)
        rows = [known[text] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, encoder.dimension), dtype=np.float32)

    def _remember(self, checksum: str, texts: Sequence[str], rows: Single) -> None:
        with self._lock:
            for text, row in zip(texts, rows, strict=True):
                if len(text) <= _LONGEST:
                    self._rows[checksum, text] = row.copy()  # a view would hold on to the whole batch
            while len(self._rows) > self._kept:
                self._rows.popitem(last=False)

    def __len__(self) -> int:
        return len(self._rows)
