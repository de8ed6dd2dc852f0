"""A cache bounded by the memory of what it holds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BytesCache(Generic[K, V]):
    """The values used last, of at most `limit` bytes together as `size` counts them. Thread-safe.

    `hits` and `misses` count what was asked for so far.
    """

    def __init__(self, limit: int, size: Callable[[V], int]) -> None:
        self.limit, self._size = limit, size
        self.bytes = self.hits = self.misses = 0
        self._held: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            value = self._held.get(key)
            if value is None:
                self.misses += 1
            else:
                self.hits += 1
                self._held.move_to_end(key)
            return value

    def put(self, key: K, value: V) -> None:
        """Hold a value, and let go of the least recently used ones for it. One too large for the cache is not held."""
        with self._lock:
            if (before := self._held.pop(key, None)) is not None:
                self.bytes -= self._size(before)
            if self._size(value) > self.limit:
                return
            self._held[key] = value
            self.bytes += self._size(value)
            while self.bytes > self.limit:
                _, dropped = self._held.popitem(last=False)
                self.bytes -= self._size(dropped)

    def __len__(self) -> int:
        return len(self._held)
