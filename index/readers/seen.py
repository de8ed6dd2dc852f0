"""Which ids have been seen: duplicate detection for millions of documents in some tens of bytes each."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from hashlib import blake2b
from typing import Final

import numpy as np

RECENT: Final = 2**18


class SeenIds:
    """A set of 64-bit hashes: the recent ones in a set, the others in one sorted array (144 MiB at most for 3 million).

    Two different ids collide with a probability of n² / 2**65: 3 in a million at ten million documents. A collision
    would be reported as a duplicate, so no document is ever lost in silence.
    """

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted = array("q")

    def add(self, identifier: str) -> bool:
        """Remember an id; whether it is new."""
        key = int.from_bytes(blake2b(identifier.encode(), digest_size=8).digest(), "little", signed=True)
        if key in self._recent:
            return False
        place = bisect_left(self._sorted, key)
        if place < len(self._sorted) and self._sorted[place] == key:
            return False
        self._recent.add(key)
        if len(self._recent) >= RECENT + len(self._sorted) // 4:  # growing, so that merging stays linear overall
            self._merge()
        return True

    def _merge(self) -> None:
        recent = np.fromiter(self._recent, dtype=np.int64, count=len(self._recent))
        both = np.concatenate([np.frombuffer(self._sorted, dtype=np.int64), recent])
        both.sort()
        self._sorted = array("q")
        self._sorted.frombytes(both.tobytes())
        self._recent = set()
